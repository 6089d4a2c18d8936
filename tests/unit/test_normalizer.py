"""Turn scores into values, with given or learned bounds."""

from __future__ import annotations

import decimal
import json
import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.models.scoring.calibration import (
    HIGH,
    LOW,
    Bounds,
    causal_value,
    fused_value,
    local_value,
    narrowed,
    place_in,
    squash,
)
from lookout.models.scoring.normalizer import (
    MOST_RISE_DB,
    TEACHES_BELOW,
    Normalizer,
    RawScores,
    Scheme,
)


def scores(
    psnr_db: float = 40.0, gate_error: float = math.nan, local_db: float = -30.0
) -> RawScores:
    return RawScores(psnr_db, 1e-6, gate_error, local_db)


def test_a_normalizer_gives_no_value_until_it_has_seen_enough() -> None:
    normalizer = Normalizer(None, 3, fusion_weight=0.6)
    assert [normalizer.value(scores(psnr)) for psnr in (40.0, math.nan, 39.0, 41.0)] == [None] * 4
    assert normalizer.bounds is not None
    assert normalizer.bounds.frames == 3  # the broken one does not count
    assert normalizer.value(scores(30.0)) == causal_value(30.0, 1e-6, normalizer.bounds, 0.6)
    assert normalizer.learned_frames == normalizer.learn_frames == 3


def test_a_normalizer_learns_the_gate_as_well() -> None:
    normalizer = Normalizer(None, 3, fusion_weight=0.6)
    for gate in (0.01, 0.02, 0.09):
        normalizer.value(scores(gate_error=gate))
    assert normalizer.bounds is not None
    assert normalizer.bounds.gate_error == 0.02


def test_values_are_made_of_the_local_score_where_that_is_wanted() -> None:
    normalizer = Normalizer(None, 101, "local")
    for local_db in np.linspace(-30, -25, 101):
        assert normalizer.value(scores(local_db=float(local_db))) is None
    bounds = normalizer.bounds
    assert bounds is not None
    assert bounds.local_db == pytest.approx((-29.95, -25.05))
    low, middle, strange = (
        normalizer.value(scores(psnr, local_db=at))
        for psnr, at in ((9, -30), (99, -27.5), (40, -20))
    )
    assert low is not None
    assert low < LOW  # whatever its PSNR
    assert middle == pytest.approx((LOW + HIGH) / 2)
    assert strange == local_value(-20.0, bounds)
    assert strange > 0.7


def test_a_reset_keeps_the_scheme_and_the_number_of_frames() -> None:
    bounds = Bounds(30.0, 40.0, 0.0, 1e-6, 9, local_db=(-30.0, -25.0))
    normalizer = Normalizer(bounds, 2, "local").reset()
    assert (normalizer.bounds, normalizer.learn_frames) == (None, 2)
    for local_db in (-30.0, -20.0, -25.0):
        value = normalizer.value(scores(99.0, local_db=local_db))
    assert normalizer.bounds is not None
    assert value == local_value(-25.0, normalizer.bounds)


def test_bounds_without_local_ones_are_enough_for_the_published_score_only() -> None:
    bounds = Bounds(30.0, 40.0, 0.0, 1e-6, 9)
    assert Normalizer(bounds, 9, fusion_weight=0.6).value(scores()) == causal_value(
        40.0, 1e-6, bounds, 0.6
    )
    with pytest.raises(ValueError, match="no bounds of the local score"):
        Normalizer(bounds, 9, "local")


NUMBERS = st.floats(0, 100)
FRAMES = st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS | st.just(math.nan), NUMBERS), max_size=12)


def test_bounds_of_places_follow_while_the_memory_fills_and_no_event_moves_them() -> None:
    normalizer = Normalizer(None, 4, "places", settled_frames=8)

    def show(place_db: float, frames: int) -> list[float | None]:
        return [normalizer.value(scores()._replace(place_db=place_db)) for _ in range(frames)]

    assert show(20.0, 4) == [None] * 4
    assert normalizer.bounds is not None
    assert normalizer.bounds.place_db == (20.0, 20.0)
    settled = [normalizer.settled]
    show(5.0, 7)  # less than twice as many
    assert normalizer.bounds.place_db == (20.0, 20.0)
    show(6.0, 1)
    settled.append(normalizer.settled)
    assert settled == [False, True]
    low, high = normalizer.bounds.place_db
    assert 5.0 == low < high <= 6.0
    event = show(30.0, 50)
    assert min(value or 0 for value in event) >= 0.6
    assert normalizer.bounds.place_db == (low, high)
    show(5.5, 8)
    assert normalizer.bounds.place_db == (5.5, 5.5)


