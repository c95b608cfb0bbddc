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
    devres,
    dma::DmaMask,
    error::from_err_ptr,
    ffi::c_int,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Completion, //
    }, //
};

/// A device that memory is allocated or mapped for.
///
/// Whoever has such memory holds a reference. A device that lost its driver must not have any left, so
/// unbinding the driver waits until the last reference is gone.
///
/// # Invariants
///
/// `raw` is the device behind `kind`, which may be used for DMA, by its driver or because it has none
/// and is owned, for as long as this exists.
pub struct DmaDevice {
    raw: *mut bindings::device,
    kind: Kind,
    reach: Reach,
}

enum Kind {
    /// A registered platform device, which is owned.
    Own(NonNull<bindings::platform_device>),
    /// A device with a driver.
    Driven {
        _device: ARef<device::Device>,
        users: Arc<Users>,
    },
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
    /// From then on, unbinding the driver waits until the last reference to what is returned is gone.
    /// The driver has to drop its own before that, at the latest in its `unbind`.
    ///
    /// `EBUSY` if this was called before while the device is bound, `EIO` if memory that the device
    /// reaches cannot be had.
    pub fn of<'a>(device: &impl kernel::dma::Device<'a>, mask: DmaMask) -> Result<Arc<Self>> {
        let bound: &device::Device<Core<'a>> = device.as_ref();
        let raw = core::ptr::from_ref::<device::Device<Core<'a>>>(bound);
        let raw: *mut bindings::device = raw.cast_mut().cast();
        // SAFETY: A `Device` is a transparent wrapper, and this one is bound.
        to_result(unsafe { ffi::mapkit_claim_dma(raw) })?;
        // SAFETY: Nobody uses the device for DMA yet: its driver is only being bound to it, and what
        // this crate allocates and maps for it takes a reference to what is returned, which is made
        // once, as was just made sure of.
        unsafe {
            device.dma_set_mask_and_coherent(mask)?;
            // What it is told of is cut into pieces by its driver.
            device.dma_set_max_seg_size(u32::MAX);
        }
        let users = Arc::pin_init(Users::new(), GFP_KERNEL)?;
        devres::register(bound, WaitForUsers(users.clone()), GFP_KERNEL)?;
        users.any.store(1, Relaxed);
        // INVARIANT: It is bound, and stays so until `WaitForUsers` has seen that this is gone.
        let this = Self {
            raw,
            kind: Kind::Driven {
                _device: ARef::from(&**bound),
                users,
            },
            // SAFETY: It is bound, and its mask is set.
            reach: unsafe { Reach::of(raw) },
        };
        Ok(Arc::new(this, GFP_KERNEL)?)
    }

    #[inline]
    pub(crate) fn as_raw(&self) -> *mut bindings::device {
        self.raw
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
        match &self.kind {
            // SAFETY: By the type invariant it is registered; whoever has memory of it holds a
            // reference to `self`.
            Kind::Own(device) => unsafe {
                bindings::platform_device_unregister(device.as_ptr());
            },
            Kind::Driven { users, .. } => users.gone.complete_all(),
        }
    }
}

/// Those who have memory of a device that has a driver.
#[pin_data]
struct Users {
    /// There may be some.
    any: Atomic<i32>,
    /// There are none any more.
    #[pin]
    gone: Completion,
}

impl Users {
    fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            any: Atomic::new(0),
            gone <- Completion::new(),
        })
    }
}

/// Waits, when the device is unbound, until nobody has memory of it.
struct WaitForUsers(Arc<Users>);

