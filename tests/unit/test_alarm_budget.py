"""A budget of alarms: exact counts at every threshold, the tail beyond, and the rule they set."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, tzinfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.models.arrays import unpacked
from lookout.models.evaluation.events import ClipValue
from lookout.models.scoring.alarm_budget import HIGHEST, AlarmBudget
from lookout.models.scoring.alarm_counts import COUNT, OFFSETS, THRESHOLDS, AlarmCounts
from lookout.models.scoring.alarm_tail import PeakCurve
from lookout.models.scoring.alert_policy import (
    AlertClosed,
    AlertOpened,
    AlertPolicy,
    PolicyEvent,
    PolicyState,
)
from lookout.models.scoring.budget_report import DAY_S, poisson_interval, span_words
from lookout.models.scoring.calibration import squash, unsquash
from lookout.models.scoring.hour_levels import SLOTS, HourLevels
from tests.conftest import examples, with_wide_forms

FPS = 2.0
POLICY = AlertPolicy(min_duration_s=1.0, clear_after_s=4.0)
HOUR = int(3600 * FPS)


def footage(seed: int, count: int, *, first: int = 0, rate: float = 0.01) -> list[ClipValue]:
    """Return scores of a scene where something passes now and then, `rate` of the scores."""
    rng = np.random.default_rng(seed)
    offsets = 0.4 + 0.2 * rng.normal(size=count)
    for begin in np.flatnonzero(rng.random(count) < rate).tolist():
        lasts = 1 + int(rng.exponential(6))
        offsets[begin : begin + lasts] += rng.exponential(0.4)
    return [
        ClipValue((first + number) / FPS, squash(offset))
        for number, offset in enumerate(offsets.tolist())
    ]


class Camera:
    """A policy with its budget, score by score."""

    def __init__(
        self, per_day: float, policy: AlertPolicy = POLICY, zone: tzinfo | None = None
    ) -> None:
        self.budget = AlarmBudget(per_day, policy, zone)
        self.state: PolicyState = policy.initial()
        self.thresholds: list[float] = []

    def watch(self, scores: Iterable[ClipValue]) -> list[PolicyEvent]:
        found: list[PolicyEvent] = []
        for score in scores:
            self.thresholds.append(self.budget.rule.threshold)
            self.state, events = self.budget.step(self.state, score)
            found += events
        return found


def alarms_at(threshold: float, scores: Sequence[ClipValue], policy: AlertPolicy) -> int:
    """Return the number of alerts that the policy itself opens with a threshold."""
    policy = replace(policy, threshold=threshold)
    state = policy.initial()
    opened = 0
    for score in scores:
        state, events = policy.step(state, score)
        opened += sum(isinstance(event, AlertOpened) for event in events)
    return opened


# Counts


@examples(15)
@given(
    seed=st.integers(0, 10_000),
    hysteresis=st.sampled_from([0.0, 0.02, 0.1, 0.25]),
    min_duration_s=st.sampled_from([0.0, 0.5, 1.3]),
    clear_after_s=st.sampled_from([0.0, 0.4, 2.0, 3.7]),
    steadiness=st.floats(0, 0.98),
)
def test_every_threshold_counts_the_alerts_that_the_policy_opens_with_it(
    seed: int, hysteresis: float, min_duration_s: float, clear_after_s: float, steadiness: float
) -> None:
    rng = np.random.default_rng(seed)
    policy = AlertPolicy(0.5, hysteresis, min_duration_s, clear_after_s)
    level = 0.0
    scores = []
    now = 0.0
    session = 0
    for _ in range(400):
        level = steadiness * level + (1 - steadiness**2) ** 0.5 * rng.normal()
        now += float(rng.choice([0.1, 0.2, 16.0], p=[0.9, 0.097, 0.003]))
        session += int(rng.random() < 0.003)
        value = None if rng.random() < 0.01 else float(1 / (1 + np.exp(-1.5 * level)))
        scores.append(ClipValue(now, value, session))
    counts = AlarmCounts(policy)
    for score in scores:
        counts.update(score)
    for number in range(0, COUNT, 9):
        if THRESHOLDS[number] > hysteresis:
            assert counts.alarms[number] == alarms_at(THRESHOLDS[number], scores, policy)


def test_footage_is_the_time_between_scores_of_a_session() -> None:
    counts = AlarmCounts(POLICY)
    for at, value, session in [(0, 0.3, 0), (2, 0.3, 0), (1, 0.3, 0), (2, None, 0), (3, 0.7, 1)]:
        counts.update(ClipValue(float(at), value, session))
    assert counts.footage_s == 2  # a step back, one while learning, and a new session are none
    counts.update(ClipValue(3 + DAY_S, 0.7, 1))
    assert counts.footage_s == 2 + POLICY.quiet_after_s


def test_an_open_alert_is_one_alarm_of_bounded_height_and_no_footage() -> None:
    counts = AlarmCounts(replace(POLICY, min_duration_s=0.0, clear_after_s=0.0))
    for number, value in enumerate([0.9, 0.1, 0.9, 0.1, 0.99]):
        assert not counts.update(ClipValue(float(number), value), alert_counts_to=0.8)
    assert counts.alarms == [float(threshold <= 0.8) for threshold in THRESHOLDS]


def test_the_waiting_entries_are_bounded_by_number() -> None:
    counts = AlarmCounts(AlertPolicy(min_duration_s=86_400, clear_after_s=86_400, hysteresis=0.9))
    for number in range(3000):
        counts.update(ClipValue(number / 10, number / 4000))
    for number in range(3000, 6000):
        counts.update(ClipValue(number / 10, (6001 - number) / 4000))
    assert len(json.dumps(counts.state_dict())) < 25_000


# The tail


@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.2])
def test_the_fit_finds_the_tail_of_many_peaks(shape: float) -> None:
    share = 0.1 / 400
    true = 1 + 0.4 * (-np.log(share) if shape == 0 else (share**-shape - 1) / shape)
    beyond = []
    for seed in range(20):
        uniform = np.random.default_rng(seed).random(400)
        excess = 0.4 * (-np.log(uniform) if shape == 0 else (uniform**-shape - 1) / shape)
        peaks = 1 + excess
        alarms = [float((peaks >= offset).sum()) for offset in OFFSETS]
        curve = PeakCurve.of(alarms, [0.0] * COUNT, DAY_S, 0.0)
        for expected in (400.0, 100.0, 20.0, 2.0):
            exceeded = (peaks >= curve.offset_for(expected)).sum()
            assert 0.6 * expected - 2 <= exceeded <= 1.5 * expected + 2
        beyond.append(curve.offset_for(0.1))
    assert 0.75 * true < np.median(beyond) < 2 * true  # forty peaks know no more


@given(
    counts=st.lists(st.floats(0, 500), min_size=1, max_size=COUNT),
    first=st.integers(0, COUNT),
    ask=st.lists(st.floats(1e-6, 2000), min_size=2, max_size=8),
)
def test_a_larger_budget_never_has_a_higher_threshold(
    counts: list[float], first: int, ask: list[float]
) -> None:
    alarms = counts + [0.0] * (COUNT - len(counts))
    times_s = [100.0] * first + [0.0] * (COUNT - first)
    curve = PeakCurve.of(alarms, times_s, 100.0, 0.1)
    offsets = [curve.offset_for(allowed) for allowed in sorted(ask)]
    assert offsets == sorted(offsets, reverse=True)
    assert all(offset >= [*OFFSETS, np.inf][curve.first] for offset in offsets)


# The budget


@examples(10)
@given(seed=st.integers(0, 1000), hours=st.integers(0, 3), zone=st.sampled_from([None, UTC]))
def test_the_threshold_falls_with_the_budget_after_any_footage(
    seed: int, hours: int, zone: tzinfo | None
) -> None:
    camera = Camera(24, zone=zone)
    camera.watch(footage(seed, hours * HOUR))
    budgets = [0.01, 1, 3, 24, 1000, 1e9]
    thresholds = [camera.budget.threshold_for(per_day) for per_day in budgets]
    assert thresholds == sorted(thresholds, reverse=True)


@examples(8)
@given(
    seed=st.integers(0, 1000),
    cut=st.integers(0, HOUR),
    per_day=st.sampled_from([1, 24, 5000]),
    zone=st.sampled_from([None, UTC]),
)
def test_a_restart_at_any_score_changes_nothing(
    seed: int, cut: int, per_day: float, zone: tzinfo | None
) -> None:
    scores = footage(seed, HOUR, first=HOUR // 2)  # two hours of the day
    undisturbed = Camera(per_day, zone=zone)
    events = undisturbed.watch(scores)
    before = Camera(per_day, zone=zone)
    found = before.watch(scores[:cut])
    after = Camera(per_day, zone=zone)
    after.budget.load_state_dict(json.loads(json.dumps(before.budget.state_dict())))
    after.state = before.state
    found += after.watch(scores[cut:])
    assert found == events
    assert after.budget.state_dict() == undisturbed.budget.state_dict()
    assert before.thresholds + after.thresholds == undisturbed.thresholds


@pytest.mark.long
def test_what_is_seen_comes_near_the_budget() -> None:
    camera = Camera(48)
    camera.watch(footage(3, 24 * HOUR))
    report = camera.budget.report()
    assert report.expected == pytest.approx(48, abs=1)
    assert 48 / 1.5 <= report.seen <= 48 * 1.5
    assert report.seen_per_day_high is not None
    assert report.seen_per_day_low < report.seen < report.seen_per_day_high
    assert f" hours seen: {report.seen} alarms where 47.8 were expected; " in report.sentence


def test_little_footage_is_said_and_its_threshold_is_cautious() -> None:
    camera = Camera(1)
    assert camera.budget.rule.threshold == HIGHEST
    camera.watch(footage(3, int(10 * FPS)))
    assert camera.budget.report().sentence == (
        "10 seconds seen: a budget of 1 a day cannot be checked yet"
    )
    camera.watch(footage(4, int(2390 * FPS), first=int(10 * FPS)))
    report = camera.budget.report()
    assert report.sentence == "40 minutes seen: a budget of 1 a day cannot be checked yet"
    assert report.seen == 0
    assert max(score.value or 0 for score in footage(4, 4780)) < report.threshold < 0.97


def test_a_strong_event_alarms_after_forty_minutes() -> None:
    camera = Camera(1)
    camera.watch(footage(5, int(2400 * FPS)))
    value = squash(12)
    event = [ClipValue(2400 + number / FPS, value) for number in range(20)]
    assert any(isinstance(found, AlertOpened) for found in camera.watch(event))


@pytest.mark.parametrize("value", [0.01, 0.3, 0.5, 0.9, 0.999])
def test_equal_values_never_alarm(value: float) -> None:
    for per_day, zone in ((1, UTC), (1e9, None), (1e9, UTC)):
        camera = Camera(per_day, zone=zone)
        scores = [ClipValue(number / FPS, value) for number in range(HOUR)]
        assert camera.watch(scores) == []
        assert camera.budget.rule.threshold > value


def test_after_equal_values_an_event_alarms_where_the_budget_knows_its_height() -> None:
    for value, per_day, alarms in [(0.3, 24, 1), (0.3, 1, 0), (0.9, 24, 0)]:
        camera = Camera(per_day, zone=UTC)
        camera.watch([ClipValue(number / FPS, value) for number in range(HOUR)])
        event = squash(unsquash(value) + 3)
        found = camera.watch([ClipValue(3600 + number / FPS, event) for number in range(10)])
        assert len(found) == alarms


@pytest.mark.parametrize("zone", [None, UTC])
def test_a_camera_that_sleeps_at_night_keeps_the_budget_of_its_waking_hours(
    zone: tzinfo | None,
) -> None:
    """Twelve of 24 hours are filmed: half of the budget is expected, and no night is made up."""
    policy = replace(POLICY, min_duration_s=0.0, clear_after_s=60.0, quiet_after_s=60.0)
    camera = Camera(24, policy, zone)
    for day in range(2):
        dawn = day * DAY_S + 8 * 3600
        camera.watch(
            replace(score, captured_at=dawn + 20.0 * number, session=day)
            for number, score in enumerate(footage(day, 12 * 180, rate=0.03))
        )
    report = camera.budget.report()
    assert report.expected == pytest.approx(24, abs=1.5)  # less the open alerts
    assert 24 / 1.5 <= report.seen <= 24 * 1.5
    levels = camera.budget.state_dict()["levels"]
    if levels is not None:
        blocks = unpacked(levels["levels"], "<f8", (3, SLOTS))[0]
        assert np.flatnonzero(blocks).tolist() == list(range(8, 20))


def test_an_alert_under_the_largest_budget_closes() -> None:
    camera = Camera(86_400)
    events = camera.watch(footage(13, HOUR))
    opened = sum(isinstance(event, AlertOpened) for event in events)
    closed = sum(isinstance(event, AlertClosed) for event in events)
    assert opened > 5
    assert closed >= opened - 1
    assert camera.budget.report().footage_minutes > 50


def test_the_largest_budget_leaves_most_of_the_footage_without_alarm() -> None:
    camera = Camera(1e9)
    scores = footage(6, 2 * HOUR)
    camera.watch(scores)
    values = [score.value or 0 for score in scores]
    assert np.mean(np.array(values) >= camera.budget.rule.threshold) <= 0.05


@pytest.mark.parametrize("per_day", [0, -1, float("nan"), float("inf")])
def test_a_budget_is_a_finite_number_above_nothing(per_day: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        AlarmBudget(per_day, POLICY)


def test_the_threshold_stands_still_while_an_alert_is_open() -> None:
    camera = Camera(200)
    camera.watch(footage(7, 3 * HOUR))
    first = 3 * HOUR
    stuck = [ClipValue((first + number) / FPS, 0.999) for number in range(2 * HOUR)]
    before = camera.budget.report()
    camera.thresholds.clear()
    events = camera.watch(stuck)
    assert [type(event) for event in events].count(AlertOpened) == 1
    assert len(set(camera.thresholds)) == 1
    after = camera.budget.report()
    assert after.seen == before.seen + 1
    assert after.footage_minutes - before.footage_minutes < 0.1


def test_an_event_lifts_the_threshold_by_no_more_than_a_usual_peak() -> None:
    camera = Camera(24)
    camera.watch(footage(8, 2 * HOUR))
    before = unsquash(camera.budget.rule.threshold)
    event = [ClipValue(7200 + number / FPS, squash(300.0)) for number in range(60)]
    events = camera.watch([*event, *footage(9, HOUR, first=2 * HOUR + 60)])
    assert any(isinstance(found, AlertClosed) for found in events)
    assert unsquash(camera.budget.rule.threshold) < before + 2


def test_alarms_seen_beside_those_expected_correct_what_is_asked() -> None:
    camera = Camera(4)
    camera.watch(footage(14, 6 * HOUR))
    state = camera.budget.state_dict()

    def threshold(seen_lately: float, expected_lately: float) -> float:
        budget = AlarmBudget(4, POLICY)
        lately = {"seen_lately": seen_lately, "expected_lately": expected_lately}
        budget.load_state_dict(state | lately)
        return budget.threshold_for(4)

    as_expected = threshold(6, 6)
    assert threshold(0, 6) < threshold(2, 6) < as_expected < threshold(9, 6)
    assert threshold(0, 6) == threshold(0, 1e6)  # at most three times
    plain = AlarmBudget(4, POLICY)
    plain.load_state_dict(state | {"seen_lately": 6.0, "expected_lately": 6.0})
    # A thousand real events ask for half of the budget, no less.
    assert threshold(1000, 6) == plain.threshold_for(2)
    assert threshold(0, 1e6) == plain.threshold_for(12)


@pytest.mark.wide
def test_hours_have_thresholds_of_their_own_once_there_is_footage_of_them() -> None:
    """An hour with much going on, then a still one: the same height is judged by its hour."""
    camera = Camera(24, zone=UTC)
    for hour in range(12):
        rate = 0.03 if hour % 2 else 0.0005
        camera.watch(footage(20 + hour, HOUR, first=hour * HOUR, rate=rate))
    by_hour = []
    for hour in (25, 26):  # the same hours of the next day
        camera.thresholds.clear()
        camera.watch(footage(40 + hour, HOUR // 4, first=hour * HOUR, rate=0.0005))
        by_hour.append(camera.thresholds[-1])
    assert unsquash(by_hour[0]) > unsquash(by_hour[1]) + 0.1
    stored = AlarmBudget.of_state(camera.budget.state_dict(), UTC)
    shown = stored.hour_thresholds()
    assert len(shown) == SLOTS
    assert shown[2] == pytest.approx(stored.rule.threshold, abs=0.01)  # of the hour that it is
    assert unsquash(shown[1]) > unsquash(shown[2]) + 0.1
    one = Camera(24)
    assert one.budget.state_dict()["levels"] is None
    assert one.budget.hour_thresholds() == []


def test_an_alert_in_a_still_hour_can_close() -> None:
    """Its threshold is low there, and what is usual must lie below it by the hysteresis."""
    levels = HourLevels(UTC)
    for hour, tops in ((14, (0.5, 1.0)), (2, (0.0, 0.01))):
        levels.move_to(hour * 3600.0)
        for top in tops * 300:
            levels.learn(top, 60.0)
    camera = Camera(24, zone=UTC)
    camera.watch(footage(16, HOUR))
    taught = {"levels": levels.state_dict()}
    budget = AlarmBudget(24, POLICY, UTC)
    budget.load_state_dict(camera.budget.state_dict() | taught)
    for per_day in (24, 1e9):
        assert budget.threshold_for(per_day) - POLICY.hysteresis > squash(0.02)


def test_a_state_from_before_the_hours_is_continued_with_them() -> None:
    camera = Camera(24)
    camera.watch(footage(16, HOUR))
    state = camera.budget.state_dict()
    del state["levels"], state["offset"]
    after = AlarmBudget(24, POLICY, UTC)
    after.load_state_dict(state)
    assert after.rule == camera.budget.rule


def test_a_state_without_what_was_seen_lately_is_taken() -> None:
    camera = Camera(24)
    camera.watch(footage(15, HOUR))
    state = camera.budget.state_dict()
    del state["seen_lately"], state["expected_lately"]
    after = AlarmBudget(24, POLICY)
    after.load_state_dict(state)
    assert after.rule == camera.budget.rule
    assert after.report() == camera.budget.report()


@pytest.mark.wide
def test_hours_without_scores_are_no_footage() -> None:
    """A camera that sleeps at night, and a clock that jumps by a day, change no rate."""
    awake = Camera(24)
    awake.watch(footage(10, 4 * HOUR))
    asleep = Camera(24)
    scores = footage(10, 4 * HOUR)
    night_s = 12 * 3600.0
    later = [
        replace(score, captured_at=score.captured_at + night_s, session=1)
        for score in scores[2 * HOUR :]
    ]
    asleep.watch([*scores[: 2 * HOUR], *later])
    jumped = Camera(24)
    jumped.watch([*scores[: 2 * HOUR], *(replace(score, session=0) for score in later)])
    for camera in (asleep, jumped):
        minutes = camera.budget.report().footage_minutes
        assert minutes == pytest.approx(awake.budget.report().footage_minutes, abs=1)
        assert camera.budget.rule.threshold == pytest.approx(awake.budget.rule.threshold, abs=0.05)


@pytest.mark.parametrize("zone", with_wide_forms([None, UTC], [None]))
def test_a_week_that_is_scored_in_an_afternoon_is_a_week(zone: tzinfo | None) -> None:
    """Only the frames' own times count, not when they are scored."""
    policy = replace(POLICY, min_duration_s=0.0, quiet_after_s=120.0)
    camera = Camera(4, policy, zone)
    camera.watch(
        replace(score, captured_at=score.captured_at * FPS * 60) for score in footage(17, 7 * 1440)
    )
    report = camera.budget.report()
    assert report.footage_minutes == pytest.approx(7 * 1440, rel=0.06)  # less the open alerts
    assert 28 / 1.5 <= report.seen <= 28 * 1.5


