// SPDX-License-Identifier: MIT OR Apache-2.0

//! Ioctls with any fields, right or wrong.

use super::{keep, of, Machine};
use crate::program::{Count, Slot, Word};
use mapwright::{page_bytes, uapi, uapi::Request};
use std::os::fd::AsRawFd as _;

/// Bytes of a buffer that any structure fits in.
const BYTES: usize = 512;

/// The number of a request, and the bytes of its structure.
const fn request<T: Request>() -> (u32, usize) {
    (T::IOCTL, size_of::<T>())
}

/// All requests of all devices.
const REQUESTS: &[(u32, usize)] = &[
    request::<uapi::Info>(),
    request::<uapi::Create>(),
    request::<uapi::Destroy>(),
    request::<uapi::Query>(),
    request::<uapi::Pages>(),
    request::<uapi::Sync>(),
    request::<uapi::DmaInfo>(),
    request::<uapi::Transfer>(),
    request::<uapi::Done>(),
    request::<uapi::DmaMap>(),
    request::<uapi::DmaUnmap>(),
    request::<uapi::Export>(),
    request::<uapi::Import>(),
    request::<uapi::Measure>(),
    request::<uapi::alloc::Info>(),
    request::<uapi::alloc::Run>(),
    request::<uapi::alloc::Release>(),
    request::<uapi::gpio::Info>(),
    request::<uapi::gpio::Outputs>(),
    request::<uapi::gpio::Direction>(),
    request::<uapi::gpio::Blink>(),
    request::<uapi::gpio::Wait>(),
    request::<uapi::gpio::Watch>(),
    request::<uapi::gpio::Events>(),
    request::<uapi::inspect::Walk>(),
    request::<uapi::inspect::Frame>(),
    request::<uapi::inspect::Layout>(),
];

impl Machine {
    fn word(&self, word: Word) -> u64 {
        let things = self.things();
        match word {
            Word::Zero => 0,
            Word::Small(small) => u64::from(small % 9),
            Word::Bit(bit) => 1 << (bit % 64),
            Word::Region(slot) => of(&things.regions, slot).map_or(0, |region| region.id),
            Word::Offset(slot) => of(&things.regions, slot).map_or(0, |region| region.offset),
            Word::Bytes(count) => bytes(count),
            Word::Pair(low, high) => u64::from(low % 8) | (u64::from(high % 8) << 32),
            Word::Address(slot) => of(&things.maps, slot).map_or(0, |map| map.address as u64),
            Word::File(slot) => {
                of(&things.files, slot).map_or(u64::MAX, |file| file.as_raw_fd() as u64)
            }
            Word::Returned(slot) => of(&things.returned, slot).unwrap_or(0),
            Word::Largest(beside) => u64::MAX - u64::from(beside),
            Word::Any(any) => any,
        }
    }

    /// A request with these fields behind its size: the flags are the last of them. Mostly its size is right. What the kernel
    /// writes to it is remembered.
    pub(super) fn ioctl(&self, file: Slot, number: u8, size: u8, words: &[Word; 8]) {
        let Some(file) = self.file(file) else { return };
        let (request, right) = REQUESTS[usize::from(number) % REQUESTS.len()];
        let bytes = match size {
            0..=199 => right as u64,
            _ => u64::from(size - 200) * 16,
        };
        let mut fields = [0u64; BYTES / 8];
        fields[0] = bytes | (self.word(words[7]) << 32);
        for (field, word) in fields.iter_mut().skip(1).zip(words) {
            *field = self.word(*word);
        }
        let before = fields;
        // It may write to memory that the program has, by a transfer or an array.
        self.forget_all();
        // SAFETY: No structure is longer, and addresses in it are those of mappings that nobody borrows, or of none: it is read
        // and written as numbers.
        let answer = unsafe {
            libc::ioctl(
                file.as_raw_fd(),
                request as libc::Ioctl,
                fields.as_mut_ptr(),
            )
        };
        if answer == 0 {
            let changes = fields
                .iter()
                .zip(before)
                .filter(|(now, before)| **now != *before);
            let mut things = self.things();
            for (value, _) in changes.take(4) {
                keep(&mut things.returned, *value);
            }
        }
    }
}

fn bytes(count: Count) -> u64 {
    count.pages(8) * page_bytes() as u64
}
