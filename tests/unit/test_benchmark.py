"""The benchmark of scenes, and the copy of the last frame that stands beside every AUC."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from lookout.models.errors import DataError
from lookout.models.evaluation.benchmark import SCORES, recall_at, run_scene, series
from lookout.models.evaluation.copy_last import copy_scores
from lookout.models.scoring.alert_policy import AlertPolicy
from lookout.models.scoring.local import LocalScore
from lookout.service.demo.scene import write_dataset
from tests.cli import lookout


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes") / "square"
    write_dataset(folder, train_clips=2, test_clips=1, seconds=10, seed=3)
    return folder


@pytest.fixture(scope="module")
def short_scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("short") / "square"
    write_dataset(folder, train_clips=1, test_clips=1, seconds=7, seed=3)
    return folder


def test_the_copy_of_the_last_frame_is_scored_as_a_prediction() -> None:
    clip = np.random.default_rng(0).integers(0, 256, (7, 64, 64, 3), np.uint8)
    scores = copy_scores(clip)
    local = LocalScore()
    assert math.isnan(scores.psnr_db[0])
    assert math.isnan(scores.local_db[0])
    for number in range(1, len(clip)):
        error = ((clip[number].astype(float) - clip[number - 1]) / 255) ** 2
        assert scores.psnr_db[number] == pytest.approx(-10 * math.log10(error.mean()), abs=1e-4)
        cells = np.sqrt(error.mean(axis=2)) * 65535  # a cell is a pixel
        slow = local.update((0, number), cells.round().astype(np.uint16))
        assert scores.local_db[number] == pytest.approx(slow, abs=1e-3)


def test_a_still_clip_is_copied_without_an_error() -> None:
    scores = copy_scores(np.full((4, 64, 64, 3), 9, np.uint8))
    assert scores.psnr_db[1:].tolist() == pytest.approx([100] * 3)


@pytest.mark.long
def test_a_scene_is_learned_and_measured_beside_the_copy(scene: Path) -> None:
    frames = []
    result = run_scene(scene, AlertPolicy(), on_frame=lambda: frames.append(1))
    assert set(result.scores) == set(SCORES)
    assert len(frames) == result.normal_frames + 100 - 3  # each clip's first has no score
    assert result.normal_minutes == pytest.approx(result.normal_frames / 600)
    for score in result.scores.values():
        assert score.frames.auc_micro is not None
        assert score.events
        assert score.recall_percent is not None
    assert json.loads(json.dumps(result.as_json()))["scene"] == "square"


@pytest.mark.long
def test_minutes_of_footage_bound_what_is_learned(scene: Path) -> None:
    result = run_scene(scene, AlertPolicy(), normal_minutes=0.2)
    assert result.normal_frames == 120


@pytest.mark.long
def test_a_budget_follows_the_normal_footage_and_then_the_clips(scene: Path) -> None:
    result = run_scene(scene, AlertPolicy(), normal_minutes=0.1, alarms_per_day=24)
    for score in result.scores.values():
        assert score.budgeted is not None
        assert score.budgeted.budget is not None
        assert score.budgeted.budget.per_day == 24
        assert score.budgeted.policy.threshold == score.budgeted.budget.threshold
        assert score.budgeted.budget.footage_minutes > 0


def test_the_recall_is_that_of_a_threshold_with_few_enough_false_alarms() -> None:
    numbers = np.full(3000, 0.0)
    numbers[100:200] = 5.0  # a false alarm
    numbers[1000:1100] = 3.0  # an event
    numbers[2000:2100] = 9.0  # another
    labels = np.zeros(3000, np.uint8)
    labels[1000:1100] = 1
    labels[2000:2100] = 1
    watched = series({"a": numbers}, {"a": labels}, {"a": 10.0}, 0.0, 4.0)
    assert recall_at(watched, AlertPolicy(), 0.0) == (2, 50.0)
    assert recall_at(watched, AlertPolicy(), 100.0) == (2, 100.0)


def test_clips_without_a_frame_rate_have_no_events() -> None:
    labels = {"a": np.zeros(3, np.uint8)}
    assert series({"a": np.zeros(3)}, labels, {"a": None}, 0.0, 1.0) == {}


def test_a_scene_without_labels_or_normal_clips_is_refused_in_one_line(
    short_scene: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "test").symlink_to(short_scene / "test")
    with pytest.raises(DataError, match="bare has no labels"):
        run_scene(bare, AlertPolicy())
    (bare / "labels.json").symlink_to(short_scene / "labels.json")
    with pytest.raises(DataError) as refused:
        run_scene(bare, AlertPolicy())
    assert "\n" not in str(refused.value)


def test_the_command_prints_each_scene_and_writes_every_number(
    short_scene: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.json"
    said = lookout(
        "benchmark",
        short_scene,
        "--minutes",
        0.1,
        "--json",
        out,
        "--alarm-budget",
        '{"per_day": 1}',
        "--began",
        "2026-07-01T22:30",
        "--report",
        tmp_path / "budgets.html",
    )
    assert "<h2>square</h2>" in (tmp_path / "budgets.html").read_text()
    refused = lookout("benchmark", short_scene, "--report", tmp_path / "none.html", expect=1)
    assert "--alarm-budget" in refused.one_line()
    for words in ("0.1 minutes of normal footage", *SCORES.values(), "false an hour"):
        assert words in said.out
    written = json.loads(out.read_text())
    assert [one["scene"] for one in written["scenes"]] == ["square"]
