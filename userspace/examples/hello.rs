// SPDX-License-Identifier: MIT OR Apache-2.0

//! Makes a region of single pages that are mapped when they are touched, stores to it, and reads it back through the
//! kernel.

use mapwright::{Backing, Method, Protection, Session};

pub fn main() -> mapwright::Result<()> {
    let mut bytes = [0; 5];
    let session = Session::open()?;
    let region = session.create(Backing::Vmalloc, Method::Fault, 65536)?;
    let mut memory = session.map(&region, Protection::ReadWrite)?;
    memory.write(0, b"hello"); // a store, no system call ...
    session.read_at(&region, 0, &mut bytes)?; // ... and the kernel sees b"hello"
    assert_eq!(&bytes, b"hello");
    Ok(())
}
