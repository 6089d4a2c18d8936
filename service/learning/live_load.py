"""Whether training costs the live cameras scores: then it pauses."""

from __future__ import annotations

import time
from collections.abc import Mapping

from lookout.service.core.camera import Camera
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.bus.counters import DROPPED
from lookout.service.storage.bus.reports import Overview

FRESH_S = 5.0
"""An older report says nothing of now."""

CALM_S = 5.0
"""Training goes on after so long without a late score."""

LAG = f"{DROPPED}lag"
FRAMES_LATE = 2.0
"""A camera of few frames has few scores: so many distances of its frames are not late."""


class LiveLoad:
    """Follows how late the scores of all live cameras are."""

    def __init__(self, bus: Bus, limit_s: float) -> None:
        self._bus = bus
        self._limit_s = limit_s
        self._lagged: dict[str, int] = {}
        self._late_at = -CALM_S

    def suffers(self, cameras: Mapping[str, Camera], now: float | None = None) -> bool:
        """Tell whether a score is, or was a moment ago, too late. Raises one of UNAVAILABLE.

        now: monotonic seconds.
        """
        now = time.monotonic() if now is None else now
        live = [name for name, camera in cameras.items() if camera.live and camera.enabled]
        overviews = self._bus.overview(live)
        utc_s = time.time()
        late = [name for name in live if self.is_late(overviews[name], utc_s)]
        lagged = {name: at.counters.get(LAG, 0) for name, at in overviews.items()}
        late += [name for name, count in lagged.items() if count > self._lagged.get(name, count)]
        self._lagged = lagged
        if late:
            self._late_at = now
        return now - self._late_at < CALM_S

    def is_late(self, seen: Overview, utc_s: float) -> bool:
        """Tell whether a camera's frames come, and its scores come later than the limit."""
        ingest = seen.ingest
        inference = seen.inference
        if ingest is None or inference is None or inference.state != "online":
            return False
        if utc_s - inference.at > FRESH_S or utc_s - ingest.at > FRESH_S:
            return False
        if inference.score_age_s is None or ingest.frame_age_s is None or not ingest.fps:
            return False
        usual_s = FRAMES_LATE / ingest.fps
        return inference.score_age_s - ingest.frame_age_s > self._limit_s + usual_s