@pytest.mark.parametrize("scheme", ["places", "fused"])
def test_an_event_that_begins_low_does_not_raise_settled_bounds_at_once(scheme: Scheme) -> None:
    quiet = Bounds(30.0, 40.0, 0.0, 1e-6, 100, local_db=(-60.0, -30.0), place_db=(-30.0, 1.0))
    normalizer = Normalizer(quiet, 20, scheme, settled_frames=100)

    def show(local_db: float, place_db: float, frames: int) -> float:
        frame = scores(local_db=local_db)._replace(place_db=place_db)
        return max(normalizer.value(frame) or 0 for _ in range(frames))

    def upper_db() -> tuple[float, float]:
        bounds = normalizer.bounds
        assert bounds is not None
        assert bounds.local_db is not None
        assert bounds.place_db is not None
        return bounds.local_db[1], bounds.place_db[1]

    show(-60.0, -30.0, 70)
    assert 0.5 < show(-29.0, 2.0, 30) < TEACHES_BELOW  # an event, 1 dB above what is usual
    assert upper_db() == (-30.0 + MOST_RISE_DB, 1.0 + MOST_RISE_DB)
    for _ in range(40):  # what stays is what is usual
        show(-60.0, -30.0, 70)
        show(-29.0, 2.0, 30)
    assert upper_db() == (-29.0, 2.0)
    show(-60.0, -30.0, 70)
    show(-50.0, -3.0, 30)
    assert upper_db() == (-50.0, -3.0)  # and once it has gone, nothing is left of it


BOTH = Bounds(30.0, 40.0, 0.0, 1e-6, 1500, local_db=(-30.0, -25.0), place_db=(-3.0, 4.0))


@given(st.floats(-100, 100), st.floats(-30, 30), st.sampled_from([0.1, 0.5, 0.8]))
def test_a_fused_value_is_that_of_a_slow_soft_maximum(
    local_db: float, place_db: float, weight: float
) -> None:
    local = (local_db + 30) / 5
    place = (place_db + 2) / 6  # bounds 7 dB apart count as 6
    with decimal.localcontext(prec=60):
        mean = (1 - Decimal(weight)) * (4 * Decimal(local)).exp()
        mean += Decimal(weight) * (4 * Decimal(place)).exp()
        slow = float(mean.ln() / 4)
    assert fused_value(local_db, place_db, BOTH, weight) == pytest.approx(squash(slow), rel=1e-9)


def test_a_part_that_tells_nothing_does_not_hide_what_the_other_tells() -> None:
    quiet = Bounds(30.0, 40.0, 0.0, 1e-6, 1500, local_db=(-60.0, -30.0), place_db=(-30.0, 1.0))
    assert fused_value(-60.0, 5.0, quiet) > 0.55  # 4 dB above what places know
    assert fused_value(-26.0, -30.0, quiet) > 0.55
    assert fused_value(-26.0, 5.0, quiet) > fused_value(-60.0, 5.0, quiet)  # both tell more
    assert fused_value(-30.0, 1.0, quiet) == pytest.approx(0.5)


@given(st.floats(-100, 100), st.floats(-30, 30))
def test_the_weight_goes_from_one_part_of_a_fused_value_to_the_other(
    local: float, place: float
) -> None:
    frame = scores(local_db=local)._replace(place_db=place)
    shown = [
        (one.value(frame), one.part_value(local, place))
        for one in (Normalizer(BOTH, 9, "fused", place_weight=weight) for weight in (0.0, 0.3, 1.0))
    ]
    bounds = (BOTH.local_db, BOTH.place_db)
    ends = [
        squash(place_in(narrowed(one), score))
        for one, score in zip(bounds, (local, place), strict=True)
    ]
    assert shown[0] == (ends[0],) * 2
    assert shown[2] == (ends[1],) * 2
    assert min(ends) <= fused_value(local, place, BOTH, 0.3) <= max(ends)
    assert shown[1] == (fused_value(local, place, BOTH, 0.3),) * 2


@given(FRAMES, st.integers(0, 12), st.sampled_from(["paper", "local"]))
def test_a_normalizer_goes_on_from_its_snapshot_bit_for_bit(
    frames: list[tuple[float, float, float, float]], cut: int, scheme: Scheme
) -> None:
    whole = Normalizer(None, 6, scheme, 0.6)
    first = Normalizer(None, 6, scheme, 0.6)
    values = [whole.value(RawScores(*frame)) for frame in frames]
    before = [first.value(RawScores(*frame)) for frame in frames[:cut]]
    snapshot = json.loads(json.dumps(first.to_json(), allow_nan=False))
    second = Normalizer(None, 6, scheme, 0.6).restored(snapshot)
    assert second.learned_frames == first.learned_frames
    assert before + [second.value(RawScores(*frame)) for frame in frames[cut:]] == values
    assert second.bounds == whole.bounds


def test_bounds_saved_without_a_gate_error_or_local_bounds_still_load() -> None:
    saved = {
        "psnr_low_db": 30.0,
        "psnr_high_db": 40.0,
        "distance_low": 0.0,
        "distance_high": 1e-6,
        "frames": 9,
    }
    normalizer = Normalizer(None, 9).restored({"bounds": saved, "seen": []})
    assert normalizer.bounds == Bounds(30.0, 40.0, 0.0, 1e-6, 9, gate_error=None, local_db=None)


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
        Normalizer(None, 9).restored({"bounds": saved | {"local_db": local_db}, "seen": []})
