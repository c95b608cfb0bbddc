// SPDX-License-Identifier: GPL-2.0-only

//! Memory that a device reads and writes by itself.
//!
//! There are two kinds. [`Coherent`](crate::coherent::Coherent) memory is allocated for a device and
//! both sides see each other's stores at once. A [`Streaming`] mapping lends memory that is there
//! already to a device for a while, in one direction, and belongs to one side at a time: its type says
//! to which, and only the owner's type has the owner's methods.

use crate::{
    backing::{
        AddressClass,
        Backing,
        Mappable,
        MappingEvents, //
    },
    errno::{
        self,
        to_result, //
    },
    ffi,
    reach::Reach,
    revoke::{
        at_unbind,
        Revoke, //
    },
    scatter::ScatterList,
    series::dma_direction, //
};
use core::{
    cmp::max,
    marker::PhantomData,
    ops::{
        Deref,
        Range, //
    },
    ptr::NonNull, //
};
use kernel::{
    bindings,
    device::{
        self,
        Core, //
    },
    dma::DmaMask,
    error::from_err_ptr,
    ffi::c_int,
    new_condvar,
    new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNodeReservation, //
    },
    sync::{
        aref::ARef,
        Arc,
        CondVar,
        Mutex, //
    }, //
};

/// A device that memory is allocated or mapped for.
///
/// If it has a driver, what was allocated and mapped for it is taken back when it loses that:
/// [`revoke`](crate::revoke) has it revoked, which
///
/// 1. lets nobody [use](Self::in_use) it any more, which is `ENODEV` from then on;
/// 2. has the driver stop it, by the function that [`of`](Self::of) was given;
/// 3. waits for those who use it now, whom the driver has stopped;
/// 4. frees and unmaps what is there.
///
/// # Invariants
///
/// `raw` is a valid device. It may be used for DMA, by its driver or because it has none and is owned, while it is
/// [`in_use`](Self::in_use), and until `Driven::revoke` has revoked what is registered.
pub struct DmaDevice {
    raw: *mut bindings::device,
    kind: Kind,
    reach: Reach,
}

enum Kind {
    /// A registered platform device, which is owned.
    Own(NonNull<bindings::platform_device>),
    /// A device with a driver.
    Driven(Pin<KBox<Driven>>),
}

// SAFETY: A platform device may be used and unregistered by any thread.
unsafe impl Send for DmaDevice {}
// SAFETY: The DMA functions that are called with `&self` may be called by several threads at once.
unsafe impl Sync for DmaDevice {}

impl DmaDevice {
    /// Registers a platform device `name` of one's own, with no hardware behind it. It can reach all
    /// memory.
    pub fn new(name: &'static CStr) -> Result<Self> {
        let info = bindings::platform_device_info {
            name: name.as_char_ptr(),
            id: bindings::PLATFORM_DEVID_NONE as c_int,
            dma_mask: u64::MAX,
            ..Default::default()
        };
        // SAFETY: `info` is valid and its name a string, both of which are copied.
        let device = from_err_ptr(unsafe { bindings::platform_device_register_full(&info) })?;
        let device = NonNull::new(device).ok_or(ENOMEM)?;
        // SAFETY: It is valid; no reference is made.
        let raw = unsafe { &raw mut (*device.as_ptr()).dev };
        // SAFETY: It was just registered, with a mask.
        let reach = unsafe { Reach::of(raw) };
        // INVARIANT: It was just registered.
        Ok(Self {
            raw,
            kind: Kind::Own(device),
            reach,
        })
    }

