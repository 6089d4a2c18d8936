"""A worker's share of the cameras at its stage: it takes what is free, and gives where others have less."""

from __future__ import annotations

import logging
import os
import socket
import time
import uuid
from collections.abc import Mapping

from lookout.service.core.camera import Camera
from lookout.service.ownership.leases import Leases
from lookout.service.ownership.sharing import load_of, to_give, to_take
from lookout.service.storage.bus.bus import Bus

log = logging.getLogger(__name__)

GIVE_AFTER_S = 5.0  # of uneven loads


def worker_name() -> str:
    """Of this process and no other, and readable."""
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:4]}"


class Claims:
    """One look around, every half second or so, after `leases.look`. Raises one of bus.UNAVAILABLE."""

    def __init__(self, stage: str, bus: Bus, leases: Leases) -> None:
        self.name = worker_name()
        self.leases = leases
        self._stage = stage
        self._bus = bus
        self._uneven_since: float | None = None

    def share(
        self, cameras: Mapping[str, Camera], going: set[str], *, may_give: bool
    ) -> tuple[list[str], str | None]:
        """Cameras taken just now, and one to give up, if any.

        cameras: the enabled ones; going: ours still, but being handed over; may_give: another could go on with it now.
        """
        loads = {name: load_of(camera) for name, camera in cameras.items()}
        mine = {name: loads[name] for name in self.leases.mine() - going if name in loads}
        present = self._bus.beat(self._stage, self.name, sum(mine.values()), self.leases.lease_s)
        others = {name: load for name, load in present.items() if name != self.name}
        taken = self._take(mine, loads, others)
        surplus = to_give(mine, others, sum(loads.values())) if may_give else None
        return taken, surplus if self._lasts(surplus is not None) and not going else None

    def _lasts(self, uneven: bool) -> bool:
        """A hand-over costs a live camera frames: nobody gives for what may pass, as files come and end."""
        if not uneven:
            self._uneven_since = None
        elif self._uneven_since is None:
            self._uneven_since = time.monotonic()
        return (
            self._uneven_since is not None and time.monotonic() - self._uneven_since >= GIVE_AFTER_S
        )

    def _take(
        self, mine: Mapping[str, float], loads: Mapping[str, float], others: Mapping[str, float]
    ) -> list[str]:
        candidates = loads.keys() - self.leases.mine()
        held = self.leases.held(candidates) if candidates else set()
        free = {name: loads[name] for name in candidates - held}
        taken = [
            name
            for name in to_take(mine, free, others, sum(loads.values()))
            if self.leases.take(name)
        ]
        if taken:
            log.info("cameras taken: %s", ", ".join(taken))
        return taken

    def leave(self) -> None:
        """At work no longer: the others share what is given back, at once."""
        self._bus.leave(self._stage, self.name)
