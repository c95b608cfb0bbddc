// SPDX-License-Identifier: MIT OR Apache-2.0

//! The document's own tables, line by line. Where they contradict themselves or the kernel, a test says so.

use mapwright_models::{run, Kind, State, Transcript};

/// The table, a line per row, without its frame.
fn table(transcript: &Transcript) -> Vec<Vec<&str>> {
    transcript.rows().map(|row| transcript.cells(row)).collect()
}

/// What the example of a model tells.
fn example(kind: Kind) -> Transcript {
    run(kind, kind.example()).unwrap()
}

#[test]
fn a_block_is_split_as_in_the_documents_table() {
    let transcript = example(Kind::Buddy);
    assert_eq!(
        transcript.columns,
        [
            "Step",
            "free_list[0]",
            "free_list[1]",
            "free_list[2]",
            "Action"
        ]
    );
    assert_eq!(
        table(&transcript)[..5],
        [
            ["Initial", "", "", "0x1000 (4 pages)", "One order-2 block"],
            ["Check [1]", "", "empty", "0x1000", "Miss → look higher"],
            ["Take [2]", "", "", "", "Dequeue 0x1000 from order-2"],
            [
                "Split",
                "",
                "0x3000 (buddy)",
                "",
                "Upper half 0x3000 → free_list[1]"
            ],
            [
                "Return",
                "",
                "0x3000",
                "",
                "Lower half 0x1000 (2 pages) → caller"
            ],
        ]
    );
}

#[test]
fn what_is_freed_coalesces_as_the_document_tells() {
    let transcript = example(Kind::Buddy);
    assert_eq!(
        table(&transcript)[5..],
        [
            [
                "Free",
                "",
                "0x3000",
                "",
                "0x1000 (2 pages) comes back; its buddy is 0x1000 XOR 0x2000 = 0x3000"
            ],
            [
                "Merge",
                "",
                "",
                "",
                "Buddy 0x3000 is free: together 0x1000 (4 pages)"
            ],
            ["Put", "", "", "0x1000", "0x1000 (4 pages) → free_list[2]"],
        ]
    );
}

/// The document's block is not aligned, and its rule gives a buddy outside of it.
#[test]
fn the_documents_rule_does_not_fit_its_own_block() {
    let (address, size) = (0x1000u64, 0x1000u64);
    assert_eq!(address ^ size, 0, "as the document's rule has it");
    let transcript = run(Kind::Buddy, "alloc 0\nfree 0x1000\n").unwrap();
    let shown: Vec<&str> = transcript.rows().map(|row| row.last.as_str()).collect();
    assert!(
        shown.contains(&"Upper half 0x2000 → free_list[0]"),
        "{shown:?}"
    );
    assert!(transcript.notes[0].contains("0x1000 XOR 0x1000"));
    // The whole is there again.
    assert_eq!(table(&transcript).last().unwrap()[3], "0x1000");
}

/// In an aligned pool the rule holds at each order: the document's pool of 16 pages.
#[test]
fn in_an_aligned_pool_the_rule_holds() {
    let transcript = run(Kind::Buddy, "pool 0x10000 4\nalloc 0\nfree 0x10000\n").unwrap();
    let Some(State::Buddy(state)) = transcript.steps.get(1).map(|step| &step.state) else {
        panic!("no state");
    };
    for (order, list) in state.free.iter().enumerate().take(4) {
        assert_eq!(list[..], [0x10000 ^ (0x1000 << order)], "order {order}");
    }
}

