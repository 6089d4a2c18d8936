"""Drift of a camera's values: day against day, from counts that are bounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from lookout.service.core.drift import BINS, HOUR_S, HOURS, MIN_VALUES, DriftState, ValueDrift
from lookout.service.storage.redis import codec
from tests.conftest import examples

BEGAN_S = 1_785_000_000.0 // HOUR_S * HOUR_S
Draw = Callable[[int], np.ndarray]  # hour of the day → values


def filled(*days: Draw, values: int = MIN_VALUES) -> DriftState:
    """Return a state with whole days of values."""
    state = DriftState(revision=7)
    for day, draw in enumerate(days):
        for hour in range(HOURS):
            begins_s = BEGAN_S + (24 * day + hour) * HOUR_S
            for second, value in enumerate(draw(hour)[:values]):
                state.add(float(value), begins_s + second)
    state.add(0.5, BEGAN_S + 24 * len(days) * HOUR_S)
    return state


def around(center: float, seed: int) -> Draw:
    rng = np.random.default_rng(seed)
    return lambda _: np.clip(rng.normal(center, 0.05, MIN_VALUES), 0.001, 0.999)


def test_the_same_day_again_is_no_drift_though_night_differs_from_noon() -> None:
    def day(hour: int) -> np.ndarray:
        return around(0.1 if hour < 12 else 0.4, hour)(hour)

    drift = filled(day, day).drift()
    assert drift is not None
    assert drift.rank == pytest.approx(0.5, abs=0.01)
    assert not drift.is_drifted


@pytest.mark.parametrize(
    ("before", "now", "above_percent"), [(0.2, 0.3, 0), (0.3, 0.2, 0), (0.45, 0.6, 97)]
)
def test_other_values_are_drift(before: float, now: float, above_percent: float) -> None:
    drift = filled(around(before, 1), around(now, 2)).drift()
    assert drift is not None
    assert drift.is_drifted
    assert drift.above_percent == pytest.approx(above_percent, abs=3)
    assert "\n" not in drift.sentence


def test_a_few_more_values_at_the_edge_are_drift_and_those_of_the_first_day_are_not() -> None:
    def with_peaks(share: float) -> Draw:
        peaks = np.full(MIN_VALUES, 0.2)
        peaks[: int(share * MIN_VALUES)] = 0.9
        return lambda _: peaks

    few, many = (
        filled(with_peaks(0.02), with_peaks(0.12)),
        filled(with_peaks(0.1), with_peaks(0.12)),
    )
    assert few.drift() is not None
    assert (few.drift() or ValueDrift(0, 0.5, 0, 0)).is_drifted
    assert not (many.drift() or ValueDrift(0, 1.0, 0, 0)).is_drifted


def test_it_is_told_against_the_first_day_and_not_against_yesterday() -> None:
    slow = filled(*(around(0.1 + 0.02 * day, day) for day in range(8)))
    drift = slow.drift()
    assert drift is not None
    assert drift.is_drifted
    assert len(codec.dump(slow)) < 3000


def test_nothing_is_said_of_less_than_two_days_or_of_sparse_hours() -> None:
    assert filled(around(0.2, 0)).drift() is None
    sparse = filled(around(0.2, 0), around(0.9, 1), around(0.9, 2), values=MIN_VALUES - 1)
    assert sparse.drift() is None
    assert (sparse.learned_hours, sparse.recent) == (0, [])


@examples(50)
@given(st.lists(st.tuples(st.floats(-1, 2), st.floats(0, 1e10)), max_size=200))
def test_the_state_is_bounded_whatever_comes_and_is_the_same_from_the_store(
    values: list[tuple[float, float]],
) -> None:
    state = DriftState(revision=1)
    for value, at in values:
        state.add(value, at)
    again = codec.load(DriftState, codec.dump(state).encode())
    assert again == state
    assert again.is_usable


@examples(30)
@given(st.integers(0, 2**32), st.floats(0.05, 0.95), st.floats(0.05, 0.95))
def test_the_rank_is_that_of_mann_and_whitney(seed: int, before: float, now: float) -> None:
    rng = np.random.default_rng(seed)
    parts = [(rng.binomial(BINS - 1, chance, (HOURS, 40)) + 0.5) / BINS for chance in (before, now)]
    state = DriftState(
        revision=1,
        learned=np.histogram(parts[0], BINS, (0, 1))[0].tolist(),
        learned_hours=HOURS,
        recent=[np.histogram(hour, BINS, (0, 1))[0].tolist() for hour in parts[1]],
    )
    drift = state.drift()
    assert drift is not None
    statistic = mannwhitneyu(parts[1].ravel(), parts[0].ravel()).statistic
    assert drift.rank == pytest.approx(statistic / (parts[0].size * parts[1].size))


@pytest.mark.parametrize(
    "broken",
    [
        {"learned": [1]},
        {"counts": [0] * (BINS - 1) + [-1]},
        {"recent": [[0] * BINS] * (HOURS + 1)},
    ],
)
def test_a_state_that_does_not_fit_is_not_used(broken: dict[str, Any]) -> None:
    assert not DriftState(revision=1, **broken).is_usable
