// SPDX-License-Identifier: GPL-2.0-only

//! Buffers that a device tree describes: a driver for its nodes. `docs/named-buffers.md` has the binding.

use crate::{
    buffers::{
        Buffers,
        Prepared,
        Published, //
    },
    spec::{
        self,
        Spec, //
    },
    MODULE,
    NAME, //
};
use kernel::{
    device::{
        property::{
            FwNode,
            Property, //
        },
        Core,
        Device, //
    },
    dma::DmaMask,
    of,
    platform,
    prelude::*,
    str::CString,
    sync::Arc, //
};
use mapkit::{
    dma::{
        device::DmaDevice,
        memory_region::MemoryRegion, //
    },
    sync::global::{
        Global,
        Set, //
    }, //
};
use mapwright_session::{
    DefaultRegion,
    SharedRegion, //
};
use mapwright_uapi::Backing;

/// Not the module's name: the platform bus would give the driver the device that coherent memory is for if no other is
/// named.
const DRIVER: &CStr = c"mapwright-buffer";

/// The names that a node's properties have.
const LABEL: &CStr = c"label";
const MEMORY_REGION: &CStr = c"memory-region";
const SIZE: &CStr = c"size";
const BACKING: &CStr = c"mapwright,backing";
const METHOD: &CStr = c"mapwright,method";
const CACHING: &CStr = c"mapwright,caching";
const ADDRESS_BITS: &CStr = c"mapwright,address-bits";
const KEEP_CONTENTS: &CStr = c"mapwright,keep-contents";

/// What a device reaches if its node does not say so.
const DEFAULT_ADDRESS_BITS: u32 = 32;

/// The module's, while the driver is registered.
static BUFFERS: Global<Buffers> = Global::new();

/// The driver's registration. Fields are dropped in this order.
pub(crate) struct Registration {
    _driver: Pin<KBox<kernel::driver::Registration<platform::Adapter<Driver>>>>,
    _buffers: Set<Buffers>,
}

impl Registration {
    /// Makes the buffers that the device tree describes, until what is returned is dropped.
    pub(crate) fn new(buffers: Arc<Buffers>) -> Result<Self> {
        let _buffers = BUFFERS.set(buffers)?;
        let driver = kernel::driver::Registration::new(DRIVER, MODULE);
        Ok(Self {
            _driver: KBox::pin_init(driver, GFP_KERNEL)?,
            _buffers,
        })
    }
}

/// The driver of nodes that describe buffers.
pub(crate) struct Driver;

mapkit::of_device_table!(
    TABLE,
    <Driver as platform::Driver>::IdInfo,
    [(of::DeviceId::new(c"mapwright,buffer"), ())]
);

impl platform::Driver for Driver {
    type IdInfo = ();
    type Data<'bound> = Published;

    const OF_ID_TABLE: Option<of::IdTable<Self::IdInfo>> = Some(&TABLE);

    fn probe<'bound>(
        device: &'bound platform::Device<Core<'_>>,
        _: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        let dev: &Device<Core<'_>> = device.as_ref();
        let buffers = BUFFERS.get().ok_or(ENODEV)?;
        // What fails is logged by the kernel, with its error number.
        let node = Node::of(dev)?;
        node.prepare(&buffers, device)?.publish()
    }
}

/// What a node says.
struct Node {
    label: CString,
    /// If it has a size.
    bytes: Option<u64>,
    made_of: DefaultRegion,
    mask: DmaMask,
    has_region: bool,
    keep_contents: bool,
}

impl Node {
    /// `EINVAL` if the node of `device` lacks a property, or one of them has no such value.
    fn of(device: &Device<Core<'_>>) -> Result<Self> {
        let node = device.fwnode().ok_or(ENODEV)?;
        let word = |name| optional::<CString>(device, node, name);
        let label = word(LABEL)?.ok_or(EINVAL).inspect_err(|_| {
            dev_err!(
                device,
                "the node has no label, which is the buffer's name\n"
            );
        })?;
        let (backing, method, caching) = (word(BACKING)?, word(METHOD)?, word(CACHING)?);
        let made_of = spec::made_of(
            Some(text(&backing)?.unwrap_or(Backing::Coherent.name())),
            text(&method)?,
            text(&caching)?,
        )?;
        let bits = optional(device, node, ADDRESS_BITS)?.unwrap_or(DEFAULT_ADDRESS_BITS);
        let mask = match bits {
            0 => Err(EINVAL),
            bits => DmaMask::try_new(bits),
        };
        let mask = mask.inspect_err(|_| wrong(device, ADDRESS_BITS))?;
        Ok(Self {
            label,
            bytes: size(device, node)?,
            made_of,
            mask,
            has_region: node.property_present(MEMORY_REGION),
            keep_contents: node.property_read_bool(KEEP_CONTENTS),
        })
    }