impl Drop for WaitForUsers {
    fn drop(&mut self) {
        if self.0.any.load(Relaxed) != 0 {
            self.0.gone.wait_for_completion();
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
/// when dropped.
///
/// [`map`](Self::map) makes one that holds references to the memory and the device, and so may be kept;
/// [`lend`] one that lasts for a function call, and borrows both: see [`Lent`].
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
/// fn peek<M: Memory>(lent: &Streaming<M, FromDevice>) {
///     lent.memory();
/// }
/// ```
///
/// And what the CPU has, the device cannot be sent to:
///
/// ```compile_fail,E0502
/// # use kernel::{prelude::*, sync::Arc};
/// # use mapkit::dma::{DmaDevice, FromDevice, Memory, Shape, Streaming};
/// fn send<M: Memory>(lent: &mut Streaming<M, FromDevice>) {
///     let back = lent.borrow_for_cpu();
///     lent.segment_at(0);
///     drop(back);
/// }
/// ```
///
/// ```compile_fail,E0599
/// # use kernel::{prelude::*, sync::Arc};
/// # use mapkit::dma::{CpuOwned, DmaDevice, FromDevice, Memory, Shape, Streaming};
/// fn send<M: Memory>(back: &Streaming<M, FromDevice, CpuOwned>) {
///     back.segment_at(0);
/// }
/// ```
#[must_use = "it is unmapped when dropped"]
pub struct Streaming<M, D, Owner = DeviceOwned, Device = Arc<DmaDevice>>
where
    M: Memory,
    D: Direction,
    Device: Deref<Target = DmaDevice>,
{
    mapped: Mapped<M, D, Device>,
    _state: PhantomData<fn(Owner)>,
}

/// Memory that is lent to a device during a call of [`lend`].
pub type Lent<'a, D> = Streaming<&'a dyn Backing, D, DeviceOwned, &'a DmaDevice>;

/// What the device gave back for as long as this lives. Then it has it again.
#[must_use = "it is the device's again when dropped"]
pub struct Borrowed<'a, M, D, Device = Arc<DmaDevice>>(&'a mut Mapped<M, D, Device>)
where
    M: Memory,
    D: Direction,
    Device: Deref<Target = DmaDevice>;

/// Lends the bytes `range` of `memory` to `device` while `f` runs, and returns what `f` does.
///
/// It fails as [`Streaming::map`] does. It takes no reference to either, which that has to: what it lends
/// can be forgotten by nobody, and so is unmapped before they can go.
///
/// ```
/// use kernel::{page::PAGE_SIZE, prelude::*};
/// use mapkit::{backing::Backing, dma::{lend, DmaDevice, Shape, ToDevice}};
/// # fn main() {}
///
/// /// Where the device finds the first byte, while it has the memory.
/// fn send(device: &DmaDevice, memory: &dyn Backing) -> Result<Option<u64>> {
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
/// # use mapkit::{backing::Backing, dma::{lend, DmaDevice, Lent, Shape, ToDevice}};
/// fn keep<'a>(device: &'a DmaDevice, memory: &'a dyn Backing) -> Result<&'a mut Lent<'a, ToDevice>> {
///     lend::<ToDevice, _>(device, memory, 0..PAGE_SIZE, Shape::Single, |lent| lent)
/// }
/// ```
#[inline]
pub fn lend<D: Direction, R>(
    device: &DmaDevice,
    memory: &dyn Backing,
    range: Range<usize>,
    shape: Shape,
    f: impl for<'a> FnOnce(&mut Lent<'a, D>) -> R,
) -> Result<R> {
    let mut lent = Streaming {
        mapped: Mapped::new(device, memory, range, shape)?,
        _state: PhantomData,
    };
    Ok(f(&mut lent))
}

impl<M: Memory + 'static, D: Direction> Streaming<M, D> {
    /// Lends the bytes `range` of `memory` to `device`.
    ///
    /// `EINVAL` if the range is empty or not inside the memory; for [`Shape::Page`] if it is not in
    /// one page. `EOPNOTSUPP` for [`Shape::Single`] of memory that is not in the direct map, not in one
    /// stretch, or more than a bounce buffer takes. `EADDRNOTAVAIL` if some of the memory is beyond the
    /// device's reach, and nothing helps. `ENOMEM` or `EIO` if the device cannot be given an address now.
    pub fn map(
        device: &Arc<DmaDevice>,
        memory: M,
        range: Range<usize>,
        shape: Shape,
    ) -> Result<Self> {
        Ok(Self {
            mapped: Mapped::new(device.clone(), memory, range, shape)?,
            _state: PhantomData,
        })
    }
}

impl<M, D, Device> Streaming<M, D, DeviceOwned, Device>
where
    M: Memory,
    D: Direction,
    Device: Deref<Target = DmaDevice>,
{
    /// Where the device finds byte `offset` of the range, and how many bytes follow there.
    pub fn segment_at(&self, offset: usize) -> Option<Segment> {
        self.mapped.segment_at(offset)
    }

    /// Calls `f` for each contiguous stretch of the device's addresses.
    pub fn for_each_segment(&self, f: impl FnMut(Segment)) {
        self.mapped.for_each_segment(f);
    }

    /// Entries of the list that was given to the DMA API, which may have merged some. One if it was
    /// no list.
    pub fn entries(&self) -> usize {
        self.mapped.entries()
    }

    /// Takes the memory back for a while.
    #[inline]
    pub fn borrow_for_cpu(&mut self) -> Borrowed<'_, M, D, Device> {
        self.mapped.sync_for_cpu();
        Borrowed(&mut self.mapped)
    }

    /// Takes the memory back without unmapping it.
    pub fn sync_for_cpu(self) -> Streaming<M, D, CpuOwned, Device> {
        self.mapped.sync_for_cpu();
        Streaming {
            mapped: self.mapped,
            _state: PhantomData,
        }
    }
}

