// SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note

//! Which allocation plans the module runs: the rules, each with the sentence that a plan is refused with.

use crate::alloc::{
    Allocator,
    CacheFlag,
    Gfp,
    Info,
    Modifier,
    Pattern,
    Run,
    ANY_NODE,
    EACH_PAGE,
    FILL,
    FLAGS,
    FREE_NULL,
    HISTOGRAM,
    HOLD,
    SIZE_ZERO,
    SPLIT, //
};

/// Why a plan cannot be run, in a sentence, or `None` if it can. The module answers `EINVAL`.
pub fn reason_against(run: &Run, info: &Info) -> Option<&'static str> {
    let (Some(allocator), Some(pattern), Some(gfp)) = (
        Allocator::from_number(run.allocator),
        Pattern::from_number(run.pattern),
        Gfp::from_number(run.gfp),
    ) else {
        return Some("there is no such allocator, pattern or set of GFP flags");
    };
    against_numbers(run, info, pattern)
        .or_else(|| against_size(run, info, allocator))
        .or_else(|| against_gfp(run, allocator, gfp))
        .or_else(|| against_options(run, info, allocator))
}

/// The reason of the first rule that is broken.
fn first_broken<const N: usize>(rules: [(bool, &'static str); N]) -> Option<&'static str> {
    let mut broken = rules.into_iter().filter(|(is_broken, _)| *is_broken);
    broken.next().map(|(_, reason)| reason)
}

fn against_numbers(run: &Run, info: &Info, pattern: Pattern) -> Option<&'static str> {
    let is_online = match u32::try_from(run.node) {
        Ok(node) => node < u64::BITS && (info.online_nodes >> node) & 1 == 1,
        Err(_) => true,
    };
    let is_pairs = pattern == Pattern::Pairs;
    let has = |flags: u32| run.flags & flags != 0;
    first_broken([
        (has(!FLAGS), "it has flags that the module does not know"),
        (run.count == 0, "a plan makes at least one allocation"),
        (run.node < ANY_NODE, "a node's number is not negative"),
        (!is_online, "the machine has no such node, or it is offline"),
        (
            is_pairs && run.batch != 0,
            "pairs are alive one at a time: there is no batch",
        ),
        (
            !is_pairs && run.batch == 0,
            "at least one object is alive at a time: the batch cannot be 0",
        ),
        (
            is_pairs && has(HOLD),
            "pairs are freed at once: there is nothing to hold",
        ),
        (
            has(EACH_PAGE | FILL) && run.nr_records == 0,
            "only what is recorded is looked at page by page, or filled",
        ),
        (
            has(EACH_PAGE) && has(FILL),
            "objects are filled as a whole, not page by page",
        ),
        (
            has(HISTOGRAM) && run.nr_records != 0,
            "nothing is timed when objects are recorded",
        ),
        (
            run.seed != 0 && pattern != Pattern::Random,
            "only the random pattern draws from a seed",
        ),
    ])
}

fn against_size(run: &Run, info: &Info, allocator: Allocator) -> Option<&'static str> {
    use Allocator::{Kmalloc, KmemCache, Krealloc, Kvmalloc, Kzalloc, Pages, PerCpu};

    let means_zero = run.flags & SIZE_ZERO != 0;
    let knows_zero = matches!(allocator, Kmalloc | Kzalloc | Kvmalloc);
    let is_pages = allocator == Pages;
    first_broken([
        (
            means_zero && (!knows_zero || run.bytes != 0),
            "only kmalloc, kzalloc and kvmalloc have an answer to a size of 0",
        ),
        (
            (allocator == Krealloc) != (run.old_bytes != 0),
            "krealloc, and nothing else, begins with an object of some bytes",
        ),
        (
            is_pages && run.order > info.max_order,
            "the page allocator has no blocks of such an order",
        ),
        (
            is_pages && run.bytes != 0,
            "pages are asked for by their order, not by a size",
        ),
        (!is_pages && run.order != 0, "only pages have an order"),
        (
            !is_pages && run.bytes == 0 && !means_zero,
            "an object has at least one byte",
        ),
        (
            allocator == KmemCache && run.bytes > info.slab_max_bytes,
            "a plan's cache has objects of at most what kmalloc takes from a slab",
        ),
        (
            allocator == PerCpu && run.bytes > u64::from(info.percpu_max_bytes),
            "a per-CPU object is at most as large as a unit of the per-CPU allocator",
        ),
    ])
}

fn against_gfp(run: &Run, allocator: Allocator, gfp: Gfp) -> Option<&'static str> {
    use Allocator::{Coherent, KmemCache, Krealloc, Kvmalloc, Pages, PerCpu, Vmalloc, Vzalloc};

    let has = |modifier: Modifier| run.modifiers & modifier.bit() != 0;
    let known = Modifier::ALL.iter().fold(0, |mask, it| mask | it.bit());
    let is_pages = allocator == Pages;
    let for_pages = has(Modifier::Comp) || has(Modifier::Movable) || has(Modifier::Reclaimable);
    let may_vmalloc = matches!(allocator, Kvmalloc | Vmalloc | Vzalloc);
    let chooses = matches!(allocator, Coherent | PerCpu);
    let cannot_wait = matches!(gfp, Gfp::Atomic | Gfp::Nowait);
    first_broken([
        (
            run.modifiers & !known != 0,
            "it has GFP flags that the module does not know",
        ),
        (
            gfp == Gfp::Highuser && !is_pages,
            "only pages can be in high memory: the other allocators need an address",
        ),
        (
            gfp == Gfp::Dma32 && !is_pages,
            "only pages can be asked for below 4 GiB: slabs have no such class",
        ),
        (
            gfp == Gfp::Dma && may_vmalloc,
            "vmalloc takes pages from any zone",
        ),
        (
            gfp == Gfp::Dma && allocator == KmemCache,
            "a cache has its zone: say it with the cache's flags",
        ),
        (
            gfp == Gfp::Dma && chooses,
            "the allocator chooses the zone itself",
        ),
        (
            for_pages && !is_pages,
            "compound pages and migrate types are for the page allocator",
        ),
        (
            has(Modifier::Movable) && has(Modifier::Reclaimable),
            "a page is either movable or reclaimable",
        ),
        (
            has(Modifier::Thisnode) && (may_vmalloc || chooses || allocator == Krealloc),
            "the allocator cannot be bound to a node",
        ),
        (
            has(Modifier::RetryMayfail) && cannot_wait,
            "what may not sleep cannot try harder",
        ),
    ])
}

