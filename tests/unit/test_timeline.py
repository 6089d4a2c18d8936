"""The timeline picks the frames to keep by their time stamps."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from lookout.models.media.timeline import EARLY, Sampler, Timeline


def kept(times_s: list[float | None], fps: float | None, step_s: float = 0.04) -> list[int]:
    """Indices of the frames that are kept."""
    timeline, sampler = Timeline(step_s), Sampler(fps)
    return [index for index, pts_s in enumerate(times_s) if sampler.keeps(timeline.at(pts_s))]


def slowly(times_s: list[float], fps: float) -> list[int]:
    """Return the first of the frames that fall into each slot of the grid, in the obvious way."""
    chosen: dict[int, int] = {}
    for index, at_s in reversed(list(enumerate(times_s))):
        slot = next(slot for slot in range(10_000) if at_s - times_s[0] < (slot + 1 - EARLY) / fps)
        chosen[slot] = index
    return sorted(chosen.values())


def test_without_a_rate_every_frame_is_kept() -> None:
    assert kept([0.0, 0.04, 0.08, None, 5.0], None) == [0, 1, 2, 3, 4]


def test_25_become_10() -> None:
    assert kept([index / 25 for index in range(13)], 10) == [0, 3, 5, 8, 10]


def test_30_become_10() -> None:
    assert kept([index / 30 for index in range(10)], 10) == [0, 3, 6, 9]


def test_a_rate_above_the_sources_keeps_all() -> None:
    assert kept([index / 10 for index in range(20)], 25) == list(range(20))


@pytest.mark.parametrize("fps", [24, 25, 30, 50, 60])
def test_time_stamps_rounded_to_milliseconds_lose_nothing_at_the_sources_own_rate(fps: int) -> None:
    assert kept([round(index / fps, 3) for index in range(200)], fps, 1 / fps) == list(range(200))


def test_a_gap_is_not_made_up_for() -> None:
    burst = [10 + index / 25 for index in range(25)]
    assert len(kept([0.0, *burst], 10)) == 1 + 10


@pytest.mark.parametrize("seed", range(20))
def test_equals_the_slow_version_under_jitter(seed: int) -> None:
    rng = random.Random(seed)
    source, fps = rng.choice([7.5, 10, 12.5, 25, 30]), rng.choice([1, 3, 5, 10])
    times = sorted(index / source + rng.uniform(-0.4, 0.4) / source for index in range(100))
    assert kept(list(times), fps, 1 / source) == slowly(times, fps)


def test_a_long_stream_keeps_its_rate() -> None:
    times = [float(Fraction(index * 1001, 30000)) for index in range(30_000)]
    assert abs(len(kept(list(times), 10)) - 10 * times[-1]) <= 2


def test_a_clock_set_back_costs_no_more_than_one_step() -> None:
    times = [index / 10 for index in range(50)] + [index / 10 for index in range(50)]
    assert len(kept(list(times), 5, 0.1)) == 50
    timeline = Timeline(0.1)
    assert [round(timeline.at(at), 6) for at in (40.0, 40.1, 3.0, 3.1)] == [0.0, 0.1, 0.2, 0.3]


def test_a_clock_set_far_ahead_is_passed_over_and_a_real_gap_is_not() -> None:
    timeline = Timeline(0.1)
    assert [round(timeline.at(at), 6) for at in (0.0, 95_443.7, 95_443.8, 95_473.8)] == [
        0.0,
        0.1,
        0.2,
        30.2,
    ]


def jumps(times_s: list[float | None], step_s: float = 0.1) -> list[int]:
    """Indices of the frames before which the stream's clock jumped."""
    timeline, found = Timeline(step_s), []
    for index, pts_s in enumerate(times_s):
        timeline.at(pts_s)
        if timeline.jumped:
            found.append(index)
    return found


@pytest.mark.parametrize(
    ("times_s", "found"),
    [
        ([0.0, 0.1, 7200.0, 7200.1], [2]),
        ([7200.0, 7200.1, 0.0, 0.1], [2]),
        ([0.0, 0.1, 0.2, 0.6, 0.7, 0.0, 0.1], [5]),  # a loop
        ([0.0, 30.0], [1]),  # not set, but nothing of what came before says what comes
        ([0.0, 8.0, 16.0], []),
        ([0.0, 0.1, 0.06, 0.2], []),
        ([None, 5000.0, 5000.1], []),
        ([0.0, *[None] * 300, 30.0, 30.1], []),  # the time went on while it was not told
        ([0.0, *[None] * 300, 0.1], [301]),
    ],
)
def test_where_a_clock_jumps(times_s: list[float | None], found: list[int]) -> None:
    assert jumps(times_s) == found


def test_a_slow_stream_does_not_jump_at_each_frame() -> None:
    assert jumps([index * 30.0 for index in range(10)], step_s=30.0) == []


def test_a_clock_that_stands_still_does_not_stop_the_frames() -> None:
    times: list[float | None] = [*[7.0] * 100, *(7.0 + index / 10 for index in range(1, 51))]
    assert 35 <= len(kept(times, 5, 0.1)) - 25 <= 50
    assert jumps(times) == []


def test_a_clock_that_creeps_back_does_not_stop_the_frames() -> None:
    times: list[float | None] = [1000 - index / 3 for index in range(100)]
    assert len(kept(times, 5, 0.1)) >= 45
    assert jumps(times) == []


def test_small_steps_back_never_run_backwards() -> None:
    timeline = Timeline(0.04)
    times = [timeline.at(at) for at in (0.0, 0.10, 0.06, 0.12)]
    assert times == sorted(times)


def test_frames_without_time_stamps_come_one_step_after_another() -> None:
    assert len(kept([None] * 100, 10, 1 / 25)) == 40
    timeline = Timeline(0.1)
    assert [round(timeline.at(at), 6) for at in (None, 0.1, None, 0.3, 0.4)] == [
        0.0,
        0.1,
        0.2,
        0.3,
        0.4,
    ]
