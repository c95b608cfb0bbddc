#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Blinks a line and waits for its edges with poll()."""
# ANCHOR: example
import select
import mapwright

USR0 = 21
bank = mapwright.Bank()
bank.direction(USR0, output=True)
bank.watch(rising=1 << USR0)
bank.blink(USR0, hz=10)  # by a timer in the kernel, until it is stopped

edges = select.poll()
edges.register(bank, select.POLLIN)
for _ in range(3):
    assert edges.poll(10_000), "no edge for ten seconds"
    assert bank.events().rising == 1 << USR0
bank.stop(USR0)

bank.set_outputs(high=1 << USR0)  # one store
assert bank.set_outputs(low=1 << USR0) & 1 << USR0 == 0
# ANCHOR_END: example
print("done")
