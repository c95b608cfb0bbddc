// SPDX-License-Identifier: GPL-2.0-only

//! `/sys/kernel/config/mapwright/NAME`: a buffer that is made by `mkdir(2)`, set up by attributes, and enabled.

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
    MODULE, //
};
use kernel::{
    fmt::Write as _,
    new_mutex,
    prelude::*,
    str::CString,
    sync::{
        Arc,
        Mutex, //
    }, //
};
use mapkit::{
    base::{
        gfp::GFP_FOR_CALLER,
        page_text::{
            self,
            PageText, //
        },
        text::Decimal, //
    },
    device::{
        configfs::{
            self,
            ItemAttribute,
            Keeper,
            Subsystem, //
        },
        find::find, //
    },
    dma::foreign::ForeignDevice, //
};
use mapwright_uapi::{
    Backing,
    Caching,
    Method, //
};

/// The directory's name.
const NAME: &CStr = c"mapwright";

/// The directory in which buffers are made, until it is dropped. No buffer is there then: each holds the module.
pub(crate) fn subsystem(buffers: &Arc<Buffers>) -> Result<Subsystem<Item>> {
    Subsystem::new(MODULE, NAME, buffers.clone())
}

/// A buffer, enabled or not.
pub(crate) struct Item {
    buffers: Arc<Buffers>,
    name: CString,
    keeper: Keeper<Self>,
    settings: Pin<KBox<Mutex<Settings>>>,
}

/// What the attributes say.
struct Settings {
    bytes: u64,
    /// Words that were written; of those that were not, what goes with the others.
    backing: Option<Backing>,
    method: Option<Method>,
    caching: Caching,
    /// As it was written; empty for none.
    device: CString,
    enabled: Option<Enabled>,
}

/// A buffer that programs can open. Fields are dropped in this order.
struct Enabled {
    published: Published,
    _foreign: Option<ForeignDevice>,
}

impl Settings {
    fn new() -> Result<Self> {
        Ok(Self {
            bytes: 0,
            backing: None,
            method: None,
            caching: Caching::WriteBack,
            device: CString::try_from(c"")?,
            enabled: None,
        })
    }

    /// Memory for a device is of the DMA API.
    fn backing(&self) -> Backing {
        self.backing.unwrap_or(match self.device.is_empty() {
            true => Backing::Pages,
            false => Backing::Coherent,
        })
    }

    /// The name of the method. Pages of a device are mapped when they are touched.
    fn method(&self) -> &'static str {
        match (self.method, self.backing()) {
            (Some(method), _) => method.name(),
            (None, Backing::Pages) if !self.device.is_empty() => Method::FaultPfn.name(),
            (None, backing) => spec::first_method(backing.name()),
        }
    }

    fn spec(&self) -> Result<Spec> {
        let (backing, caching) = (self.backing().name(), self.caching.name());
        let made_of = spec::made_of(Some(backing), Some(self.method()), Some(caching))?;
        let bytes = self.bytes;
        Ok(Spec { bytes, made_of })
    }
}

impl configfs::Item for Item {
    type Shared = Buffers;