    /// The device that a driver is being bound to, which reaches the addresses of `mask`.
    ///
    /// When it loses the driver, `stop` is called: after it, the device moves no byte, nobody who uses it waits
    /// for it to do so, and nobody makes it begin. It may be called more than once.
    ///
    /// `EBUSY` if this was called before while the device is bound, `EIO` if memory that the device
    /// reaches cannot be had.
    pub fn of<'a>(
        device: &impl kernel::dma::Device<'a>,
        mask: DmaMask,
        stop: impl Fn() + Send + Sync + 'static,
    ) -> Result<Arc<Self>> {
        let bound: &device::Device<Core<'a>> = device.as_ref();
        let raw = core::ptr::from_ref::<device::Device<Core<'a>>>(bound);
        let raw: *mut bindings::device = raw.cast_mut().cast();
        // SAFETY: A `Device` is a transparent wrapper, and this one is bound.
        to_result(unsafe { ffi::mapkit_claim_dma(raw) })?;
        // SAFETY: Nobody uses the device for DMA yet: its driver is only being bound to it, and what
        // this crate allocates and maps for it needs what is returned, which is made once, as was just
        // made sure of.
        unsafe {
            device.dma_set_mask_and_coherent(mask)?;
            // What it is told of is cut into pieces by its driver.
            device.dma_set_max_seg_size(u32::MAX);
        }
        let driven = Driven::new(ARef::from(&**bound), KBox::new(stop, GFP_KERNEL)?);
        // INVARIANT: It is bound, and stays so until `at_unbind` has had it revoked.
        let this = Self {
            raw,
            kind: Kind::Driven(KBox::pin_init(driven, GFP_KERNEL)?),
            // SAFETY: It is bound, and its mask is set.
            reach: unsafe { Reach::of(raw) },
        };
        let this = Arc::new(this, GFP_KERNEL)?;
        at_unbind(bound, this.clone())?;
        Ok(this)
    }

    #[inline]
    pub(crate) fn as_raw(&self) -> *mut bindings::device {
        self.raw
    }

    /// Whether it is a device with a driver, which it may lose.
    pub(crate) fn has_driver(&self) -> bool {
        matches!(self.kind, Kind::Driven(_))
    }

    /// `ENODEV` if it has lost its driver.
    pub fn check(&self) -> Result {
        match &self.kind {
            Kind::Driven(driven) if driven.state.lock().gone => Err(ENODEV),
            _ => Ok(()),
        }
    }

    /// Calls `f`, during which the device does not lose its driver, and returns what it does. Whoever
    /// takes the driver away waits for it: `f` must not wait for a program, nor for the device when it was
    /// stopped. `ENODEV` if it has lost the driver.
    pub fn in_use<R>(&self, f: impl FnOnce(&InUse<'_>) -> R) -> Result<R> {
        if let Kind::Driven(driven) = &self.kind {
            let mut state = driven.state.lock();
            if state.gone {
                return Err(ENODEV);
            }
            state.users = state.users.wrapping_add(1);
        }
        // Its owner never has it, and so cannot forget it.
        let in_use = InUse(self);
        Ok(f(&in_use))
    }

    /// Whether an IOMMU translates the device's addresses: it then reaches nothing but what is
    /// allocated or mapped for it.
    pub fn is_translated(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { ffi::mapkit_use_dma_iommu(self.as_raw()) }
    }

    /// Whether the device sees what is in the CPU's caches. For one that does not, the DMA API writes them back
    /// and invalidates them.
    pub fn is_coherent(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { ffi::mapkit_dma_is_coherent(self.as_raw()) }
    }
}

impl Drop for DmaDevice {
    fn drop(&mut self) {
        if let Kind::Own(device) = &self.kind {
            // SAFETY: By the type invariant it is registered; whoever has memory of it holds a
            // reference to `self`.
            unsafe { bindings::platform_device_unregister(device.as_ptr()) };
        }
    }
}

impl Revoke for DmaDevice {
    fn revoke(&self) {
        if let Kind::Driven(driven) = &self.kind {
            driven.revoke();
        }
    }
}

/// A device that does not lose its driver for as long as this is borrowed: see [`DmaDevice::in_use`].
///
/// # Invariants
///
/// It was counted as one of the device's users.
pub struct InUse<'a>(&'a DmaDevice);

impl Deref for InUse<'_> {
    type Target = DmaDevice;

    #[inline]
    fn deref(&self) -> &DmaDevice {
        self.0
    }
}

impl InUse<'_> {
    /// Has `holding` revoked when the device, which is `device`, loses its driver, until what is returned is
    /// dropped.
    pub(crate) fn register<T: Revoke>(
        &self,
        device: &Arc<DmaDevice>,
        holding: Arc<T>,
    ) -> Result<Registered> {
        let mut key = 0;
        if let Kind::Driven(driven) = &self.0.kind {
            let node = RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?;
            let mut state = driven.state.lock();
            // 2^64 of them last for longer than any machine.
            state.last_key = state.last_key.wrapping_add(1);
            key = state.last_key;
            let holding: Arc<dyn Revoke> = holding;
            state.holdings.insert(node.into_node(key, holding));
        }
        let device = device.clone();
        Ok(Registered { device, key })
    }
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        if let Kind::Driven(driven) = &self.0.kind {
            let mut state = driven.state.lock();
            // By the type invariant it was counted.
            state.users = state.users.wrapping_sub(1);
            if state.users == 0 {
                driven.idle.notify_all();
            }
        }
    }
}

