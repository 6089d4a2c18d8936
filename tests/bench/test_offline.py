"""The offline comparison: smoothing and fusion by hand, and a whole small run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lookout.models.data.synthetic_anomalies import KINDS
from lookout.models.scorer import Scorer
from lookout.models.scoring.metrics import AROUND, minmax, value_fused
from tests.bench.offline import SMOOTHINGS, Ensemble, Smoothing, Video, Way, of_kinds, ways
from tests.clips import write_clip
from tests.tiny import tiny_checkpoint


def test_a_smoothed_score_is_the_mean_of_the_frames_around() -> None:
    values = np.array([0.0, 3.0, 6.0, 0.0])
    assert Smoothing().of(values) == pytest.approx(values)
    assert Smoothing(1).of(values) == pytest.approx([0, 1.5, 4.5, 3])
    assert Smoothing(1, 1).of(values) == pytest.approx([1.5, 3, 3, 3])


def test_two_parts_tell_what_neither_tells_alone() -> None:
    first, second = np.array([0.0, 0.4, 1.0, 0.3]), np.array([0.4, 0.0, 0.3, 1.0])
    videos = [
        Video(kind, {"a": first, "b": second}, np.array([0, 0, 1, 1], np.uint8)) for kind in KINDS
    ]
    assert Way(("a",), Smoothing()).auc_percent(videos) == 75
    assert of_kinds(Way(("a", "b"), Smoothing()), videos) == 100
    assert len(ways(["a", "b"])) == 3 * 5


def test_the_chosen_way_is_the_fused_score_of_an_evaluation() -> None:
    numbers = np.random.default_rng(0)
    paper, local_db = numbers.random(40), numbers.normal(-30, 4, 40)
    chosen = Smoothing(AROUND, AROUND)
    assert chosen in SMOOTHINGS
    assert value_fused(paper, local_db) == pytest.approx(chosen.of(paper + minmax(local_db)) / 2)


def test_made_anomalies_lie_where_the_truth_says(tmp_path: Path) -> None:
    path = tmp_path / "01.mp4"
    write_clip(path, range(30), size_px=(64, 48))
    videos = list(Ensemble({"tiny": Scorer(tiny_checkpoint())}).made(path, draws=1))
    assert [video.kind for video in videos] == list(KINDS)
    for video in videos:
        assert set(video.parts) == {"tiny paper", "tiny local"}
        assert {len(part) for part in video.parts.values()} == {len(video.truth)} == {26}
        assert 0 < video.truth.sum() <= 26 // 3
