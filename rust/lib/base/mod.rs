// SPDX-License-Identifier: GPL-2.0-only

//! The ground floor: small things that the other chapters stand on, and that know none of them.

pub mod budget;
pub mod capability;
pub mod errno;
pub mod gfp;
pub mod levels;
pub mod lockdown;
pub mod memcg;
pub mod page_text;
pub mod param;
pub mod sysinfo;
pub mod task;
pub mod text;
pub mod uaccess;
