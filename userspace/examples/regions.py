#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes a region, maps it, and asks all about it."""
# ANCHOR: example
import mapwright

session = mapwright.Session()
print("a page has", session.info().page_size, "bytes")

region = session.create(65536, backing="vmalloc", method="fault")
memory = region.map()
memory[:5] = b"hello"  # a store, no system call ...
assert region.read(5) == b"hello"  # ... and the kernel has it

about = region.query()
print(f"region {region.id}: {about.runs} runs, {about.faults_write} write fault,",
      f"{about.pages_faulted} pages mapped")
print("its first frame is", hex(region.frames()[0]))  # for CAP_SYS_ADMIN
region.sync(mapwright.FOR_DEVICE)

memory.close()  # a region that is mapped cannot be destroyed: EBUSY
region.destroy()
# ANCHOR_END: example
print("done")