/// Something that is revoked when a device loses its driver, as long as this exists. It must be revoked before
/// this is dropped.
pub(crate) struct Registered {
    device: Arc<DmaDevice>,
    key: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Kind::Driven(driven) = &self.device.kind {
            let removed = driven.state.lock().holdings.remove(&self.key);
            // With the lock released.
            drop(removed);
        }
    }
}

/// What a device with a driver has beside the device.
#[pin_data]
struct Driven {
    _device: ARef<device::Device>,
    stop: KBox<dyn Fn() + Send + Sync>,
    #[pin]
    state: Mutex<State>,
    /// Nobody uses it.
    #[pin]
    idle: CondVar,
}

struct State {
    /// It loses its driver, or has lost it.
    gone: bool,
    /// Those who use it now.
    users: usize,
    /// What is to be revoked.
    holdings: RBTree<u64, Arc<dyn Revoke>>,
    last_key: u64,
}

impl Driven {
    fn new(device: ARef<device::Device>, stop: KBox<dyn Fn() + Send + Sync>) -> impl PinInit<Self> {
        pin_init!(Self {
            _device: device,
            stop,
            state <- new_mutex!(State {
                gone: false,
                users: 0,
                holdings: RBTree::new(),
                last_key: 0,
            }),
            idle <- new_condvar!(),
        })
    }

    fn revoke(&self) {
        let mut state = self.state.lock();
        if core::mem::replace(&mut state.gone, true) {
            return;
        }
        drop(state);
        (self.stop)();
        let mut state = self.state.lock();
        while state.users > 0 {
            self.idle.wait(&mut state);
        }
        let holdings = core::mem::replace(&mut state.holdings, RBTree::new());
        drop(state);
        // What is being dropped at this moment is either here, so that this waits for it, or over.
        for holding in holdings.values() {
            holding.revoke();
        }
    }
}

/// The bytes of all cache lines that some of these bytes are in.
pub fn cache_lines(range: &Range<usize>) -> Range<usize> {
    // SAFETY: It is a number of the machine.
    let granule = unsafe { ffi::mapkit_dma_cache_alignment() } as usize;
    let line = max(granule, bindings::L1_CACHE_BYTES as usize);
    let end = range.end.checked_next_multiple_of(line);
    range.start.wrapping_sub(range.start % line)..end.unwrap_or(usize::MAX)
}

/// Which way a device moves data.
pub trait Direction: Send + Sync + 'static {
    #[doc(hidden)]
    const RAW: bindings::dma_data_direction;
}

/// The device reads the memory.
pub enum ToDevice {}
/// The device writes to the memory.
pub enum FromDevice {}
/// The device does both.
pub enum BothWays {}

impl Direction for ToDevice {
    const RAW: bindings::dma_data_direction = dma_direction::TO_DEVICE;
}
impl Direction for FromDevice {
    const RAW: bindings::dma_data_direction = dma_direction::FROM_DEVICE;
}
impl Direction for BothWays {
    const RAW: bindings::dma_data_direction = dma_direction::BOTH_WAYS;
}

/// The device has the memory: the CPU must leave it alone.
pub enum DeviceOwned {}
/// The CPU has the memory: the device must leave it alone.
pub enum CpuOwned {}

/// How memory is described to the DMA API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One stretch of the direct map: `dma_map_single()`.
    Single,
    /// A piece of a page: `dma_map_page()`.
    Page,
    /// A list of pieces, neighbours in one entry: `dma_map_sgtable()`.
    Scatter,
    /// A list of pieces, each page an entry of its own.
    ScatterPages,
}

/// Shared memory that can be lent to a device.
///
/// # Safety
///
/// An implementation promises that [`backing`](Self::backing) returns the same every time, and that it
/// lives as long as `self`.
pub unsafe trait Memory: Send + Sync {
    /// The memory.
    fn backing(&self) -> &dyn Backing;
}

