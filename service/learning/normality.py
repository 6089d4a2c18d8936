"""The periods of a camera that are not normal, and are not learned from."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lookout.service.core.errors import NO_REASON, Reason
from lookout.service.core.messages import Alert, CameraEvent
from lookout.service.learning.footage import Segment
from lookout.service.storage.store.store import Store

Periods = list[tuple[float, float]]
"""(begin, end) in s, UTC epoch."""

BEFORE_S = 5.0
AFTER_S = 5.0
"""Left out around an alert or scene change: it begins before it is noticed."""

ALERTS_READ = 200
EVENTS_READ = 200

MOVES_EVERY_S = 600.0
MOVES_AT_LEAST = 3
"""A camera moves where its scene changes so often, and more than once in MOVES_EVERY_S."""


@dataclass(frozen=True, slots=True)
class Normality:
    """Alerts and events of a camera's last time, as periods."""

    excluded: Periods
    changes_at: tuple[float, ...] = ()  # scene changes, ascending

    def normal(self, segments: Iterable[Segment]) -> list[Segment]:
        """Return the segments outside of the excluded periods."""
        return [
            segment
            for segment in segments
            if not any(segment.overlaps(begin, end) for begin, end in self.excluded)
        ]

    def movement(self, since_s: float, until_s: float) -> Reason:
        """Return that the camera moves, in one line; empty where it stands still."""
        count = sum(since_s <= at <= until_s for at in self.changes_at)
        if count < MOVES_AT_LEAST or count * MOVES_EVERY_S <= until_s - since_s:
            return NO_REASON
        minutes = round((until_s - since_s) / 60)
        return Reason(
            f"the camera moves: {count} scene changes in {minutes} minutes of recording, and "
            "only a fixed camera can be learned",
            code="footage_moves",
            changes=count,
            minutes=minutes,
        )


def read_normality(store: Store, camera: str) -> Normality:
    """Read alerts and events of a camera. Raises one of UNAVAILABLE."""
    now = time.time()
    alerts = store.alerts(camera, before=None, limit=ALERTS_READ)
    events = store.camera_events(camera, EVENTS_READ)[::-1]
    changes = tuple(event.at for event in events if event.kind == "scene_change")
    excluded = alert_periods(alerts, now) + tampered_periods(events, now)
    excluded += [(at - BEFORE_S, at + AFTER_S) for at in changes]
    return Normality(excluded, changes)


def alert_periods(alerts: Iterable[Alert], now: float) -> Periods:
    """Return the periods of anomalies; an open one reaches beyond now.

    Tampering is known by its events, and that a camera is not watched says nothing of its pictures.
    """
    return [
        (alert.opened_at - BEFORE_S, (alert.closed_at or max(now, alert.peak_at)) + AFTER_S)
        for alert in alerts
        if alert.kind == "anomaly"
    ]


def tampered_periods(events: Sequence[CameraEvent], now: float) -> Periods:
    """Return the periods in which a camera was tampered with. events: ascending by time."""
    periods = []
    began_s = None
    for event in events:
        if event.kind == "tampered" and began_s is None:
            began_s = event.at
        elif event.kind == "restored" and began_s is not None:
            periods.append((began_s - BEFORE_S, event.at + AFTER_S))
            began_s = None
    if began_s is not None:
        periods.append((began_s - BEFORE_S, max(now, began_s) + AFTER_S))
    return periods
