"""Moments: what a step of the wall clock changes, and what it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from lookout.service.core import clock
from lookout.service.core.clock import Moment


def test_the_age_is_by_the_monotonic_clock_of_one_machine() -> None:
    taken = Moment(1000.0, 50.0, "m")
    assert taken.age_s(Moment(4602.0, 52.0, "m")) == 2.0  # the wall clock was set by an hour
    assert taken.age_s(Moment(972.0, 52.0, "m")) == 2.0
    assert taken.age_s(Moment(1003.0, 9.0, "other")) == 3.0
    assert taken.age_s(Moment(1003.0)) == 3.0
    assert Moment(1000.0).age_s(Moment(1003.0, 52.0, "m")) == 3.0


def test_two_unknown_machines_are_not_the_same() -> None:
    assert Moment(1000.0, 50.0).age_s(Moment(1003.0, 99.0)) == 3.0


def test_a_shifted_moment_is_shifted_on_both_clocks() -> None:
    assert Moment(1000.0, 50.0, "m").shifted(2.5) == Moment(1002.5, 52.5, "m")
    assert Moment(1000.0).shifted(-1.0) == Moment(999.0)


def test_now_is_of_this_machine() -> None:
    first, second = clock.now(), clock.now()
    assert first.machine == second.machine
    assert 0 <= first.age_s(second) < 60


def test_a_machine_without_a_boot_id_is_not_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(clock, "BOOT_ID", tmp_path / "none")
    clock.machine_id.cache_clear()
    assert not clock.now().machine
    clock.machine_id.cache_clear()
