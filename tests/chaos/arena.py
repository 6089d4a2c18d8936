"""The running service with everything around it that can be broken; the waits of the faults."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lookout.service.core.messages import FrameId
from tests.chaos.fleet import Fleet
from tests.chaos.proxy import Proxy
from tests.chaos.watching import BusWatch
from tests.e2e.service_process import Service

LOOK_EVERY_S = 0.05
NOTHING = FrameId(0, 0)


class ServiceEndedError(Exception):
    """`lookout serve` itself is gone: nothing goes on."""


@dataclass
class Arena:
    service: Service
    fleet: Fleet
    bus: BusWatch
    proxy: Proxy | None
    store_disk: Path
    no_disk: str | None  # why the store has no disk of its own
    no_rtsp: str | None  # why there is no camera that speaks RTSP
    lease_s: float
    rng: random.Random

    @property
    def pid(self) -> int:
        return self.service.process.pid

    def until(self, holds: Callable[[], bool], limit_s: float, *, tends: bool = True) -> bool:
        """Return whether `holds` becomes true in time, and tend the fleet meanwhile.

        tends: False while the API does not answer.
        Raise ServiceEndedError when `lookout serve` ends.
        """
        deadline = time.monotonic() + limit_s
        while not holds():
            if self.service.process.poll() is not None:
                raise ServiceEndedError("\n".join(self.service.output.lines[-20:]))
            if time.monotonic() > deadline:
                return False
            if tends:
                self.fleet.tend()
            time.sleep(LOOK_EVERY_S)
        return True

    def hold(self, seconds: float, *, tends: bool = True) -> None:
        """Let a fault last."""
        self.until(lambda: False, seconds, tends=tends)

    def scores_flow(self, since: float) -> bool:
        """Every running camera has a score from after `since` (UTC s)."""
        return all(self.bus.seen[name].last_scored_at > since for name in self.fleet.running)

    def alerts_follow(self, scores: dict[str, FrameId]) -> bool:
        """Alerting has read the scores of every running camera up to these."""
        read = self.fleet.alerts.read
        return all(
            name not in self.fleet.running or read.get(name, NOTHING) >= last
            for name, last in scores.items()
        )

    def newest_scores(self) -> dict[str, FrameId]:
        return {
            name: newest
            for name in self.fleet.running
            if (newest := self.bus.seen[name].newest_score)
        }

    def said_since(self, line: int, text: str) -> bool:
        """Return whether the service's log contains `text` after that line."""
        return any(text in one for one in self.service.output.lines[line:])
