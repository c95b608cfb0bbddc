// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mapwright dma`: a device that moves memory by itself, watched.

use crate::{size::size, style};
use anyhow::{ensure, Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};
use mapwright::{
    dma_devices, page_size, Backing, DmaInfo, Endpoint, Interrupt, MapCall, Method, Protection,
    Region, Session, Transfer,
};
use std::time::Instant;

#[derive(clap::Args)]
pub struct Args {
    /// How much is copied, in bytes or with K, M, G (powers of 1024); the device takes a tenth of a
    /// second in and a tenth out for each 4 KiB
    #[arg(long, default_value = "64K", value_parser = size)]
    size: u64,
    /// Only tell about the device
    #[arg(long)]
    info: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let path = dma_devices()
        .into_iter()
        .next()
        .context("there is no device that does DMA: in a VM, boot with --qemu '-device edu'")?;
    let session = Session::open_at(&path)?;
    let info = session.dma_info().context("asking for the device")?;
    anstream::println!("{}", style::paint(style::HEADING, path.display()));
    tell(&info);
    if !args.info {
        copy(&session, args.size)?;
    }
    Ok(())
}

fn tell(info: &DmaInfo) {
    let interrupt = Interrupt::from_number(info.interrupt).map_or("?", Interrupt::name);
    style::row(
        "device",
        format_args!("QEMU's edu, {:#010x}", info.identification),
    );
    style::row(
        "reach",
        format_args!(
            "{} address bits: {}",
            info.address_bits,
            style::bytes(1 << info.address_bits)
        ),
    );
    style::row("buffer", style::bytes(info.buffer_bytes.into()));
    style::row("interrupts", interrupt);
    style::row(
        "IOMMU",
        match info.translated {
            1 => "translates: the device reaches only what is mapped for it",
            _ => "none that translates: the device uses physical addresses",
        },
    );
    style::row(
        "caches",
        match info.coherent {
            1 => "coherent: the device sees what is in the CPU's caches",
            _ => "not coherent: what is mapped for the device is written back to memory first",
        },
    );
}

/// Copies a region to another through the device, a piece at a time, and compares.
fn copy(session: &Session, bytes: u64) -> Result<()> {
    let source = session.create(Backing::Coherent, Method::Dma, bytes)?;
    let target = session.create(Backing::Vmalloc, Method::Insert, bytes)?;
    let mut from = session.map(&source, Protection::ReadWrite)?;
    let to = session.map(&target, Protection::Read)?;
    let contents: Vec<u8> = (0..bytes).map(|i| (i ^ (i >> 8)) as u8).collect();
    from.write(0, &contents);

    println!();
    place(session, "from", "coherent", &source)?;
    place(session, "to", "vmalloc, as a scatter list", &target)?;
    let progress = ProgressBar::new(bytes).with_style(ProgressStyle::with_template(
        "  {wide_bar} {bytes}/{total_bytes}",
    )?);
    let begun = Instant::now();
    let step = 4 * page_size();
    for at in (0..bytes).step_by(step as usize) {
        let transfer = Transfer {
            source: Endpoint::Region(source, at),
            target: Endpoint::Region(target, at),
            bytes: step.min(bytes - at),
            map_call: MapCall::Scatter,
        };
        session.transfer(&transfer).context("a transfer")?;
        progress.set_position(at + transfer.bytes);
    }
    progress.finish_and_clear();

    let mut copied = vec![0; contents.len()];
    to.read(0, &mut copied);
    ensure!(copied == contents, "the device did not copy what it was to");
    let seconds = begun.elapsed().as_secs_f64();
    style::row(
        "copied",
        style::paint(
            style::GOOD,
            format_args!(
                "{} in {seconds:.1} s, every byte compared",
                style::bytes(bytes)
            ),
        ),
    );
    Ok(())
}

/// Tells where a region is.
fn place(session: &Session, name: &str, kind: &str, region: &Region) -> Result<()> {
    let pages = session.pages(region, 0, 1)?;
    let page = pages.first().context("a region without pages")?;
    let physical = page.pfn * page_size();
    let bus = match session.query(region)?.dma_addr {
        None => "mapped for each transfer".to_owned(),
        Some(bus) => format!("bus {bus:#x}"),
    };
    style::row(name, format_args!("{kind}: physical {physical:#x}, {bus}"));
    Ok(())
}
