// SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note

//! What the memory of a plan costs the machine: an upper bound of the bytes that the allocators take, with
//! the rounding, and with what they keep beside each object.
//!
//! The figures are those of Linux 7.2 and 7.3 on 64-bit machines, where a pointer has eight bytes; on 32-bit
//! machines it is less. Checkers that keep something for each object (KASAN, kmemleak, `slab_debug=`) are not
//! counted: whoever boots a kernel with them has memory for that.

use crate::{
    alloc::{
        Allocator,
        CacheFlag,
        Info,
        Modifier,
        Record,
        Run, //
    },
    pairs::Architecture, //
};

/// Bytes that a pointer takes, and an entry of a page table.
const WORD: u64 = 8;

/// The smallest slab object of `kmalloc()`: `KMALLOC_MIN_SIZE`.
const KMALLOC_LEAST: u64 = match Architecture::HERE {
    Architecture::X86 => 8,
    Architecture::Arm64 => 128,
    Architecture::Other => 64,
};

/// What an object of a charged slab has in the slab's `slabobj_ext` array, which is rounded up itself.
const OBJECT_CHARGED: u64 = 2 * WORD;

/// `struct vm_struct` and `struct vmap_area` of an area of the vmalloc area, in their caches.
const VMALLOC_AREA: u64 = 256;

/// What the DMA API may keep for an allocation of its own: `struct dma_debug_entry`, or on 32-bit ARM
/// `struct arm_dma_buffer` and an area.
const DMA_BUFFER: u64 = 256;

/// The smallest per-CPU object (`PCPU_MIN_ALLOC_SIZE` is 4, and nobody asks for less than a word).
const PER_CPU_LEAST: u64 = WORD;

/// What a chunk of per-CPU memory keeps beside it, in copies of the object: a pointer for each four bytes to
/// tell who is charged (`obj_exts`), two bits for each four bytes and the descriptions of pages.
const PER_CPU_BESIDE: u64 = 3;

/// `struct track` for who allocated and who freed (`SLAB_STORE_USER`).
const SLAB_TRACKS: u64 = 2 * 40;

/// Pages that a cache takes: `struct kmem_cache` with its nodes, sheaves for the CPUs and files in sysfs, and the
/// slabs that are begun but not full.
const CACHE_PAGES: u64 = 16;

/// What the allocators keep of memory that was freed, for whoever asks next: slabs that were begun, lists of free
/// objects and pages for each CPU. A fourth of what the plans take is set aside for that: after 1,000 plans of all
/// kinds it was a sixth.
const KEPT_SHIFT: u32 = 2;

/// The structures that keep what a plan holds.
const PLAN: u64 = 512;

/// Bytes of a place in the list of a plan's objects.
pub const PLACE: u64 = 16;

/// The most bytes of the machine's memory that a plan could take at a time, with what it needs for its own
/// bookkeeping, and what the allocators may keep of it later. This is what is charged to the budget.
pub fn bytes_needed(run: &Run, info: &Info) -> u64 {
    let of = Sizes::of(info);
    let batch = u64::from(run.batch);
    let objects = bytes_of_object(run, info).saturating_mul(batch.max(1));
    let records = u64::from(run.nr_records).saturating_mul(size_of::<Record>() as u64);
    let records = of.kvmalloc(records);
    // The empty loop has as many places again.
    let places = of.kvmalloc(batch.saturating_mul(PLACE)).saturating_mul(2);
    let cache = match Allocator::from_number(run.allocator) {
        Some(Allocator::KmemCache) => of.page.saturating_mul(CACHE_PAGES),
        _ => 0,
    };
    let beside = records
        .saturating_add(places)
        .saturating_add(cache)
        .saturating_add(PLAN);
    let taken = objects.saturating_add(beside);
    taken.saturating_add(taken >> KEPT_SHIFT)
}

/// The most bytes that an object of a plan takes, with what the allocator keeps beside it.
pub fn bytes_of_object(run: &Run, info: &Info) -> u64 {
    use Allocator::{
        Coherent, Kmalloc, KmemCache, Krealloc, Kvmalloc, Kzalloc, Pages, PerCpu, Vmalloc, Vzalloc,
    };

    let of = Sizes::of(info);
    let charged = match run.modifiers & Modifier::Account.bit() {
        0 => 0,
        _ => OBJECT_CHARGED,
    };
    match Allocator::from_number(run.allocator) {
        None => 0,
        Some(Kmalloc | Kzalloc) => of.kmalloc(run.bytes).saturating_add(charged),
        // Both are there while one is copied to the other.
        Some(Krealloc) => {
            let both = of
                .kmalloc(run.bytes)
                .saturating_add(of.kmalloc(run.old_bytes));
            both.saturating_add(charged).saturating_add(charged)
        }
        Some(Kvmalloc) => of.kvmalloc(run.bytes).saturating_add(charged),
        Some(Vmalloc | Vzalloc) => of.vmalloc(run.bytes),
        Some(Pages) => of.page.checked_shl(run.order).unwrap_or(u64::MAX),
        Some(KmemCache) => of.cache_object(run).saturating_add(charged),
        Some(PerCpu) => of.per_cpu(run.bytes, run.align),
        Some(Coherent) => power_of_two(of.whole_pages(run.bytes)).saturating_add(DMA_BUFFER),
    }
}

