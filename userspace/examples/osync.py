#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""A file opened with O_SYNC has an uncached default region, for CAP_SYS_ADMIN."""
import mmap, os
import mapwright

session = mapwright.Session(flags=os.O_RDWR | os.O_SYNC)
try:
    memory = mmap.mmap(session.fd, 1 << 20)
except OSError as error:
    print("no uncached memory here:", error.strerror)
else:
    memory[:5] = b"hello"
    about = session.ask(mapwright.Query(offset=0))
    print("the memory type is", mapwright.CACHINGS[about.caching])
    assert mapwright.CACHINGS[about.caching] == "uc"
print("done")
