// SPDX-License-Identifier: MIT OR Apache-2.0

//! Wrong scripts end with one sentence that has the number of the line.

use mapwright_models::{run, Kind};

/// Scripts, and what is said of them.
const WRONG: &[(Kind, &str, &str)] = &[
    (
        Kind::Buddy,
        "alloc 1\nsteal 2\n",
        "line 2: there is no step steal: the model buddy knows pool, alloc, free",
    ),
    (Kind::Buddy, "alloc\n", "line 1: the order is missing"),
    (Kind::Buddy, "alloc one\n", "line 1: the order is one, which is no number"),
    (Kind::Buddy, "alloc 3\n", "line 1: the order is 3, and the whole pool has the order 2"),
    (Kind::Buddy, "alloc 1 2\n", "line 1: 2 is too much: the step ends before it"),
    (Kind::Buddy, "\n# nothing\nfree 0x1000\n", "line 3: 0x1000 is free already: it is in the free block 0x1000 (4 pages)"),
    (Kind::Buddy, "alloc 1\nfree 0x1000\nfree 0x1000\n", "line 3: 0x1000 is free already: it is in the free block 0x1000 (4 pages)"),
    (Kind::Buddy, "alloc 1\nfree 0x2000\n", "line 2: no block that was given begins at 0x2000"),
    (Kind::Buddy, "alloc 1\nfree 0x1001\n", "line 2: no block that was given begins at 0x1001"),
    (Kind::Buddy, "pool 0x1001 2\n", "line 1: 0x1001 is not the address of a page"),
    (Kind::Buddy, "pool 0 11\n", "line 1: the largest block has the order 10"),
    (Kind::Buddy, "alloc 0\npool 0 2\n", "line 2: pool must come before all other steps"),
    (Kind::Buddy, "pool 0xFFFFFFFFFFFFF000 2\n", "line 1: the pool is beyond the last address"),
    (Kind::Watermark, "zone 3 2 1\n", "line 1: the marks must rise: min, low, high"),
    (Kind::Watermark, "alloc 11\n", "line 1: the order is 11, and the largest block has the order 10"),
    (Kind::Watermark, "alloc 0 0\n", "line 1: the count is 0, not 1 to 1048576"),
    (Kind::Slub, "alloc\nfree obj[0]\nfree obj[0]\n", "line 3: obj[0] is free already"),
    (Kind::Slub, "alloc\nfree obj[64]\n", "line 2: obj[64] was never given"),
    (Kind::Slub, "cache 4\n", "line 1: an object has 8 to 4096 bytes, the first 8 for the list, not 4"),
    (
        Kind::Walk,
        "walk 0x800000000000\n",
        "line 1: 0x800000000000 is no address of 48 bits: those above are not all alike",
    ),
    (Kind::Walk, "map 0x1000 0x2000\nmap 0x1000 0x3000\n", "line 2: 0x1000 is mapped already"),
    (Kind::Walk, "map 0x1000 0x2000 2M\n", "line 1: the address, 0x1000, is no multiple of the page's size"),
    (Kind::Walk, "map 0 0 2M\nmap 0x1000 0x3000\n", "line 2: 0x1000 is in a huge page already"),
    (Kind::Cow, "fork\nwrite child 0xC000\n", "line 2: 0xC000 is not mapped in child"),
    (Kind::Cow, "write child 0xA000\n", "line 1: there is no process child: there is parent"),
    (Kind::Cow, "fork\nexit child\nwrite child 0xA000\n", "line 3: child has ended"),
    (Kind::Cow, "fork\nwrite child\n", "line 2: the address is missing"),
    (Kind::Cow, "exit parent\n", "line 1: the parent stays until the end of the script"),
    (Kind::Lru, "frames 0\n", "line 1: 0 pages fit? It must be 1 to 4096"),
    (Kind::Lru, "reclaim\n", "line 1: 1 pages are to go, and 0 are there"),
    (Kind::Lru, "scan 3..1\n", "line 1: 3..1 is no range of up to 4096 pages"),
    (
        Kind::Dma,
        "map 0xFFFFC90000000000 16\n",
        "line 1: 0xFFFFC90000000000 is not mapped by the direct map, so that dma_map_single() cannot take it",
    ),
    (Kind::Dma, "unmap 0x1000\n", "line 1: no buffer is mapped at the bus address 0x1000"),
    (
        Kind::Dma,
        "map 0xFFFF888000001000 16\nmap 0xFFFF888000001008 16\n",
        "line 2: 0xFFFF888000001008 is mapped for the device already",
    ),
    (Kind::Dma, "iommu maybe\n", "line 1: the IOMMU is on or off, not maybe"),
];

#[test]
fn each_wrong_script_is_told_its_line() {
    for (kind, script, says) in WRONG {
        let wrong = run(*kind, script).map(|_| ());
        assert_eq!(wrong.unwrap_err().to_string(), *says, "{script}");
    }
}

#[test]
fn an_empty_script_is_what_there_is_at_first() {
    for kind in Kind::ALL {
        let transcript = run(kind, "# nothing\n").unwrap();
        assert_eq!(transcript.steps.len(), 1, "{}", kind.name());
    }
}
