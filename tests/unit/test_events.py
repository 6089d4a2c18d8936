"""Event metrics: alarms against a second implementation; detected, late and false alarms."""

from __future__ import annotations

import itertools
import math
from enum import Enum, auto

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.models.evaluation.events import (
    ClipSeries,
    alarm_spans,
    at_thresholds,
    event_metrics,
    runs,
)
from lookout.models.scoring.alert_policy import AlertPolicy

FPS = 10
POLICY = AlertPolicy(threshold=0.5, hysteresis=0.1, min_duration_s=0.3, clear_after_s=0.5)
NONE = math.nan


def watched(values: list[float], labels: list[int], first: int = 0, ahead: int = 0) -> ClipSeries:
    return ClipSeries(first, ahead, FPS, np.array(values), np.array(labels, np.uint8))


class Phase(Enum):
    QUIET = auto()
    RISING = auto()  # reached the threshold, not low since; not long enough yet
    ALARM = auto()
    FALLING = auto()  # low, not long enough yet


def spans_by_counting(
    values: list[float], fps: float, policy: AlertPolicy
) -> list[tuple[int, int, int]]:
    """Return the same spans by a state machine that counts frames."""

    def lasts(begin: int, frame: int, duration_s: float) -> bool:
        return (frame - begin) / fps >= duration_s - 0.001

    spans: list[tuple[int, int, int]] = []
    phase = Phase.QUIET
    since = opened = below = 0  # below: the first frame of FALLING
    for frame, value in enumerate(0.0 if math.isnan(value) else value for value in values):
        high = value >= policy.threshold
        low = value < policy.low
        if phase is Phase.QUIET and high:
            phase = Phase.RISING
            since = frame
        elif phase is Phase.RISING and low:
            phase = Phase.QUIET
        elif phase is Phase.ALARM and low:
            phase = Phase.FALLING
            below = frame
        elif phase is Phase.FALLING and not low:
            phase = Phase.ALARM
        if phase is Phase.RISING and high and lasts(since, frame, policy.min_duration_s):
            phase = Phase.ALARM
            opened = frame
        elif phase is Phase.FALLING and lasts(below, frame, policy.clear_after_s):
            phase = Phase.QUIET
            spans.append((since, opened, below - 1))
    if phase is Phase.ALARM:
        spans.append((since, opened, len(values) - 1))
    elif phase is Phase.FALLING:
        spans.append((since, opened, below - 1))
    return spans


VALUES = st.lists(st.sampled_from([0.2, 0.39, 0.4, 0.45, 0.49, 0.5, 0.6, 0.9, NONE]), max_size=60)


@given(
    VALUES,
    st.sampled_from([5, 10, 12.5, 25, 29.97]),
    st.sampled_from([0.0, 0.2, 0.5]),
    st.sampled_from([0.0, 0.4, 2]),
)
def test_alarms_are_those_that_counting_frames_finds(
    values: list[float], fps: float, minimum_s: float, clear_s: float
) -> None:
    policy = AlertPolicy(0.5, 0.1, minimum_s, clear_s)
    spans = alarm_spans(np.array(values), fps, policy)
    assert spans == spans_by_counting(values, fps, policy)
    for since, opened, last in spans:
        assert since <= opened <= last < len(values)
        assert values[since] >= policy.threshold
        assert values[last] >= policy.low


@given(st.lists(st.booleans(), max_size=20))
def test_runs_cover_what_is_marked_and_nothing_else(marked: list[bool]) -> None:
    found = runs(np.array(marked, bool))
    assert [i for first, last in found for i in range(first, last + 1)] == [
        i for i, m in enumerate(marked) if m
    ]
    assert all(b[0] > a[1] + 1 for a, b in itertools.pairwise(found))


def test_an_event_is_detected_when_the_alarm_opens() -> None:
    values = [0.1] * 10 + [0.9] * 10 + [0.1] * 20
    labels = [0] * 8 + [1] * 12 + [0] * 20
    metrics = event_metrics({"01": watched(values, labels, first=4)}, POLICY)
    (event,) = metrics.events
    (alarm,) = metrics.alarms
    assert (event.first, event.last) == (12, 23)
    assert (alarm.since, alarm.opened, alarm.last, alarm.false) == (14, 17, 23, False)
    assert event.delay_s == pytest.approx(0.5)  # 0.2 s until the value rose, 0.3 s at the threshold
    assert (metrics.recall_percent, metrics.false_alarms) == (100.0, 0)
    assert metrics.normal_hours == pytest.approx(28 / FPS / 3600)
    assert metrics.false_alarms_per_hour == 0.0


def test_an_alarm_open_before_its_event_has_no_delay_and_one_opened_after_it_counts() -> None:
    early = watched([0.9] * 10, [0] * 5 + [1] * 5)
    short = watched([0.1, 0.9, 0.9, 0.9, 0.9, 0.9], [0, 1, 1, 0, 0, 0])
    metrics = event_metrics({"01": early, "02": short}, POLICY)
    assert metrics.delays_s == [0.0, pytest.approx(0.3)]
    assert metrics.false_alarms == 0


