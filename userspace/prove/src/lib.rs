// SPDX-License-Identifier: MIT OR Apache-2.0

//! What textbooks say of Linux's memory management, judged by the running kernel.
//!
//! A [`Claim`] is what a document says, and an experiment. The experiment reads or provokes the real
//! thing and returns a [`Finding`]: evidence in small tables, and statements, each with a
//! [`Verdict`] computed from the evidence. It does not fail because a textbook is wrong; it fails
//! when it cannot be done, or contradicts itself.
//!
//! A claim is a file in `claims/` and a line in its `mod.rs`.

mod anonymous;
mod buddy;
mod cgroup;
mod claim;
mod claims;
pub mod disk;
mod document;
mod engine;
mod fault;
mod faulty;
mod filler;
mod finding;
mod fragments;
mod frames;
mod glutton;
mod growth;
mod holes;
pub mod hugetlb;
mod lab;
mod lru_gen;
mod machine;
pub mod models;
mod mounted;
mod need;
mod page_cache;
mod part;
mod pin;
mod pressure;
mod read;
mod report;
mod same_address;
pub mod setting;
mod swap;
mod verdict;
mod vfio;
mod watermarks;

pub use claim::{Claim, Vm};
pub use claims::CLAIMS;
pub use document::{Document, Source};
pub use finding::{not_testable, Finding, NotTestable, Statement, Table};
pub use fragments::{Fragments, Frame};
pub use lab::Lab;
pub use machine::Machine;
pub use need::Need;
pub use part::Part;
pub use report::{Record, Report};
pub use verdict::Verdict;