// SAFETY: The memory of a `Mappable` cannot be changed, and the reference keeps it alive.
unsafe impl<T: MappingEvents> Memory for Arc<Mappable<T>> {
    #[inline]
    fn backing(&self) -> &dyn Backing {
        self.memory()
    }
}

// SAFETY: It is the same for as long as it is borrowed.
unsafe impl Memory for &dyn Backing {
    #[inline]
    fn backing(&self) -> &dyn Backing {
        *self
    }
}

/// A range of memory lent to a device, in direction `D`, that belongs to `Owner` now. It is unmapped
/// when dropped, or when the device loses its driver.
///
/// It holds references to the memory and the device, and so may be kept. [`lend`] lends memory for a function
/// call, and borrows both.
///
/// ```
/// use kernel::{page::PAGE_SIZE, prelude::*, sync::Arc};
/// use mapkit::dma::{DmaDevice, FromDevice, Memory, Shape, Streaming};
/// # const __LOG_PREFIX: &[u8] = b"example\0";
/// # fn main() {}
///
/// /// Looks at what a device wrote, and lends it the memory again.
/// fn receive<M: Memory + 'static>(
///     device: &Arc<DmaDevice>,
///     memory: M,
/// ) -> Result<Streaming<M, FromDevice>> {
///     let bytes = 0..PAGE_SIZE;
///     let mut lent = Streaming::<M, FromDevice>::map(device, memory, bytes, Shape::Single)?;
///     // … the device writes to `lent.segment_at(0)` …
///     let back = lent.borrow_for_cpu();
///     pr_info!("the device wrote to {} pages\n", back.memory().nr_pages());
///     drop(back);
///     Ok(lent)
/// }
/// ```
///
/// What the device has, the CPU cannot touch:
///
/// ```compile_fail,E0599
/// # use kernel::{prelude::*, sync::Arc};
/// # use mapkit::dma::{DmaDevice, FromDevice, Memory, Shape, Streaming};
/// fn peek<M: Memory + 'static>(lent: &Streaming<M, FromDevice>) {
///     lent.memory();
/// }
/// ```
///
/// And what the CPU has, the device cannot be sent to:
///
/// ```compile_fail,E0502
/// # use kernel::{prelude::*, sync::Arc};
/// # use mapkit::dma::{DmaDevice, FromDevice, Memory, Shape, Streaming};
/// fn send<M: Memory + 'static>(lent: &mut Streaming<M, FromDevice>) {
///     let back = lent.borrow_for_cpu();
///     lent.segment_at(0);
///     drop(back);
/// }
/// ```
///
/// ```compile_fail,E0599
/// # use kernel::{prelude::*, sync::Arc};
/// # use mapkit::dma::{CpuOwned, DmaDevice, FromDevice, Memory, Shape, Streaming};
/// fn send<M: Memory + 'static>(back: &Streaming<M, FromDevice, CpuOwned>) {
///     back.segment_at(0);
/// }
/// ```
#[must_use = "it is unmapped when dropped"]
pub struct Streaming<M: Memory + 'static, D: Direction, Owner = DeviceOwned> {
    kept: Kept<M, D>,
    _state: PhantomData<fn(Owner)>,
}

/// What is mapped until it is dropped, whoever owns it.
struct Kept<M: Memory + 'static, D: Direction> {
    lending: Arc<Lending<M, D>>,
    _registered: Registered,
}

impl<M: Memory + 'static, D: Direction> Drop for Kept<M, D> {
    fn drop(&mut self) {
        self.lending.revoke();
    }
}

/// What is mapped until it is revoked.
#[pin_data]
struct Lending<M: Memory + 'static, D: Direction> {
    #[pin]
    mapped: Mutex<Option<Mapped<D>>>,
    // Kept until it is unmapped.
    memory: M,
}

impl<M: Memory + 'static, D: Direction> Revoke for Lending<M, D> {
    fn revoke(&self) {
        // With the lock held: who drops it the usual way waits until it is gone, too.
        *self.mapped.lock() = None;
    }
}

impl<M: Memory + 'static, D: Direction> Lending<M, D> {
    fn with<R>(&self, f: impl FnOnce(&Mapped<D>) -> R) -> Option<R> {
        self.mapped.lock().as_ref().map(f)
    }
}