def test_a_camera_that_always_alarms_detects_nothing() -> None:
    metrics = event_metrics({"01": watched([0.9] * 40, [0] * 20 + [1] * 10 + [0] * 10)}, POLICY)
    assert (metrics.recall_percent, metrics.false_alarms, metrics.normal_in_alarm_percent) == (
        0.0,
        1,
        100.0,
    )


@pytest.mark.parametrize(("early", "false"), [(0, False), (10, False), (11, True)])
def test_an_alarm_may_begin_a_second_before_the_label(early: int, false: bool) -> None:
    values, labels = [0.1] * (20 - early) + [0.9] * (early + 5), [0] * 20 + [1] * 5
    metrics = event_metrics({"01": watched(values, labels)}, POLICY)
    assert (metrics.alarms[0].false, metrics.delays_s == []) == (false, false)


def test_an_alarm_that_is_over_before_the_event_is_false() -> None:
    values, labels = [0.9] * 5 + [0.1] * 10, [0] * 6 + [1] * 9
    metrics = event_metrics({"01": watched(values, labels)}, POLICY)
    assert (metrics.recall_percent, metrics.false_alarms) == (0.0, 1)
    assert metrics.normal_in_alarm_percent == pytest.approx(100 * 5 / 6)


def test_a_score_that_needs_later_frames_opens_later() -> None:
    values, labels = [0.1] * 5 + [0.9] * 5, [0] * 5 + [1] * 5
    (event,) = event_metrics({"01": watched(values, labels, ahead=8)}, POLICY).events
    assert event.delay_s == pytest.approx(0.3 + 0.8)


def test_a_missed_event_and_a_false_alarm() -> None:
    values = [0.9] * 6 + [0.1] * 14
    metrics = event_metrics({"01": watched(values, [0] * 15 + [1] * 5)}, POLICY)
    assert (metrics.recall_percent, metrics.false_alarms) == (0.0, 1)
    assert metrics.false_alarms_per_hour == pytest.approx(3600 / 1.5)
    assert metrics.events[0].delay_s is None
    summary = metrics.as_json()
    assert (summary["delay_median_s"], summary["delay_max_s"]) == (None, None)


def test_two_events_of_one_alarm_are_both_detected() -> None:
    labels = [1] * 5 + [0] * 5 + [1] * 5
    metrics = event_metrics({"01": watched([0.9] * 15, labels)}, POLICY)
    assert (len(metrics.alarms), metrics.recall_percent) == (1, 100.0)
    assert metrics.delays_s == [pytest.approx(0.3), 0.0]


def test_frames_while_the_bounds_are_learned_count_for_nothing() -> None:
    values, labels = [NONE] * 10 + [0.1] * 10, [1] * 5 + [0] * 3 + [1] * 4 + [0] * 8
    metrics = event_metrics({"01": watched(values, labels)}, POLICY)
    (event,) = metrics.events  # the first was over before there was a value
    assert (event.first, event.last, event.delay_s) == (10, 11, None)
    assert metrics.normal_hours == pytest.approx(8 / FPS / 3600)


def test_without_events_or_normal_footage_there_is_no_number() -> None:
    normal = event_metrics({"01": watched([0.1] * 5, [0] * 5)}, POLICY)
    assert (
        normal.recall_percent,
        normal.false_alarms_per_hour,
        normal.normal_in_alarm_percent,
    ) == (None, 0.0, 0.0)
    anomalous = event_metrics({"01": watched([0.9] * 5, [1] * 5)}, POLICY)
    assert (anomalous.recall_percent, anomalous.false_alarms_per_hour) == (100.0, None)
    assert anomalous.normal_in_alarm_percent is None


def test_a_clip_is_a_session_of_its_own() -> None:
    clips = {name: watched([0.9] * 2, [0] * 2) for name in ("01", "02")}
    assert event_metrics(clips, POLICY).alarms == []


@given(st.lists(st.sampled_from([0.05, 0.3, 0.55, 0.8, 0.97]), min_size=1, max_size=40))
def test_without_hysteresis_and_duration_and_next_to_events_a_higher_threshold_finds_no_more(
    values: list[float],
) -> None:
    policy = AlertPolicy(0.5, 0.0, 0.0, 0.0)
    clips = {"01": watched(values, [i % 3 % 2 for i in range(len(values))])}
    recalls = [at["recall_percent"] or 0.0 for at in at_thresholds(clips, policy)]
    assert recalls == sorted(recalls, reverse=True)


def test_thresholds_stay_above_the_hysteresis() -> None:
    clips = {"01": watched([0.9] * 5, [1] * 5)}
    assert [at["threshold"] for at in at_thresholds(clips, POLICY)][:2] == [0.15, 0.2]
