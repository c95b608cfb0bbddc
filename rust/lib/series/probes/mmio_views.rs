// SPDX-License-Identifier: GPL-2.0-only
// 7.3: mapped registers are `Mmio<'_, Region<SIZE>>`, a view that is copied; before, `&Mmio<SIZE>`.
pub type It<'a> = kernel::io::Mmio<'a, kernel::io::Region<4>>;