    /// Makes the buffer that it describes, for `device`, whose node it is.
    fn prepare(
        &self,
        buffers: &Arc<Buffers>,
        device: &platform::Device<Core<'_>>,
    ) -> Result<Prepared> {
        let label = self.label.to_str().map_err(|_| EINVAL)?;
        if self.keep_contents && !self.has_region {
            return refuse(device, "there is no memory-region to keep the contents of");
        }
        if !self.has_region && self.bytes.is_none() {
            return refuse(device, "the node has no size");
        }
        let (bytes, made_of) = (self.bytes.unwrap_or(0), self.made_of);
        if self.has_region && made_of.backing() != Backing::Coherent {
            return refuse(device, "memory of a memory-region is coherent");
        }
        if !made_of.is_for_devices() {
            let dma = buffers.device().dma().clone();
            return Prepared::new(buffers, label, &Spec { bytes, made_of }, dma);
        }
        // Nothing of this driver moves bytes.
        let (dma, region) = DmaDevice::of_node(device, self.mask, || {})?;
        Prepared::of(buffers, label, dma, |dma| match region {
            Some(region) => self.of_region(buffers, device, dma, &region),
            // An ACPI table may have the same properties.
            None if self.has_region => refuse(device, "its memory-region is of no device tree"),
            None => SharedRegion::new(buffers.device(), dma, made_of, bytes),
        })
    }

    /// The memory of a buffer that is in a region of the device tree's.
    fn of_region(
        &self,
        buffers: &Arc<Buffers>,
        device: &platform::Device<Core<'_>>,
        dma: &Arc<DmaDevice>,
        region: &MemoryRegion,
    ) -> Result<SharedRegion> {
        let bytes = self.bytes.unwrap_or(region.bytes());
        let memory = match (self.keep_contents, region.is_pool()) {
            (true, true) => return refuse(device, "memory of a shared-dma-pool is zeroed"),
            (false, false) => {
                return refuse(
                    device,
                    "its memory-region is no shared-dma-pool, and is not kept",
                )
            }
            (true, false) => region.keep(dma, bytes, NAME)?,
            (false, true) => region.allocate(dma, bytes)?,
        };
        SharedRegion::of_reserved(buffers.device(), dma, self.made_of, memory)
    }
}

/// Says why there is no buffer: `EINVAL`.
fn refuse<T>(device: &platform::Device<Core<'_>>, reason: &'static str) -> Result<T> {
    let device: &Device<Core<'_>> = device.as_ref();
    dev_err!(device, "{}\n", reason);
    Err(EINVAL)
}

/// Says that a property has no such value.
fn wrong(device: &Device<Core<'_>>, name: &CStr) {
    dev_err!(device, "its property {} has a wrong value\n", name);
}

/// The value of a property, if there is one; `EINVAL` if that is of another kind.
fn optional<T: Property>(
    device: &Device<Core<'_>>,
    node: &FwNode,
    name: &CStr,
) -> Result<Option<T>> {
    if !node.property_present(name) {
        return Ok(None);
    }
    match node.property_read(name).optional() {
        Some(value) => Ok(Some(value)),
        None => {
            wrong(device, name);
            Err(EINVAL)
        }
    }
}

/// The size, of one cell or two.
fn size(device: &Device<Core<'_>>, node: &FwNode) -> Result<Option<u64>> {
    if !node.property_present(SIZE) {
        return Ok(None);
    }
    let cells = node.property_count_elem::<u32>(SIZE).unwrap_or(0);
    let cells = node.property_read_array_vec::<u32>(SIZE, cells)?.optional();
    match cells.as_deref() {
        Some([bytes]) => Ok(Some((*bytes).into())),
        Some([high, low]) => Ok(Some(u64::from(*high) << 32 | u64::from(*low))),
        _ => {
            wrong(device, SIZE);
            Err(EINVAL)
        }
    }
}

fn text(word: &Option<CString>) -> Result<Option<&str>> {
    let word = word.as_ref().map(|word| word.to_str());
    word.transpose().map_err(|_| EINVAL)
}
