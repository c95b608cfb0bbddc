#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Maps the default region, stores to it, and reads it back through the kernel."""
import mmap, os
fd = os.open("/dev/mapwright", os.O_RDWR)
memory = mmap.mmap(fd, 65536)
memory[:5] = b"hello"            # a store, no system call ...
print(os.pread(fd, 5, 0))        # ... and the kernel sees b'hello'
