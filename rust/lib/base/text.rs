// SPDX-License-Identifier: GPL-2.0-only

//! Writing numbers.

use kernel::fmt;

/// Shows a `u64` in decimal.
///
/// `core::fmt` divides 64-bit numbers with a function that 32-bit kernels do not have, and crashes
/// there. This divides two 32-bit halves.
///
/// # Examples
///
/// ```
/// use kernel::{seq_file::SeqFile, seq_print};
/// use mapkit::base::text::Decimal;
///
/// fn show_bytes(m: &SeqFile, bytes: u64) {
///     seq_print!(m, "{} bytes\n", Decimal(bytes));
/// }
/// ```
pub struct Decimal(pub u64);

/// Digits of the largest `u64`.
const MAX_DIGITS: usize = 20;

/// Divides by ten: quotient and remainder, with 32-bit divisions only.
fn div_rem_10(n: u64) -> (u64, u8) {
    let (mut quotient, mut rem) = (0u64, 0u32);
    // Long division, 16 bits at a time: a remainder below 10 and 16 bits fit in 32.
    for shift in [48, 32, 16, 0] {
        let part = (rem << 16) | (n >> shift) as u32 & 0xffff;
        quotient |= u64::from(part / 10) << shift;
        rem = part % 10;
    }
    (quotient, rem as u8)
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [b'0'; MAX_DIGITS];
        let (mut n, mut used) = (self.0, 0usize);
        for digit in digits.iter_mut().rev() {
            let (quotient, rem) = div_rem_10(n);
            *digit = b'0'.wrapping_add(rem);
            (n, used) = (quotient, used.wrapping_add(1));
            if n == 0 {
                break;
            }
        }
        let text = digits.get(MAX_DIGITS.wrapping_sub(used)..).unwrap_or(&[]);
        f.pad(core::str::from_utf8(text).unwrap_or("?"))
    }
}
