// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which backing can be mapped with which method, and that those that can, are.

use crate::{
    cells::{cma_free, Cell},
    raw::largest_block,
    runner::{skip, suite, Context},
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    page_size, pagemap_pfns, reason_against, vma_of, AddressClass, Backing, Caching, Method,
    Protection, Session,
};
use nix::errno::Errno;

suite! { "pairs":
    pages_remap,
    vmalloc_insert,
    pages_remap_is_hidden_from_the_kernel,
    vmalloc_insert_is_counted_by_the_kernel,
    pages_up_to_the_largest_block_are_contiguous,
    pages_beyond_the_largest_block_are_few_runs,
    coherent_beyond_the_largest_block_is_of_cma,
    vmalloc_frames_are_those_of_the_page_table,
    size_is_rounded_up_to_pages,
    info_tells_the_same_table,
}

fn sizes() -> [u64; 5] {
    let page = page_size();
    [page, 3 * page, 16 * page, 1 << 20, (5 << 20) + page]
}

fn pages_remap(_: &Context) -> Result<()> {
    both_views_agree(Backing::Pages, Method::Remap, AddressClass::DirectMap)
}

fn vmalloc_insert(_: &Context) -> Result<()> {
    both_views_agree(Backing::Vmalloc, Method::Insert, AddressClass::Vmalloc)
}

/// Every byte stored on one side is found on the other, at each size.
fn both_views_agree(backing: Backing, method: Method, class: AddressClass) -> Result<()> {
    let session = Session::open()?;
    for bytes in sizes() {
        let region = session.create(backing, method, bytes)?;
        ensure!(region.bytes == bytes);
        let query = session.query(&region)?;
        ensure!((query.backing, query.method) == (backing, method));
        ensure!((query.caching, query.address_class) == (Caching::WriteBack, class));
        ensure!((query.vmas, query.mmaps) == (0, 0));

        let mut mapping = session.map(&region, Protection::ReadWrite)?;
        let length = usize::try_from(bytes)?;
        let mut contents = vec![1; length];
        mapping.read(0, &mut contents);
        ensure!(
            contents.iter().all(|byte| *byte == 0),
            "memory was not zeroed"
        );

        let pattern: Vec<u8> = (0..length)
            .map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8)
            .collect();
        mapping.write(0, &pattern);
        session.read_at(&region, 0, &mut contents)?;
        ensure!(
            contents == pattern,
            "the kernel does not see what the program stored"
        );

        let pattern: Vec<u8> = pattern.iter().map(|byte| !byte).collect();
        session.write_at(&region, 0, &pattern)?;
        mapping.read(0, &mut contents);
        ensure!(
            contents == pattern,
            "the program does not see what the kernel wrote"
        );

        let query = session.query(&region)?;
        ensure!((query.vmas, query.mmaps) == (1, 1));
        drop(mapping);
        session.destroy(&region)?;
    }
    Ok(())
}

fn pages_remap_is_hidden_from_the_kernel(_: &Context) -> Result<()> {
    let session = Session::open()?;
    let region = session.create(Backing::Pages, Method::Remap, 16 * page_size())?;
    let mapping = session.map(&region, Protection::ReadWrite)?;
    mapping.touch();
    let vma = vma_of(mapping.addr())?;
    ensure!(vma.permissions == "rw-s", "{}", vma.permissions);
    for flag in ["pf", "io", "de", "dd"] {
        ensure!(vma.has(flag), "VmFlags lack {flag}: {:?}", vma.flags);
    }
    ensure!(!vma.has("mm") && !vma.has("me"), "{:?}", vma.flags);
    ensure!(vma.rss_bytes == 0, "Rss {}", vma.rss_bytes);
    ensure!(pagemap_pfns(mapping.addr(), 16)?
        .iter()
        .all(Option::is_none));
    Ok(())
}

fn vmalloc_insert_is_counted_by_the_kernel(_: &Context) -> Result<()> {
    let session = Session::open()?;
    let region = session.create(Backing::Vmalloc, Method::Insert, 16 * page_size())?;
    let mapping = session.map(&region, Protection::ReadWrite)?;
    let vma = vma_of(mapping.addr())?;
    for flag in ["mm", "de", "dd"] {
        ensure!(vma.has(flag), "VmFlags lack {flag}: {:?}", vma.flags);
    }
    ensure!(
        !vma.has("pf") && !vma.has("io") && !vma.has("me"),
        "{:?}",
        vma.flags
    );
    ensure!(vma.rss_bytes == 16 * page_size(), "Rss {}", vma.rss_bytes);
    Ok(())
}

