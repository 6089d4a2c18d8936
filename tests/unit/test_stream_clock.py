"""The time of a live picture: as filmed, whatever the network, and never far from our clock."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.models.media.timeline import Timeline
from lookout.service.ingest.decoder.stream_clock import (
    CATCH_UP,
    SETTLE_S,
    TICK_S,
    WINDOW_S,
    Arrival,
    StreamClock,
)
from tests.conftest import with_long_forms

STEP_S = 0.1
TICKS_S = 0.01  # what rounding and ticks of many pictures may sum up to


def played(
    times: Sequence[tuple[float | None, float]], step_s: float = STEP_S
) -> list[tuple[float, Arrival]]:
    """Return arrival and times of pictures, each given by its time stamp and its arrival."""
    timeline = Timeline(step_s)
    clock = StreamClock()
    found = []
    for pts_s, arrived_s in times:
        at_s = timeline.at(pts_s)
        found.append((arrived_s, clock.take(at_s, arrived_s, stamped=timeline.stamped)))
    return found


def steps(found: Sequence[tuple[float, Arrival]]) -> list[float]:
    """Return the distances of neighbours, by their captured times."""
    captured = [arrival.captured_s for _, arrival in found]
    return [later - earlier for earlier, later in pairwise(captured)]


def held(first: int, last: int, count: int = 400) -> list[tuple[float, float]]:
    """Pictures of which some are held back, and come together with the one after the last."""
    until_s = 500 + last * STEP_S
    return [
        (k * STEP_S, until_s + 1e-4 * k if first <= k < last else 500 + k * STEP_S + 1e-4 * k)
        for k in range(count)
    ]


def test_a_burst_after_a_hold_has_the_times_at_which_it_was_filmed() -> None:
    found = played(held(100, 160))
    assert steps(found) == pytest.approx([STEP_S] * 399, abs=0.005)
    assert max(arrived - arrival.captured_s for arrived, arrival in found) == pytest.approx(6, 0.01)


@given(
    st.lists(
        st.tuples(st.floats(0.5, 60), st.floats(0, WINDOW_S - 2)),
        min_size=1,
        max_size=5,
    ),
    st.floats(0, 1e6),
)
def test_no_hold_shorter_than_the_window_changes_a_distance(
    holds: list[tuple[float, float]], began_s: float
) -> None:
    """Each: seconds of undisturbed stream, then how long nothing comes."""
    times = []
    at_s = 0.0
    for flows_s, holds_s in holds:
        times += [(k, k) for k in steps_from(at_s, flows_s)]
        at_s += len(steps_from(0, flows_s)) * STEP_S
        end_s = at_s + holds_s
        times += [(k, end_s) for k in steps_from(at_s, holds_s)]
        at_s += len(steps_from(0, holds_s)) * STEP_S
    times += [(k, k) for k in steps_from(at_s, 1.0)]
    found = played([(pts_s, began_s + max(pts_s, came_s)) for pts_s, came_s in times])
    assert steps(found) == pytest.approx([STEP_S] * (len(times) - 1), abs=1e-4)


def steps_from(at_s: float, seconds: float) -> list[float]:
    """Return times STEP_S apart from `at_s` on, one more than fit into `seconds`."""
    return [at_s + k * STEP_S for k in range(int(seconds / STEP_S) + 1)]


@given(
    st.lists(
        st.tuples(
            st.none() | st.floats(-1e5, 1e5) | st.floats(0, 20) | st.just(3.0), st.floats(0, 20)
        ),
        min_size=1,
    )
)
def test_times_ascend_and_never_lie_in_the_future_whatever_comes(
    pictures: list[tuple[float | None, float]],
) -> None:
    arrived_s = 0.0
    times = []
    for pts_s, waited_s in pictures:
        arrived_s += waited_s
        times.append((pts_s, arrived_s))
    found = played(times)
    assert all(step >= TICK_S / 2 for step in steps(found))
    for arrived_s, (captured_s, due_s) in found:
        assert captured_s <= arrived_s + 2 * TICK_S * len(found)
        assert arrived_s <= due_s
    dues = [arrival.due_s for _, arrival in found]
    assert dues == sorted(dues)


@pytest.mark.parametrize("pace", with_long_forms([0.9, 0.99, 1 - 1e-4, 1 + 1e-4, 1.01, 1.1], {0.9}))
def test_a_clock_that_runs_fast_or_slow_does_not_run_away_in_a_day(pace: float) -> None:
    """A stream that runs slow is followed at the distance of its window, a fast one at once."""
    times = [(k * 1.0 * pace, float(k)) for k in range(86_400)]
    late_s = [arrived - arrival.captured_s for arrived, arrival in played(times, 1.0)]
    bound_s = (1 - pace) * (WINDOW_S + 2 * SETTLE_S) / pace if pace < 1 else 0.0
    assert max(late_s) <= bound_s + TICKS_S
    assert min(late_s) >= -TICKS_S


def test_jitter_does_not_reach_the_times() -> None:
    found = played([(k * STEP_S, k * STEP_S + 0.08 * (k * 7 % 10) / 10) for k in range(600)])
    assert steps(found)[20:] == pytest.approx([STEP_S] * 579, abs=0.005)


def test_a_delay_that_stays_is_worn_off() -> None:
    """A longer way through the network: its pictures count as late for about a minute."""
    times = [(k * STEP_S, k * STEP_S + 2.0 * (k > 100)) for k in range(2000)]
    late_s = [arrived - arrival.captured_s for arrived, arrival in played(times)]
    assert late_s[150] == pytest.approx(2, abs=0.01)
    assert late_s[-1] == pytest.approx(0, abs=0.01)
    assert max(steps(played(times))) < 1.3 * STEP_S


def test_a_stream_that_was_joined_late_is_never_ahead() -> None:
    """A server that sends the last seconds at once: the newest of them ties the clocks."""
    times = [(k * STEP_S, 50.0) for k in range(20)] + [
        (k * STEP_S, 48 + k * STEP_S) for k in (20, 21)
    ]
    found = played(times)
    assert [arrival.captured_s for _, arrival in found] == pytest.approx(
        [50.0] * 20 + [50.0, 50.1], abs=1e-3
    )


@pytest.mark.parametrize(
    "pts",
    [
        pytest.param(lambda _: None, id="none"),
        pytest.param(lambda _: 5.0, id="still"),
        pytest.param(lambda k: -7.0 * k, id="backwards"),
        pytest.param(lambda k: 100.0 * k, id="leaps"),
    ],
)
def test_a_stream_without_usable_time_stamps_has_the_times_of_arrival(pts) -> None:  # type: ignore[no-untyped-def]
    found = played([(pts(k), k / 3) for k in range(50)], step_s=0.04)
    late_s = [arrived - arrival.captured_s for arrived, arrival in found]
    assert late_s[7:] == pytest.approx([0.0] * 43, abs=1e-3)


@pytest.mark.parametrize("jump_s", [-95_443.7, -20.0, -2.0, 5.0, 30.0, 3600.0, 95_443.7])
def test_a_stream_whose_clock_jumps_or_wraps_goes_on_from_its_arrival(jump_s: float) -> None:
    """As a counter of 32 or 33 bits does, and a camera whose clock is set."""
    times = [(k * STEP_S + jump_s * (k >= 100), k * STEP_S) for k in range(400)]
    found = played(times)
    assert steps(found) == pytest.approx([STEP_S] * 399, abs=1e-3)


def test_frames_of_a_burst_are_due_one_after_the_other() -> None:
    found = played(held(100, 160))
    dues = [arrival.due_s for _, arrival in found]
    in_burst = [later - earlier for earlier, later in pairwise(dues[100:160])]
    assert in_burst == pytest.approx([STEP_S / CATCH_UP] * 59, abs=0.005)
    behind_s = [due - arrived for (arrived, _), due in zip(found, dues, strict=True)]
    assert max(behind_s) < 6 / CATCH_UP + 0.01
    assert behind_s[290:] == pytest.approx([0.0] * 110, abs=0.001)
