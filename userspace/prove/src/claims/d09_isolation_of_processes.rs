// SPDX-License-Identifier: MIT OR Apache-2.0

//! D9: one address in two processes, and what becomes of a process that does what its page table forbids.

use crate::{
    anonymous::Anonymous,
    fault::{provoke, Access, Answer, Outcome},
    pin::Pinned,
    same_address::{Mapped, Other},
    Claim, Document, Finding, Lab, Need, Table, Verdict, Vm,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    inspect::{Area, Inspector, Target, Walk},
    page_bytes,
};
use nix::sys::{
    mman::{mprotect, ProtFlags},
    signal::Signal,
};
use std::{ffi::c_void, ptr::NonNull};

pub const CLAIM: Claim = Claim {
    id: "D9",
    title: "Isolation of processes",
    sources: &[
        Document::Reference.section("0.2, Physical vs Virtual Addresses"),
        Document::Reference.section("0.8, Access Control & Protection"),
    ],
    says: "Two processes may use one virtual address for different frames. A page table's entry says what is allowed there; a \
           store to a read-only page is a fault, for which the kernel usually kills the process.",
    needs: &[Need::Module("mapwright_inspect")],
    vms: &[Vm::Normal, Vm::Arm],
    prove,
};

/// What each of the two processes stores.
const OURS: u8 = 0x50;
const THEIRS: u8 = 0xc4;
/// `si_code` of a SIGSEGV: nothing is mapped there; what is mapped does not allow it. sigaction(2).
const MAPERR: i32 = 1;
const ACCERR: i32 = 2;

fn prove(_: &Lab) -> Result<Finding> {
    let _pinned = Pinned::to(0)?;
    let inspector = Inspector::open()?;
    let pair = Pair::new(&inspector)?;
    let read_only = touched()?;
    protect(&read_only, ProtFlags::PROT_READ)?;
    let tries = tries(&inspector, &read_only)?;
    let [store, _, none, ..] = &tries[..] else {
        anyhow::bail!("a try is missing");
    };
    let code = |one: &Try| one.outcome.siginfo.map(|(code, _)| code);
    let by_default = provoke(Access::Store, read_only.addr(), Answer::None)?;
    let mended = provoke(Access::Store, read_only.addr(), Answer::Mend)?;
    let as_said = tries.iter().filter(|one| one.is_as_said());
    let (as_said, all) = (as_said.count(), tries.len());
    let differ = pair.ours.pfn() != pair.theirs.pfn();
    Ok(Finding::new(format!(
        "{:#x} is frame {:#x} in one process, {:#x} in the other; a store to a read-only page: {}",
        pair.ours.address,
        pair.ours.pfn().unwrap_or(0),
        pair.theirs.pfn().unwrap_or(0),
        ended(&by_default)
    ))
    .statement(
        "Two processes use one virtual address for different frames",
        Verdict::of(differ && pair.own_bytes && pair.ours.root != pair.theirs.root),
        format!(
            "each walks tables of its own, from {:#x} and {:#x}, and finds its own byte",
            pair.ours.root, pair.theirs.root
        ),
    )
    .said_in(&[Document::Reference.section("0.2, Physical vs Virtual Addresses")])
    .statement(
        "A page's entry says whether it may be loaded from, stored to and run, and the processor keeps to it",
        Verdict::of(as_said == all),
        format!("{as_said} of {all} accesses are allowed and refused as the entry says"),
    )
    .said_in(&[
        Document::Reference.section("0.8, Access Control & Protection"),
        Document::Overview.section("2, Address Spaces"),
        Document::Overview.section("5, Page Tables"),
    ])
    .statement(
        "A store to a read-only page is a fault of the access, not of a page that is not there",
        Verdict::of(code(store) == Some(ACCERR) && code(none) == Some(MAPERR)),
        format!(
            "si_code is {} there, and {} where nothing is mapped",
            code_name(code(store)),
            code_name(code(none))
        ),
    )
    .said_in(&[Document::Reference.section("0.8, Access Control & Protection")])
    .statement(
        "The kernel then kills the process",
        Verdict::of(by_default.killed == Some(Signal::SIGSEGV)),
        format!("without a handler: {}", ended(&by_default)),
    )
    .said_in(&[Document::Reference.section("0.8, Access Control & Protection")])
    .statement(
        "It does so usually, not always",
        Verdict::of(mended.went_on && mended.siginfo.is_some()),
        format!(
            "a child whose handler of SIGSEGV makes the page writable: {}",
            ended(&mended)
        ),
    )
    .said_in(&[Document::Reference.section("0.8, Access Control & Protection")])
    .table(pair.table())
    .table(table(&tries))
    .instead(
        "The kernel sends SIGSEGV, which ends a process that has no handler for it. Before that it looks whether the \
         store is one that it has to do something for, as after fork(), where the entry is read-only and the VMA is not. \
         What two processes share, such as the code of one program, has the same frame in both.",
    ))
}

/// One address in two processes.
struct Pair {
    ours: Walk,
    theirs: Walk,
    /// Code of this program in both.
    code: [Walk; 2],
    /// Whether each found what it stored.
    own_bytes: bool,
}

impl Pair {
    fn new(inspector: &Inspector) -> Result<Self> {
        let other_process = Other::start(THEIRS)?;
        let mine = Mapped::new()?;
        ensure!(
            mine.addr() == other_process.addr(),
            "the two got different addresses: {:#x} and {:#x}",
            mine.addr(),
            other_process.addr()
        );
        mine.store(OURS);
        let theirs = other_process.load()?;
        let walk = |whose, address: usize| inspector.walk(whose, address as u64);
        let other = Target::Process(other_process.pid());
        // Both have run it.
        let code = Mapped::new as *const () as usize;
        Ok(Self {
            ours: walk(Target::Myself, mine.addr())?,
            theirs: walk(other, mine.addr())?,
            code: [walk(Target::Myself, code)?, walk(other, code)?],
            own_bytes: mine.load() == OURS && theirs == THEIRS,
        })
    }