    const ATTRIBUTES: &'static [ItemAttribute<Self>] = &[
        ItemAttribute {
            name: c"size",
            show: |item, text| {
                let bytes = item.settings.lock().bytes;
                line(text, fmt!("{}", Decimal(bytes)))
            },
            store: |item, text| {
                let bytes = page_text::size(text)?;
                item.set(|settings| settings.bytes = bytes)
            },
        },
        ItemAttribute {
            name: c"backing",
            show: |item, text| {
                let backing = item.settings.lock().backing();
                line(text, fmt!("{}", backing.name()))
            },
            store: |item, text| {
                let backing = Backing::from_name(text).ok_or(EINVAL)?;
                item.set(|settings| settings.backing = Some(backing))
            },
        },
        ItemAttribute {
            name: c"method",
            show: |item, text| {
                let method = item.settings.lock().method();
                line(text, fmt!("{}", method))
            },
            store: |item, text| {
                let method = Method::from_name(text).ok_or(EINVAL)?;
                item.set(|settings| settings.method = Some(method))
            },
        },
        ItemAttribute {
            name: c"caching",
            show: |item, text| {
                let caching = item.settings.lock().caching;
                line(text, fmt!("{}", caching.name()))
            },
            store: |item, text| {
                let caching = Caching::from_name(text).ok_or(EINVAL)?;
                item.set(|settings| settings.caching = caching)
            },
        },
        ItemAttribute {
            name: c"device",
            show: |item, text| {
                let settings = item.settings.lock();
                line(
                    text,
                    fmt!("{}", settings.device.to_str().map_err(|_| EINVAL)?),
                )
            },
            store: |item, text| {
                let device = CString::try_from_fmt(fmt!("{}", text))?;
                item.set(|settings| settings.device = device)
            },
        },
        ItemAttribute {
            name: c"enabled",
            show: |item, text| {
                let settings = item.settings.lock();
                line(text, fmt!("{}", Self::state(&settings)))
            },
            store: |item, text| match text {
                "1" => item.enable(),
                "0" => item.disable(false),
                "revoke" => item.disable(true),
                _ => Err(EINVAL),
            },
        },
    ];

    fn make(buffers: &Arc<Buffers>, name: &str, keeper: Keeper<Self>) -> Result<KBox<Self>> {
        spec::check_name(name)?;
        let settings = Settings::new()?;
        let item = Self {
            buffers: buffers.clone(),
            name: CString::try_from_fmt(fmt!("{}", name))?,
            keeper,
            settings: KBox::pin_init(new_mutex!(settings), GFP_FOR_CALLER)?,
        };
        Ok(KBox::new(item, GFP_FOR_CALLER)?)
    }
}

impl Item {
    /// `1` if the buffer can be opened, `gone` if its device has lost its driver, or `0`.
    fn state(settings: &Settings) -> &'static str {
        match &settings.enabled {
            None => "0",
            Some(enabled) if enabled.published.is_gone() => "gone",
            Some(_) => "1",
        }
    }

    /// Changes the settings; `EBUSY` if the buffer is enabled.
    fn set(&self, change: impl FnOnce(&mut Settings)) -> Result {
        let mut settings = self.settings.lock();
        if settings.enabled.is_some() {
            return Err(EBUSY);
        }
        change(&mut settings);
        Ok(())
    }

    /// Makes the buffer, and keeps its directory from being removed.
    fn enable(&self) -> Result {
        let mut settings = self.settings.lock();
        if settings.enabled.is_some() {
            return Err(EBUSY);
        }
        let spec = settings.spec()?;
        self.keeper.keep()?;
        let enabled = self.publish(&settings, &spec);
        settings.enabled = Some(enabled.inspect_err(|_| self.keeper.let_go())?);
        Ok(())
    }

    fn publish(&self, settings: &Settings, spec: &Spec) -> Result<Enabled> {
        let name = self.name.to_str().map_err(|_| EINVAL)?;
        if settings.device.is_empty() {
            let dma = self.buffers.device().dma().clone();
            let published = Prepared::new(&self.buffers, name, spec, dma)?.publish()?;
            return Ok(Enabled {
                published,
                _foreign: None,
            });
        }
        if !spec.made_of.is_for_devices() {
            pr_err!("a buffer for a device is coherent memory, or pages with fault-pfn and wb\n");
            return Err(EINVAL);
        }
        let foreign = ForeignDevice::new(find(settings.device.to_str().map_err(|_| EINVAL)?)?)?;
        let published = Prepared::new(&self.buffers, name, spec, foreign.clone())?.publish()?;
        Ok(Enabled {
            published,
            _foreign: Some(foreign),
        })
    }

    /// Removes the buffer: `EBUSY` if it is used, unless it is to be taken away from those who do.
    fn disable(&self, revoke: bool) -> Result {
        let mut settings = self.settings.lock();
        let Some(enabled) = &settings.enabled else {
            return Ok(());
        };
        if !revoke && !enabled.published.is_gone() {
            enabled.published.retire()?;
        }
        settings.enabled = None;
        self.keeper.let_go();
        Ok(())
    }
}

fn line(text: &mut PageText<'_>, arguments: kernel::fmt::Arguments<'_>) -> Result {
    text.write_fmt(arguments)?;
    text.write_str("\n")?;
    Ok(())
}
