"""A camera at alerting: the policies of its picture and its zones, armed or not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lookout.models.evaluation.events import alarm_spans
from lookout.models.scoring.alarm_budget import AlarmBudget
from lookout.service.alerting.camera_policy import CameraAlerts, FollowedCamera, default_policy
from lookout.service.core.camera import Camera
from lookout.service.core.messages import AlertEvent, AlertId, FrameId, Score
from lookout.service.core.schedule import ArmOverride, zone_of
from lookout.service.core.settings import Settings, load_settings
from lookout.service.core.sinks import SinkSpec, choose

DOOR = {
    "name": "door",
    "kind": "watch",
    "points": [[0, 0], [0.5, 0], [0, 0.5]],
    "alert": {"threshold": 0.3, "min_duration_s": 0.2},
}


def camera(**more: Any) -> Camera:
    fields = {"id": "gate", "url": "rtsp://h/", "model": "m", "created_at": 0.0, "revision": 1}
    return Camera.model_validate(fields | more)


def followed(spec: Camera, settings: Settings) -> FollowedCamera:
    made = FollowedCamera(default_policy(settings), CameraAlerts(), epoch=1, saved=None)
    assert made.follow(spec, settings) == []
    return made


@pytest.fixture
def settings() -> Settings:
    return load_settings()


def score(number: int, value: float, door: float | None = None) -> Score:
    zones: dict[str, float | None] = {}
    if door is not None:
        zones["door"] = door
    return Score("gate", 1000, number, number / 10, number / 10, "m", value=value, zones=zones)


def run(
    part: FollowedCamera, values: Sequence[tuple[float, float | None]], first: int = 0
) -> list[AlertEvent]:
    return [
        event
        for number, (value, door) in enumerate(values, first)
        for event in part.step(score(number, value, door))
    ]


def told(events: list[AlertEvent]) -> list[tuple[str, str | None]]:
    return [(event.event, event.alert.zone) for event in events]


def test_a_zone_has_a_policy_and_alerts_of_its_own(settings: Settings) -> None:
    part = followed(camera(zones=[DOOR]), settings)
    events = run(part, [(0.2, 0.35)] * 5 + [(0.2, 0.1)] * 30)
    assert told(events) == [("new", "door"), ("end", "door")]
    alert = events[0].alert
    assert (alert.threshold, alert.peak_value) == (0.3, 0.35)
    assert AlertId.parse(alert.id) == AlertId("gate", FrameId(1000, 2), "door")
    both = run(part, [(0.9, 0.9)] * 10, first=100)
    assert sorted(told(both), key=str) == [("new", "door"), ("new", None)]
    assert len(part.open_ids) == 2
    assert sorted(told(part.close_all()), key=str) == [("end", "door"), ("end", None)]


def test_the_state_of_zones_is_stored_and_read(settings: Settings) -> None:
    part = followed(camera(zones=[DOOR]), settings)
    run(part, [(0.2, 0.35)] * 5)
    state = json.loads(json.dumps(part.as_json()))["zones"]["door"]
    again = CameraAlerts.from_json(state["rule"], "door")
    assert again == part.zones["door"].alerts
    assert again.alert is not None


def test_the_alert_of_a_zone_that_is_watched_no_more_ends(settings: Settings) -> None:
    part = followed(camera(zones=[DOOR]), settings)
    run(part, [(0.2, 0.35)] * 5)
    assert told(part.follow(camera(), settings)) == [("end", "door")]
    assert part.zones == {}


def test_a_budget_of_a_zone_learns_again_where_its_polygon_is_another(settings: Settings) -> None:
    alert = {"alarm_budget": {"per_day": 1}}
    part = followed(camera(zones=[DOOR | {"alert": alert}]), settings)
    run(part, [(0.2, 0.1 + (number % 7) / 100) for number in range(50)])
    budget = part.zones["door"].budget
    assert budget is not None
    assert budget.report().footage_minutes > 0
    part.follow(camera(zones=[DOOR | {"alert": {"alarm_budget": {"per_day": 2}}}]), settings)
    kept = part.zones["door"].budget
    assert kept is not None
    assert kept.state_dict()["learned_s"] > 0
    moved = DOOR | {"alert": alert, "points": [[0, 0], [0.6, 0], [0, 0.5]]}
    part.follow(camera(zones=[moved]), settings)
    fresh = part.zones["door"].budget
    assert fresh is not None
    assert fresh.state_dict()["learned_s"] == 0


def test_while_disarmed_nothing_opens_and_what_is_open_ends(settings: Settings) -> None:
    off = ArmOverride(armed=False, since=1.0, until=3.0)
    part = followed(camera(zones=[DOOR], override=off), settings)
    events = run(part, [(0.9, 0.9)] * 50)
    assert told(events) == [
        ("new", "door"),
        ("new", None),
        ("end", None),
        ("end", "door"),
        ("new", "door"),
        ("new", None),
    ]
    assert [event.alert.closed_at for event in events[2:4]] == [0.9, 0.9]
    assert all(event.alert.opened_at >= 3.0 for event in events[4:])


def test_a_budget_learns_while_disarmed(settings: Settings) -> None:
    off = ArmOverride(armed=False, since=0.0, until=None)
    alert = {"alarm_budget": {"per_day": 1}}
    part = followed(camera(alert=alert, override=off), settings)
    assert run(part, [(0.1 + (number % 7) / 100, None) for number in range(50)]) == []
    assert part.budget is not None
    assert part.budget.state_dict()["learned_s"] == pytest.approx(4.9)


def test_a_replay_of_the_same_scores_gives_the_same_alerts_as_evaluation(
    settings: Settings,
) -> None:
    """When a score is computed, and which worker takes it, decide nothing."""
    rng = np.random.default_rng(3)
    values = 0.3 + 0.03 * rng.normal(size=6000)
    for begin in rng.integers(0, 5900, 30).tolist():
        values[begin : begin + 25] += rng.exponential(0.15)
    values = values.clip(0.01, 0.99)
    scores = [score(number, value) for number, value in enumerate(values.tolist())]
    spec = camera(alert={"alarm_budget": {"per_day": 2000}, "clear_after_s": 1})
    live = followed(spec, settings)
    alerts = [event for one in scores for event in live.step(one)]
    replayed = followed(spec, settings)
    late = [replace(one, scored_at=one.captured_at + 86_400) for one in scores]
    assert [event for one in late for event in replayed.step(one)] == alerts
    assert replayed.as_json() == live.as_json()
    opened = [event.alert.opened_at for event in alerts if event.event == "new"]
    assert len(opened) > 5
    budget = AlarmBudget(2000, live.policy, zone_of(settings.timezone))
    offline = alarm_spans(values, 10, live.policy, budget)
    assert [frame / 10 for _, frame, _ in offline] == opened


def test_a_sink_takes_the_zones_that_it_names(settings: Settings) -> None:
    part = followed(camera(zones=[DOOR]), settings)
    events = {event.alert.zone: event for event in run(part, [(0.9, 0.9)] * 10)}
    url = "https://hooks.example/"
    for zones, taken in ((None, {None, "door"}), (["door"], {"door"}), (["gate"], set())):
        sink = SinkSpec(url=url, zones=zones)
        assert {zone for zone, event in events.items() if choose(sink, event, None)} == taken
    assert {event.alert.series for event in events.values()} == {"anomaly", "anomaly door"}


@pytest.mark.parametrize("text", ["", "gate", "gate:1-2@", "gate:1-2@a b", "a/b:1-2", "gate:1"])
def test_what_is_no_alert_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        AlertId.parse(text)