fn power_of_two(bytes: u64) -> u64 {
    bytes.checked_next_power_of_two().unwrap_or(u64::MAX)
}

/// Rounds up to a multiple of a power of two: without a division, which 32-bit kernels cannot do with 64 bits.
fn round_up(bytes: u64, align: u64) -> u64 {
    let below = align.wrapping_sub(1);
    bytes.saturating_add(below) & !below
}

/// The sizes of a machine that the allocators round to.
struct Sizes {
    /// Bytes of a page: a power of two.
    page: u64,
    /// Largest object of a slab.
    slab_max: u64,
    /// Largest object of `kmalloc()`.
    kmalloc_max: u64,
    possible_cpus: u64,
}

impl Sizes {
    fn of(info: &Info) -> Self {
        Self {
            page: power_of_two(info.page_size.into()),
            slab_max: info.slab_max_bytes,
            kmalloc_max: info.kmalloc_max_bytes,
            possible_cpus: u64::from(info.possible_cpus),
        }
    }

    fn whole_pages(&self, bytes: u64) -> u64 {
        round_up(bytes, self.page)
    }

    /// The next size class, or a block of pages. Beyond the largest one nothing is given, or rounded up.
    fn kmalloc(&self, bytes: u64) -> u64 {
        match bytes {
            0 => 0,
            _ if bytes > self.kmalloc_max => bytes,
            _ if bytes <= self.slab_max => power_of_two(bytes).max(KMALLOC_LEAST),
            _ => power_of_two(self.whole_pages(bytes)),
        }
    }

    /// Pages, the entries of page tables for them and for the guard behind them, and the array of pages,
    /// which is made by `vmalloc()` itself when it is long.
    fn vmalloc(&self, bytes: u64) -> u64 {
        let pages = self.whole_pages(bytes);
        let count = pages.wrapping_shr(self.page.trailing_zeros());
        let array = count.saturating_mul(WORD);
        let array = match array <= self.page {
            true => self.kmalloc(array),
            false => self.whole_pages(array).saturating_add(VMALLOC_AREA),
        };
        // A table begins with the area and ends with it: twice the entries is more than enough for many
        // areas, which share their tables.
        let tables = count.saturating_add(1).saturating_mul(2 * WORD);
        let beside = array.saturating_add(tables).saturating_add(VMALLOC_AREA);
        pages.saturating_add(beside)
    }

    /// One or the other, whichever is more.
    fn kvmalloc(&self, bytes: u64) -> u64 {
        match bytes <= self.page {
            true => self.kmalloc(bytes),
            false => self.kmalloc(bytes).max(self.vmalloc(bytes)),
        }
    }

    /// A copy for each CPU, and what the chunk keeps beside it. What lies between aligned objects is lost.
    fn per_cpu(&self, bytes: u64, align: u32) -> u64 {
        let bytes = round_up(bytes.max(PER_CPU_LEAST), u64::from(align.max(1)));
        // Of large ones, an area has only as many as fit.
        let copies = self.possible_cpus.saturating_add(PER_CPU_BESIDE);
        power_of_two(bytes).saturating_mul(copies)
    }

    /// An object with its alignment and what the flags of a cache add: see `calculate_sizes()` in
    /// `mm/slub.c`. A slab of 2^n pages has room for at least as many as if the size were a power of two.
    fn cache_object(&self, run: &Run) -> u64 {
        let has = |flag: CacheFlag| run.cache_flags & flag.bit() != 0;
        let line = match has(CacheFlag::HwcacheAlign) {
            true => power_of_two(run.bytes).min(128),
            false => WORD,
        };
        let align = u64::from(run.align).max(line).max(WORD);
        let align = power_of_two(align);
        let mut bytes = round_up(run.bytes, WORD);
        if has(CacheFlag::RedZone) {
            bytes = bytes.saturating_add(2 * WORD).saturating_add(align);
        }
        if has(CacheFlag::Poison) {
            bytes = bytes.saturating_add(WORD);
        }
        if has(CacheFlag::StoreUser) {
            bytes = bytes.saturating_add(SLAB_TRACKS);
        }
        power_of_two(round_up(bytes, align))
    }
}
