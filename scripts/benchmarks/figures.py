# SPDX-License-Identifier: GPL-2.0-only
"""The figures and tables of the pages of benchmarks, by the names that the texts have for them."""

import re

PAGE = 4096
MIB = 1 << 20

# Rows of the tables: those pairs of mapwright that stand for the others.
MAPPED = (("pages + remap", "`pages` + `remap`"), ("vmalloc + insert", "`vmalloc` + `insert`"),
          ("pages + fault", "`pages` + `fault`"), ("folio + fault", "`folio` + `fault`"), ("pages + huge", "`pages` + `huge`"),
          ("folio + huge-folio", "`folio` + `huge-folio`"), ("folio + page-cache", "`folio` + `page-cache`"),
          ("folio + page-cache, misaligned", "the same where no 2 MiB fit"), ("anonymous", "anonymous memory"), ("memfd", "memfd"),
          ("anonymous, THP", "anonymous memory, THP"))
ALLOCATED = (("kmem_cache, 64 bytes", "`kmem_cache`, 64 bytes"), ("kmalloc, 64 bytes", "`kmalloc`, 64 bytes"),
             ("kmalloc, 8 KiB", "`kmalloc`, 8 KiB"), ("kmalloc, 64 KiB", "`kmalloc`, 64 KiB"),
             ("kzalloc, 64 bytes", "`kzalloc`, 64 bytes"), ("kzalloc, 4 KiB", "`kzalloc`, 4 KiB"),
             ("krealloc, 64 to 128 bytes", "`krealloc`, 64 to 128 bytes"), ("kvmalloc, 64 bytes", "`kvmalloc`, 64 bytes"),
             ("pages, order 0 (4 KiB)", "pages, order 0"), ("pages, order 3 (32 KiB)", "pages, order 3"),
             ("pages, order 10 (4 MiB)", "pages, order 10"), ("vmalloc, 4 KiB", "`vmalloc`, 4 KiB"),
             ("vmalloc, 64 KiB", "`vmalloc`, 64 KiB"), ("vmalloc, 1 MiB", "`vmalloc`, 1 MiB"),
             ("percpu, 1 KiB", "per-CPU, 1 KiB"), ("coherent, 4 KiB", "coherent, 4 KiB"))
EDGES = {"mapped page": "a store to the mapped page, with the library's checks", "ioctl": "the ioctl, which also tells all levels",
         "gpiolib": "gpiolib, `/dev/gpiochipN`, as libgpiod does it", "sysfs": "`/sys/class/gpio/gpioN/value`",
         "LED": "`/sys/class/leds/NAME/brightness`"}


def row(*cells):
    return "| " + " | ".join(cells) + " |"


def table(head, rows):
    """A table: head is its first two lines."""
    return "\n".join([*head, *(row(*cells) for cells in rows)])


def percent(ratio):
    """How much more something is: +1.2 %."""
    return f"{(ratio - 1) * 100:+.1f} %".replace("-", "−")


def between(least, most):
    """From the least to the most, as a sentence has them."""
    return f"{percent(least)} and {percent(most)}"


def size(of):
    return f"{of // MIB} MiB" if of >= MIB else f"{of >> 10} KiB"


def when(results):
    """The date of some results, and the kernel they are of."""
    return f"{results['counted'][:10]} with Debian's {results['kernel']}"


def rows_by_name(results, owner, bytes_, key="measurements", variant="usual"):
    chosen = (row for row in results[key] if (row["owner"], row["bytes"], row["variant"]) == (owner, bytes_, variant))
    return {row["name"]: row for row in chosen}


