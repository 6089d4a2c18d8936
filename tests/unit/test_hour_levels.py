"""Values made even between hours of day and kinds of day."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.models.scoring.hour_levels import (
    ALL_BLOCKS,
    HOUR_DECAY,
    HOURS,
    LEAST_DEVIATION,
    LEAST_RATIO,
    OTHER_DAY,
    OWN_BLOCKS,
    SLOTS,
    HourLevels,
)
from tests.conftest import examples

HOUR_S = 3600.0
MONDAY_S = 4 * 24 * HOUR_S


def taught(samples: dict[int, list[float]]) -> HourLevels:
    """Return levels that have seen these highest values of minutes by slot."""
    levels = HourLevels(UTC)
    for slot, tops in samples.items():
        day, hour = divmod(slot, HOURS)
        levels.move_to(MONDAY_S + 5 * day * 24 * HOUR_S + hour * HOUR_S)
        for top in tops:
            levels.learn(top - 0.3, 30.0)
            levels.learn(top, 30.0)
    return levels


def slow_level(samples: dict[int, list[float]], weights: list[float]) -> tuple[float, float, float]:
    """Return mean, deviation and weight of all samples together, each with its slot's weight."""
    tops = [top for slot in samples for top in samples[slot]]
    weight = [weights[slot] for slot in samples for _ in samples[slot]]
    if sum(weight) == 0:
        return 0.0, 1.0, 0.0
    mean = float(np.average(tops, weights=weight))
    deviation = float(np.sqrt(np.average((np.array(tops) - mean) ** 2, weights=weight)))
    return mean, max(deviation, LEAST_DEVIATION), sum(weight)


def slow_even(samples: dict[int, list[float]], slot: int, offset: float) -> float:
    """Return the even value, from every sample that was seen."""
    weights = []
    for other in range(SLOTS):
        apart = abs(other % HOURS - slot % HOURS)
        apart = min(apart, HOURS - apart)
        same = 1.0 if other // HOURS == slot // HOURS else OTHER_DAY
        weights.append(0.0 if other == slot else HOUR_DECAY**apart * same)
    mean_all, deviation_all, _ = slow_level(samples, [1.0] * SLOTS)
    mean_near, deviation_near, near = slow_level(samples, weights)
    own = samples.get(slot, [])
    mean_own = float(np.mean(own)) if own else 0.0
    deviation_own = max(float(np.std(own)) if own else 0.0, LEAST_DEVIATION)
    mean = (ALL_BLOCKS * mean_all + near * mean_near) / (ALL_BLOCKS + near)
    deviation = (ALL_BLOCKS * deviation_all + near * deviation_near) / (ALL_BLOCKS + near)
    mean = (OWN_BLOCKS * mean + len(own) * mean_own) / (OWN_BLOCKS + len(own))
    deviation = (OWN_BLOCKS * deviation + len(own) * deviation_own) / (OWN_BLOCKS + len(own))
    deviation = float(np.clip(deviation, LEAST_RATIO * deviation_all, deviation_all / LEAST_RATIO))
    return mean_all + (offset - mean) * deviation_all / deviation


@examples(30)
@given(
    samples=st.dictionaries(
        st.integers(0, SLOTS - 1), st.lists(st.floats(-1, 3.5), min_size=1, max_size=8), max_size=6
    ),
    slot=st.integers(0, SLOTS - 1),
    offset=st.floats(-2, 20),
)
def test_values_are_even_as_the_slow_way_makes_them(
    samples: dict[int, list[float]], slot: int, offset: float
) -> None:
    levels = taught(samples)
    day, hour = divmod(slot, HOURS)
    levels.move_to(MONDAY_S + 5 * day * 24 * HOUR_S + hour * HOUR_S)
    even = levels.even(offset)
    assert even == pytest.approx(slow_even(samples, slot, offset), rel=1e-6, abs=1e-6)
    assert levels.uneven(even) == pytest.approx(offset, rel=1e-9, abs=1e-9)


def test_one_hour_alone_leaves_a_value_as_it_is() -> None:
    levels = taught({3: [0.5, 0.7, 0.9, 0.4]})
    assert levels.even(2.5) == pytest.approx(2.5, abs=1e-9)
    assert HourLevels(UTC).even(0.7) == 0.7


def test_the_same_height_is_more_unusual_in_a_quiet_hour() -> None:
    rng = np.random.default_rng(0)
    quiet = rng.normal(0.6, 0.1, 600).tolist()
    busy = rng.normal(1.2, 0.4, 600).tolist()
    levels = taught({2: quiet, 14: busy})
    levels.move_to(MONDAY_S + 14 * HOUR_S)
    by_day = levels.even(2.0)
    levels.move_to(MONDAY_S + 2 * HOUR_S)
    at_night = levels.even(2.0)
    assert at_night > 2 * by_day
    levels.move_to(MONDAY_S + 3 * HOUR_S)  # never seen: its neighbour tells
    assert by_day < levels.even(2.0) < at_night


def test_slots_are_of_local_time_and_kind_of_day() -> None:
    zurich = HourLevels(ZoneInfo("Europe/Zurich"))
    for year_day, hour, slot in [
        (datetime(2026, 1, 7, tzinfo=UTC), 13, 14),  # a Wednesday, in winter
        (datetime(2026, 7, 8, tzinfo=UTC), 13, 15),  # in summer
        (datetime(2026, 7, 10, tzinfo=UTC), 23, HOURS + 1),  # Friday there is Saturday here
    ]:
        assert zurich.slot_of(year_day.timestamp() + hour * HOUR_S) == slot
    assert zurich.move_to(MONDAY_S + 13 * HOUR_S)
    assert not zurich.move_to(MONDAY_S + 13 * HOUR_S + 3599)
    assert zurich.move_to(MONDAY_S + 14 * HOUR_S)
    for beyond in (float("nan"), float("inf"), 1e15, -1e15):  # a broken clock
        assert not zurich.move_to(beyond)


def test_an_event_of_any_height_does_not_set_the_level() -> None:
    plain = taught({5: [0.5, 0.7] * 100})
    struck = taught({5: [0.5, 0.7] * 100 + [1e6]})
    assert struck.uneven(plain.even(1.0)) == pytest.approx(1.0, abs=0.3)


def test_stored_levels_continue_alike_and_broken_ones_are_refused() -> None:
    levels = taught({4: [0.5, 0.9], 30: [0.2]})
    levels.learn(0.8, 20.0)
    state = json.loads(json.dumps(levels.state_dict()))
    assert len(json.dumps(state)) < 2500
    other = HourLevels(UTC)
    other.load_state_dict(state)
    for one in (levels, other):
        one.learn(0.4, 50.0)
    assert other.state_dict() == levels.state_dict()
    assert other.even(3.0) == levels.even(3.0)
    moved = HourLevels(ZoneInfo("Europe/Zurich"))
    moved.load_state_dict(state)
    assert moved.even(3.0) == 3.0  # its hours are others
    for broken in (state | {"slot": 48}, state | {"levels": "x"}, {"zone": "UTC"}):
        with pytest.raises((ValueError, TypeError, KeyError)):
            HourLevels(UTC).load_state_dict(broken)
