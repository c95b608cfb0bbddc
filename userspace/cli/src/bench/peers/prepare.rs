// SPDX-License-Identifier: MIT OR Apache-2.0

//! Gets from the kernel what it has for programs, by its settings where it takes one, and says what it has not.

use super::super::kernel::KernelMemory;
use crate::style;
use anyhow::Result;
use mapwright::block_size;
use mapwright_prove::{hugetlb::Pool, setting::Setting};
use serde::Serialize;
use std::{fs, io};

const MEMFD_THP: &str = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
const UDMABUF_LIMIT: &str = "/sys/module/udmabuf/parameters/size_limit_mb";

/// What is not measured, and why.
#[derive(Clone, Debug, Serialize)]
pub struct LeftOut {
    pub name: String,
    pub reason: String,
}

impl LeftOut {
    pub fn new(name: &str, reason: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            reason: reason.into(),
        }
    }
}

/// What the kernel has. Its settings are as they were when this is dropped.
pub struct Prepared {
    pub there: Vec<KernelMemory>,
    pub left_out: Vec<LeftOut>,
    /// What was set, as a program's user would.
    pub settings: Vec<String>,
    kept: Vec<Setting>,
    pool: Pool,
}

impl Prepared {
    /// For amounts of up to `bytes`.
    pub fn for_up_to(bytes: u64) -> Result<Self> {
        let pages = bytes.div_ceil(block_size());
        let mut it = Self {
            there: vec![KernelMemory::Anonymous],
            left_out: Vec::new(),
            settings: Vec::new(),
            kept: Vec::new(),
            pool: Pool::of(pages)?,
        };
        it.thp();
        it.hugetlb(pages);
        it.there.push(KernelMemory::Memfd);
        it.memfd_thp();
        it.there.push(KernelMemory::Zero);
        it.device(
            KernelMemory::heap(),
            "dma-heap (system)",
            "CONFIG_DMABUF_HEAPS_SYSTEM",
        );
        if it.device(
            KernelMemory::udmabuf(),
            "udmabuf of a memfd",
            "CONFIG_UDMABUF",
        ) {
            it.limit_of_udmabuf(bytes);
        }
        Ok(it)
    }

    fn thp(&mut self) {
        match fs::exists("/sys/kernel/mm/transparent_hugepage") {
            Ok(true) => self.there.push(KernelMemory::Thp),
            _ => self.without(
                "anonymous, THP",
                "this kernel has no transparent huge pages (CONFIG_TRANSPARENT_HUGEPAGE)",
            ),
        }
    }

    fn hugetlb(&mut self, pages: u64) {
        if self.pool.is_filled() {
            self.there
                .extend([KernelMemory::Hugetlb, KernelMemory::MemfdHugetlb]);
            self.settings.push(format!("vm.nr_hugepages={pages}"));
            return;
        }
        let block = style::bytes(block_size());
        let reason = format!(
            "the kernel's pool cannot have {pages} pages of {block} more: it has none, or no memory for them"
        );
        self.without("anonymous, hugetlb", &reason);
        self.without("memfd, hugetlb", &reason);
    }

    fn memfd_thp(&mut self) {
        if self.set(MEMFD_THP, "advise", "transparent_hugepage/shmem_enabled") {
            self.there.push(KernelMemory::MemfdThp);
        } else {
            self.without(
                "memfd, THP",
                &format!("{MEMFD_THP} cannot be set to \"advise\""),
            );
        }
    }

    /// Whether its device can be opened.
    fn device(&mut self, opened: io::Result<KernelMemory>, name: &str, config: &str) -> bool {
        match opened {
            Ok(memory) => {
                self.there.push(memory);
                return true;
            }
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                self.without(name, &format!("this kernel has none ({config})"));
            }
            Err(err) => self.without(name, &format!("its device: {err}")),
        }
        false
    }

    /// It makes none of more than 64 MiB, if it is not allowed to.
    fn limit_of_udmabuf(&mut self, bytes: u64) {
        let wanted = bytes.div_ceil(1 << 20);
        let has = fs::read_to_string(UDMABUF_LIMIT).unwrap_or_default();
        if has.trim().parse().is_ok_and(|limit: u64| limit < wanted) {
            self.set(UDMABUF_LIMIT, &wanted.to_string(), "udmabuf.size_limit_mb");
        }
    }

    /// Whether a setting has been set.
    fn set(&mut self, path: &'static str, value: &str, name: &str) -> bool {
        let Ok(setting) = Setting::to(path, value) else {
            return false;
        };
        self.kept.push(setting);
        self.settings.push(format!("{name}={value}"));
        true
    }

    fn without(&mut self, name: &str, reason: &str) {
        self.left_out.push(LeftOut::new(name, reason));
    }
}
