// SPDX-License-Identifier: MIT OR Apache-2.0

//! Instructions that clear memory, as a kernel can use them: without vector registers, which a kernel has to save
//! first.

/// A way to clear memory.
pub struct Way {
    pub name: &'static str,
    /// What uses it.
    pub what: &'static str,
    /// # Safety
    ///
    /// So many bytes from there on are writable, and nothing has borrowed from them. The number is a multiple of 64.
    pub clear: unsafe fn(*mut u8, usize),
}

#[cfg(target_arch = "x86_64")]
pub const WAYS: [Way; 4] = [
    Way {
        name: "rep stosb",
        what: "the kernel's clear_pages(), with ERMS",
        clear: rep_stosb,
    },
    Way {
        name: "rep stosq",
        what: "the kernel's clear_pages(), without ERMS",
        clear: rep_stosq,
    },
    Way {
        name: "mov, 8 bytes",
        what: "the kernel's __clear_pages_unrolled()",
        clear: stores,
    },
    Way {
        name: "movnti, 8 bytes",
        what: "non-temporal: past the caches",
        clear: non_temporal_stores,
    },
];

#[cfg(not(target_arch = "x86_64"))]
pub const WAYS: [Way; 1] = [Way {
    name: "memset()",
    what: "the C library's",
    clear: memset,
}];

/// # Safety
///
/// See [`Way::clear`].
#[cfg(not(target_arch = "x86_64"))]
unsafe fn memset(start: *mut u8, bytes: usize) {
    // SAFETY: The caller promises it.
    unsafe { start.write_bytes(0, bytes) };
}

/// # Safety
///
/// See [`Way::clear`].
#[cfg(target_arch = "x86_64")]
unsafe fn rep_stosb(start: *mut u8, bytes: usize) {
    // SAFETY: The caller promises it; the direction flag is clear in Rust.
    unsafe {
        std::arch::asm!(
            "rep stosb",
            inout("rcx") bytes => _,
            inout("rdi") start => _,
            in("al") 0u8,
            options(nostack, preserves_flags),
        );
    }
}

/// # Safety
///
/// See [`Way::clear`].
#[cfg(target_arch = "x86_64")]
unsafe fn rep_stosq(start: *mut u8, bytes: usize) {
    // SAFETY: The caller promises it; the direction flag is clear in Rust.
    unsafe {
        std::arch::asm!(
            "rep stosq",
            inout("rcx") bytes / 8 => _,
            inout("rdi") start => _,
            in("rax") 0u64,
            options(nostack, preserves_flags),
        );
    }
}

/// A loop whose turn stores zeros to 64 bytes by an instruction.
#[cfg(target_arch = "x86_64")]
macro_rules! eight_stores {
    ($store:literal, $start:expr, $bytes:expr) => {
        std::arch::asm!(
            "2:",
            concat!($store, " [{at}], {zero}"),
            concat!($store, " [{at} + 8], {zero}"),
            concat!($store, " [{at} + 16], {zero}"),
            concat!($store, " [{at} + 24], {zero}"),
            concat!($store, " [{at} + 32], {zero}"),
            concat!($store, " [{at} + 40], {zero}"),
            concat!($store, " [{at} + 48], {zero}"),
            concat!($store, " [{at} + 56], {zero}"),
            "add {at}, 64",
            "cmp {at}, {end}",
            "jb 2b",
            at = inout(reg) $start => _,
            end = in(reg) $start.wrapping_add($bytes),
            zero = in(reg) 0u64,
            options(nostack),
        )
    };
}

/// # Safety
///
/// See [`Way::clear`].
#[cfg(target_arch = "x86_64")]
unsafe fn stores(start: *mut u8, bytes: usize) {
    // SAFETY: The caller promises it; each turn clears 64 bytes, of which there are some left.
    unsafe { eight_stores!("mov qword ptr", start, bytes) };
}

/// # Safety
///
/// See [`Way::clear`].
#[cfg(target_arch = "x86_64")]
unsafe fn non_temporal_stores(start: *mut u8, bytes: usize) {
    // SAFETY: As in `stores()`. Whoever reads this memory must see the stores: so they are waited for.
    unsafe {
        eight_stores!("movnti qword ptr", start, bytes);
        std::arch::x86_64::_mm_sfence();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_clears_all_and_no_more() {
        for way in &WAYS {
            let mut memory = vec![0xffu8; 4096 + 128];
            // SAFETY: So many bytes of the vector, from its 64th on.
            unsafe { (way.clear)(memory.as_mut_ptr().add(64), 4096) };
            let (before, rest) = memory.split_at(64);
            let (cleared, after) = rest.split_at(4096);
            assert!(cleared.iter().all(|byte| *byte == 0), "{}", way.name);
            assert!(before.iter().chain(after).all(|byte| *byte == 0xff));
        }
    }
}
