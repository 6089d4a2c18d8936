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
"""Alerting may not have read a score that the bus held for less before the bus was killed.

Inference writes such scores again on the next bus, and alerting must have read those.
"""


@dataclass(slots=True)
class Expected:
    id: str
    opened_at: float
    until: float  # captured_at at which it closes
    gone: bool  # scores that decide about it died with a bus, perhaps unread


def expected_alerts(
    camera: str, seen: CameraSeen, lives: Sequence[Life], policy: AlertPolicy
) -> list[Expected]:
    """Replay the policy over all scores that were seen, in order; the last is the camera's last."""
    expected: list[Expected] = []
    alerts = CameraAlerts()
    is_doubtful = False
    again = {frame_id for frame_id, score in seen.again if score.life > seen.scores[frame_id].life}
    for frame_id, score in sorted(seen.scores.items()):
        is_unheard = frame_id not in again and _may_be_unheard(score, lives)
        is_doubtful |= is_unheard
        alerts, events = alerts.step(policy, _score(camera, frame_id, score))
        note(expected, events, gone=is_doubtful)
        if alerts.alert is not None:
            expected[-1].gone |= is_doubtful
        elif alerts.state.above_since is None:
            is_doubtful = is_unheard
    note(expected, alerts.close(policy)[1], gone=is_doubtful)
    return expected


def differing(expected: Sequence[Expected], stored: Iterable[dict[str, Any]]) -> list[str]:
    """Return the ids of alerts that are missing, too many, or were opened or closed otherwise.

    Alerts about which unread scores may have decided are left out.
    """
    gone = [one for one in expected if one.gone]
    wanted = {(one.id, one.opened_at, one.until) for one in expected if not one.gone}
    found: set[tuple[str, float, float | None]] = set()
    for one in stored:
        opened_at, closed_at = one["opened_at"], one["closed_at"]
        end = float("inf") if closed_at is None else closed_at
        if not any(_covered(other, [(opened_at, end)]) for other in gone):
            found.add((one["id"], opened_at, closed_at))
    return sorted({alert_id for alert_id, *_ in wanted ^ found})


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
            expected[-1].gone |= gone


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
