"""From scores to values, with what is normal learned first."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.models.scoring.calibration import HIGH, LOW, Bounds, causal_value, local_value
from lookout.models.scoring.normalizer import Learner, Scheme, Scores


def scores(psnr_db: float = 40.0, gate_error: float = math.nan, local_db: float = -30.0) -> Scores:
    return Scores(psnr_db, 1e-6, gate_error, local_db)


def test_a_learner_gives_no_value_until_it_has_seen_enough() -> None:
    learner = Learner(None, 3)
    assert [learner.value(scores(psnr), 0.6) for psnr in (40.0, math.nan, 39.0, 41.0)] == [None] * 4
    assert learner.bounds is not None
    assert learner.bounds.frames == 3  # the broken one does not count
    assert learner.value(scores(30.0), 0.6) == causal_value(30.0, 1e-6, learner.bounds, 0.6)
    assert learner.learned == learner.needed == 3


def test_a_learner_learns_the_gate_as_well() -> None:
    learner = Learner(None, 3)
    for gate in (0.01, 0.02, 0.09):
        learner.value(scores(gate_error=gate), 0.6)
    assert learner.bounds is not None
    assert learner.bounds.gate_error == 0.02


def test_values_are_made_of_the_local_score_where_that_is_wanted() -> None:
    learner = Learner(None, 101, "local")
    for local_db in np.linspace(-30, -25, 101):
        assert learner.value(scores(local_db=float(local_db)), 0.6) is None
    bounds = learner.bounds
    assert bounds is not None
    assert bounds.local_db == pytest.approx((-29.95, -25.05))
    low, middle, strange = (
        learner.value(scores(psnr, local_db=at), 0.6)
        for psnr, at in ((9, -30), (99, -27.5), (40, -20))
    )
    assert low is not None
    assert low < LOW  # whatever its PSNR
    assert middle == pytest.approx((LOW + HIGH) / 2)
    assert strange == local_value(-20.0, bounds)
    assert strange > 0.7


def test_learning_anew_keeps_what_values_are_made_of() -> None:
    learner = Learner(Bounds(30.0, 40.0, 0.0, 1e-6, 9, local_db=(-30.0, -25.0)), 7, "local").anew()
    assert (learner.bounds, learner.needed, learner.scheme) == (None, 7, "local")


def test_bounds_without_local_ones_are_enough_for_the_published_score_only() -> None:
    bounds = Bounds(30.0, 40.0, 0.0, 1e-6, 9)
    assert Learner(bounds, 9).value(scores(), 0.6) == causal_value(40.0, 1e-6, bounds, 0.6)
    with pytest.raises(ValueError, match="no bounds of the local score"):
        Learner(bounds, 9, "local")


NUMBERS = st.floats(0, 100)
FRAMES = st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS | st.just(math.nan), NUMBERS), max_size=12)


@given(FRAMES, st.integers(0, 12), st.sampled_from(["paper", "local"]))
def test_a_learner_goes_on_from_its_snapshot_bit_for_bit(
    frames: list[tuple[float, float, float, float]], cut: int, scheme: Scheme
) -> None:
    whole, first = Learner(None, 6, scheme), Learner(None, 6, scheme)
    values = [whole.value(Scores(*frame), 0.6) for frame in frames]
    before = [first.value(Scores(*frame), 0.6) for frame in frames[:cut]]
    second = Learner.of_json(json.loads(json.dumps(first.as_json(), allow_nan=False)), 6, scheme)
    assert second.learned == first.learned
    assert before + [second.value(Scores(*frame), 0.6) for frame in frames[cut:]] == values
    assert second.bounds == whole.bounds


def test_bounds_saved_without_a_gate_error_or_local_bounds_still_load() -> None:
    saved = {
        "psnr_low_db": 30.0,
        "psnr_high_db": 40.0,
        "distance_low": 0.0,
        "distance_high": 1e-6,
        "frames": 9,
    }
    learner = Learner.of_json({"bounds": saved, "seen": []}, 9)
    assert learner.bounds == Bounds(30.0, 40.0, 0.0, 1e-6, 9, gate_error=None, local_db=None)


@pytest.mark.parametrize("local_db", [[1.0], [9.0, 1.0], [math.nan, 1.0], 3.0])
def test_local_bounds_that_are_none_are_refused(local_db: object) -> None:
    saved = {
        "psnr_low_db": 30.0,
        "psnr_high_db": 40.0,
        "distance_low": 0.0,
        "distance_high": 1e-6,
        "frames": 9,
    }
    with pytest.raises((ValueError, TypeError)):
        Learner.of_json({"bounds": saved | {"local_db": local_db}, "seen": []}, 9)
