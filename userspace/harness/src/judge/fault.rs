// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lines of a kernel's log that begin the report of a fault.

/// How a fault's report ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// With `---[ end trace … ]---`.
    Trace,
    /// With a line of `=`.
    Frame,
    /// With the stack backtrace.
    Backtrace,
    /// With silence.
    Open,
    /// With the log.
    Panic,
}

/// What lockdep, and what the checkers of RCU say.
const LOCKDEP: [&str; 16] = [
    "possible circular locking dependency",
    "possible recursive locking",
    "possible irq lock inversion",
    "possible interrupt unsafe locking",
    "inconsistent lock state",
    "bad unlock balance",
    "bad contention",
    "held lock freed",
    "lock held when returning to user space",
    "still has locks held",
    "Nested lock was not taken",
    "Invalid wait context",
    "invalid wait context",
    "suspicious RCU usage",
    "suspicious usage",
    "-safe -> ",
];

/// Tells a line that announces a fault from one that only sounds like it.
pub(super) fn fault(text: &str) -> Option<Fault> {
    let text = text.trim_start();
    // Prefixes of subsystems, which come before what is said.
    let text = ["watchdog: ", "list: ", "slub: "]
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix))
        .unwrap_or(text);
    let starts = |any: &[&str]| any.iter().any(|s| text.starts_with(s));
    let has = |any: &[&str]| any.iter().any(|s| text.contains(s));

    if starts(&["Kernel panic - not syncing"]) {
        return Some(Fault::Panic);
    }
    if starts(&["------------[ cut here ]------------"]) {
        return Some(Fault::Trace);
    }
    if starts(&[
        "BUG: KASAN",
        "BUG: KFENCE",
        "BUG: KCSAN",
        "BUG: KMSAN",
        "UBSAN: ",
        "KASAN: ",
    ]) {
        return Some(Fault::Frame);
    }
    if starts(&[
        "BUG: soft lockup",
        "BUG: workqueue lockup",
        "Watchdog detected hard LOCKUP",
    ]) || has(&[
        ": Watchdog detected hard LOCKUP",
        "rcu: INFO: rcu_",
        "rcu: INFO: Stall",
    ]) || (text.starts_with("rcu: ")
        && has(&["self-detected stall", "detected stalls", "expedited stalls"]))
        || (text.starts_with("INFO: task ") && text.contains(" blocked "))
        || (text.starts_with("kmemleak: ") && text.contains("new suspected memory leaks"))
        || text.starts_with("unreferenced object 0x")
    {
        return Some(Fault::Open);
    }
    if starts(&[
        "BUG: ",
        "kernel BUG at ",
        "Oops",
        "general protection fault",
        "Unable to handle kernel",
    ]) || starts(&["Internal error: ", "PANIC: ", "traps: PANIC: "])
        || starts(&[
            "kernel tried to execute NX-protected page",
            "Corrupted page table",
        ])
        || has(&[
            ": 0000 [#",
            ": 0001 [#",
            ": 0002 [#",
            ": 0003 [#",
            ": 0010 [#",
            ": 0011 [#",
        ])
    {
        return Some(Fault::Trace);
    }
    // SLUB: "BUG kmalloc-64 (Not tainted): Redzone overwritten"
    if text.starts_with("BUG ") && text.contains("ainted") {
        return Some(Fault::Open);
    }
    if starts(&[
        "INFO: trying to register non-static key",
        "DEBUG_LOCKS_WARN_ON(",
    ]) {
        return Some(Fault::Backtrace);
    }
    let said = text
        .strip_prefix("WARNING: ")
        .or(text.strip_prefix("INFO: "));
    if said.is_some() && (has(&LOCKDEP) || text.starts_with("INFO: possible ")) {
        return Some(Fault::Backtrace);
    }
    // "WARNING: CPU: 0 PID: 1 at f.c:1 f+0x0/0x1" and "WARNING: f.c:1 at f+0x0/0x1, CPU#0: t/1"
    let said = text.strip_prefix("WARNING: ")?;
    (said.starts_with("CPU: ") || (said.contains(" at ") && said.contains("+0x")))
        .then_some(Fault::Trace)
}
