"""The state of the whole watch in one line: "5 of 6 watched · 1 alert · 2 blind · 1 lagging".

The page, `/readyz`, brokers and clients show the same words. The line is `good` only while every
enabled camera is scored in time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from lookout.service.core.messages import CameraStatus
from lookout.service.core.stages import INFERENCE, INGEST
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.bus.counters import DROPPED
from lookout.service.storage.store.store import Store
from lookout.service.watch.camera_status import Beats, Status, status

SummaryLevel = Literal["good", "calm", "warn", "bad"]
"""bad: an alert is open. warn: a camera is blind or lags. calm: one learns, starts or has ended."""

Standing = Literal["watched", "blind", "lagging", "learning", "starting", "ended"]
STANDINGS: tuple[Standing, ...] = ("blind", "lagging", "learning", "starting", "ended")
"""The order in which the line names them, behind the watched ones and the alerts."""

STANDING_OF_STATE: dict[CameraStatus, Standing] = {
    CameraStatus.STARTING: "starting",
    CameraStatus.LEARNING: "learning",
    CameraStatus.ONLINE: "watched",
    CameraStatus.ENDED: "ended",
    CameraStatus.RECONNECTING: "blind",
    CameraStatus.STALLED: "blind",
    CameraStatus.FAILED: "blind",
}

LAGGING_S = 5.0
"""A score this much older than the newest frame is not in time."""

LAGGING_SHARE = 0.05
"""Nor is a camera in time of whose frames a larger share was dropped for lag lately."""

LATELY_S = 30.0
KEPT_S = 0.5
"""A line is good for so long: probes and pages that ask at once share one."""

LAG = f"{DROPPED}lag"


@dataclass(frozen=True, slots=True)
class WatchSummary:
    """Cameras by standing, without the disabled ones."""

    enabled: int
    alerts: int  # open
    cameras: Mapping[Standing, tuple[str, ...]] = field(default_factory=dict)
    alerts_of: Mapping[str, int] = field(default_factory=dict)  # open, by camera

    def within(self, scope: Collection[str] | None) -> WatchSummary:
        """Return the summary of the cameras in a scope; None: of all."""
        if scope is None:
            return self
        cameras = {
            standing: tuple(name for name in names if name in scope)
            for standing, names in self.cameras.items()
        }
        alerts_of = {name: count for name, count in self.alerts_of.items() if name in scope}
        enabled = sum(map(len, cameras.values()))
        seen = {standing: names for standing, names in cameras.items() if names}
        return WatchSummary(enabled, sum(alerts_of.values()), seen, alerts_of)

    def count(self, standing: Standing) -> int:
        """Return the number of cameras of a standing."""
        return len(self.cameras.get(standing, ()))

    @property
    def level(self) -> SummaryLevel:
        """Urgency of the line."""
        if self.alerts:
            return "bad"
        if self.count("blind") or self.count("lagging"):
            return "warn"
        if self.enabled and self.count("watched") == self.enabled:
            return "good"
        return "calm"

    @property
    def text(self) -> str:
        """Return the line."""
        if not self.enabled:
            parts = ["no camera is watched"]
        else:
            parts = [f"{self.count('watched')} of {self.enabled} watched"]
        if self.alerts:
            parts.append(f"{self.alerts} alert{'s' * (self.alerts > 1)}")
        parts += [f"{count} {name}" for name in STANDINGS if (count := self.count(name))]
        return " · ".join(parts)


class LagShares:
    """The share of each camera's frames that were dropped for lag in the last LATELY_S or twice so.

    It is counted while somebody asks, and anew where nobody has asked for longer.
    """

    def __init__(self) -> None:
        # Of each camera: when it was read (monotonic s), frames scored and dropped by then.
        self._former: dict[str, tuple[float, int, int]] = {}
        self._newer: dict[str, tuple[float, int, int]] = {}

    def take(self, camera: str, counters: Mapping[str, int], now: float) -> float:
        """Take the camera's counters at `now` (monotonic s); return its share, 0 at first."""
        scored = counters.get("scores", 0)
        dropped = counters.get(LAG, 0)
        former = self._former.setdefault(camera, (now, scored, dropped))
        newer = self._newer.setdefault(camera, (now, scored, dropped))
        is_new_bus = scored < former[1] or dropped < former[2]
        if is_new_bus or now - newer[0] > 2 * LATELY_S:
            former = self._former[camera] = self._newer[camera] = (now, scored, dropped)
        elif now - newer[0] >= LATELY_S:
            self._former[camera] = newer
            self._newer[camera] = (now, scored, dropped)
            former = newer
        frames = scored - former[1] + dropped - former[2]
        return (dropped - former[2]) / frames if frames else 0.0

    def keep_only(self, cameras: Iterable[str]) -> None:
        """Forget every other camera."""
        for name in self._former.keys() - set(cameras):
            del self._former[name], self._newer[name]


class WatchSummaries:
    """Reads the summary of all cameras; one for all threads of the API."""

    def __init__(self, bus: Bus, store: Store) -> None:
        self._bus = bus
        self._store = store
        self._lag_shares = LagShares()
        self._mutex = threading.Lock()
        self._kept: WatchSummary | None = None
        self._kept_until = 0.0  # monotonic s

    def now(self) -> WatchSummary:
        """Return the summary, at most KEPT_S old. Raises one of UNAVAILABLE."""
        with self._mutex:
            now = time.monotonic()
            if self._kept is None or now >= self._kept_until:
                self._kept = self.read(now)
                self._kept_until = now + KEPT_S
            return self._kept

    def read(self, now: float) -> WatchSummary:
        """Read the summary from Redis; now: monotonic s."""
        cameras = {name: one for name, one in self._store.cameras().items() if one.enabled}
        seen = self._bus.overview(cameras)
        beats = Beats(
            ingest=self._bus.has_workers(INGEST.name),
            inference=self._bus.has_workers(INFERENCE.name),
        )
        at = time.time()
        by_standing: dict[Standing, tuple[str, ...]] = {}
        for name, camera in sorted(cameras.items()):
            lag_share = self._lag_shares.take(name, seen[name].counters, now)
            its = standing(status(camera, seen[name], beats, at), lag_share, live=camera.live)
            by_standing[its] = (*by_standing.get(its, ()), name)
        self._lag_shares.keep_only(cameras)
        alerting = self._store.alerting_overview(cameras)
        alerts_of = {name: one.open for name, one in alerting.items()}
        return WatchSummary(len(cameras), sum(alerts_of.values()), by_standing, alerts_of)


def standing(at: Status, lag_share: float, *, live: bool) -> Standing:
    """Return how far an enabled camera is watched.

    at: its status. lag_share: of its frames, dropped for lag lately. live: not a file at full pace,
    whose scores may come at any time.
    """
    found = STANDING_OF_STATE.get(at.state, "blind")
    if found not in ("watched", "learning"):
        return found
    if at.tampered:
        return "blind"
    behind_s = 0.0
    if live and at.score_age_s is not None and at.frame_age_s is not None:
        behind_s = at.score_age_s - at.frame_age_s
    if lag_share > LAGGING_SHARE or behind_s > LAGGING_S:
        return "lagging"
    return found
