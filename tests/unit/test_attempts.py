"""The budget of decoder starts: how many at once, who goes first, and how often failing ones go."""

from __future__ import annotations

import itertools
import random

from lookout.service.ingest.attempts import FAILING_EVERY_S, Attempts
from lookout.service.ingest.probe import Prober


def budget(at_once: int) -> Attempts:
    return Attempts(Prober(), at_once)


def test_no_more_decoders_load_at_once_than_may() -> None:
    attempts = budget(2)
    rng = random.Random(0)
    loading: set[str] = set()
    waiting = {f"camera-{number}" for number in range(50)}
    started: list[str] = []
    for _ in range(10_000):
        if loading and rng.random() < 0.3:
            done = rng.choice(sorted(loading))
            attempts.started(done)
            loading.remove(done)
        for camera in sorted(waiting):
            if attempts.may_start(camera, 0, 0.0):
                loading.add(camera)
                started.append(camera)
        waiting -= loading
        assert len(loading) <= 2
    assert sorted(started) == [f"camera-{number}" for number in sorted(range(50), key=str)]


def test_a_camera_that_works_goes_before_those_whose_decoders_fail() -> None:
    attempts = budget(1)
    assert attempts.may_start("busy", 0, 0.0)
    assert not attempts.may_start("worst", 5, 0.0)
    assert not attempts.may_start("bad", 1, 0.0)
    assert not attempts.may_start("good", 0, 0.0)
    attempts.started("busy")
    assert not attempts.may_start("worst", 5, 0.1)
    assert not attempts.may_start("bad", 1, 0.1)
    assert attempts.may_start("good", 0, 0.1)
    attempts.started("good")
    assert not attempts.may_start("worst", 5, 0.2)
    assert attempts.may_start("bad", 1, 0.2)


def test_decoders_that_fail_start_at_a_rate() -> None:
    attempts = budget(8)
    cameras = [f"bad-{number}" for number in range(100)]
    starts: list[float] = []
    for tick in range(1000):
        now = tick / 10
        for camera in cameras:
            if attempts.may_start(camera, 1, now):
                starts.append(now)
                attempts.started(camera)
        assert attempts.may_start("good", 0, now)
        attempts.started("good")
    assert all(later - earlier >= FAILING_EVERY_S for earlier, later in itertools.pairwise(starts))
    assert len(starts) > 30


def test_a_camera_that_is_given_up_holds_up_nobody() -> None:
    attempts = budget(1)
    assert attempts.may_start("loading", 0, 0.0)
    assert not attempts.may_start("removed", 0, 0.0)
    assert not attempts.may_start("next", 0, 0.0)
    attempts.started("removed")
    attempts.started("loading")
    assert attempts.may_start("next", 0, 0.1)
