#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Uses the buffer /dev/mapwright-example, which "mapwright buffer create example --size 64K" makes."""
# ANCHOR: example
import mapwright

with mapwright.Buffer("example") as buffer:
    memory = buffer.memory.map()  # or numpy.memmap("/dev/mapwright-example", dtype="uint8", mode="r+")
    memory[:5] = b"hello"
    buffer.tell("sync_for_device", 1)  # a device would be told dma_addr now
    buffer.tell("sync_for_cpu", 1)
    assert buffer.memory.read(5) == b"hello"
    print(buffer.memory.bytes, "bytes in", buffer.memory.query().runs, "runs")
    print("as a DMA-buf it is file", buffer.export(buffer.memory))
# ANCHOR_END: example
print("done")
