#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Has QEMU's edu device copy memory, and shares a region as a DMA-buf."""
# ANCHOR: example
import mmap
import mapwright

device = mapwright.DmaDevice()
print(f"the device has {device.dma_info().address_bits} address bits")

# Memory of this device: both sides see it alike at all times.
source, target = (device.create(8192, backing="coherent", method="dma") for _ in range(2))
source.write(b"moved by the device")
device.transfer(source, target, 8192)
assert target.read(19) == b"moved by the device"

# Pages of a region as a DMA-buf, which other drivers and programs can be given.
shared = device.create(65536, backing="pages", method="insert")
buffer = device.export(shared)
shared.write(b"shared")
assert mmap.mmap(buffer, 65536)[:6] == b"shared"
# ANCHOR_END: example
print("done")
