// SPDX-License-Identifier: GPL-2.0-only

//! What an allocator gave: address, bytes, and the page frames behind them.

use crate::{
    ffi,
    memory::backing::{
        AddressClass,
        StructPage, //
    }, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    ffi::c_void,
    page::PAGE_SIZE, //
};

/// Memory that was allocated.
///
/// # Invariants
///
/// Where it is stays allocated for `'a`.
///
/// It cannot be kept for longer than the object that it is of:
///
/// ```compile_fail
/// # use mapkit::source::{Fresh, Source, Span};
/// fn keep<'a, S: Source>(fresh: Fresh<'a, S>) -> Span<'a> {
///     fresh.span()
/// }
/// ```
///
/// ```
/// # use mapkit::source::{Fresh, Source, Span};
/// fn look<'a, S: Source>(fresh: &'a Fresh<'_, S>) -> Span<'a> {
///     fresh.span()
/// }
/// ```
#[derive(Clone, Copy)]
pub struct Span<'a> {
    place: Place,
    asked: usize,
    actual: usize,
    dma_addr: Option<u64>,
    _object: PhantomData<&'a ()>,
}

#[derive(Clone, Copy)]
enum Place {
    /// Of no bytes.
    Nothing(NonNull<u8>),
    /// In the direct map or the vmalloc area.
    Address(NonNull<u8>),
    /// Physically contiguous pages that need not have an address.
    Pages(StructPage),
}

/// A page of it.
#[derive(Clone, Copy)]
pub struct PageSeen {
    /// The kernel's address, 0 if there is none.
    pub address: usize,
    /// Page frame number.
    pub pfn: usize,
    /// Its zone.
    pub zone: Zone,
    /// Number of its node.
    pub node: u32,
}

/// A zone of a node's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// `ZONE_DMA`.
    Dma,
    /// `ZONE_DMA32`.
    Dma32,
    /// `ZONE_NORMAL`.
    Normal,
    /// `ZONE_HIGHMEM`.
    HighMem,
    /// `ZONE_MOVABLE`.
    Movable,
    /// `ZONE_DEVICE`.
    Device,
}

impl Zone {
    /// The zone with the number that this kernel gives it.
    fn from_number(number: u32) -> Self {
        match number {
            #[cfg(CONFIG_ZONE_DMA)]
            bindings::zone_type_ZONE_DMA => Self::Dma,
            #[cfg(CONFIG_ZONE_DMA32)]
            bindings::zone_type_ZONE_DMA32 => Self::Dma32,
            #[cfg(CONFIG_HIGHMEM)]
            bindings::zone_type_ZONE_HIGHMEM => Self::HighMem,
            bindings::zone_type_ZONE_MOVABLE => Self::Movable,
            #[cfg(CONFIG_ZONE_DEVICE)]
            bindings::zone_type_ZONE_DEVICE => Self::Device,
            _ => Self::Normal,
        }
    }
}

/// `bytes` rounded up to whole pages.
pub(super) fn whole_pages(bytes: usize) -> usize {
    bytes.checked_next_multiple_of(PAGE_SIZE).unwrap_or(bytes)
}

