"""Delay before the next attempt at a lost camera."""

from __future__ import annotations

import random

from lookout.service.ingest.retry import Backoff


def backoff(seed: int = 0) -> Backoff:
    return Backoff(first_s=1, most_s=60, reset_after_s=60, rng=random.Random(seed))


def test_the_wait_doubles_up_to_the_most() -> None:
    for seed in range(50):
        waits, it = [], backoff(seed)
        waits = [it.delay_s(ran_s=0) for _ in range(12)]
        bounds = [(1, 2), (2, 4), (4, 8), (8, 16), (16, 32), (30, 60)] + [(30, 60)] * 6
        assert all(low <= wait <= high for wait, (low, high) in zip(waits, bounds, strict=True))


def test_cameras_do_not_come_back_in_step() -> None:
    assert len({round(backoff(seed).delay_s(0), 6) for seed in range(50)}) == 50


def test_a_good_minute_starts_anew_and_half_a_minute_does_not() -> None:
    it = backoff()
    for _ in range(5):
        it.delay_s(0)
    assert it.delay_s(ran_s=30) >= 30
    assert it.delay_s(ran_s=60) <= 2


def test_ten_thousand_failures_do_no_harm() -> None:
    it = backoff()
    it.failures = 10_000
    assert 30 <= it.delay_s(0) <= 60


def test_equal_bounds_leave_no_choice() -> None:
    assert Backoff(2, 2, 60).delay_s(0) == 2