#[test]
fn fork_and_write_as_in_the_documents_table() {
    let transcript = example(Kind::Cow);
    assert_eq!(
        transcript.columns,
        ["Step", "Parent PTE", "Child PTE", "Phys page refcnt"]
    );
    assert_eq!(
        table(&transcript),
        [
            ["Before fork", "W=1 → 0xA000", "", "1"],
            ["After fork()", "W=0 → 0xA000", "W=0 → 0xA000", "2"],
            ["Child writes VA", "W=0 → 0xA000", "#PF fired", "2"],
            [
                "COW fault: alloc 0xB000",
                "W=0 → 0xA000",
                "W=1 → 0xB000",
                "1 (parent)"
            ],
            ["Parent writes VA", "#PF fired (refcnt=1)", "", "1"],
            [
                "Re-arm parent PTE",
                "W=1 → 0xA000",
                "W=1 → 0xB000",
                "1 each"
            ],
        ]
    );
}

/// “No future fault needed”, says the document's plan; its table has one, and so do the model and the kernel.
#[test]
fn the_last_owner_still_faults_once() {
    let transcript = run(
        Kind::Cow,
        "fork\nwrite child 0xA000\nwrite parent 0xA000\nwrite parent 0xA000\n",
    )
    .unwrap();
    let of_parent = transcript
        .rows()
        .filter(|row| row.cells[0].starts_with("#PF"));
    assert_eq!(of_parent.count(), 1);
    assert!(transcript.notes[0].contains("no future fault needed"));
}

#[test]
fn objects_are_taken_and_freed_as_in_the_documents_table() {
    let transcript = example(Kind::Slub);
    assert_eq!(
        transcript.columns,
        ["Event", "CPU freelist", "Node partial list", "Action"]
    );
    let rows = table(&transcript);
    assert_eq!(
        rows[0],
        [
            "Cache created",
            "NULL",
            "empty",
            "kmem_cache_create() — no pages yet, lazy init"
        ]
    );
    assert_eq!(
        rows[1],
        [
            "1st alloc",
            "NULL → slow path",
            "empty → must allocate",
            "alloc_pages() → init 64 objects in page, install as CPU active slab"
        ]
    );
    // The document has “1 partial slab” here: that slab is the CPU's, as its own row before says.
    assert_eq!(
        rows[2],
        [
            "2nd–64th alloc",
            "obj[1]→obj[2]→…",
            "empty",
            "Fast path each time: pop freelist head, return"
        ]
    );
    assert_eq!(
        rows[3],
        [
            "65th alloc",
            "NULL (slab exhausted)",
            "slab now full",
            "Slow path: alloc another buddy page, init new freelist"
        ]
    );
    // The document has the fast path here, and that needs obj[10] to be in the CPU's slab.
    assert_eq!(
        rows[4][..3],
        ["free(obj[10])", "obj[65]→obj[66]→…", "1 partial slab"]
    );
    assert!(rows[4][3].starts_with("Slow path"), "{:?}", rows[4]);
}

/// Freed one allocation earlier, the document's last row is right.
#[test]
fn the_documents_free_is_fast_while_the_slab_is_the_cpus() {
    let transcript = run(Kind::Slub, "alloc 64\nfree obj[10]\nalloc\n").unwrap();
    let rows = table(&transcript);
    assert_eq!(
        rows[3],
        [
            "free(obj[10])",
            "obj[10] → old head",
            "unchanged",
            "Fast path: push to freelist head, no lock needed"
        ]
    );
    // What was freed last is given first.
    assert_eq!(rows[4][3], "Fast path: pop freelist head, return obj[10]");
}

/// The text's sk_buff has about 232 bytes; its table has 64 of them in a page of 4096.
#[test]
fn sixty_four_of_the_documents_objects_do_not_fit_in_a_page() {
    let transcript = run(Kind::Slub, "cache 232 sk_buff\nalloc\n").unwrap();
    assert!(table(&transcript)[1][3].contains("init 17 objects"));
    assert_eq!(4096 / 232, 17);
}