impl<M: Memory + 'static, D: Direction> Streaming<M, D> {
    /// Lends the bytes `range` of `memory` to `device`.
    ///
    /// `EINVAL` if the range is empty or not inside the memory, or that is
    /// [`revocable`](Backing::revocable); for [`Shape::Page`] if it is not in one page. `EOPNOTSUPP` for
    /// [`Shape::Single`] of memory that is not in the direct map, not in one stretch, or more than a bounce
    /// buffer takes. `EADDRNOTAVAIL` if some of the memory is beyond the device's reach, and nothing helps.
    /// `ENOMEM` or `EIO` if the device cannot be given an address now, `ENODEV` if it has lost its driver.
    pub fn map(
        device: &Arc<DmaDevice>,
        memory: M,
        range: Range<usize>,
        shape: Shape,
    ) -> Result<Self> {
        device.in_use(|in_use| {
            // SAFETY: The device may be used for DMA now. It is unmapped before the device goes, by being
            // registered if it has a driver and by the reference to it if not, and before `memory` goes.
            let mapped = unsafe { Mapped::new(in_use, memory.backing(), range, shape)? };
            let lending = Arc::pin_init(
                pin_init!(Lending {
                    mapped <- new_mutex!(Some(mapped)),
                    memory,
                }),
                GFP_KERNEL_ACCOUNT,
            )?;
            Ok(Self {
                kept: Kept {
                    _registered: in_use.register(device, lending.clone())?,
                    lending,
                },
                _state: PhantomData,
            })
        })?
    }

    /// Where the device finds byte `offset` of the range, and how many bytes follow there. `None` if the
    /// device has lost its driver.
    pub fn segment_at(&self, offset: usize) -> Option<Segment> {
        self.kept.lending.with(|mapped| mapped.segment_at(offset))?
    }

    /// Calls `f` for each contiguous stretch of the device's addresses.
    pub fn for_each_segment(&self, f: impl FnMut(Segment)) {
        self.kept.lending.with(|mapped| mapped.for_each_segment(f));
    }

    /// Entries of the list that was given to the DMA API, which may have merged some. One if it was
    /// no list.
    pub fn entries(&self) -> usize {
        self.kept.lending.with(Mapped::entries).unwrap_or(0)
    }

    /// Takes the memory back for a while.
    pub fn borrow_for_cpu(&mut self) -> Borrowed<'_, Self> {
        self.kept.lending.with(Mapped::sync_for_cpu);
        Borrowed(self)
    }

    /// Takes the memory back without unmapping it.
    pub fn sync_for_cpu(self) -> Streaming<M, D, CpuOwned> {
        self.kept.lending.with(Mapped::sync_for_cpu);
        Streaming {
            kept: self.kept,
            _state: PhantomData,
        }
    }
}

impl<M: Memory + 'static, D: Direction> Streaming<M, D, CpuOwned> {
    /// The memory, which the device leaves alone.
    pub fn memory(&self) -> &dyn Backing {
        self.kept.lending.memory.backing()
    }

    /// Lends the memory to the device again.
    pub fn sync_for_device(self) -> Streaming<M, D> {
        self.kept.lending.with(Mapped::sync_for_device);
        Streaming {
            kept: self.kept,
            _state: PhantomData,
        }
    }
}

/// Memory that is lent to a device during a call of [`lend`].
pub struct Lent<'a, D: Direction> {
    mapped: Mapped<D>,
    memory: &'a dyn Backing,
}

