// SPDX-License-Identifier: GPL-2.0-only
// 7.3: a table of device IDs is a static; before, a constant, and a static beside it for `modpost`.
kernel::of_device_table!(TABLE, (), [(kernel::of::DeviceId::new(c"a,b"), ())]);