def test_a_clock_that_jumps_by_a_day_and_a_half_leaves_the_hours_in_order() -> None:
    camera = Camera(24, zone=UTC)
    scores = footage(18, 2 * HOUR)
    camera.watch(scores)
    before = camera.budget.rule.threshold
    camera.watch(replace(score, captured_at=score.captured_at + 1.5 * DAY_S) for score in scores)
    assert camera.budget.rule.threshold == pytest.approx(before, abs=0.1)
    camera.watch([ClipValue(1e17, 0.3), ClipValue(1e17 + 1, 0.3)])  # no calendar holds it
    assert camera.budget.report().footage_minutes == pytest.approx(240, abs=1)


def test_a_step_back_of_the_clock_breaks_nothing() -> None:
    camera = Camera(24)
    scores = footage(11, HOUR)
    camera.watch(scores)
    camera.watch(replace(score, captured_at=score.captured_at - DAY_S) for score in scores)
    assert camera.budget.report().footage_minutes == pytest.approx(120, abs=1)


def test_another_budget_keeps_what_was_learned_and_another_rule_starts_again() -> None:
    camera = Camera(24)
    camera.watch(footage(12, 2 * HOUR))
    stored = camera.budget.state_dict()
    looser = AlarmBudget(240, POLICY)
    looser.load_state_dict(stored)
    assert looser.rule.threshold == looser.threshold_for(240) < camera.budget.rule.threshold
    assert (looser.report().seen, looser.report().footage_minutes) == (0, 0)
    other = AlarmBudget(24, replace(POLICY, min_duration_s=3.0))
    other.load_state_dict(stored)
    assert other.rule.threshold == HIGHEST


@pytest.mark.parametrize("key", ["counts", "footage_s", "seen", "threshold"])
def test_a_broken_state_is_refused(key: str) -> None:
    state = AlarmBudget(24, POLICY).state_dict()
    for broken in ({**state, key: "x"}, {name: state[name] for name in state if name != key}):
        with pytest.raises((ValueError, TypeError, KeyError)):
            AlarmBudget(24, POLICY).load_state_dict(broken)


def test_intervals_are_those_of_the_exact_method() -> None:
    for seen, low, high in [(0, 0, 3.689), (1, 0.0253, 5.572), (10, 4.795, 18.39)]:
        assert poisson_interval(seen) == pytest.approx((low, high), rel=0.02, abs=0.02)


def test_spans_are_said_in_the_unit_that_a_person_would_take() -> None:
    words = [span_words(seconds) for seconds in (10, 2400, 3 * 3600, 12 * DAY_S)]
    assert words == ["10 seconds", "40 minutes", "3 hours", "12 days"]
