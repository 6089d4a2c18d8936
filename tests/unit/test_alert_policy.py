"""The alert state, score by score."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.models.scoring.alert_policy import AlertPolicy, PolicyState
from lookout.service.alerting.camera_policy import CameraAlerts, policy_of
from lookout.service.core.camera import AlertSettings
from lookout.service.core.messages import AlertEvent, Score
from lookout.service.core.settings import load_settings
from tests.conftest import examples

POLICY = AlertPolicy(
    threshold=0.75, hysteresis=0.15, min_duration_s=0.5, clear_after_s=2.0, quiet_after_s=15.0
)


def score(seq: int, value: float | None, *, session: int = 1000, at: float | None = None) -> Score:
    """Return a score of a camera with ten scores a second."""
    captured_at = seq / 10 if at is None else at
    return Score("gate", session, seq, captured_at, captured_at, "m", None, None, None, None, value)


def events_of(
    values: Iterable[float | None],
    state: CameraAlerts | None = None,
    first: int = 0,
    policy: AlertPolicy = POLICY,
) -> tuple[CameraAlerts, list[AlertEvent]]:
    state, events = state or CameraAlerts(), []
    for seq, value in enumerate(values, first):
        state, more = state.step(policy, score(seq, value))
        events += more
    return state, events


def names(events: list[AlertEvent]) -> list[str]:
    return [event.event for event in events]


def test_parameters_that_a_camera_does_not_set_come_from_the_settings() -> None:
    defaults = load_settings(alert_threshold=0.8, alert_hysteresis=0.3, alert_quiet_after_s=9)
    assert policy_of(AlertSettings(), defaults) == AlertPolicy(0.8, 0.3, quiet_after_s=9.0)
    own = AlertSettings(threshold=0.6, min_duration_s=1.5, clear_after_s=0.0, cooldown_s=7.0)
    assert policy_of(own, defaults) == AlertPolicy(0.6, 0.3, 1.5, 0.0, 9.0, 7.0)


@pytest.mark.parametrize("own", [AlertSettings(threshold=0.08), AlertSettings(hysteresis=0.7)])
def test_a_hysteresis_that_leaves_no_room_below_the_threshold_counts_as_half_of_it(
    own: AlertSettings,
) -> None:
    policy = policy_of(own, load_settings())
    assert 0 < policy.low == policy.threshold / 2


def test_it_opens_at_the_frame_at_which_the_policy_is_met() -> None:
    _, events = events_of([0.1, 0.1] + [0.8, 0.9] + [0.8] * 4)
    assert names(events) == ["new"]
    alert = events[0].alert
    assert (alert.id, alert.state, alert.opened_at, alert.closed_at) == (
        "gate:1000-7",
        "open",
        0.7,
        None,
    )
    assert (alert.peak_value, alert.peak_at, alert.threshold) == (0.9, 0.3, 0.75)


def test_a_flash_opens_nothing() -> None:
    assert events_of([0.9] * 5 + [0.1] + [0.9] * 5)[1] == []


def test_the_threshold_itself_counts() -> None:
    assert names(events_of([0.75] * 6)[1]) == ["new"]
    assert events_of([0.7499] * 60)[1] == []


def test_a_dip_within_the_hysteresis_does_not_interrupt() -> None:
    assert names(events_of([0.8, 0.8, 0.6, 0.61, 0.8, 0.8])[1]) == ["new"]
    assert events_of([0.8, 0.8, 0.59, 0.8, 0.8, 0.8])[1] == []


def test_it_opens_at_a_frame_that_is_abnormal_itself() -> None:
    _, events = events_of([0.8] + [0.65] * 9 + [0.8])
    assert events[0].alert.opened_at == 1.0


def test_no_value_neither_opens_nor_holds() -> None:
    assert events_of([None] * 60)[1] == []
    assert events_of([0.9, 0.9, None, 0.9, 0.9, 0.9])[1] == []
    assert names(events_of([0.9] * 6 + [None] * 21)[1]) == ["new", "end"]


def test_it_closes_after_a_while_below_and_not_before() -> None:
    state, events = events_of([0.9] * 6 + [0.1] * 20)
    assert names(events) == ["new"]
    state, events = events_of([0.1], state, first=26)
    assert names(events) == ["end"]
    assert (events[0].alert.state, events[0].alert.closed_at) == ("closed", 2.6)
    assert state == CameraAlerts(PolicyState(session=1000, last_at=2.6))


def test_a_rise_within_the_while_holds_it_open() -> None:
    assert names(events_of([0.9] * 6 + ([0.1] * 19 + [0.6]) * 3)[1]) == ["new"]


def test_a_rising_peak_is_reported_at_most_once_a_second_and_the_end_has_it() -> None:
    rising = [0.8] * 6 + [0.81 + i / 1000 for i in range(25)]
    state, events = events_of(rising)
    assert names(events) == ["new", "update", "update"]
    assert [event.alert.peak_at for event in events[1:]] == [1.5, 2.5]
    _, events = state.close(POLICY)
    assert (events[0].alert.peak_value, events[0].alert.closed_at) == (rising[-1], 3.0)


def test_a_peak_that_rose_in_between_is_reported_when_the_second_is_over() -> None:
    _, events = events_of([0.8] * 6 + [0.9] + [0.8] * 12)
    assert names(events) == ["new", "update"]
    assert (events[1].alert.peak_value, events[1].alert.peak_at) == (0.9, 0.6)


def test_a_new_session_closes_at_the_last_score_of_the_old() -> None:
    state, _ = events_of([0.9] * 10)
    state, events = state.step(POLICY, score(0, 0.9, session=2000, at=5.0))
    assert names(events) == ["end"]
    assert events[0].alert.closed_at == 0.9
    assert (state.state.session, state.state.above_since, state.alert) == (2000, 5.0, None)


def test_a_long_gap_closes_as_silence_does() -> None:
    state, _ = events_of([0.9] * 10)
    state, events = state.step(POLICY, score(10, 0.9, at=16.0))
    assert names(events) == ["end"]
    assert state.alert is None


def test_closing_what_is_not_open_tells_nothing_and_forgets_what_was_building_up() -> None:
    state, _ = events_of([0.9] * 3)
    assert state.close(POLICY) == (CameraAlerts(), [])


def test_a_clock_that_was_set_back_does_not_hold_it_up() -> None:
    state, _ = events_of([0.9] * 2)
    for seq in range(2, 8):
        state, events = state.step(POLICY, score(seq, 0.9, at=seq / 10 - 3600))
    assert names(events) == ["new"]


def test_no_minimum_opens_at_once() -> None:
    _, events = CameraAlerts().step(replace(POLICY, min_duration_s=0), score(0, 0.9))
    assert names(events) == ["new"]


@pytest.mark.parametrize("seed", range(20))
def test_stopped_and_resumed_anywhere_it_tells_the_same(seed: int) -> None:
    """The state passes through JSON between any two scores; unsaved scores are processed again."""
    chance = random.Random(seed)
    level, values = 0.5, []
    for _ in range(600):
        level = min(1.0, max(0.0, level + chance.uniform(-0.2, 0.2)))
        values.append(None if chance.random() < 0.02 else level)
    _, undisturbed = events_of(values)
    state, events = CameraAlerts(), []
    for seq, value in enumerate(values):
        saved = CameraAlerts.from_json(json.loads(json.dumps(state.as_json())))
        for _ in range(chance.randint(1, 2)):  # killed before it was saved: the same score again
            state, more = saved.step(POLICY, score(seq, value))
        events += more
    assert events == undisturbed
    assert names(events).count("new") > 0


def test_a_foreign_state_is_refused() -> None:
    with pytest.raises(TypeError):
        CameraAlerts.from_json({"unknown": 1})


def test_the_state_of_a_former_version_continues_its_open_alert() -> None:
    former = """{"session": 1000, "last_at": 1.1, "above_since": 0.2, "below_since": null,
        "peak_value": 0.95, "peak_at": 1.1, "told_at": 0.7, "untold": true,
        "alert": {"id": "gate:1000-7", "camera": "gate", "state": "open", "opened_at": 0.7,
            "closed_at": null, "threshold": 0.75, "peak_value": 0.9, "peak_at": 0.3}}"""
    state = CameraAlerts.from_json(json.loads(former))
    stored = state.as_json()
    expected = json.loads(former)
    assert stored.pop("alert").items() >= expected.pop("alert").items()  # and fields of today
    assert stored == expected
    events = events_of([0.9] * 6 + [0.1] * 21, state, first=12)[1]
    assert names(events) == ["update", "end"]
    assert (events[0].alert.id, events[0].alert.peak_value) == ("gate:1000-7", 0.95)
    assert (events[1].alert.opened_at, events[1].alert.closed_at) == (0.7, 3.8)


def test_an_open_alert_continues_under_a_changed_policy() -> None:
    state, (new,) = events_of([0.8] * 6)
    higher = replace(POLICY, threshold=0.95, clear_after_s=0.3)
    events: list[AlertEvent] = []
    for seq, value in enumerate([0.8] * 10 + [0.7] * 4, 6):
        state, more = state.step(higher, score(seq, value))
        events += more
    (end,) = events
    assert (end.event, end.alert.id) == ("end", new.alert.id)
    assert (end.alert.closed_at, end.alert.threshold) == (1.9, 0.75)


COOLING = replace(POLICY, clear_after_s=0.5, cooldown_s=4.0)
RISE, FALL = [0.9] * 6, [0.1] * 6  # of the alert that they open and close, at 0.5 s and 1.1 s


def test_rises_nearer_than_the_clear_time_are_one_alert() -> None:
    assert names(events_of(RISE + [0.1] * 5 + RISE, policy=COOLING)[1]) == ["new"]


def test_after_an_alert_none_opens_until_it_has_cooled_down() -> None:
    _, events = events_of(RISE + FALL + RISE + [0.1] * 22 + RISE, policy=COOLING)
    assert [(one.event, one.alert.opened_at) for one in events] == [
        ("new", 0.5),
        ("end", 0.5),
    ]
    _, events = events_of(RISE + FALL + RISE + [0.1] * 30 + RISE, policy=COOLING)
    assert [one.alert.opened_at for one in events if one.event == "new"] == [0.5, 5.3]


def test_what_outlasts_the_cool_down_is_an_alert_at_its_end() -> None:
    _, events = events_of(RISE + FALL + [0.8, 0.95] + [0.8] * 60, policy=COOLING)
    second = events[-1].alert
    assert (second.opened_at, second.peak_value, second.peak_at) == (5.1, 0.95, 1.3)


def test_a_cool_down_holds_over_a_new_session_and_ends_where_the_clock_was_set_back() -> None:
    state, _ = events_of(RISE + FALL, policy=COOLING)
    for seq in range(6):
        state, events = state.step(COOLING, score(seq, 0.9, session=2000, at=1.5 + seq / 10))
        assert events == []
    for seq in range(6):
        state, events = state.step(COOLING, score(seq, 0.9, session=3000, at=seq / 10))
    assert names(events) == ["new"]


def test_an_alert_that_nobody_was_told_of_cools_nothing_down() -> None:
    state, _ = events_of(RISE, policy=COOLING)
    state, _ = events_of(FALL, state.marked("gate:1000-1"), len(RISE), COOLING)
    assert state.alert is None
    assert names(events_of(RISE, state, 12, COOLING)[1]) == ["new"]


VALUES = st.lists(st.none() | st.floats(0, 1), max_size=120)


@examples(200)
@given(VALUES, st.integers(0, 120), st.sampled_from([POLICY, COOLING]))
def test_alerts_open_and_close_in_turn_and_a_restart_at_any_score_changes_nothing(
    values: list[float | None], restart: int, policy: AlertPolicy
) -> None:
    state, events = events_of(values, policy=policy)
    opened = [event.event for event in events if event.event != "update"]
    assert opened == (["new", "end"] * len(values))[: len(opened)]
    assert (state.alert is not None) == (len(opened) % 2 == 1)
    first, early = events_of(values[:restart], policy=policy)
    again = CameraAlerts.from_json(json.loads(json.dumps(first.as_json())))
    last, late = events_of(values[restart:], again, min(restart, len(values)), policy)
    assert (last, early + late) == (state, events)


@examples(200)
@given(VALUES)
def test_an_alert_opens_only_behind_half_a_second_that_was_never_low(
    values: list[float | None],
) -> None:
    """Six scores in a row, none of them low, the first and the last at the threshold."""
    opening = [event.alert.opened_at for event in events_of(values)[1] if event.event == "new"]
    for at in opening:
        seq = round(at * 10)
        before = values[: seq + 1]
        run = (
            len(before)
            - next((i for i in range(seq, -1, -1) if (before[i] or 0.0) < POLICY.low), -1)
            - 1
        )
        high = [i for i in range(seq + 1 - run, seq + 1) if (before[i] or 0.0) >= POLICY.threshold]
        assert high[-1] == seq
        assert high[-1] - high[0] >= 5
