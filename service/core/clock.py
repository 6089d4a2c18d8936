"""Moments whose distance a step of the wall clock does not change.

A machine's wall clock may be set, forwards or back; its monotonic clock never is. A moment holds
both: the wall clock's time is for people, the monotonic one decides what is late, due or silent. It
is the same for all processes of a machine, and says nothing to another machine, where the wall
clocks are compared instead.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
TIME_NAMESPACE = Path("/proc/self/ns/time")


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time by both clocks."""

    utc_s: float  # s since the epoch
    uptime_s: float | None = None  # s on the monotonic clock of `machine`; None: not known
    machine: str = ""  # whose monotonic clock it is; "": not known

    def shifted(self, by_s: float) -> Moment:
        """Return the moment `by_s` seconds later."""
        uptime_s = None if self.uptime_s is None else self.uptime_s + by_s
        return Moment(self.utc_s + by_s, uptime_s, self.machine)

    def age_s(self, now: Moment) -> float:
        """Return the seconds from this moment to `now`.

        Measured on the monotonic clock where both moments are of one machine.
        """
        is_same = bool(self.machine) and self.machine == now.machine
        if is_same and self.uptime_s is not None and now.uptime_s is not None:
            return now.uptime_s - self.uptime_s
        return now.utc_s - self.utc_s


EPOCH = Moment(0.0)
"""A moment long ago."""


def now() -> Moment:
    """Return this moment."""
    return Moment(time.time(), time.monotonic(), machine_id())


@cache
def machine_id() -> str:
    """Return a name that processes share which share a monotonic clock; "" where none is known.

    It changes when the machine starts again, and so does its monotonic clock (Linux).
    """
    try:
        boot_id = BOOT_ID.read_text().strip()
    except OSError:
        return ""
    with contextlib.suppress(OSError):  # a kernel without time namespaces has one clock
        boot_id += str(TIME_NAMESPACE.readlink())
    return hashlib.sha256(boot_id.encode()).hexdigest()[:16]
