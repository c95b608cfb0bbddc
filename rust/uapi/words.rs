// SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note

//! The numbers of the interface and their names.

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $value:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum $name {
            $($(#[$vdoc])* $variant = $value,)*
        }

        impl $name {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// What people call them, in the same order.
            pub const NAMES: &'static [&'static str] = &[$($text,)*];

            /// The one that the interface calls `number`.
            pub const fn from_number(number: u32) -> Option<Self> {
                match number {
                    $($value => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The one that people call `name`.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($text => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// Its number in the interface.
            pub const fn number(self) -> u32 {
                self as u32
            }

            /// Its bit in a mask of the interface.
            pub const fn bit(self) -> u32 {
                1 << self as u32
            }

            /// What people call it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}

words! {
    /// Where a region's memory comes from.
    Backing {
        /// `kmalloc()`: a slab object, or whole pages when it is large.
        Kmalloc = 0, "kmalloc";
        /// Pages of the page allocator, in physically contiguous blocks of up to its largest order, as large as it has.
        Pages = 1, "pages";
        /// Compound pages, in blocks like these.
        Folio = 2, "folio";
        /// `vmalloc()`: single pages, contiguous only in the kernel's virtual addresses.
        Vmalloc = 3, "vmalloc";
        /// `dma_alloc_coherent()`.
        Coherent = 4, "coherent";
    }
}

words! {
    /// How a region gets into a process's address space.
    Method {
        /// `remap_pfn_range()` at `mmap(2)`.
        Remap = 0, "remap";
        /// `vm_insert_page()` for each page at `mmap(2)`.
        Insert = 1, "insert";
        /// A fault handler that gives the page.
        Fault = 2, "fault";
        /// A fault handler that inserts the page frame number (`vmf_insert_pfn()`).
        FaultPfn = 3, "fault-pfn";
        /// A fault handler that inserts a block of the middle level at once where it can: 2 MiB with pages
        /// of 4 KiB, 32 MiB with pages of 16 KiB.
        Huge = 4, "huge";
        /// `remap_vmalloc_range()` at `mmap(2)`, which takes 1 GiB at most (`E2BIG`): it cannot be interrupted.
        VmallocRemap = 5, "vmalloc-remap";
        /// `dma_mmap_attrs()` at `mmap(2)`.
        Dma = 6, "dma";
        /// A fault handler that inserts a folio at once where it can, as `huge` does, with its reference count, and
        /// the one behind it: `vmf_insert_folio_pmd()`. Pages, as `fault` gives them, elsewhere.
        HugeFolio = 7, "huge-folio";
        /// A fault handler that maps the folios of a page cache, as many pages as a page table has room for:
        /// `filemap_map_pages()`. A folio at once where it can, as `huge-folio` does.
        PageCache = 8, "page-cache";
    }
}

words! {
    /// The memory type that a region is mapped with.
    Caching {
        /// Write-back: ordinary memory.
        WriteBack = 0, "wb";
        /// Write-combining. On 64-bit ARM: Normal memory that is not cached.
        WriteCombine = 1, "wc";
        /// Uncached. On 64-bit ARM it is Device memory (nGnRnE): what is not aligned to its own size cannot be
        /// accessed (`SIGBUS`), and `memset()` and `memcpy()` may do that.
        Uncached = 2, "uc";
    }
}

words! {
    /// Part of the kernel's address space that an address lies in.
    AddressClass {
        /// The direct map of all memory, where `virt_to_phys()` holds.
        DirectMap = 0, "direct-map";
        /// The vmalloc area, where each page has a page-table entry of its own.
        Vmalloc = 1, "vmalloc";
    }
}

words! {
    /// By which call of the DMA API a region is mapped for a device. A `coherent` one needs none of these: it has a
    /// bus address as long as it lives.
    MapCall {
        /// A list of its pieces, neighbours in one entry: `dma_map_sgtable()`.
        Scatter = 0, "scatter";
        /// Such a list with an entry for each page.
        ScatterPages = 1, "scatter-pages";
        /// One stretch of the direct map: `dma_map_single()`.
        Single = 2, "single";
        /// A piece of one page: `dma_map_page()`.
        Page = 3, "page";
    }
}

words! {
    /// How a device interrupts.
    Interrupt {
        /// With a wire that devices share.
        Intx = 0, "INTx";
        /// With a message.
        Msi = 1, "MSI";
    }
}