/// Lends the bytes `range` of `memory` to `device` while `f` runs, and returns what `f` does.
///
/// It fails as [`Streaming::map`] does. It takes no reference to either, which that has to: what it lends
/// can be forgotten by nobody, and so is unmapped before they can go.
///
/// ```
/// use kernel::{page::PAGE_SIZE, prelude::*};
/// use mapkit::{backing::Backing, dma::{lend, InUse, Shape, ToDevice}};
/// # fn main() {}
///
/// /// Where the device finds the first byte, while it has the memory.
/// fn send(device: &InUse<'_>, memory: &dyn Backing) -> Result<Option<u64>> {
///     lend::<ToDevice, _>(device, memory, 0..PAGE_SIZE, Shape::Single, |lent| {
///         Some(lent.segment_at(0)?.bus)
///     })
/// }
/// ```
///
/// What is lent does not outlive the call:
///
/// ```compile_fail
/// # use kernel::{page::PAGE_SIZE, prelude::*};
/// # use mapkit::{backing::Backing, dma::{lend, InUse, Lent, Shape, ToDevice}};
/// fn keep<'a>(device: &'a InUse<'_>, memory: &'a dyn Backing) -> Result<&'a mut Lent<'a, ToDevice>> {
///     lend::<ToDevice, _>(device, memory, 0..PAGE_SIZE, Shape::Single, |lent| lent)
/// }
/// ```
#[inline]
pub fn lend<D: Direction, R>(
    device: &InUse<'_>,
    memory: &dyn Backing,
    range: Range<usize>,
    shape: Shape,
    f: impl for<'a> FnOnce(&mut Lent<'a, D>) -> R,
) -> Result<R> {
    let mut lent = Lent {
        // SAFETY: The device may be used for DMA and the memory stays for as long as they are borrowed. This is
        // dropped before, as `f` cannot keep it.
        mapped: unsafe { Mapped::new(device, memory, range, shape)? },
        memory,
    };
    Ok(f(&mut lent))
}

impl<D: Direction> Lent<'_, D> {
    /// Where the device finds byte `offset` of the range, and how many bytes follow there.
    pub fn segment_at(&self, offset: usize) -> Option<Segment> {
        self.mapped.segment_at(offset)
    }

    /// Takes the memory back for a while.
    #[inline]
    pub fn borrow_for_cpu(&mut self) -> Borrowed<'_, Self> {
        self.mapped.sync_for_cpu();
        Borrowed(self)
    }
}

/// What the device gave back for as long as this lives. Then it has it again.
#[must_use = "it is the device's again when dropped"]
pub struct Borrowed<'a, L: Loan>(&'a mut L);

/// What can be [`Borrowed`]: a [`Streaming`] mapping, or what is [`Lent`].
pub trait Loan {
    #[doc(hidden)]
    fn backing(&self) -> &dyn Backing;
    #[doc(hidden)]
    fn return_to_device(&self);
}

impl<M: Memory + 'static, D: Direction> Loan for Streaming<M, D> {
    fn backing(&self) -> &dyn Backing {
        self.kept.lending.memory.backing()
    }

    fn return_to_device(&self) {
        self.kept.lending.with(Mapped::sync_for_device);
    }
}

impl<D: Direction> Loan for Lent<'_, D> {
    fn backing(&self) -> &dyn Backing {
        self.memory
    }

    #[inline]
    fn return_to_device(&self) {
        self.mapped.sync_for_device();
    }
}

impl<L: Loan> Borrowed<'_, L> {
    /// The memory, which the device leaves alone.
    pub fn memory(&self) -> &dyn Backing {
        self.0.backing()
    }
}

impl<L: Loan> Drop for Borrowed<'_, L> {
    #[inline]
    fn drop(&mut self) {
        self.0.return_to_device();
    }
}

/// A contiguous stretch of a device's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The first address.
    pub bus: u64,
    /// Bytes. Never zero.
    pub bytes: usize,
}

/// What is mapped, whoever owns it.
///
/// # Invariants
///
/// `handle` was made by the DMA API for `device` and the direction `D`, and is owned. The device may be used for
/// DMA, and what is mapped stays, as long as this exists.
struct Mapped<D: Direction> {
    device: *mut bindings::device,
    handle: Handle,
    _direction: PhantomData<fn(D)>,
}

enum Handle {
    One {
        bus: bindings::dma_addr_t,
        bytes: usize,
    },
    List(ScatterList),
}

// SAFETY: A mapping is not tied to a thread.
unsafe impl<D: Direction> Send for Mapped<D> {}
// SAFETY: What takes `&self` reads what does not change, or calls functions of the DMA API that may be
// called by several threads at once.
unsafe impl<D: Direction> Sync for Mapped<D> {}

impl<D: Direction> Mapped<D> {
    /// # Safety
    ///
    /// What is returned must be dropped before `memory` goes, and while the device may still be used for DMA.
    // Always inline: else what is mapped is moved once more.
    #[inline(always)]
    unsafe fn new(
        device: &InUse<'_>,
        memory: &dyn Backing,
        range: Range<usize>,
        shape: Shape,
    ) -> Result<Self> {
        let handle = Handle::new(device, memory, range, shape, D::RAW)?;
        // INVARIANT: It was just made for these, and by the requirement of this function.
        Ok(Self {
            device: device.as_raw(),
            handle,
            _direction: PhantomData,
        })
    }

