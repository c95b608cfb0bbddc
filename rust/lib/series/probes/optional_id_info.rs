// SPDX-License-Identifier: GPL-2.0-only
// 7.3: `probe` of a PCI driver is told of no entry if root named an ID that is in no table; before, of one.
use kernel::{
    device::Core,
    pci,
    prelude::*, //
};

pub struct Probe;

impl pci::Driver for Probe {
    type IdInfo = ();
    type Data<'bound> = Self;

    const ID_TABLE: pci::IdTable<()> = panic!();

    fn probe<'bound>(
        _: &'bound pci::Device<Core<'_>>,
        _: Option<&'bound ()>,
    ) -> impl PinInit<Self, Error> + 'bound {
        Ok(Self)
    }
}
