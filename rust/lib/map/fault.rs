// SPDX-License-Identifier: GPL-2.0-only

//! Page faults in VMAs that are filled when they are touched.
//!
//! A fault maps not only the page that was touched but the pages around it, as the page cache does:
//! the aligned window of [`MappingEvents::fault_around`] pages, as far as the VMA and the memory go.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h)
//!
//! Documentation: [`Documentation/mm/process_addrs.rst`](srctree/Documentation/mm/process_addrs.rst)

use crate::{
    ffi,
    map::batch::Batch,
    memory::{
        backing::Runs,
        mappable::{
            FaultEvent,
            Mappable,
            MappingEvents, //
        }, //
    },
    observe::histogram::Start, //
};
use core::{
    cmp::{
        max,
        min, //
    },
    ops::Range, //
};
use kernel::{
    bindings,
    page::PAGE_SIZE,
    sync::ArcBorrow, //
};

/// The most pages that a fault may map one by one: those of 2 MiB, whatever the size of a page. With
/// pages of 4 KiB a page table has entries for so many.
///
/// For an example, see [`window`].
pub const MAX_FAULT_AROUND: usize = (2 << 20) / PAGE_SIZE;

/// The window for a wish of `kib` KiB: the largest power of two of pages within it, at least one and
/// at most [`MAX_FAULT_AROUND`].
///
/// # Examples
///
/// ```
/// use mapkit::map::fault;
///
/// // 100 KiB are no power of two: with pages of 4 KiB the window has 16 pages, as for 64 KiB.
/// assert_eq!(fault::window(100), fault::window(64));
/// assert_eq!(fault::window(0), 1);
/// assert_eq!(fault::window(u32::MAX), fault::MAX_FAULT_AROUND);
/// ```
pub fn window(kib: u32) -> usize {
    let wish = (kib as usize).saturating_mul(1024) / PAGE_SIZE;
    let mut pages = MAX_FAULT_AROUND;
    while pages > max(wish, 1) {
        pages /= 2;
    }
    pages
}

/// Bits of `vm_fault_t`.
pub(super) type FaultResult = bindings::vm_fault_t;

pub(super) const NOPAGE: FaultResult = bindings::vm_fault_reason_VM_FAULT_NOPAGE;
pub(super) const FALLBACK: FaultResult = bindings::vm_fault_reason_VM_FAULT_FALLBACK;
pub(super) const SIGBUS: FaultResult = bindings::vm_fault_reason_VM_FAULT_SIGBUS;
const OOM: FaultResult = bindings::vm_fault_reason_VM_FAULT_OOM;
/// All bits that mean failure.
pub(super) const ERROR: FaultResult = SIGBUS | OOM | bindings::vm_fault_reason_VM_FAULT_SIGSEGV;

/// A page fault in a VMA of a `Mappable<T>`.
///
/// # Invariants
///
/// For the duration of `'a`, `vmf` is the argument of a fault handler. Its VMA is one that
/// `vma::Filling::finish` gave the operations of `T`, or a copy of one, and is locked for reading.
pub(super) struct Fault<'a, T: MappingEvents> {
    pub(super) vmf: *mut bindings::vm_fault,
    pub(super) mappable: ArcBorrow<'a, Mappable<T>>,
    start: Start,
}

