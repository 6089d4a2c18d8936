"""Drawn scenes: the same from seed and number alone, with stated rates and labelled anomalies."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from lookout.models.data import drawn_nuisances
from lookout.models.data.drawn_nuisances import HOUR_S, Nuisances, Weather
from lookout.models.data.drawn_scene import FPS, KINDS, PLANS, DrawnScene, SceneKind
from tests.cli import lookout
from tests.conftest import with_wide_forms

DAY_MINUTES = 24 * 60


@pytest.mark.parametrize("kind", with_wide_forms(KINDS, KINDS[::2]))
@pytest.mark.parametrize("nuisances", with_wide_forms(["usual", "other", "none"], {"usual"}))
def test_a_frame_depends_on_kind_seed_and_number_alone(
    kind: SceneKind, nuisances: Nuisances
) -> None:
    first = DrawnScene(kind, 3, nuisances=nuisances, anomalies_per_hour=600, start_hour=8)
    frames = list(first.frames(40))
    assert frames[0].shape == (256, 256, 3)
    assert frames[0].dtype == np.uint8
    again = DrawnScene(kind, 3, nuisances=nuisances, anomalies_per_hour=600, start_hour=8)
    for index in (39, 0, 17):
        assert np.array_equal(again.frame(index), frames[index])
    assert not np.array_equal(DrawnScene(kind, 4, start_hour=8).frame(0), frames[0])
    assert not all(np.array_equal(before, after) for before, after in pairwise(frames))


@pytest.mark.parametrize("kind", with_wide_forms(KINDS, KINDS[:1]))
def test_anomalies_are_labelled_and_come_at_their_rate(kind: SceneKind) -> None:
    scene = DrawnScene(kind, 5, anomalies_per_hour=6)
    found = [
        passage
        for minute in range(2 * DAY_MINUTES)
        for passage in scene.passages_of_minute(minute)
        if passage.is_anomaly
    ]
    assert 200 <= len(found) <= 380
    assert {passage.flow.name for passage in found} == {one.name for one in PLANS[kind].anomalies}
    alone = DrawnScene(kind, 5, anomalies_per_hour=6, start_hour=found[0].start_s / 3600)
    assert alone.is_abnormal(1)
    quiet = DrawnScene(kind, 5)
    assert not any(
        passage.is_anomaly
        for minute in range(DAY_MINUTES)
        for passage in quiet.passages_of_minute(minute)
    )


@pytest.mark.wide
def test_traffic_follows_the_hour_and_a_delivery_comes_once_a_day() -> None:
    scene = DrawnScene("street", 1)
    minutes = [scene.passages_of_minute(minute) for minute in range(3 * DAY_MINUTES)]
    noon = sum(len(found) for found in minutes[12 * 60 : 14 * 60])
    night = sum(len(found) for found in minutes[60 : 3 * 60])
    assert noon > 4 * night > 0
    delivered = [
        minute % DAY_MINUTES // 60
        for minute, found in enumerate(minutes)
        if any(passage.flow.name == "delivery" for passage in found)
    ]
    assert len(delivered) == 3
    assert all(8 <= hour < 18 for hour in delivered)


@pytest.mark.parametrize("kind", with_wide_forms(KINDS, KINDS[1:2]))
def test_what_is_tied_to_the_hour_is_usual_on_workdays_and_abnormal_at_night(
    kind: SceneKind,
) -> None:
    scene = DrawnScene(kind, 5, is_hourly=True)
    friday = 4 * DAY_MINUTES
    passing = [
        (minute, one)
        for day in (friday, friday + DAY_MINUTES)
        for begin, end in ((0, 5 * 60), (12 * 60, 17 * 60))
        for minute in range(day + begin, day + end)
        for one in scene.passages_of_minute(minute)
        if one.flow == PLANS[kind].hourly
    ]
    usual = [minute for minute, one in passing if not one.is_anomaly]
    assert 8 <= len(usual) <= 32
    assert all(friday + 13 * 60 <= minute < friday + 16 * 60 for minute in usual)
    wrong = [minute for minute, one in passing if one.is_anomaly]
    assert [minute // DAY_MINUTES for minute in wrong] == [4, 5]
    assert all(60 <= minute % DAY_MINUTES < 4 * 60 for minute in wrong)
    alone = DrawnScene(kind, 5, is_hourly=True, start_hour=wrong[0] / 60)
    assert any(alone.is_abnormal(index) for index in range(0, 60 * FPS, FPS))
    plain = DrawnScene(kind, 5)
    assert plain.passages_of_minute(wrong[0]) == [
        one for one in scene.passages_of_minute(wrong[0]) if one.flow != PLANS[kind].hourly
    ]


@pytest.mark.parametrize("nuisances", ["usual", "other"])
@pytest.mark.parametrize("is_outside", [True, False])
def test_nuisances_come_at_their_stated_rates(nuisances: Nuisances, is_outside: bool) -> None:
    weather = Weather(2, nuisances, is_outside=is_outside)
    kinds = [one for one in drawn_nuisances.KINDS[nuisances] if one.is_outside == is_outside]
    assert kinds
    for number, kind in enumerate(kinds):
        bouts = [len(weather.bouts_of_hour(number, hour)) for hour in range(240)]
        hours = 240 * (11 / 24 if kind.at_night else 1)
        assert sum(bouts) == pytest.approx(kind.per_hour * hours, rel=0.35)


def test_no_nuisance_of_the_last_test_is_among_the_usual_ones() -> None:
    usual, other = (
        {one.name for one in drawn_nuisances.KINDS[which]} for which in ("usual", "other")
    )
    assert not usual & other


def test_light_changes_slowly_by_day_and_at_once_at_dusk() -> None:
    weather = Weather(2, "none", is_outside=True)
    light = np.array([weather.light(minute * 60.0) for minute in range(DAY_MINUTES)])
    assert light[12 * 60] > 1.5 * light[5 * 60]
    steps = np.abs(np.diff(light))
    assert np.median(steps) < 0.01
    assert 17 * 60 < steps[15 * 60 :].argmax() + 15 * 60 < 19.5 * 60
    assert light.min() > 0.1
    assert len(weather.over(np.zeros((256, 256, 3), np.uint8), 0, HOUR_S)) == 256


@pytest.mark.long
def test_the_command_draws_a_set_that_the_benchmark_takes(tmp_path: Path) -> None:
    out = tmp_path / "street"
    said = lookout("scene", "street", out, "--minutes", 0.5, "--anomalies", 300, "--hourly")
    assert said.out.splitlines()[-1] == f"next: lookout benchmark {out}"
    labels = json.loads((out / "labels.json").read_text())
    frames = round(0.5 * 60 * FPS)
    assert labels["train_frames"] == {"01": frames}
    assert labels["test"]["01"]["anomalous_first_last_0based_inclusive"]
    assert "0.5 minutes of normal footage" in lookout("benchmark", out).out
    assert "0.1" in lookout("scene", "street", out, "--minutes", "nan", expect=2).err
