#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Allocates and frees objects with kmalloc(), and says what that cost."""
# ANCHOR: example
import mapwright

plan = mapwright.Allocators().run("kmalloc", size=100, count=1000)
each = (plan.allocating.ns - plan.allocating.empty_ns) / plan.allocated
print(f"{plan.allocated} objects, {each:.0f} ns for an allocation and its free")
# ANCHOR_END: example
assert plan.allocated == 1000 and plan.failed_memory == 0
print("done")