impl<M, D, Device> Streaming<M, D, CpuOwned, Device>
where
    M: Memory,
    D: Direction,
    Device: Deref<Target = DmaDevice>,
{
    /// The memory, which the device leaves alone.
    pub fn memory(&self) -> &dyn Backing {
        self.mapped.memory.backing()
    }

    /// Lends the memory to the device again.
    pub fn sync_for_device(self) -> Streaming<M, D, DeviceOwned, Device> {
        self.mapped.sync_for_device();
        Streaming {
            mapped: self.mapped,
            _state: PhantomData,
        }
    }
}

impl<M, D, Device> Borrowed<'_, M, D, Device>
where
    M: Memory,
    D: Direction,
    Device: Deref<Target = DmaDevice>,
{
    /// The memory, which the device leaves alone.
    pub fn memory(&self) -> &dyn Backing {
        self.0.memory.backing()
    }
}

impl<M, D, Device> Drop for Borrowed<'_, M, D, Device>
where
    M: Memory,
    D: Direction,
    Device: Deref<Target = DmaDevice>,
{
    #[inline]
    fn drop(&mut self) {
        self.0.sync_for_device();
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
/// `handle` was made by the DMA API for `device`, bytes of `memory` and the direction `D`, and is owned.
struct Mapped<M, D, Device>
where
    M: Memory,
    D: Direction,
    Device: Deref<Target = DmaDevice>,
{
    device: Device,
    // Kept until it is unmapped, which `drop` does.
    memory: M,
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
unsafe impl<M, D, Device> Send for Mapped<M, D, Device>
where
    M: Memory,
    D: Direction,
    Device: Deref<Target = DmaDevice> + Send,
{
}
// SAFETY: What takes `&self` reads what does not change, or calls functions of the DMA API that may be
// called by several threads at once.
unsafe impl<M, D, Device> Sync for Mapped<M, D, Device>
where
    M: Memory,
    D: Direction,
    Device: Deref<Target = DmaDevice> + Sync,
{
}

impl<M, D, Device> Mapped<M, D, Device>
where
    M: Memory,
    D: Direction,
    Device: Deref<Target = DmaDevice>,
{
    // Always inline: else what is mapped is moved once more.
    #[inline(always)]
    fn new(device: Device, memory: M, range: Range<usize>, shape: Shape) -> Result<Self> {
        let handle = Handle::new(&device, memory.backing(), range, shape, D::RAW)?;
        // INVARIANT: It was just made for these.
        Ok(Self {
            device,
            memory,
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
        let device = self.device.as_raw();
        // SAFETY: By the type invariant this is a mapping of the device, with this size and direction.
        unsafe {
            match &self.handle {
                Handle::One { bus, bytes } => {
                    ffi::mapkit_dma_sync_single_for_cpu(device, *bus, *bytes, D::RAW);
                }
                Handle::List(list) => {
                    ffi::mapkit_dma_sync_sgtable_for_cpu(device, list.as_raw(), D::RAW);
                }
            }
        }
    }

    #[inline]
    fn sync_for_device(&self) {
        let device = self.device.as_raw();
        // SAFETY: As in `sync_for_cpu`.
        unsafe {
            match &self.handle {
                Handle::One { bus, bytes } => {
                    ffi::mapkit_dma_sync_single_for_device(device, *bus, *bytes, D::RAW);
                }
                Handle::List(list) => {
                    ffi::mapkit_dma_sync_sgtable_for_device(device, list.as_raw(), D::RAW);
                }
            }
        }
    }
}

impl<M, D, Device> Drop for Mapped<M, D, Device>
where
    M: Memory,
    D: Direction,
    Device: Deref<Target = DmaDevice>,
{
    #[inline]
    fn drop(&mut self) {
        let device = self.device.as_raw();
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
