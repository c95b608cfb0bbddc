// SPDX-License-Identifier: GPL-2.0-only

//! `dma_alloc_coherent()`.

use super::{
    span,
    Gfp,
    Source,
    Span, //
};
use crate::dma::device::DmaDevice;
use core::ptr::NonNull;
use kernel::{
    bindings,
    ffi::c_void,
    sync::Arc, //
};

/// `dma_alloc_coherent()` for a device.
///
/// # Examples
///
/// ```
/// use kernel::{page::PAGE_SIZE, sync::Arc};
/// use mapkit::{
///     dma::device::DmaDevice,
///     source::{pairs, CoherentSource, Gfp, Unwatched},
/// };
///
/// fn exercise(device: &Arc<DmaDevice>) -> usize {
///     let source = CoherentSource::new(device, PAGE_SIZE, Gfp::KERNEL);
///     pairs(&source, 10, &mut Unwatched)
/// }
/// ```
pub struct CoherentSource {
    device: Arc<DmaDevice>,
    bytes: usize,
    gfp: bindings::gfp_t,
}

impl CoherentSource {
    /// Objects of `bytes` bytes for `device`.
    pub fn new(device: &Arc<DmaDevice>, bytes: usize, gfp: Gfp) -> Self {
        Self {
            device: device.clone(),
            bytes,
            gfp: gfp.for_vmalloc(),
        }
    }
}

// SAFETY: What the function gives is the caller's until `dma_free_coherent()`, and as long as asked for.
unsafe impl Source for CoherentSource {
    /// Address and DMA handle.
    type Object = (NonNull<u8>, bindings::dma_addr_t);

    #[inline]
    fn allocate(&self) -> Option<Self::Object> {
        let mut dma_handle = 0;
        // SAFETY: The device is registered and stays so while it is held. Any size and these flags are
        // fine; callers may sleep.
        let addr = unsafe {
            bindings::dma_alloc_attrs(
                self.device.as_raw(),
                self.bytes,
                &mut dma_handle,
                self.gfp,
                0,
            )
        };
        Some((NonNull::new(addr.cast())?, dma_handle))
    }

    #[inline]
    unsafe fn free(&self, (addr, dma_handle): Self::Object) {
        // SAFETY: By the requirement of this function; the device is still registered.
        unsafe {
            bindings::dma_free_attrs(
                self.device.as_raw(),
                self.bytes,
                addr.as_ptr().cast::<c_void>(),
                dma_handle,
                0,
            )
        };
    }

    #[allow(
        clippy::unnecessary_cast,
        reason = "`dma_addr_t` has 32 bits on some machines"
    )]
    unsafe fn span(&self, (addr, dma_handle): Self::Object) -> Span<'_> {
        // SAFETY: By the requirement of this function.
        let span = unsafe { Span::of(addr, self.bytes, span::whole_pages(self.bytes)) };
        span.with_dma_addr(dma_handle as u64)
    }
}
