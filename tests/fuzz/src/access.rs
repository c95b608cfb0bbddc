// SPDX-License-Identifier: MIT OR Apache-2.0

//! Loads and stores that may fault: the program is told, instead of ended by the signal.

use anyhow::Result;
use nix::sys::signal::{sigaction, SaFlags, SigAction, SigHandler, SigSet, Signal};
use std::arch::global_asm;

// int try_load(const u8 *): the byte, or -1 where the handler sends whoever faults between these labels.
// int try_store(u8 *, u8): 0, or -1.
global_asm!(
    ".globl mapwright_fuzz_load",
    "mapwright_fuzz_load:",
    "movzx eax, byte ptr [rdi]",
    "ret",
    ".globl mapwright_fuzz_store",
    "mapwright_fuzz_store:",
    "mov byte ptr [rdi], sil",
    "xor eax, eax",
    "ret",
    ".globl mapwright_fuzz_faulted",
    "mapwright_fuzz_faulted:",
    "mov eax, -1",
    "ret",
);

unsafe extern "C" {
    fn mapwright_fuzz_load(at: *const u8) -> i32;
    fn mapwright_fuzz_store(at: *mut u8, byte: u8) -> i32;
    fn mapwright_fuzz_faulted() -> i32;
}

extern "C" fn on_fault(signal: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: The kernel passes a `ucontext_t` to a handler that was installed with `SA_SIGINFO`.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let at = registers[libc::REG_RIP as usize] as usize;
    let ours = mapwright_fuzz_load as usize..mapwright_fuzz_faulted as usize;
    if ours.contains(&at) {
        registers[libc::REG_RIP as usize] = mapwright_fuzz_faulted as usize as i64;
        return;
    }
    // SAFETY: Both may be called in a handler. The fault comes again, and ends the process.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// From now on the process survives the faults of [`load`] and [`store`].
pub fn survive_faults() -> Result<()> {
    let handler = SigHandler::SigAction(on_fault);
    let action = SigAction::new(
        handler,
        SaFlags::SA_SIGINFO | SaFlags::SA_NODEFER,
        SigSet::empty(),
    );
    for signal in [Signal::SIGSEGV, Signal::SIGBUS] {
        // SAFETY: The handler only changes where its thread goes on, and only if that is in the code above.
        unsafe { sigaction(signal, &action)? };
    }
    Ok(())
}

/// The byte at `address`, if there is one.
pub fn load(address: usize) -> Option<u8> {
    // SAFETY: The code loads from there and nothing else, and a fault is survived. Nothing of Rust's is changed.
    let byte = unsafe { mapwright_fuzz_load(address as *const u8) };
    u8::try_from(byte).ok()
}

/// Stores a byte at an address of a mapping of the program's, of which nothing is borrowed. Tells whether that worked.
pub fn store(address: usize, byte: u8) -> bool {
    // SAFETY: As the caller promises; a fault is survived.
    unsafe { mapwright_fuzz_store(address as *mut u8, byte) == 0 }
}
