"""The course of an alarm budget over the footage: bounded, and in hours."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from lookout.models.evaluation.budget_course import (
    MOST_POINTS,
    BudgetCourse,
    BudgetPoint,
    spans_of,
)
from lookout.models.evaluation.events import ClipSeries, event_metrics
from lookout.models.evaluation.report.budgets import budget_section, budgets_html
from lookout.models.scoring.alert_policy import AlertPolicy
from lookout.models.scoring.calibration import squash

POLICY = AlertPolicy(min_duration_s=0.0, clear_after_s=10.0)


def clip(hours: float, seed: int = 0, every_s: float = 5.0) -> ClipSeries:
    """Return normal values, one in 5 s, of a scene where something passes now and then."""
    rng = np.random.default_rng(seed)
    count = round(hours * 3600 / every_s)
    offsets = 0.4 + 0.2 * rng.normal(size=count)
    offsets += np.where(rng.random(count) < 0.03, rng.exponential(0.6, count), 0)
    values = np.array([squash(offset) for offset in offsets.tolist()])
    return ClipSeries(0, 0, 1 / every_s, values, np.zeros(count, np.uint8))


def test_the_course_ends_where_the_budget_stands() -> None:
    course = BudgetCourse(48, POLICY)
    found = event_metrics({"one": clip(3), "two": clip(3, seed=1)}, POLICY, course)
    assert found.budget is not None
    first, *_, last = found.budget_course
    assert (first.footage_s, first.expected, first.seen) == (0, 0, 0)
    assert (last.expected, last.seen) == (found.budget.expected, found.budget.seen)
    assert last.seen > 3
    for before, after in pairwise(found.budget_course):
        assert before.footage_s <= after.footage_s <= before.footage_s + 70
        assert before.seen <= after.seen
    assert json.loads(json.dumps(found.as_json()))["budget_course"][-1]["seen"] == last.seen


@pytest.mark.wide
def test_a_course_of_days_has_a_bounded_number_of_points() -> None:
    course = BudgetCourse(24, POLICY)
    event_metrics({"days": clip(60)}, POLICY, course)
    assert MOST_POINTS / 2 <= len(course.points) <= MOST_POINTS + 1
    assert course.points[-1].footage_s == pytest.approx(60 * 3600, rel=0.05)


@pytest.mark.parametrize(("hours", "rows"), [(0.2, 1), (1, 1), (4.5, 5), (480, 48)])
def test_spans_are_hours_and_lose_no_alarm(hours: float, rows: int) -> None:
    points = [
        BudgetPoint(minute * 60.0, minute / 60, minute // 90, 0.5)
        for minute in range(round(hours * 60) + 1)
    ]
    spans = spans_of(points)
    assert len(spans) == rows
    assert sum(span.seen for span in spans) == points[-1].seen
    assert sum(span.expected for span in spans) == pytest.approx(points[-1].expected)
    assert all(one.last_hour == two.first_hour for one, two in pairwise(spans))
    assert all(span.low <= span.seen <= span.high for span in spans)
    assert spans_of(points[:1]) == []


def test_hours_of_the_day_have_the_footage_and_the_alarms_of_all_days() -> None:
    zone = ZoneInfo("Europe/Zurich")
    began = datetime(2026, 7, 3, 22, 30, tzinfo=zone)
    policy = replace(POLICY, quiet_after_s=60.0)
    clips = {name: clip(1.5, every_s=60.0) for name in ("evening", "midnight")}
    found = event_metrics(clips, policy, BudgetCourse(240, policy, zone), began.timestamp())
    assert found.budget is not None
    hours = {one.hour: one for one in found.budget_hours}
    assert sorted(hours) == [0, 1, 22, 23]
    assert hours[23].footage_s > 1.5 * hours[22].footage_s > 0  # from half past ten on
    assert sum(one.seen for one in hours.values()) == found.budget.seen >= 2
    assert sum(one.expected for one in hours.values()) == pytest.approx(found.budget.expected)
    assert all(one.low <= one.seen <= one.high for one in hours.values())
    html = budgets_html({"gate": found}, {})
    assert html.count(":00</td>") == 4
    assert json.loads(json.dumps(found.as_json()))["budget_hours"][0]["hour"] == 0
    unknown = event_metrics({"one": clip(1)}, POLICY, BudgetCourse(48, POLICY))
    assert unknown.budget_hours == ()
    assert "By hour of the day" not in budgets_html({"gate": unknown}, {})


def test_when_footage_began_moves_no_alarm_where_the_hour_is_not_known() -> None:
    clips = {"one": clip(0.5), "two": clip(0.5, seed=1)}
    at_zero = event_metrics(clips, POLICY, BudgetCourse(240, POLICY))
    today = event_metrics(clips, POLICY, BudgetCourse(240, POLICY), 1.7e9)
    assert at_zero.alarms == today.alarms
    assert len(at_zero.alarms) > 3


def test_the_report_shows_each_camera_and_is_the_same_bytes_each_time() -> None:
    found = event_metrics({"one": clip(2.5)}, POLICY, BudgetCourse(48, POLICY))
    html = budgets_html({"gate <1>": found, "yard": None}, {"score": "places"})
    assert html == budgets_html({"gate <1>": found, "yard": None}, {"score": "places"})
    assert html.count("<svg") == 1
    assert "gate &lt;1&gt;" in html
    assert "0 to 0.99" in html or "0 to 1" in html
    assert "95 % interval, from" in html
    assert "do not say their frame rate" in html
    assert "http" not in html.replace("http-equiv", "")
    assert budget_section(replace(found, budget=None)) is None