    fn segment_at(&self, offset: usize) -> Option<Segment> {
        match &self.handle {
            Handle::One { bus, bytes } => Segment::new(*bus, *bytes)?.after(offset),
            Handle::List(list) => list.segments().at(offset),
        }
    }

    fn for_each_segment(&self, mut f: impl FnMut(Segment)) {
        match &self.handle {
            Handle::One { bus, bytes } => {
                if let Some(segment) = Segment::new(*bus, *bytes) {
                    f(segment);
                }
            }
            Handle::List(list) => list.segments().for_each(f),
        }
    }

    fn entries(&self) -> usize {
        match &self.handle {
            Handle::One { .. } => 1,
            Handle::List(list) => list.entries(),
        }
    }

    #[inline]
    fn sync_for_cpu(&self) {
        // SAFETY: By the type invariant this is a mapping of the device, with this size and direction.
        unsafe {
            match &self.handle {
                Handle::One { bus, bytes } => {
                    ffi::mapkit_dma_sync_single_for_cpu(self.device, *bus, *bytes, D::RAW);
                }
                Handle::List(list) => {
                    ffi::mapkit_dma_sync_sgtable_for_cpu(self.device, list.as_raw(), D::RAW);
                }
            }
        }
    }

    #[inline]
    fn sync_for_device(&self) {
        // SAFETY: As in `sync_for_cpu`.
        unsafe {
            match &self.handle {
                Handle::One { bus, bytes } => {
                    ffi::mapkit_dma_sync_single_for_device(self.device, *bus, *bytes, D::RAW);
                }
                Handle::List(list) => {
                    ffi::mapkit_dma_sync_sgtable_for_device(self.device, list.as_raw(), D::RAW);
                }
            }
        }
    }
}

impl<D: Direction> Drop for Mapped<D> {
    #[inline]
    fn drop(&mut self) {
        let device = self.device;
        match &mut self.handle {
            // SAFETY: By the type invariant this is a mapping of the device, with this size and
            // direction, which is owned and used no more.
            Handle::One { bus, bytes } => unsafe {
                bindings::dma_unmap_phys(device, *bus, *bytes, D::RAW, 0);
            },
            // SAFETY: As above.
            Handle::List(list) => unsafe { list.unmap(device, D::RAW) },
        }
    }
}

impl Handle {
    /// Maps bytes of `memory` for `device`, which somebody else unmaps.
    // Always inline: it only chooses, and each function it chooses from returns its result by memory.
    #[inline(always)]
    fn new(
        device: &DmaDevice,
        memory: &dyn Backing,
        range: Range<usize>,
        shape: Shape,
        direction: bindings::dma_data_direction,
    ) -> Result<Self> {
        if range.is_empty() {
            return Err(EINVAL);
        }
        // Only 64-bit ARM has such memory.
        if cfg!(CONFIG_ARM64) && memory.is_aliased() {
            return Err(errno::eopnotsupp());
        }
        match shape {
            Shape::Single => map_single(device, memory, range, direction),
            Shape::Page => map_page(device, memory, range, direction),
            Shape::Scatter => map_list(device, memory, range, usize::MAX, direction),
            Shape::ScatterPages => map_list(device, memory, range, PAGE_SIZE, direction),
        }
    }
}

impl Segment {
    #[allow(
        clippy::unnecessary_cast,
        reason = "`dma_addr_t` has 32 bits on some machines"
    )]
    pub(crate) fn new(bus: bindings::dma_addr_t, bytes: usize) -> Option<Self> {
        let bus = bus as u64;
        (bytes > 0).then_some(Self { bus, bytes })
    }

    /// What is left of it after `offset` bytes.
    pub(crate) fn after(self, offset: usize) -> Option<Self> {
        let bytes = self.bytes.checked_sub(offset).filter(|left| *left > 0)?;
        let bus = self.bus.checked_add(offset as u64)?;
        Some(Self { bus, bytes })
    }
}

