// SPDX-License-Identifier: GPL-2.0-only

//! Tables of device IDs: a static, or a constant with a static for `modpost`.

/// `pci_device_table!(NAME, Info, [(id, info), …])`: a table `NAME` of PCI functions, of which `&NAME` is a
/// `pci::IdTable<Info>`. One per module of Rust.
#[cfg(kernel_has = "static_device_tables")]
#[macro_export]
macro_rules! pci_device_table {
    ($name:ident, $info:ty, $entries:tt) => {
        ::kernel::pci_device_table!($name, $info, $entries);
    };
}

/// `of_device_table!(NAME, Info, [(id, info), …])`: a table `NAME` of device-tree nodes, of which `&NAME` is
/// an `of::IdTable<Info>`. One per module of Rust.
#[cfg(kernel_has = "static_device_tables")]
#[macro_export]
macro_rules! of_device_table {
    ($name:ident, $info:ty, $entries:tt) => {
        ::kernel::of_device_table!($name, $info, $entries);
    };
}

/// `pci_device_table!(NAME, Info, [(id, info), …])`: a table `NAME` of PCI functions, of which `&NAME` is a
/// `pci::IdTable<Info>`. One per module of Rust.
#[cfg(not(kernel_has = "static_device_tables"))]
#[macro_export]
macro_rules! pci_device_table {
    ($name:ident, $info:ty, $entries:tt) => {
        ::kernel::pci_device_table!($name, PCI_TABLE_FOR_MODPOST, $info, $entries);
    };
}

/// `of_device_table!(NAME, Info, [(id, info), …])`: a table `NAME` of device-tree nodes, of which `&NAME` is
/// an `of::IdTable<Info>`. One per module of Rust.
#[cfg(not(kernel_has = "static_device_tables"))]
#[macro_export]
macro_rules! of_device_table {
    ($name:ident, $info:ty, $entries:tt) => {
        ::kernel::of_device_table!($name, OF_TABLE_FOR_MODPOST, $info, $entries);
    };
}
