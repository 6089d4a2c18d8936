"""Events and alarms: against the live rule itself, and what counts as noticed, late and false."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.models.evaluation.events import (
    AlarmRule,
    Watched,
    alarm_spans,
    at_thresholds,
    event_metrics,
    runs,
)
from lookout.service.alerting.rule import Limits, Rule, step
from lookout.service.core.messages import Score

FPS = 10
RULE = AlarmRule(threshold=0.5, hysteresis=0.1, min_duration_s=0.3, clear_after_s=0.5)
NONE = math.nan


def watched(values: list[float], labels: list[int], first: int = 0, ahead: int = 0) -> Watched:
    return Watched(first, ahead, FPS, np.array(values), np.array(labels, np.uint8))


def score(seq: int, fps: float, value: float) -> Score:
    at_s = 1000.0 + seq / fps
    return Score(
        "gate",
        1,
        seq,
        at_s,
        at_s,
        "tiny",
        30.0,
        0.0,
        0.0,
        False,
        None if math.isnan(value) else value,
    )


def live(values: list[float], fps: float, rule: AlarmRule) -> dict[str, list[int]]:
    """At which frames the live rule opens ("new") and closes ("end") an alert."""
    limits = Limits(
        rule.threshold, rule.low, rule.min_duration_s, rule.clear_after_s, quiet_after_s=15.0
    )
    state, at = Rule(), dict[str, list[int]](new=[], end=[], update=[])
    for seq, value in enumerate(values):
        state, events = step(state, score(seq, fps, value), limits)
        for event in events:
            at[event.event].append(seq)
    return at


VALUES = st.lists(st.sampled_from([0.2, 0.39, 0.4, 0.45, 0.49, 0.5, 0.6, 0.9, NONE]), max_size=60)


@given(
    VALUES,
    st.sampled_from([5, 10, 12.5, 25, 29.97]),
    st.sampled_from([0.0, 0.2, 0.5]),
    st.sampled_from([0.0, 0.4, 2]),
)
def test_alarms_are_those_of_the_live_rule(
    values: list[float], fps: float, minimum_s: float, clear_s: float
) -> None:
    rule = AlarmRule(0.5, 0.1, minimum_s, clear_s)
    spans, expected = alarm_spans(np.array(values), fps, rule), live(values, fps, rule)
    assert [opened for _, opened, _ in spans] == expected["new"]
    for since, opened, last in spans:
        assert since <= opened <= last < len(values)
        assert values[since] >= rule.threshold
        assert values[last] >= rule.low
    for (_, _, last), closed in zip(spans, [*expected["end"], len(values)], strict=False):
        assert not any(value >= rule.low for value in values[last + 1 : closed])


@given(st.lists(st.booleans(), max_size=20))
def test_runs_cover_what_is_marked_and_nothing_else(marked: list[bool]) -> None:
    found = runs(np.array(marked, bool))
    assert [i for first, last in found for i in range(first, last + 1)] == [
        i for i, m in enumerate(marked) if m
    ]
    assert all(b[0] > a[1] + 1 for a, b in itertools.pairwise(found))


def test_an_event_is_noticed_when_the_alarm_is_told() -> None:
    values = [0.1] * 10 + [0.9] * 10 + [0.1] * 20
    labels = [0] * 8 + [1] * 12 + [0] * 20
    found = event_metrics({"01": watched(values, labels, first=4)}, RULE)
    (event,), (alarm,) = found.events, found.alarms
    assert (event.first, event.last) == (12, 23)
    assert (alarm.since, alarm.opened, alarm.last, alarm.false) == (14, 17, 23, False)
    assert event.delay_s == pytest.approx(0.5)  # 0.2 s until the value rose, 0.3 s at the threshold
    assert (found.recall_percent, found.false_alarms) == (100.0, 0)
    assert found.normal_hours == pytest.approx(28 / FPS / 3600)
    assert found.false_alarms_per_hour == 0.0


def test_an_alarm_told_before_its_event_has_no_delay_and_one_told_after_it_counts_for_it() -> None:
    early = watched([0.9] * 10, [0] * 5 + [1] * 5)
    short = watched([0.1, 0.9, 0.9, 0.9, 0.9, 0.9], [0, 1, 1, 0, 0, 0])
    found = event_metrics({"01": early, "02": short}, RULE)
    assert found.delays_s == [0.0, pytest.approx(0.3)]
    assert found.false_alarms == 0


def test_a_camera_that_always_alarms_notices_nothing() -> None:
    found = event_metrics({"01": watched([0.9] * 40, [0] * 20 + [1] * 10 + [0] * 10)}, RULE)
    assert (found.recall_percent, found.false_alarms, found.normal_in_alarm_percent) == (
        0.0,
        1,
        100.0,
    )


@pytest.mark.parametrize(("early", "false"), [(0, False), (10, False), (11, True)])
def test_an_alarm_may_begin_a_second_before_the_label(early: int, false: bool) -> None:
    values, labels = [0.1] * (20 - early) + [0.9] * (early + 5), [0] * 20 + [1] * 5
    found = event_metrics({"01": watched(values, labels)}, RULE)
    assert (found.alarms[0].false, found.delays_s == []) == (false, false)


def test_an_alarm_that_is_over_before_the_event_is_false() -> None:
    values, labels = [0.9] * 5 + [0.1] * 10, [0] * 6 + [1] * 9
    found = event_metrics({"01": watched(values, labels)}, RULE)
    assert (found.recall_percent, found.false_alarms) == (0.0, 1)
    assert found.normal_in_alarm_percent == pytest.approx(100 * 5 / 6)


def test_a_score_that_needs_later_frames_is_told_later() -> None:
    values, labels = [0.1] * 5 + [0.9] * 5, [0] * 5 + [1] * 5
    (event,) = event_metrics({"01": watched(values, labels, ahead=8)}, RULE).events
    assert event.delay_s == pytest.approx(0.3 + 0.8)


def test_a_missed_event_and_a_false_alarm() -> None:
    values = [0.9] * 6 + [0.1] * 14
    found = event_metrics({"01": watched(values, [0] * 15 + [1] * 5)}, RULE)
    assert (found.recall_percent, found.false_alarms) == (0.0, 1)
    assert found.false_alarms_per_hour == pytest.approx(3600 / 1.5)
    assert found.events[0].delay_s is None
    summary = found.as_json()
    assert (summary["delay_median_s"], summary["delay_max_s"]) == (None, None)


def test_two_events_of_one_alarm_are_both_noticed() -> None:
    labels = [1] * 5 + [0] * 5 + [1] * 5
    found = event_metrics({"01": watched([0.9] * 15, labels)}, RULE)
    assert (len(found.alarms), found.recall_percent) == (1, 100.0)
    assert found.delays_s == [pytest.approx(0.3), 0.0]


def test_frames_while_the_bounds_are_learned_count_for_nothing() -> None:
    values, labels = [NONE] * 10 + [0.1] * 10, [1] * 5 + [0] * 3 + [1] * 4 + [0] * 8
    found = event_metrics({"01": watched(values, labels)}, RULE)
    (event,) = found.events  # the first was over before there was a value
    assert (event.first, event.last, event.delay_s) == (10, 11, None)
    assert found.normal_hours == pytest.approx(8 / FPS / 3600)


def test_without_events_or_normal_footage_there_is_no_number() -> None:
    normal = event_metrics({"01": watched([0.1] * 5, [0] * 5)}, RULE)
    assert (
        normal.recall_percent,
        normal.false_alarms_per_hour,
        normal.normal_in_alarm_percent,
    ) == (None, 0.0, 0.0)
    anomalous = event_metrics({"01": watched([0.9] * 5, [1] * 5)}, RULE)
    assert (anomalous.recall_percent, anomalous.false_alarms_per_hour) == (100.0, None)
    assert anomalous.normal_in_alarm_percent is None


def test_a_clip_is_a_session_of_its_own() -> None:
    clips = {name: watched([0.9] * 2, [0] * 2) for name in ("01", "02")}
    assert event_metrics(clips, RULE).alarms == []


@given(st.lists(st.sampled_from([0.05, 0.3, 0.55, 0.8, 0.97]), min_size=1, max_size=40))
def test_without_hysteresis_and_duration_and_next_to_events_a_higher_threshold_finds_no_more(
    values: list[float],
) -> None:
    rule = AlarmRule(0.5, 0.0, 0.0, 0.0)
    clips = {"01": watched(values, [i % 3 % 2 for i in range(len(values))])}
    recalls = [at["recall_percent"] or 0.0 for at in at_thresholds(clips, rule)]
    assert recalls == sorted(recalls, reverse=True)


def test_thresholds_stay_above_the_hysteresis() -> None:
    clips = {"01": watched([0.9] * 5, [1] * 5)}
    assert [at["threshold"] for at in at_thresholds(clips, RULE)][:2] == [0.15, 0.2]
