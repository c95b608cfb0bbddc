// SPDX-License-Identifier: MIT OR Apache-2.0

//! Small models of Linux's memory management, driven by scripts.
//!
//! A model knows no kernel and does no I/O: a script goes in, what each step did comes out, as rows of a
//! table, and the state after it.
//!
//! ```
//! use mapwright_models::{run, Kind};
//!
//! let transcript = run(Kind::Buddy, "pool 0x1000 2\nalloc 1\n").unwrap();
//! let last = transcript.rows().last().unwrap();
//! assert_eq!(last.last, "Lower half 0x1000 (2 pages) → caller");
//!
//! let wrong = run(Kind::Buddy, "alloc 1\nfree 0x2000\n").unwrap_err();
//! assert_eq!(wrong.to_string(), "line 2: no block that was given begins at 0x2000");
//! ```

pub mod buddy;
pub mod cow;
pub mod dma;
mod kind;
pub mod lru;
pub mod marks;
mod picture;
mod random;
mod script;
pub mod slub;
mod transcript;
pub mod walk;
pub mod watermark;

pub use kind::{run, Kind};
pub use picture::picture;
pub use random::random_script;
pub use script::{parse as number, steps, Wrong};
pub use transcript::{Row, State, Step, Transcript};