def per_page(row, phase):
    return row["cost"][phase] / (row["bytes"] // PAGE)


def number_of_series(name):
    return [int(part) for part in name.removeprefix("map-").split(".")]


def mapping(all_results):
    names = sorted((name for name in all_results if name.startswith("map-")), key=number_of_series)
    newest, older = all_results[names[-1]], [all_results[name] for name in names[:-1]]
    size_ = 4 * MIB

    def of(results, owner):
        misaligned = rows_by_name(results, owner, size_, variant="misaligned")
        return {**rows_by_name(results, owner, size_), **misaligned}

    def owned(results):
        return {**of(results, "kernel"), **of(results, "mapwright")}
    ours, reference = owned(newest), of(newest, "reference")
    titles = ["", "`mmap`", "first touch", "`munmap`", "total", "the same in C"]
    titles += [f"total on {name.removeprefix('map-')}" for name in names[:-1]]
    rows = []
    for name, label in MAPPED:
        if name not in ours:
            continue
        cost = ours[name]
        cells = [f"{per_page(cost, phase):.1f}" for phase in ("mmap", "first_touch", "munmap")]
        others = [reference, *(owned(results) for results in older)]
        totals = [f"{other[name]['per_page']:.1f}" if name in other else "" for other in others]
        rows.append([label, *cells, f"{cost['per_page']:.1f}", *totals])
    ratios = {c["what"]: c["ratio"] for c in newest["comparisons"] if c["bytes"] == size_}
    rust = {what.split(":")[0]: ratio for what, ratio in ratios.items() if "Rust to C" in what}
    singly = [rust[method] for method in ("remap", "insert", "fault")]
    blocks = [rust[method] for method in ("huge", "huge-folio")]
    pages = ours["pages + fault"]
    batched = ratios["fault: a page at a time to fault-around, first touch"]
    olds = "".join(f"; on {name.removeprefix('map-')} on {when(all_results[name])}" for name in names[:-1])
    return {
        "map_table": table((row(*titles), "|---" + "|--:" * (len(titles) - 1) + "|"), rows),
        "map_when": when(newest) + olds,
        "map_series": names[-1].removeprefix("map-"),
        "map_touch": f"{per_page(ours['pages + remap'], 'second_touch'):.0f}",
        "map_create": f"{per_page(ours['pages + remap'], 'create'):.0f}",
        "map_clock": percent(ratios["fault: a page at a time, timed to not, first touch"]),
        "map_counters": percent(ratios["fault: a page at a time, with counters to without, first touch"]),
        "map_rust_singly": between(min(singly), max(singly)),
        "map_rust_blocks": between(min(blocks), max(blocks)),
        "map_batched": f"{batched:.1f}",
        "map_touch_to_zeroing": f"{per_page(pages, 'first_touch') / per_page(pages, 'create') * 100:.0f} %",
    }


def gigabyte(results):
    name, bytes_ = "pages + huge, contiguous", 1 << 30
    ours, reference = (rows_by_name(results, owner, bytes_, variant="contiguous")[name] for owner in ("mapwright", "reference"))
    return {"gigabyte_when": when(results), "gigabyte_total": f"{ours['per_page']:.2f}",
            "gigabyte_touch": f"{per_page(ours, 'second_touch'):.2f}", "gigabyte_reference": f"{reference['per_page']:.2f}"}


def whole_life(peer):
    """What a page costs from the making of the memory to its end."""
    return (sum(peer["cost"].values()) - peer["cost"]["second_touch"]) / (peer["bytes"] // PAGE)


def single_figures(peers_):
    """Figures for sentences: ours_folio_huge_folio_total, kernel_memfd_hugetlb_256_life and their like."""
    figures_ = {}
    for peer in peers_:
        megabytes = peer["bytes"] // MIB
        name = re.sub(r"\W+", "_", f"{peer['owner']} {peer['name']}".replace("mapwright", "ours")).strip("_")
        name += "" if megabytes == 4 else f"_{megabytes}"
        pin = peer["pin"].get("cost")
        figures_[f"{name}_total"] = f"{peer['per_page']:,.1f}"
        figures_[f"{name}_life"] = f"{whole_life(peer):,.0f}"
        figures_[f"{name}_again"] = f"{peer['again'] / (peer['bytes'] // PAGE):,.1f}" if "again" in peer else ""
        figures_[f"{name}_pin"] = f"{pin['register'] / (peer['bytes'] // PAGE):.1f}" if pin else f"`{peer['pin']['refused']}`"
    return figures_


def peers(results):
    size_, large = 4 * MIB, 256 * MIB
    mapped = [name for name, _ in MAPPED]

    def shown(peer):
        return peer["owner"] != "mapwright" or peer["name"] in mapped

    def uses(peer):
        pages = peer["bytes"] // PAGE
        pin = peer["pin"].get("cost")
        return [f"{peer['per_page']:,.1f}", f"{whole_life(peer):,.1f}", f"{peer['again'] / pages:,.1f}" if "again" in peer else "",
                "works" if peer["o_direct"] == "works" else f"`{peer['o_direct']['refused']}`",
                f"{pin['register'] / pages:,.1f}" if pin else f"`{peer['pin']['refused']}`"]

    def phases(peer):
        names = ("create", "mmap", "first_touch", "second_touch", "munmap", "destroy")
        return [f"{per_page(peer, phase):,.1f}" for phase in names]

    def label(peer):
        name = peer["name"]
        if peer["owner"] == "kernel":
            return name.replace("/dev/zero", "`/dev/zero`")
        pair = " + ".join(f"`{word}`" for word in name.split(" + "))
        return pair if peer["owner"] == "mapwright" else f"{pair}, in C"

    def table_of(size_, titles, cells):
        chosen = [peer for peer in results["peers"] if peer["bytes"] == size_ and shown(peer)]
        head = (row("", *titles), "|---" + "|--:" * len(titles) + "|")
        return table(head, ([label(peer), *cells(peer)] for peer in chosen))
    of_uses = (("total", "life", "again", "`O_DIRECT`", "pin"), uses)
    of_phases = (("create", "`mmap`", "first touch", "second touch", "`munmap`", "free"), phases)
    measured_large = any(peer["bytes"] == large for peer in results["peers"])
    left_out = [f"- {entry['name']}: {entry['reason']}." for entry in results["left_out"]]
    return {
        "peers_when": when(results),
        "peers_settings": ", ".join(f"`{setting}`" for setting in results["settings"]),
        "peers_table": table_of(size_, *of_uses),
        "peers_phases": table_of(size_, *of_phases),
        "peers_large": f"The same of 256 MiB:\n\n{table_of(large, *of_uses)}\n\n" if measured_large else "",
        "peers_left_out": "\n".join(left_out) or "This kernel has all of them: nothing is left out.",
        **single_figures(results["peers"]),
    }


def creating(clear, all_results):
    rows = []
    of_time = {(line["bytes"], line["at_once"], line["name"]): line for line in clear["lines"]}
    block = 4 * MIB

    def saved(bytes_, at_once, name, phases=("clear",)):
        """How much less time something takes than what the kernel does, a page after the other by rep stosb."""
        times = [sum(of_time[key][phase] for phase in phases) for key in ((bytes_, at_once, name), (bytes_, PAGE, "rep stosb"))]
        return f"{(1 - times[0] / times[1]) * 100:.0f} %"
    small = [of_time[block, PAGE, name]["clear"] for name in ("rep stosb", "rep stosq", "mov, 8 bytes")]
    non_temporal = of_time[block, block, "movnti, 8 bytes"]
    for line in clear["lines"]:
        at_once = "a page" if line["at_once"] == PAGE else size(line["at_once"])
        rows.append([size(line["bytes"]), at_once, f"`{line['name']}`", f"{line['clear']:.0f}",
                     f"{PAGE / line['clear']:.1f}", f"{line['load']:.0f}", f"{line['clear'] + line['load']:.0f}"])
    inits = []
    for name, label in (("init-alloc", "as it is allocated (`init_on_alloc=1`, Debian's default)"),
                        ("init-free", "as it is freed (`init_on_free=1 init_on_alloc=0`)"),
                        ("init-asked", "where it is asked to (`init_on_alloc=0`)")):
        cost = rows_by_name(all_results[name], "mapwright", 4 * MIB)["pages + remap"]
        phases = [per_page(cost, phase) for phase in ("create", "destroy")]
        inits.append([label, *(f"{n:,.0f}" for n in (*phases, sum(phases)))])
    init_head = (row("the kernel clears memory", "`CREATE`", "`DESTROY`", "both"), "|---|--:|--:|--:|")
    head = (row("size", "at a time", "by", "to clear", "GB/s", "to load then", "both"), "|--:|---|---|--:|--:|--:|--:|")
    both = ("clear", "load")
    figures_ = {
        "clear_small_least": f"{min(small):.0f}", "clear_small_most": f"{max(small):.0f}",
        "clear_small_non_temporal": f"{non_temporal['clear']:.0f}",
        "clear_block_saves": saved(256 * MIB, block, "rep stosb"),
        "clear_non_temporal_saves": saved(256 * MIB, block, "movnti, 8 bytes"),
        "clear_non_temporal_saves_both": saved(256 * MIB, block, "movnti, 8 bytes", both),
        "clear_region": f"{of_time[256 * MIB, PAGE, 'rep stosb']['clear'] * 256 * MIB / PAGE / 1e6:.0f}",
    }
    return {**figures_, "init_table": table(init_head, inits), "init_when": when(all_results["init-alloc"]),
            "clear_table": table(head, rows), "clear_when": clear["counted"][:10], "clear_processor": clear["processor"]}


def allocators(results):
    lines = {line["name"]: line for line in results["lines"]}
    cells = [(label, f"{lines[name]['rust']['pair']['least']:.0f}") for name, label in ALLOCATED if name in lines]
    half = (len(cells) + 1) // 2
    right = cells[half:] + [("", "")] * (2 * half - len(cells))
    off = max(abs(line["rust"]["pair"]["least"] / line["c"]["pair"]["least"] - 1) for line in lines.values() if "c" in line)
    said = {line["what"]: line for line in results["textbook"]}
    slab = said["slab, an object at hand (kmalloc of 64 bytes)"]
    page, vmalloc = said["buddy, a page"], said["vmalloc of a page"]
    first = said["slab, the first object of a new cache"]
    return {
        "alloc_when": when(results),
        "alloc_table": table((row("", "", "", ""), "|---|--:|---|--:|"), ([*a, *b] for a, b in zip(cells[:half], right))),
        "alloc_to_c": f"{off * 100:.1f} %",
        "alloc_slab": f"{slab['measured']:.0f}", "alloc_slab_to_page": f"{slab['measured_to_buddy']:.2f}",
        "alloc_page": f"{page['measured']:.0f}",
        "alloc_first": f"{first['measured']:.0f}", "alloc_first_to_page": f"{first['measured_to_buddy']:.1f}",
        "alloc_vmalloc": f"{vmalloc['measured']:.0f}", "alloc_vmalloc_to_page": f"{vmalloc['measured_to_buddy']:.1f}",
    }


def dma(without, behind):
    kinds = {"coherent: dma_alloc_coherent()": ("`coherent`", True), "single: dma_map_single()": ("`single`", True),
             "page: dma_map_page()": ("a page", False), "list of one entry: dma_map_sgtable()": ("a list of one entry", True),
             "list of pages: dma_map_sgtable()": ("a list of pages", True)}

    def lines(results):
        return {(line["kind"], line["bytes"]): line for line in results["lines"]}
    columns = [lines(without), lines(behind)]
    rows = []
    for kind, (label, sized) in kinds.items():
        for bytes_ in (PAGE, MIB):
            if (kind, bytes_) in columns[0]:
                cells = []
                for column in columns:
                    line = column[kind, bytes_]
                    cells += [f"{sum(line['rust'].values()):,}", percent(line["ratio"])]
                rows.append([f"{label}, {size(bytes_)}" if sized else label, *cells])
    head = (row("", "without an IOMMU", "to C", "behind an IOMMU", "to C"), "|---|--:|--:|--:|--:|")
    return {"dma_when": when(without), "dma_table": table(head, rows)}


def gpio(results):
    rows = []
    for cost in results["costs"]:
        label = next((label for way, label in EDGES.items() if way in cost["way"]), cost["way"])
        accesses = cost.get("accesses")
        counted = f"{accesses['loads']:.0f}, {accesses['stores']:.0f}" if accesses else ""
        rows.append([label, f"{cost['per_edge']:.0f}", counted])
    head = (row("an edge by", "instructions", "loads, stores of registers"), "|---|--:|:-:|")
    return {"gpio_when": when(results), "gpio_table": table(head, rows)}


def figures(results):
    """All of them, of the results of all benchmarks by their names."""
    return {**mapping(results), **gigabyte(results["gigabyte"]), **peers(results["peers"]), **creating(results["clear"], results), **allocators(results["alloc"]),
            **dma(results["dma"], results["dma-iommu"]), **gpio(results["gpio"])}
