#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes a region of scattered pages, stores to it and reads it back through the kernel."""
import fcntl, mmap, os, struct

CREATE, VMALLOC, INSERT = 0xE701, 3, 1
fd = os.open("/dev/mapwright", os.O_RDWR)
# The structure's size, flags (1, CREATE_CONTIGUOUS: one contiguous run, or ENOMEM), backing, method, caching, 0, bytes.
create = bytearray(struct.pack("=6I3Q", 48, 0, VMALLOC, INSERT, 0, 0, 65536, 0, 0))
fcntl.ioctl(fd, CREATE, create)
size, number, offset = struct.unpack_from("=3Q", create, 24)
memory = mmap.mmap(fd, size, offset=offset)
memory[:5] = b"hello"  # no system call ...
seen = os.pread(fd, 5, offset)  # ... and the kernel has it
print(f"region {number}: the kernel sees {seen}")
assert seen == b"hello"