impl<T: MappingEvents> Fault<'_, T> {
    /// # Safety
    ///
    /// The type invariants, for as long as the result is used.
    pub(super) unsafe fn from_raw(vmf: *mut bindings::vm_fault) -> Self {
        // SAFETY: By the requirement of this function the private data is a pointer of
        // `Arc::into_raw()`, kept alive by the reference of the VMA.
        let mappable: ArcBorrow<'_, Mappable<T>> =
            unsafe { ArcBorrow::from_raw((*(*vmf).__bindgen_anon_1.vma).vm_private_data.cast()) };
        // INVARIANT: By the requirement of this function.
        Self {
            vmf,
            start: mappable.fault_begins(),
            mappable,
        }
    }

    pub(super) fn vma(&self) -> *mut bindings::vm_area_struct {
        // SAFETY: By the type invariant.
        unsafe { (*self.vmf).__bindgen_anon_1.vma }
    }

    /// The address that was touched, at the start of its page.
    pub(super) fn address(&self) -> usize {
        // SAFETY: By the type invariant.
        unsafe { (*self.vmf).__bindgen_anon_1.address }
    }

    /// The offset in the file of the page that was touched, in pages. Unlike the distance from the
    /// start of the VMA, it stays right when a VMA is split or moved.
    pub(super) fn pgoff(&self) -> usize {
        // SAFETY: By the type invariant.
        unsafe { (*self.vmf).__bindgen_anon_1.pgoff }
    }

    /// Whether the touch was a store.
    pub(super) fn is_write(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { (*self.vmf).flags & bindings::fault_flag_FAULT_FLAG_WRITE != 0 }
    }

    /// The page of the backing that was touched, if the memory reaches that far.
    pub(super) fn page(&self) -> Option<usize> {
        self.mappable.page_at(self.pgoff())
    }

    /// The addresses that the VMA begins and ends with.
    pub(super) fn bounds(&self) -> (usize, usize) {
        // SAFETY: By the type invariant; the bounds do not change while the VMA is locked.
        let bounds = unsafe { (*self.vma()).__bindgen_anon_1.__bindgen_anon_1 };
        (bounds.vm_start, bounds.vm_end)
    }

    /// The pages of the aligned window of `window` pages around `page` that the VMA and the memory
    /// have.
    fn around(&self, page: usize, window: usize) -> Range<usize> {
        let (start, end) = self.bounds();
        let before = self.address().saturating_sub(start) / PAGE_SIZE;
        let after = end.saturating_sub(self.address()) / PAGE_SIZE;
        let aligned = page & !window.wrapping_sub(1);
        let first = max(aligned, page.saturating_sub(before));
        let last = min(aligned.saturating_add(window), page.saturating_add(after));
        first..min(last, self.mappable.nr_pages())
    }

    /// The user address of a page of the backing, which must be one of [`around`](Self::around).
    fn address_of(&self, page: usize, touched: usize) -> usize {
        let distance = page.wrapping_sub(touched).wrapping_mul(PAGE_SIZE);
        self.address().wrapping_add(distance)
    }

    /// Tells the owner, and passes the result on.
    #[inline(always)]
    pub(super) fn done(&self, result: FaultResult, nr_pages: usize) -> FaultResult {
        let answered = result & (ERROR | FALLBACK) == 0;
        self.mappable.faulted(FaultEvent {
            start: self.start,
            address: self.address(),
            write: self.is_write(),
            answered,
            nr_pages,
        });
        result
    }

    /// Calls `insert`, if the pages may be used.
    #[inline(always)]
    pub(super) fn while_there(&self, insert: impl FnOnce() -> FaultResult) -> FaultResult {
        let inserted = self.mappable.while_there(insert);
        inserted.unwrap_or_else(|| self.done(SIGBUS, 0))
    }

    /// Inserts refcounted pages. The VMA must have `VM_MIXEDMAP`.
    pub(super) fn insert_pages(&self) -> FaultResult {
        self.while_there(|| self.insert_pages_now())
    }

    fn insert_pages_now(&self) -> FaultResult {
        let Some(touched) = self.page() else {
            return self.done(SIGBUS, 0);
        };
        let window = self.around(touched, self.mappable.fault_around());
        let mut batch = Batch::new();
        let mut next = window.start;
        let mut inserted = 0usize;
        let err = loop {
            let (err, nr_pages) = self.insert_batch(&mut batch, next..window.end, touched);
            next = next.wrapping_add(nr_pages);
            inserted = inserted.wrapping_add(nr_pages);
            if err != 0 && next < touched {
                // Some of the window was there already: what was touched matters, and what follows.
                next = touched;
            } else if err != 0 || nr_pages == 0 || next >= window.end {
                break err;
            }
        };
        let result = match err {
            // With what was touched, whatever has become of those behind it.
            _ if next > touched => NOPAGE,
            // Another thread was faster, or took the page table away: then this happens again.
            EBUSY_RET | EFAULT_RET => NOPAGE,
            ENOMEM_RET => OOM,
            _ => SIGBUS,
        };
        self.done(result, inserted)
    }

    /// Inserts the first of the pages `range`, as many as a batch takes, until one fails: the C error,
    /// and how many were inserted.
    #[inline]
    fn insert_batch(&self, batch: &mut Batch, range: Range<usize>, touched: usize) -> (i32, usize) {
        let addr = self.address_of(range.start, touched);
        batch.fill(self.mappable.memory(), range);
        // SAFETY: The VMA is locked for reading, has `VM_MIXEDMAP`, so that its flags are not changed,
        // and holds a reference to the memory.
        unsafe { batch.insert(self.vma(), addr) }
    }

    /// Inserts page frame numbers. The VMA must have `VM_PFNMAP` and not be copy-on-write.
    pub(super) fn insert_pfns(&self) -> FaultResult {
        self.while_there(|| self.insert_pfns_now())
    }

    fn insert_pfns_now(&self) -> FaultResult {
        let Some(touched) = self.page() else {
            return self.done(SIGBUS, 0);
        };
        let window = self.around(touched, self.mappable.fault_around());
        let page = window.start;
        self.insert_runs(self.mappable.runs(window), page, touched)
    }

    /// The same of memory that can be taken back, if it was not. What takes it back waits, and then takes out
    /// what this inserted.
    pub(super) fn insert_held_pfns(&self) -> FaultResult {
        self.while_there(|| self.insert_held_pfns_now())
    }

    fn insert_held_pfns_now(&self) -> FaultResult {
        let (Some(touched), Ok(held)) = (self.page(), self.mappable.hold()) else {
            return self.done(SIGBUS, 0);
        };
        let window = self.around(touched, self.mappable.fault_around());
        self.insert_runs(held.runs(window.start, window.end), window.start, touched)
    }

    /// Inserts page frame numbers of runs of the memory, the first of which begins with page `page`. The VMA must
    /// have `VM_PFNMAP` and not be copy-on-write, and they must be of pages of [`around`](Self::around) that stay
    /// until the VMA ends or they are taken out of it.
    #[inline]
    fn insert_runs(&self, runs: Runs<'_>, mut page: usize, touched: usize) -> FaultResult {
        let mut inserted = 0usize;
        let mut result = SIGBUS;
        for run in runs {
            for frame in 0..run.nr_pages {
                let inserting = self.insert_pfn(page, touched, run.pfn.wrapping_add(frame));
                if page == touched {
                    result = inserting;
                }
                if inserting & ERROR == 0 {
                    inserted = inserted.wrapping_add(1);
                }
                page = page.wrapping_add(1);
            }
        }
        self.done(result, inserted)
    }

    /// Inserts the frame `pfn` of a page of [`around`](Self::around). The VMA must have `VM_PFNMAP` and
    /// not be copy-on-write.
    #[inline]
    fn insert_pfn(&self, page: usize, touched: usize, pfn: usize) -> FaultResult {
        // SAFETY: The VMA is locked for reading, has `VM_PFNMAP` and is not copy-on-write, and
        // `around` made sure that the address is inside it. The frame may be shown to programs and
        // stays allocated while the VMA holds its reference, or until it is taken out of it.
        unsafe { bindings::vmf_insert_pfn(self.vma(), self.address_of(page, touched), pfn) }
    }

    /// Gives the page that was touched to the kernel, which maps it or copies it, and maps those around it. The VMA must
    /// have neither `VM_PFNMAP` nor `VM_MIXEDMAP`.
    ///
    /// The kernel maps the page after this returns: memory that is taken back at that very moment stays mapped there.
    pub(super) fn give_page(&self) -> FaultResult {
        self.while_there(|| self.give_page_now())
    }

    fn give_page_now(&self) -> FaultResult {
        let Some(touched) = self.page() else {
            return self.done(SIGBUS, 0);
        };
        let Some(page) = self.mappable.memory().struct_page(touched) else {
            return self.done(SIGBUS, 0);
        };
        let nr_pages = self.insert_around(touched);
        // SAFETY: By the type invariant this is the argument of a fault handler, which takes the page. By the promise of
        // `Backing` the page is allocated, and has a reference count that keeps it so.
        unsafe { ffi::mapkit_vmf_give_page(self.vmf, page) };
        self.done(0, nr_pages)
    }

    /// Inserts the pages around the one that was touched: how many these are together.
    fn insert_around(&self, touched: usize) -> usize {
        let window = self.around(touched, self.mappable.fault_around());
        let mut batch = Batch::new();
        let mut pages = window.clone();
        while !pages.is_empty() {
            batch.fill(self.mappable.memory(), pages.clone());
            if batch.is_empty() {
                break;
            }
            let addr = self.address_of(pages.start, touched);
            // SAFETY: The VMA is locked for reading, is of the kind that `give_page` names, and holds a reference to
            // the memory. `around` made sure that the addresses are inside it.
            unsafe { batch.insert_around(self.vma(), addr, self.address()) };
            pages.start = pages.start.saturating_add(batch.len());
        }
        window.len()
    }
}

const EBUSY_RET: i32 = -(bindings::EBUSY as i32);
const EFAULT_RET: i32 = -(bindings::EFAULT as i32);
const ENOMEM_RET: i32 = -(bindings::ENOMEM as i32);
