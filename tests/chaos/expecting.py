"""The alerts that the observed scores ask for, by the alert policy itself, and the missing ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lookout.models.scoring.alert_policy import AlertPolicy
from lookout.service.alerting.camera_policy import CameraAlerts
from lookout.service.core.messages import AlertEvent, FrameId, Score
from tests.chaos.footage import MODEL
from tests.chaos.seen import CameraSeen, ScoreSeen
from tests.chaos.watching import Life

UNHEARD_S = 2.0
"""Alerting may not have read a score that the bus held for less before the bus was killed."""


@dataclass(slots=True)
class Expected:
    id: str
    opened_at: float
    until: float  # captured_at at which it closes, or of the last score
    gone: bool  # the scores that ask for it died with a bus, perhaps unread


def expected_alerts(
    camera: str, seen: CameraSeen, lives: Sequence[Life], policy: AlertPolicy
) -> list[Expected]:
    """Replay the policy over all scores that were seen, in order."""
    expected: list[Expected] = []
    alerts = CameraAlerts()
    heard_at: float | None = None
    for frame_id, score in sorted(seen.scores.items()):
        if heard_at is not None and score.seen_at - heard_at > policy.quiet_after_s:
            alerts, events = alerts.close(policy)  # alerting closes the alert of a quiet camera
            note(expected, events, gone=False)
        heard_at = score.seen_at
        alerts, events = alerts.step(policy, _score(camera, frame_id, score))
        note(expected, events, gone=_may_be_unheard(score, lives))
    if alerts.alert is not None and expected:
        expected[-1].until = float("inf")
    return expected


def lost(expected: Iterable[Expected], stored: Iterable[dict[str, Any]]) -> list[str]:
    """Return the ids of expected alerts at whose time no alert of the camera was open."""
    there = [(one["opened_at"], one["closed_at"] or float("inf")) for one in stored]
    return [one.id for one in expected if not one.gone and not _covered(one, there)]


def _covered(one: Expected, there: Iterable[tuple[float, float]]) -> bool:
    return any(
        opened_at <= one.until and one.opened_at <= closed_at for opened_at, closed_at in there
    )


def note(expected: list[Expected], events: Iterable[AlertEvent], gone: bool) -> None:
    """Add what opens to `expected`, and the end of what closes."""
    for event in events:
        alert = event.alert
        if event.event == "new":
            expected.append(Expected(alert.id, alert.opened_at, alert.opened_at, gone))
        elif event.event == "end":
            expected[-1].until = alert.closed_at or alert.opened_at


def _may_be_unheard(score: ScoreSeen, lives: Sequence[Life]) -> bool:
    return score.life < len(lives) - 1 and score.seen_at > lives[score.life].last_look - UNHEARD_S


def _score(camera: str, frame_id: FrameId, score: ScoreSeen) -> Score:
    psnr, distance, gate, updated, value = score.numbers
    return Score(
        camera,
        *frame_id,
        score.captured_at,
        score.scored_at,
        MODEL,
        psnr_db=psnr,
        distance=distance,
        gate_error=gate,
        memory_updated=None if updated is None else bool(updated),
        value=value,
    )