impl Span<'_> {
    /// Of no bytes, with an address that means so.
    pub(super) fn nothing(at: NonNull<u8>) -> Self {
        Self {
            place: Place::Nothing(at),
            asked: 0,
            actual: 0,
            dma_addr: None,
            _object: PhantomData,
        }
    }

    /// `asked` bytes, with which came `actual`.
    ///
    /// # Safety
    ///
    /// At `addr` must be so many bytes, allocated, in the direct map or the vmalloc area, as long as the
    /// span is used.
    pub(super) unsafe fn of(addr: NonNull<u8>, asked: usize, actual: usize) -> Self {
        if asked == 0 {
            return Self::nothing(addr);
        }
        Self {
            place: Place::Address(addr),
            asked,
            actual,
            dma_addr: None,
            _object: PhantomData,
        }
    }

    /// `nr_pages` physically contiguous pages.
    ///
    /// # Safety
    ///
    /// From `page` on must be the `struct page`s of so many pages, allocated as long as the span is used.
    pub(super) unsafe fn of_pages(page: StructPage, nr_pages: usize) -> Self {
        let bytes = nr_pages.wrapping_mul(PAGE_SIZE);
        Self {
            place: Place::Pages(page),
            asked: bytes,
            actual: bytes,
            dma_addr: None,
            _object: PhantomData,
        }
    }

    /// The same, with the address that a device uses.
    pub(super) fn with_dma_addr(self, dma_addr: u64) -> Self {
        Self {
            dma_addr: Some(dma_addr),
            ..self
        }
    }

    /// The kernel's address, 0 if there is none.
    pub fn address(&self) -> usize {
        match self.place {
            Place::Nothing(addr) | Place::Address(addr) => addr.as_ptr() as usize,
            // SAFETY: By the type invariant it is an allocated page.
            Place::Pages(page) => unsafe { ffi::mapkit_page_address(page) as usize },
        }
    }

    /// Address and length of the bytes that were asked for, if the kernel has an address for them all.
    pub(super) fn asked(&self) -> Option<(NonNull<u8>, usize)> {
        match self.place {
            Place::Nothing(_) => None,
            Place::Address(addr) => Some((addr, self.asked)),
            Place::Pages(_) => Some((NonNull::new(self.address() as *mut u8)?, self.asked)),
        }
    }

    /// Bytes that were given, which may be more than were asked for.
    pub fn actual_bytes(&self) -> usize {
        self.actual
    }

    /// The address that a device uses for it.
    pub fn dma_addr(&self) -> Option<u64> {
        self.dma_addr
    }

    /// Where its address lies.
    pub fn address_class(&self) -> AddressClass {
        // SAFETY: Any pointer may be asked about.
        match unsafe { bindings::is_vmalloc_addr(self.address() as *const c_void) } {
            true => AddressClass::Vmalloc,
            false => AddressClass::DirectMap,
        }
    }

    /// The pages that the bytes asked for touch.
    pub fn pages(&self) -> impl Iterator<Item = PageSeen> + '_ {
        let within = self.address() % PAGE_SIZE;
        let nr_pages = match self.asked {
            0 => 0,
            asked => asked.saturating_add(within).div_ceil(PAGE_SIZE),
        };
        (0..nr_pages).filter_map(|page| self.page(page))
    }

    /// What page `page` is, which must be one of those that it touches.
    fn page(&self, page: usize) -> Option<PageSeen> {
        let offset = page.wrapping_mul(PAGE_SIZE);
        let struct_page = match self.place {
            Place::Nothing(_) => return None,
            Place::Address(addr) => {
                let start = addr
                    .as_ptr()
                    .wrapping_sub(addr.as_ptr() as usize % PAGE_SIZE);
                // SAFETY: By the type invariant, and it is inside.
                unsafe { page_of(start.wrapping_add(offset).cast::<c_void>()) }
            }
            // The `struct page`s of a block follow each other.
            Place::Pages(first) => first.wrapping_add(page),
        };
        let address = match self.address() {
            0 => 0,
            address => {
                let start = address.wrapping_sub(address % PAGE_SIZE);
                start.wrapping_add(offset).max(address)
            }
        };
        // SAFETY: By the type invariant it is an allocated page.
        unsafe {
            Some(PageSeen {
                address,
                pfn: ffi::mapkit_page_to_pfn(struct_page),
                zone: Zone::from_number(ffi::mapkit_page_zonenum(struct_page)),
                node: ffi::mapkit_page_to_nid(struct_page),
            })
        }
    }
}

/// The `struct page` behind an address.
///
/// # Safety
///
/// `addr` must be of allocated memory in the direct map or the vmalloc area.
unsafe fn page_of(addr: *const c_void) -> StructPage {
    // SAFETY: By the requirement of this function.
    unsafe {
        match bindings::is_vmalloc_addr(addr) {
            true => bindings::vmalloc_to_page(addr),
            false => ffi::mapkit_virt_to_page(addr),
        }
    }
}
