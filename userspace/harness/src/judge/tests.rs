// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reports as kernels print them, and lines that only sound like one.

use super::*;

fn read(text: &str) -> Vec<Report> {
    let log: Vec<String> = text.lines().map(str::to_owned).collect();
    judge(&log)
}

#[track_caller]
fn one(text: &str, title: &str) -> Report {
    let mut reports = read(text);
    assert_eq!(reports.len(), 1, "{reports:#?}");
    let report = reports.remove(0);
    assert!(report.title.contains(title), "{}", report.title);
    report
}

#[test]
fn a_warning_as_of_6_x() {
    let text = "\
[    3.100000] mapwright: loading out-of-tree module taints kernel.
[    3.900000] ------------[ cut here ]------------
[    3.900001] WARNING: CPU: 1 PID: 77 at mm/memory.c:1919 vm_insert_page+0x10/0x20
[    3.900002] Modules linked in: mapwright(OE)
[    3.900003] Call Trace:
[    3.900004]  <TASK>
[    3.900005]  mapwright_mmap+0x1c/0x30 [mapwright]
[    3.900006]  </TASK>
[    3.900007] ---[ end trace 0000000000000000 ]---
[    3.900008] mapwright: session closed
";
    let report = one(text, "WARNING: CPU: 1 PID: 77 at mm/memory.c:1919");
    assert_eq!(report.lines.len(), 8);
    assert!(report.lines[7].contains("end trace"));
}

#[test]
fn a_warning_as_of_7_x() {
    let text = "\
[    4.5] WARNING: drivers/misc/lkdtm/bugs.c:112 at lkdtm_WARNING+0x1f/0x30 [lkdtm], CPU#1: sh/93
[    4.5] Modules linked in: lkdtm
[    4.5] ---[ end trace 0000000000000000 ]---
";
    assert_eq!(one(text, "lkdtm_WARNING").lines.len(), 3);
}

