"""The budget of decoder starts: how many at once, who goes first, and how often failing ones go."""

from __future__ import annotations

import itertools
import random

import pytest

from lookout.service.core.settings import load_settings
from lookout.service.ingest.attempts import (
    FAILING_EVERY_S,
    HOPEFUL_FAILURES,
    MOST_FAILING_EVERY_S,
    Attempts,
)
from lookout.service.ingest.forking.children import Children
from lookout.service.ingest.probe import Prober
from lookout.service.ingest.trials import Trials


def budget(at_once: int) -> Attempts:
    return Attempts(Prober(), Trials(load_settings(), Children()), at_once)


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
            if attempts.may_start(camera, 0, 0.0, worked=False):
                loading.add(camera)
                started.append(camera)
        waiting -= loading
        assert len(loading) <= 2
    assert sorted(started) == [f"camera-{number}" for number in sorted(range(50), key=str)]


def test_a_camera_that_works_goes_before_those_whose_decoders_fail() -> None:
    attempts = budget(1)
    assert attempts.may_start("busy", 0, 0.0, worked=True)
    assert not attempts.may_start("worst", 5, 0.0, worked=True)
    assert not attempts.may_start("bad", 1, 0.0, worked=True)
    assert not attempts.may_start("good", 0, 0.0, worked=True)
    attempts.started("busy")
    assert not attempts.may_start("worst", 5, 0.1, worked=True)
    assert not attempts.may_start("bad", 1, 0.1, worked=True)
    assert attempts.may_start("good", 0, 0.1, worked=True)
    attempts.started("good")
    assert not attempts.may_start("worst", 5, 0.2, worked=True)
    assert attempts.may_start("bad", 1, 0.2, worked=True)


def test_decoders_that_fail_start_at_a_rate() -> None:
    attempts = budget(8)
    cameras = [f"bad-{number}" for number in range(100)]
    starts: list[float] = []
    for tick in range(1000):
        now = tick / 10
        for camera in cameras:
            if attempts.may_start(camera, 1, now, worked=True):
                starts.append(now)
                attempts.started(camera)
        assert attempts.may_start("good", 0, now, worked=True)
        attempts.started("good")
    assert all(later - earlier >= FAILING_EVERY_S for earlier, later in itertools.pairwise(starts))
    assert len(starts) > 30


def starts_of(attempts: Attempts, failures: int, seconds: int, *, worked: bool) -> list[int]:
    """Return the seconds at which decoders of 20 failing cameras start, each as soon as it may."""
    cameras = [f"bad-{number}" for number in range(20)]
    found = []
    for second in range(seconds):
        for camera in cameras:
            if attempts.may_start(camera, failures, second, worked=worked):
                found.append(second)
                attempts.started(camera)
    for camera in cameras:
        attempts.started(camera)
    return found


@pytest.mark.parametrize(("failures", "worked"), [(1, False), (20, False), (4, True), (20, True)])
def test_decoders_that_go_on_failing_start_ever_more_seldom(failures: int, worked: bool) -> None:
    attempts = budget(8)
    starts = starts_of(attempts, failures, 400, worked=worked)
    waits = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert waits[:5] == [3, 6, 12, 24, 40]
    assert set(waits[5:]) == {40} == {MOST_FAILING_EVERY_S}


def test_one_that_works_again_lets_the_others_try() -> None:
    attempts = budget(8)
    starts_of(attempts, 20, 400, worked=False)
    assert attempts.may_start("rebooted", 1, 400.0, worked=True)
    attempts.started("rebooted")
    attempts.recovered()
    assert not attempts.may_start("bad", 20, 400.1, worked=False)
    assert attempts.may_start("bad", 20, 403.0, worked=False)
    attempts.started("bad")
    assert not attempts.may_start("bad", 21, 405.9, worked=False)
    assert attempts.may_start("bad", 21, 406.0, worked=False)


def test_a_camera_that_worked_does_not_wait_for_those_that_never_did() -> None:
    attempts = budget(8)
    starts_of(attempts, 20, 400, worked=False)
    assert not attempts.may_start("bad", 20, 400.0, worked=False)
    for failures in range(HOPEFUL_FAILURES + 1):
        now = 400.0 + failures * FAILING_EVERY_S
        assert attempts.may_start("rebooting", failures, now, worked=True)
        attempts.started("rebooting")


def test_a_camera_that_is_given_up_holds_up_nobody() -> None:
    attempts = budget(1)
    assert attempts.may_start("loading", 0, 0.0, worked=True)
    assert not attempts.may_start("removed", 0, 0.0, worked=True)
    assert not attempts.may_start("next", 0, 0.0, worked=True)
    attempts.started("removed")
    attempts.started("loading")
    assert attempts.may_start("next", 0, 0.1, worked=True)
