"""The short form of the table of cameras by budget."""

from __future__ import annotations

import re

import pytest

from lookout.models.evaluation.events import ClipValue
from lookout.models.scoring.calibration import squash
from tests.bench.alarm_pictures import days_of_pictures, hours_of_pictures, scenes
from tests.bench.alarm_streams import cameras, hours, stream, streams, varied
from tests.bench.watched_budget import Watched, table


def test_a_stream_comes_near_a_budget_of_one_an_hour() -> None:
    row, summary = streams({24: 2}, ["trees"], seeds=[1])
    assert row.startswith("trees 1 ")
    assert "no events" in row
    assert summary.startswith("24 a day: 1 of 1 cameras within a factor 1.5")


def test_the_same_seed_draws_the_same_scores() -> None:
    assert list(stream("trees", 1, 1)) == list(stream("trees", 1, 1))
    assert sum(is_abnormal for _, is_abnormal in stream("machine", 2, 5)) == 5


@pytest.mark.wide
def test_cameras_come_near_their_budget_after_a_day_to_learn_from() -> None:
    (row,) = cameras(1, {24: 3}, ["trees", "machine"])
    assert row.startswith("  24 a day,  3 days: 2 of 2 cameras within a factor 1.5; ")
    assert row.endswith("0 at the lowest threshold")
    assert varied("trees", 1) == varied("trees", 1) != varied("trees", 2)


@pytest.mark.long
def test_what_is_usual_by_day_is_noticed_at_night() -> None:
    one, by_hour = hours(1, days=7)
    numbers = [[float(part) for part in re.findall(r"[\d.]+", row)] for row in (one, by_hour)]
    _, _, _, noticed_by_one, events, false_by_one = numbers[0]
    _, _, _, noticed, _, false = numbers[1]
    assert events == 7
    assert noticed >= 0.9 * events > noticed_by_one
    assert false <= false_by_one


@pytest.mark.long
@pytest.mark.timeout(600)
def test_what_is_usual_by_day_is_noticed_at_night_in_pictures() -> None:
    one, by_hour, minutes = hours_of_pictures(["corridor"], learn_days=7, days=3)
    found = [re.search(r"(\d+) of 3 events .*; ([\d.]+) false", row) for row in (one, by_hour)]
    by_one, by_both = (match.groups() for match in found if match is not None)
    assert int(by_both[0]) == 3 > int(by_one[0])
    assert float(by_both[1]) <= float(by_one[1])
    assert minutes.endswith(" minutes of CPU")


def test_alarms_in_events_are_not_false() -> None:
    watched = Watched("gate", 86_400)
    for number in range(3000):
        is_abnormal = 2000 <= number < 2030
        lift = 3.0 if is_abnormal or 2500 <= number < 2520 else 0.01 * (number % 7)
        watched.see(ClipValue(number / 5, squash(0.4 + lift)), is_abnormal=is_abnormal)
    assert (watched.events, len(watched.delays_s), watched.false) == (1, 1, 1)
    assert 0.4 <= watched.delays_s[0] <= 0.8
    assert "1 of 1 events" in next(table([watched]))


@pytest.mark.wide
def test_days_of_pictures_have_a_row_for_each_generator_of_nuisances() -> None:
    rows = list(days_of_pictures(0.005, ["machine"], budgets=[24]))
    assert [row.split(" ")[1] for row in rows[:2]] == ["usual", "other"]
    assert rows[-1].endswith(" minutes of CPU")


@pytest.mark.long
@pytest.mark.timeout(600)
def test_every_scene_has_a_row() -> None:
    rows = list(scenes(1, budgets=[24], nuisances=["usual"]))
    assert [row.split(",")[0] for row in rows] == ["street", "corridor", "car-park", "machine"]