/// `dma_map_sgtable()`: a list with entries of up to `max_bytes`.
fn map_list(
    device: &DmaDevice,
    memory: &dyn Backing,
    range: Range<usize>,
    max_bytes: usize,
    direction: bindings::dma_data_direction,
) -> Result<Handle> {
    if range.end > memory.len() {
        return Err(EINVAL);
    }
    device.reach.check_list(memory, &range)?;
    let mut list = ScatterList::new(memory, range, device.reach.clamp(max_bytes))?;
    // SAFETY: The device may be used for DMA for as long as it is held, and the caller sees to it that
    // the list is unmapped.
    unsafe { list.map(device.as_raw(), direction)? };
    Ok(Handle::List(list))
}

/// `dma_map_single()`: what the CPU finds at consecutive addresses of the direct map.
fn map_single(
    device: &DmaDevice,
    memory: &dyn Backing,
    range: Range<usize>,
    direction: bindings::dma_data_direction,
) -> Result<Handle> {
    let (page, within, bytes) = parts(&range);
    // In the direct map, the frames of a run are at consecutive addresses.
    let run = memory.run_at(page).ok_or(EINVAL)?;
    let end = within.checked_add(bytes).ok_or(EINVAL)?;
    // As of an allocation, it cannot overflow. And an address of the vmalloc area says nothing about
    // where the next page is.
    if end > run.nr_pages.wrapping_mul(PAGE_SIZE)
        || memory.address_class() != AddressClass::DirectMap
    {
        return Err(why_not_single(memory, &range));
    }
    device.reach.check_single(run.pfn, within, bytes)?;
    // SAFETY: These bytes are in the run.
    unsafe { map_frames(device, run.pfn, within, bytes, direction) }
}

#[cold]
fn why_not_single(memory: &dyn Backing, range: &Range<usize>) -> Error {
    match range.end <= memory.len() {
        true => errno::eopnotsupp(),
        false => EINVAL,
    }
}

/// `dma_map_page()`: a piece of one page, wherever the CPU has it.
fn map_page(
    device: &DmaDevice,
    memory: &dyn Backing,
    range: Range<usize>,
    direction: bindings::dma_data_direction,
) -> Result<Handle> {
    let (page, within, bytes) = parts(&range);
    if bytes > PAGE_SIZE.wrapping_sub(within) {
        return Err(EINVAL);
    }
    let run = memory.run_at(page).ok_or(EINVAL)?;
    device.reach.check_frames(run.pfn, 1)?;
    // SAFETY: These bytes are in the first page of the run.
    unsafe { map_frames(device, run.pfn, within, bytes, direction) }
}

/// The first page of a range that is not empty, the first byte in that page, and how many bytes.
#[inline]
fn parts(range: &Range<usize>) -> (usize, usize, usize) {
    let bytes = range.end.wrapping_sub(range.start);
    (range.start / PAGE_SIZE, range.start % PAGE_SIZE, bytes)
}

/// # Safety
///
/// The bytes from byte `offset` of the frame `pfn` on must be in contiguous frames of a backing.
#[inline]
unsafe fn map_frames(
    device: &DmaDevice,
    pfn: usize,
    offset: usize,
    bytes: usize,
    direction: bindings::dma_data_direction,
) -> Result<Handle> {
    // As of memory that is there, it does not overflow.
    let phys = (pfn as bindings::phys_addr_t)
        .wrapping_mul(PAGE_SIZE as bindings::phys_addr_t)
        .wrapping_add(offset as bindings::phys_addr_t);
    // SAFETY: The device may be used for DMA. By the promise of `Backing` its frames are ordinary memory,
    // and by the requirement of this function these bytes are in such.
    let bus = unsafe { bindings::dma_map_phys(device.as_raw(), phys, bytes, direction, 0) };
    match is_mapping_error(device, bus) {
        true => Err(ENOMEM),
        false => Ok(Handle::One { bus, bytes }),
    }
}

/// `dma_mapping_error()`: whether that is no address.
#[inline]
fn is_mapping_error(device: &DmaDevice, bus: bindings::dma_addr_t) -> bool {
    if cfg!(CONFIG_DMA_API_DEBUG) {
        // SAFETY: The device may be used for DMA. The checker is told that the caller looks.
        unsafe { ffi::mapkit_dma_mapping_error(device.as_raw(), bus) };
    }
    // All that the function does beside it: `DMA_MAPPING_ERROR` has all bits set, as `helpers.c` asserts.
    bus == bindings::dma_addr_t::MAX
}