fn pages_up_to_the_largest_block_are_contiguous(_: &Context) -> Result<()> {
    let session = Session::open()?;
    let (page, largest) = (page_size(), largest_block()?);
    for bytes in [page, 3 * page, largest / 4, largest] {
        // On a machine whose memory is in pieces, too.
        let region =
            session.create_contiguous(Backing::Pages, Method::Remap, Caching::WriteBack, bytes)?;
        let query = session.query(&region)?;
        ensure!(
            (query.runs, query.longest_run) == (1, bytes / page),
            "{query:?}"
        );
        let pages = session.pages(&region, 0, u64::MAX)?;
        ensure!(pages.len() as u64 == bytes / page);
        ensure!(pages.windows(2).all(|two| two[1].pfn == two[0].pfn + 1));
    }
    Ok(())
}

/// Where there is an area for contiguous memory, one run of it; elsewhere, an error that says how to get such an area.
fn coherent_beyond_the_largest_block_is_of_cma(_: &Context) -> Result<()> {
    let session = Session::open()?;
    let bytes = largest_block()? + page_size();
    let region = session.create(Backing::Coherent, Method::Dma, bytes);
    if cma_free()? == 0 {
        let err = region.err().context("without such an area")?;
        ensure!(err.errno() == Some(Errno::ENOMEM), "{err}");
        ensure!(err.to_string().contains("cma="), "{err}");
        return Ok(());
    }
    if matches!(&region, Err(err) if err.errno() == Some(Errno::ENOSPC)) {
        return skip(
            "half of this machine's area for contiguous memory has less than its largest block",
        );
    }
    let query = session.query(&region?)?;
    ensure!(query.runs == 1, "{query:?}");
    Ok(())
}

fn pages_beyond_the_largest_block_are_few_runs(_: &Context) -> Result<()> {
    let session = Session::open()?;
    let largest = largest_block()?;
    let region = session.create(Backing::Pages, Method::Remap, 2 * largest + largest / 2)?;
    let query = session.query(&region)?;
    ensure!(
        query.runs <= 3 && query.longest_run >= largest / page_size(),
        "{query:?}"
    );
    let mut mapping = session.map(&region, Protection::ReadWrite)?;
    // The last byte of each block and the first of the next.
    for at in [largest, 2 * largest] {
        mapping.write(usize::try_from(at)? - 1, &[1, 2]);
        let mut contents = [0; 2];
        session.read_at(&region, at - 1, &mut contents)?;
        ensure!(contents == [1, 2]);
    }
    Ok(())
}

fn vmalloc_frames_are_those_of_the_page_table(_: &Context) -> Result<()> {
    let session = Session::open()?;
    let region = session.create(Backing::Vmalloc, Method::Insert, 256 * page_size())?;
    let mapping = session.map(&region, Protection::ReadWrite)?;
    let result = session.pages(&region, 0, u64::MAX)?;
    let in_table = pagemap_pfns(mapping.addr(), 256)?;
    ensure!(result.len() == 256 && in_table.len() == 256);
    for (page, (result, pfn)) in result.iter().zip(&in_table).enumerate() {
        ensure!(
            Some(result.pfn) == *pfn,
            "page {page}: {:#x}, in the table {pfn:?}",
            result.pfn
        );
    }
    Ok(())
}

fn size_is_rounded_up_to_pages(_: &Context) -> Result<()> {
    let session = Session::open()?;
    let page = page_size();
    for (asked, expected) in [(1, page), (page - 1, page), (page + 1, 2 * page)] {
        let region = session.create(Backing::Vmalloc, Method::Insert, asked)?;
        ensure!(region.bytes == expected, "{asked} became {}", region.bytes);
    }
    Ok(())
}

fn info_tells_the_same_table(_: &Context) -> Result<()> {
    let info = Session::open()?.info()?;
    for backing in Backing::ALL {
        for method in Method::ALL {
            let offered = info.methods[backing.number() as usize] & method.bit() != 0;
            ensure!(offered == reason_against(*backing, *method).is_none());
        }
    }
    for caching in Caching::ALL {
        let offered = info.cachings & caching.bit() != 0;
        let mut cells = Cell::all().filter(|cell| cell.caching == *caching);
        ensure!(offered == cells.any(|cell| cell.is_sound()), "{caching:?}");
    }
    ensure!(u64::from(info.page_size) == page_size());
    ensure!(info.version == mapwright::uapi::VERSION);
    Ok(())
}
