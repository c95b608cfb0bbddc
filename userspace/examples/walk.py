#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Walks the page tables of this program."""
# ANCHOR: example
import ctypes
import mapwright

memory = ctypes.create_string_buffer(b"here")
walk = mapwright.Inspector().walk(ctypes.addressof(memory))
for step in walk.levels[:walk.nr_levels]:
    print(f"{mapwright.LEVELS[step.level]}[{step.index}] = {step.value:#x}")
print(f"physical address {walk.physical:#x}, in a page of {walk.page_size} bytes")
# ANCHOR_END: example
assert walk.physical != mapwright.NO_ADDRESS
print("done")
