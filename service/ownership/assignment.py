"""Assignment of cameras to the workers of a stage, so that all carry about the same load."""

from __future__ import annotations

import logging
import os
import socket
import time
import uuid
from collections.abc import Mapping

from lookout.service.core.camera import Camera
from lookout.service.ownership.leases import Leases
from lookout.service.storage.bus.bus import Bus

log = logging.getLogger(__name__)

USUAL_FPS = 10.0
FAST_FPS = 25.0  # a file at full pace takes what it can get

GIVE_AFTER_S = 5.0
"""Loads are uneven for so long before a camera is given away. A hand-over costs a live camera
frames: nothing is given for a difference that may pass, as files come and end.
"""


class Assignment:
    """The share of the cameras that one worker of a stage has."""

    def __init__(self, stage: str, bus: Bus, leases: Leases) -> None:
        self.name = new_worker_name()
        self.leases = leases
        self._stage = stage
        self._bus = bus
        self._uneven_since: float | None = None

    def rebalance(
        self, cameras: Mapping[str, Camera], leaving: set[str], *, may_give: bool
    ) -> tuple[list[str], str | None]:
        """Take free cameras up to a fair share; to be called about twice a second.

        cameras: the enabled ones; leaving: still owned, but being handed over; may_give: another
        worker could continue with a camera now.
        Returns the cameras taken just now, and one to give up, if any. Raises one of UNAVAILABLE.
        """
        loads = {name: load_of(camera) for name, camera in cameras.items()}
        mine = {name: loads[name] for name in self.leases.owned() - leaving if name in loads}
        present = self._bus.heartbeat(
            self._stage, self.name, sum(mine.values()), self.leases.lease_s
        )
        others = {name: load for name, load in present.items() if name != self.name}
        total = sum(loads.values())
        taken = self.take_free(mine, loads, others, total)
        surplus = camera_to_give(mine, others, total) if may_give else None
        if surplus is None:
            self._uneven_since = None
            return taken, None
        now = time.monotonic()
        if self._uneven_since is None:
            self._uneven_since = now
        is_due = now - self._uneven_since >= GIVE_AFTER_S and not leaving
        return taken, surplus if is_due else None

    def take_free(
        self,
        mine: Mapping[str, float],
        loads: Mapping[str, float],
        others: Mapping[str, float],
        total: float,
    ) -> list[str]:
        """Take free cameras up to a fair share and return them. See `cameras_to_take`.

        loads: the enabled cameras. Raises one of UNAVAILABLE.
        """
        candidates = loads.keys() - self.leases.owned()
        if not candidates:
            return []
        free = {name: loads[name] for name in candidates - self.leases.taken(candidates)}
        wanted = cameras_to_take(mine, free, others, total)
        taken = [name for name in wanted if self.leases.take(name)]
        if taken:
            log.info("cameras taken: %s", ", ".join(taken))
        return taken

    def leave_stage(self) -> None:
        """Record that this worker has stopped: the others share its cameras at once."""
        self._bus.remove_worker(self._stage, self.name)


def new_worker_name() -> str:
    """Return a readable name that no other process has."""
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:4]}"


def load_of(camera: Camera) -> float:
    """Return about how many frames a second a camera brings.

    Its record alone decides: cameras would move to and fro with measured rates.
    """
    if camera.fps is not None:
        return camera.fps
    if camera.live:
        return USUAL_FPS
    return FAST_FPS


def cameras_to_take(
    mine: Mapping[str, float], free: Mapping[str, float], others: Mapping[str, float], total: float
) -> list[str]:
    """Return the free cameras to take now: up to the worker's fair share, the heaviest first.

    mine, free: camera → load; others: worker → load, without this one; total: of all cameras.
    While a camera is free some worker is below its share, so nothing stays free; no worker gets
    more than one camera above it.
    """
    load = sum(mine.values())
    fair = total / (1 + len(others))
    taken = []
    for camera in sorted(free, key=lambda name: (-free[name], name)):
        if load < fair:
            taken.append(camera)
            load += free[camera]
    return taken


def camera_to_give(
    mine: Mapping[str, float], others: Mapping[str, float], total: float
) -> str | None:
    """Return the lightest camera without which this worker keeps its fair share.

    None where no other worker is below its own. See `cameras_to_take` for the arguments.
    """
    load = sum(mine.values())
    fair = total / (1 + len(others))
    if not any(other < fair for other in others.values()):
        return None
    able = [camera for camera, weight in mine.items() if load - weight >= fair]
    return min(able, key=lambda name: (mine[name], name), default=None)