/// Nine bits for each level, twelve for the byte: what the document's fourth program computes.
#[test]
fn indices_of_an_address() {
    let transcript = run(Kind::Walk, "walk 0x00007F8A12345678\n").unwrap();
    let shown: Vec<[&str; 3]> = table(&transcript)[1..]
        .iter()
        .map(|row| [row[0], row[1], row[2]])
        .collect();
    assert_eq!(
        shown,
        [
            ["PGD", "[47:39]", "255"],
            ["PUD", "[38:30]", "40"],
            ["PMD", "[29:21]", "145"],
            ["PTE", "[20:12]", "325"],
            ["Page offset", "[11:0]", "1656"],
        ]
    );
    let put_together = (255u64 << 39) | (40 << 30) | (145 << 21) | (325 << 12) | 1656;
    assert_eq!(put_together, 0x7F8A_1234_5678);
}

/// “PMD with PS=1 gives a 2 MB mapping, PUD with PS=1 gives 1 GB.”
#[test]
fn a_huge_page_ends_the_walk() {
    for (size, levels, page) in [
        ("4K", 4, 1u64 << 12),
        ("2M", 3, 1 << 21),
        ("1G", 2, 1 << 30),
    ] {
        let script = format!("map 0x7F0000000000 0x40000000 {size}\nwalk 0x7F0000000123\n");
        let transcript = run(Kind::Walk, &script).unwrap();
        let Some(State::Walk(state)) = transcript.steps.last().map(|step| &step.state) else {
            panic!("no walk");
        };
        let walk = state.walk.as_ref().unwrap();
        assert_eq!(
            (walk.levels.len(), walk.page, walk.physical),
            (levels, Some(page), Some(0x4000_0123))
        );
    }
}

/// Q3 is one mark off: kswapd is woken below low, and who allocates must reclaim below min.
#[test]
fn the_documents_marks_are_one_off() {
    let transcript = example(Kind::Watermark);
    let says = |documented: &str| {
        let rows = transcript
            .rows()
            .filter(|row| row.cells.get(2).is_some_and(|cell| cell == documented));
        rows.map(|row| row.last.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(says("kswapd wakes; succeeds"), ["50 given", "50 given"]);
    assert_eq!(
        says("direct reclaim")[..2],
        ["kswapd is woken; 10 given", "kswapd is woken; 90 given"]
    );
    assert_eq!(
        says("OOM killer, or fails"),
        [
            "given from the reserve, down to 3/8 of min",
            "direct reclaim frees 32 pages; given"
        ]
    );
}

/// “A sequential scan that touches each page once never promotes any page.”
#[test]
fn a_scan_does_not_evict_the_hot_set() {
    let transcript = run(
        Kind::Lru,
        "frames 6\nread A\nread B\nread A\nread B\nscan 1..100\n",
    )
    .unwrap();
    let Some(State::Lru(state)) = transcript.steps.last().map(|step| &step.state) else {
        panic!("no lists");
    };
    let hot: Vec<&str> = state.active.iter().map(|page| page.name.as_str()).collect();
    assert_eq!(hot, ["B", "A"]);
    assert_eq!(state.evicted.len(), 96);
}

/// But it does where the hot set is more than half: the document does not say.
#[test]
fn a_scan_evicts_a_hot_set_that_is_too_large() {
    let transcript = run(
        Kind::Lru,
        "frames 4\nread A\nread B\nread C\nread A\nread B\nread C\nscan 1..100\n",
    )
    .unwrap();
    let Some(State::Lru(state)) = transcript.steps.last().map(|step| &step.state) else {
        panic!("no lists");
    };
    assert!(state.active.len() < 3, "{state:?}");
}

/// “Without an IOMMU, bus address == PA”; with one, a device reaches only what is mapped for it.
#[test]
fn an_iommu_translates_and_stops() {
    let transcript = example(Kind::Dma);
    let rows = table(&transcript);
    assert_eq!(rows[0][2..4], ["0x12345678", "0x12345678"]);
    assert_eq!(
        rows[2][4],
        "reaches memory that is not its own: nothing stops it"
    );
    assert_eq!(rows[5][2..4], ["0x12345678", "0xFFFFF678"]);
    assert_eq!(rows[7][4], "IOMMU fault: stopped");
}