fn against_options(run: &Run, info: &Info, allocator: Allocator) -> Option<&'static str> {
    use Allocator::{Coherent, KmemCache, Krealloc, Pages, PerCpu, Vmalloc, Vzalloc};

    let known = CacheFlag::ALL.iter().fold(0, |mask, it| mask | it.bit());
    let zones = CacheFlag::Dma.bit() | CacheFlag::Dma32.bit();
    let on_a_node = run.node != ANY_NODE;
    let plain = run.gfp == Gfp::Kernel.number() && run.modifiers & !Modifier::Zero.bit() == 0;
    let comp = run.modifiers & Modifier::Comp.bit() != 0;
    let can_align = matches!(allocator, KmemCache | PerCpu);
    let cannot_free_null = matches!(allocator, Pages | KmemCache | Coherent);
    first_broken([
        (
            on_a_node && matches!(allocator, Krealloc | PerCpu | Coherent),
            "the allocator chooses the node itself",
        ),
        (
            on_a_node && matches!(allocator, Vmalloc | Vzalloc) && !plain,
            "on a node, the kernel's vmalloc functions take no GFP flags",
        ),
        (
            run.cache_flags != 0 && allocator != KmemCache,
            "only a cache has flags of its own",
        ),
        (
            run.cache_flags & !known != 0,
            "it has flags of a cache that the module does not know",
        ),
        (run.cache_flags & zones == zones, "a cache has one zone"),
        (
            run.align != 0 && !can_align,
            "only caches and per-CPU objects are aligned as asked for",
        ),
        (
            run.align != 0 && (!run.align.is_power_of_two() || run.align > info.page_size),
            "an alignment is a power of two up to a page",
        ),
        (
            run.flags & SPLIT != 0 && (allocator != Pages || comp),
            "only blocks of pages that are not compound can be split",
        ),
        (
            run.flags & FREE_NULL != 0 && cannot_free_null,
            "the allocator's function to free does not take a null pointer",
        ),
    ])
}
