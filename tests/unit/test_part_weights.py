"""The weight of the memory of places is measured on made anomalies, and travels to the camera."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookout.models.evaluation.live_scoring import Conditions, LiveScoring
from lookout.models.media.lossless_clip import write_lossless
from lookout.models.scorer import Scorer
from lookout.models.scoring.calibration import Bounds, fused_value
from lookout.models.scoring.normalizer import RawScores
from lookout.models.training.part_weights import WEIGHTS, PartScores, best_weight, measure_parts
from lookout.service.inference.line_start import fresh_state
from tests.ingest_line import camera
from tests.tiny import TINY_OF, street, tiny_checkpoint, untrained

LEARNING = {"calibration": "learn", "score": "fused"}
SEEDS = st.integers(0, 2**32 - 1)


def drawn(seed: int, frames: int, local_db: float, place_db: float) -> PartScores:
    """Return scores of two independent parts around the means given."""
    rng = np.random.default_rng(seed)
    return PartScores(rng.normal(local_db, 1.0, frames), rng.normal(place_db, 2.0, frames))


def slow_auc(normal: PartScores, abnormal: PartScores, weight: float) -> float:
    """Return the share of pairs in order, in percent, by the values that a camera shows."""
    bounds = Bounds.of([30.0], [0.0], (), normal.local_db, normal.place_db)
    low, high = (
        [
            fused_value(*pair, bounds, weight)
            for pair in zip(one.local_db.tolist(), one.place_db.tolist(), strict=True)
        ]
        for one in (normal, abnormal)
    )
    right = sum((a > n) + (a == n) / 2 for a in high for n in low)
    return 100 * right / (len(high) * len(low))


@settings(max_examples=10)
@given(SEEDS, st.floats(-1, 4), st.floats(-1, 8))
def test_the_best_weight_is_that_of_a_slow_obvious_search(
    seed: int, local_db: float, place_db: float
) -> None:
    normal = drawn(seed, 12, 0.0, 0.0)
    abnormal = drawn(seed + 1, 9, local_db, place_db)
    auc = {weight: slow_auc(normal, abnormal, weight) for weight in WEIGHTS}
    found = best_weight(normal, abnormal)
    assert found.fused == pytest.approx(max(auc.values()))
    assert auc[found.place_weight] == pytest.approx(found.fused)
    assert (found.local, found.places) == pytest.approx((auc[0.0], auc[1.0]))
    assert found.fused >= max(found.local, found.places)


@pytest.mark.parametrize(
    ("local_db", "place_db", "weights"),
    [
        (4.0, 0.0, (0.0, 0.3)),  # the network alone tells
        (0.0, 8.0, (0.7, 1.0)),  # the memory alone
        (2.0, 4.0, (0.3, 0.7)),  # both alike, over the spread of normal frames
        (90.0, 90.0, (0.5, 0.5)),  # any sum tells all: what a camera has by default
    ],
)
def test_the_part_that_tells_more_counts_more(
    local_db: float, place_db: float, weights: tuple[float, float]
) -> None:
    found = best_weight(drawn(0, 2000, 0.0, 0.0), drawn(1, 2000, local_db, place_db))
    assert weights[0] <= found.place_weight <= weights[1]


def write_street(path: Path, frames: int) -> Path:
    write_lossless(path, np.stack([street(seq) for seq in range(frames)]), 10)
    return path


@pytest.mark.wide
def test_held_out_footage_is_scored_as_it_is_and_with_made_anomalies(tmp_path: Path) -> None:
    clip = write_street(tmp_path / "street.mkv", 9)  # one full mean of the memory
    calls = []
    found = measure_parts(tiny_checkpoint(), [clip], [clip], 0, lambda: calls.append(1))
    assert found is not None
    assert found.place_weight in WEIGHTS
    assert found.fused >= max(found.local, found.places)
    assert len(calls) >= 2 * 9 + 5 + 4 * (5 + 5)  # decoded; learned; by both parts


def test_too_short_footage_and_a_model_of_one_frame_have_no_weight(tmp_path: Path) -> None:
    clip = write_street(tmp_path / "street.mkv", 8)
    assert measure_parts(tiny_checkpoint(), [clip], [clip], 0, lambda: None) is None
    single = untrained(TINY_OF["mnad-recon"])
    assert measure_parts(single, [clip], [clip], 0, lambda: None) is None


@pytest.mark.parametrize("weight", [0.5, 0.2])
def test_a_camera_and_an_evaluation_take_the_weight_of_the_checkpoint(weight: float) -> None:
    scorer = Scorer(replace(tiny_checkpoint(), place_weight=weight))
    made = camera("gate", "gate.mp4").model_copy(update=LEARNING)
    live = fresh_state(made, scorer, None, 20).normalizer
    scoring = LiveScoring(scorer, "fused", 1.0, 20, Conditions())
    scoring.learn([])
    evaluated = scoring.normalizers["fused"]
    rng = np.random.default_rng(0)
    frames = [RawScores(30.0, 0.0, 0.01, *rng.normal(size=2).tolist()) for _ in range(40)]
    shown = [live.value(frame) for frame in frames]
    assert shown == [evaluated.value(frame) for frame in frames]
    assert shown[:10] == [None] * 10
    assert live.bounds is not None
    (one,) = frames[-1:]
    assert live.part_value(one.local_db, one.place_db) == fused_value(
        one.local_db, one.place_db, live.bounds, weight
    )