    fn table(&self) -> Table {
        let mut table = Table::new(
            "One address in two processes, each of which mapped it for itself (mapwright_inspect)",
            ["process", "what", "address", "top table at", "frame"],
        );
        let frame = |walk: &Walk| {
            walk.pfn()
                .map_or("none".to_owned(), |pfn| format!("{pfn:#x}"))
        };
        let mut row = |process: &str, what: &str, walk: &Walk| {
            table.row([
                process.to_owned(),
                what.to_owned(),
                format!("{:#x}", walk.address),
                format!("{:#x}", walk.root),
                frame(walk),
            ]);
        };
        row("this one", "memory", &self.ours);
        row("its child", "memory", &self.theirs);
        row("this one", "code", &self.code[0]);
        row("its child", "code", &self.code[1]);
        table
    }
}

/// An access, what the page table has for it, and what became of it.
struct Try {
    what: &'static str,
    access: Access,
    address: usize,
    /// Whether the entry allows it.
    allowed: bool,
    outcome: Outcome,
}

impl Try {
    fn is_as_said(&self) -> bool {
        self.allowed == self.outcome.went_on
    }
}

fn tries(inspector: &Inspector, read_only: &Anonymous) -> Result<Vec<Try>> {
    let writable = touched()?;
    let closed = touched()?;
    protect(&closed, ProtFlags::PROT_NONE)?;
    let mut cases = vec![
        ("a read-only page", Access::Store, read_only.addr()),
        ("a read-only page", Access::Load, read_only.addr()),
        ("nothing is mapped", Access::Load, NEVER_MAPPED),
        ("a writable page", Access::Store, writable.addr()),
        ("a writable page", Access::Execute, writable.addr()),
        ("a page with PROT_NONE", Access::Load, closed.addr()),
    ];
    // A 32-bit program cannot name an address of a 64-bit kernel.
    if let Ok(kernel) = usize::try_from(kernels(inspector)?) {
        cases.push(("the kernel's memory", Access::Load, kernel));
    }
    let one = |(what, access, address): (&'static str, Access, usize)| -> Result<Try> {
        // The children before have left its entry read-only, as fork() does.
        writable.store(0, 0)?;
        let target = match what {
            "the kernel's memory" => Target::Kernel,
            _ => Target::Myself,
        };
        let walk = inspector.walk(target, address as u64)?;
        let allowed = walk.is_user()
            && match access {
                Access::Load => true,
                Access::Store => walk.is_writable(),
                Access::Execute => walk.is_executable(),
            };
        let outcome = provoke(access, address, Answer::Report)?;
        Ok(Try {
            what,
            access,
            address,
            allowed,
            outcome,
        })
    };
    cases.into_iter().map(one).collect()
}

/// An address below all that a program may map (vm.mmap_min_addr).
const NEVER_MAPPED: usize = 0x100;

/// An address that the kernel has a page at for itself.
fn kernels(inspector: &Inspector) -> Result<u64> {
    let layout = inspector.layout()?;
    let map = layout.area(Area::DirectMap).context("no direct map")?;
    let mut address = map.start;
    while address < map.last {
        if inspector.walk(Target::Kernel, address)?.is_present() {
            return Ok(address);
        }
        address += mapwright::block_size();
    }
    anyhow::bail!("nothing of the direct map is mapped")
}

/// A page that is there.
fn touched() -> Result<Anonymous> {
    let memory = Anonymous::small(page_bytes())?;
    memory.store(0, 0)?;
    Ok(memory)
}

fn protect(memory: &Anonymous, prot: ProtFlags) -> Result<()> {
    let addr = NonNull::new(memory.addr() as *mut c_void).context("no address")?;
    // SAFETY: It is a mapping of this file's, to which nobody has a reference.
    unsafe { mprotect(addr, memory.len(), prot) }.context("mprotect")
}

fn table(tries: &[Try]) -> Table {
    let mut table = Table::new(
        "Accesses by children, each with a handler that tells what it was told (sigaction(2))",
        [
            "access",
            "to",
            "the entry allows it",
            "the child",
            "si_code",
            "si_addr is the address",
        ],
    );
    for one in tries {
        let siginfo = one.outcome.siginfo;
        let at = siginfo.map(|(_, address)| yes(address == one.address));
        table.row([
            format!("{:?}", one.access).to_lowercase(),
            one.what.to_owned(),
            yes(one.allowed).to_owned(),
            match one.outcome.went_on {
                true => "went on",
                false => "got a signal",
            }
            .to_owned(),
            siginfo.map_or("–".to_owned(), |(code, _)| code_name(Some(code))),
            at.unwrap_or("–").to_owned(),
        ]);
    }
    table
}

fn yes(so: bool) -> &'static str {
    if so {
        "yes"
    } else {
        "no"
    }
}

fn code_name(code: Option<i32>) -> String {
    match code {
        Some(MAPERR) => "SEGV_MAPERR".to_owned(),
        Some(ACCERR) => "SEGV_ACCERR".to_owned(),
        Some(other) => format!("code {other}"),
        None => "not told".to_owned(),
    }
}

fn ended(outcome: &Outcome) -> String {
    match (outcome.killed, outcome.went_on) {
        (Some(signal), _) => format!("killed by {signal}"),
        (None, true) => "the store is done, and it goes on".to_owned(),
        (None, false) => "its handler ends it".to_owned(),
    }
}
