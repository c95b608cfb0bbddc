#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Counts the page faults of a lazy mapping: one fault maps the pages around it, too."""
import mmap
import mapwright

region = mapwright.Session().create(4 << 20, backing="pages", method="fault")
memory = region.map()
for page in range(0, region.bytes, mmap.PAGESIZE):
    memory[page] = 1
about = region.query()
print(f"{region.bytes // mmap.PAGESIZE} pages touched, {about.faults_write} faults,",
      f"{about.pages_faulted} pages mapped by them")
assert 0 < about.faults_write < about.pages_faulted
print("done")