#[test]
fn an_oops_that_ends_in_a_panic() {
    let text = "\
[    5.000000] lkdtm: Performing direct entry EXCEPTION
[    5.000100] BUG: kernel NULL pointer dereference, address: 0000000000000000
[    5.000200] #PF: supervisor write access in kernel mode
[    5.000300] Oops: Oops: 0002 [#1] SMP NOPTI
[    5.000400] CPU: 0 UID: 0 PID: 90 Comm: sh Tainted: G           OE
[    5.000500]  </TASK>
[    5.000600] Modules linked in: lkdtm
[    5.000700] CR2: 0000000000000000
[    5.000800] ---[ end trace 0000000000000000 ]---
[    5.000900] RIP: 0010:lkdtm_EXCEPTION+0x9/0x20 [lkdtm]
[    5.100000] Kernel panic - not syncing: Fatal exception
[    5.100100] Kernel Offset: 0x2c00000 from 0xffffffff81000000
";
    let report = one(text, "BUG: kernel NULL pointer");
    assert!(report.lines.last().unwrap().contains("Kernel Offset"));
}

#[test]
fn an_oops_of_a_thread() {
    let text = "\
[    5.0] BUG: unable to handle page fault for address: ffffc90000a00000
[    5.0] Oops: Oops: 0000 [#1] SMP
[    5.0] Call Trace:
[    5.0]  <TASK>
[    5.0]  f+0x1/0x2
[    5.0]  </TASK>
[    5.0] Modules linked in: mapwright(OE)
[    5.0] CR2: ffffc90000a00000
[    5.0] mapwright: another line
";
    let report = one(text, "unable to handle page fault");
    assert_eq!(report.lines.len(), 8);
}

#[test]
fn other_exceptions() {
    one("[ 1.0] Oops: general protection fault, probably for non-canonical address 0xdead: 0000 [#1] SMP", "general protection");
    one(
        "[ 1.0] invalid opcode: 0000 [#1] PREEMPT SMP NOPTI",
        "invalid opcode",
    );
    one("[ 1.0] divide error: 0000 [#1] SMP", "divide error");
    one("[ 1.0] kernel BUG at mm/slub.c:563!", "kernel BUG at");
    one(
        "[ 1.0] BUG: Bad page state in process cat  pfn:1234",
        "Bad page state",
    );
    one(
        "[ 1.0] BUG: scheduling while atomic: sh/77/0x00000002",
        "scheduling while atomic",
    );
    one(
        "[ 1.0] BUG kmalloc-64 (Tainted: G OE): Poison overwritten",
        "Poison",
    );
    one(
        "[ 1.0] BUG: Bad rss-counter state mm:00000000 type:MM_ANONPAGES val:3",
        "rss-counter",
    );
}

#[test]
fn kasan() {
    let text = "\
[    9.0][   T93] ==================================================================
[    9.0][   T93] BUG: KASAN: slab-use-after-free in mapwright_fault+0x44/0x90 [mapwright]
[    9.0][   T93] Read of size 8 at addr ffff888003a1c008 by task mapwright/93
[    9.0][   T93] Call Trace:
[    9.0][   T93]  </TASK>
[    9.0][   T93] Allocated by task 93:
[    9.0][   T93]  ^
[    9.0][   T93] ==================================================================
[    9.0][   T93] Disabling lock debugging due to kernel taint
";
    let report = one(text, "KASAN: slab-use-after-free");
    assert_eq!(report.lines.len(), 8);
    assert!(report.lines[0].contains("====="));
}

#[test]
fn ubsan() {
    let text = "\
[    2.0] ------------[ cut here ]------------
[    2.0] UBSAN: array-index-out-of-bounds in drivers/x.c:33:7
[    2.0] index 8 is out of range for type 'int [8]'
[    2.0] ---[ end trace ]---
[    2.0] fine
";
    assert_eq!(one(text, "UBSAN: array-index-out-of-bounds").lines.len(), 4);
}

#[test]
fn lockdep() {
    let text = "\
[    7.0] ======================================================
[    7.0] WARNING: possible circular locking dependency detected
[    7.0] 7.2.12-debug #1 Tainted: G           OE
[    7.0] ------------------------------------------------------
[    7.0] sh/91 is trying to acquire lock:
[    7.0] the existing dependency chain (in reverse order) is:
[    7.0] stack backtrace:
[    7.0]  <TASK>
[    7.0]  dump_stack_lvl+0x5d/0x80
[    7.0]  </TASK>
[    7.0] mapwright: fine
";
    let report = one(text, "possible circular locking");
    assert_eq!(report.lines.len(), 10);
    for line in [
        "WARNING: inconsistent lock state",
        "WARNING: suspicious RCU usage",
        "WARNING: bad unlock balance detected!",
        "WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected",
        "INFO: possible recursive locking detected",
        "[ 1.0] INFO: trying to register non-static key.",
    ] {
        assert_eq!(read(line).len(), 1, "{line}");
    }
}

#[test]
fn hangs() {
    for line in [
        "[  242.5] INFO: task sh:93 blocked for more than 120 seconds.",
        "[  242.5] INFO: task sh:93 blocked in I/O wait for more than 120 seconds.",
        "[   28.0] watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [sh:93]",
        "[   28.0] watchdog: CPU0: Watchdog detected hard LOCKUP on cpu 0",
        "[   21.0] rcu: INFO: rcu_preempt self-detected stall on CPU",
        "[   21.0] rcu: INFO: rcu_sched detected stalls on CPUs/tasks:",
        "[   21.0] rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-.... }",
        "[   30.0] BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 30s!",
        "[   60.0] kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
    ] {
        assert_eq!(read(line).len(), 1, "{line}");
    }
}

#[test]
fn an_rcu_stall_ends_with_silence() {
    let text = "\
[   21.000] rcu: INFO: rcu_preempt self-detected stall on CPU
[   21.001] rcu: \t1-....: (5250 ticks this GP) idle=9a4c/1/0x4000000000000000
[   21.002] Call Trace:
[   21.003]  </TASK>
[   35.000] mapwright: something else
";
    assert_eq!(one(text, "self-detected stall").lines.len(), 4);
}

#[test]
fn panics() {
    let text = "\
[    6.0] sysrq: Trigger a crash
[    6.0] Kernel panic - not syncing: sysrq triggered crash
[    6.0] CPU: 1 UID: 0 PID: 88 Comm: sh
[    6.0] Call Trace:
[    6.0] ---[ end Kernel panic - not syncing: sysrq triggered crash ]---
";
    assert_eq!(one(text, "sysrq triggered crash").lines.len(), 4);
    assert!(is_panic(
        "[    6.0] Kernel panic - not syncing: Attempted to kill init!"
    ));
    assert!(!is_panic(
        "[    6.0] mapwright: no Kernel panic - not syncing"
    ));
}

#[test]
fn long_reports_are_cut() {
    let mut text = "[ 1.0] rcu: INFO: rcu_preempt self-detected stall on CPU\n".to_owned();
    for _ in 0..500 {
        text.push_str("[ 1.0]  f+0x1/0x2\n");
    }
    let report = one(&text, "self-detected stall");
    assert_eq!(report.lines.len(), REPORT_LINES + 1);
    assert_eq!(report.lines[REPORT_LINES], "… and 381 more lines");
}

#[test]
fn several_reports() {
    let warning = "\
[    4.5] WARNING: a.c:1 at f+0x1/0x2, CPU#1: sh/93
[    4.5] ---[ end trace 0000000000000000 ]---
";
    assert_eq!(read(&warning.repeat(3)).len(), 3);
}

#[test]
fn what_only_sounds_bad() {
    let text = "\
[    0.000000] Command line: panic=-1 oops=panic hung_task_panic=0 console=ttyS0
[    0.000000] printk: debug: ignoring loglevel setting.
[    0.000000] Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on, data leaks possible
[    0.000000] rcu: Preemptible hierarchical RCU implementation.
[    0.000000] rcu: \tRCU restricting CPUs from NR_CPUS=8192 to nr_cpu_ids=2.
[    0.000000] rcu: RCU calculated value of scheduler-enlistment delay is 25 jiffies.
[    0.000000] RCU CPU stall warnings timeout set to 21
[    0.100000] ACPI: Early table checksum verification disabled
[    0.200000] ACPI BIOS Error (bug): Could not resolve symbol [^_S0], AE_NOT_FOUND
[    0.300000] pci 0000:00:1f.0: BUG in BIOS: not a warning
[    0.300000] kmemleak: Kernel memory leak detector initialized (mem pool available: 15679)
[    0.300000] kmemleak: Automatic memory scanning thread started
[    0.300000] NMI watchdog: Perf NMI watchdog permanently disabled
[    0.300000] debug: unmapping init [mem 0xffffffff82c00000]
[    0.400000] kasan: KernelAddressSanitizer initialized (generic)
[    0.400000] KFENCE: initialized - using 2097152 bytes for 255 objects
[    0.400000] Running RCU self tests
[    0.400000] WARNING: workqueue cpumask: online intersect > possible intersect
[    1.000000] mapwright: loading out-of-tree module taints kernel.
[    1.000000] mapwright: module verification failed: signature and/or required key missing - tainting kernel
[    1.000000] virtme-ng-init: WARNING: failed to restore symlink
[    1.000000] warning: process `sh' used the deprecated sysctl
[    1.000000] mapwright: Warning: the limit is low; this is no BUG: it is a note
[    1.000000] clocksource: Long readout interval, skipping watchdog check: cs_nsec: 1060
[    1.000000] clocksource: timekeeping watchdog on CPU1: Marking clocksource 'tsc' as unstable
[    1.000000] hrtimer: interrupt took 5341234 ns
[    1.000000] workqueue: foo hogged CPU for >10000us 4 times, consider switching to WQ_UNBOUND
[    1.000000] Out of memory: Killed process 99 (eater) total-vm:1024kB
[    1.000000] INFO: NMI handler (perf_event_nmi_handler) took too long to run: 2.1 msecs
[    1.000000] sysrq: Show Blocked State
[    1.000000] lkdtm: No crash points registered, enable through debugfs
[    1.000000] INFO: lockdep is turned off.
[    1.000000] mapwright-harness: running: grep -c 'Oops' log
";
    assert_eq!(read(text), []);
}
