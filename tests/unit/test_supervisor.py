"""A child that keeps dying is started again for ever, later each time up to a limit."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Callable

import pytest

from lookout.service.supervisor import supervisor
from lookout.service.supervisor.supervisor import STAGE_MAX_BACKOFF_S, ChildProcess, ChildProcesses


def dead() -> subprocess.Popen[bytes]:
    """Return a process that has ended with exit code 1."""
    process = subprocess.Popen(["false"])
    process.wait()
    return process


@pytest.mark.parametrize("deaths", [0, 1, 6, 1024, 100_000])
def test_no_number_of_deaths_ends_the_supervisor(
    caplog: pytest.LogCaptureFixture, deaths: int
) -> None:
    caplog.set_level(logging.ERROR)
    child = ChildProcess("stage ingest", dead, STAGE_MAX_BACKOFF_S)
    child._deaths = deaths
    child.check()
    wait_s = min(0.5 * 2 ** min(deaths, 9), STAGE_MAX_BACKOFF_S)
    (record,) = caplog.records
    assert record.message == (
        f"stage ingest ended (exit code 1); starting it again in {wait_s:.1f} s"
    )
    assert child._deaths == deaths + 1


def test_a_stage_that_scores_do_not_need_starts_behind_the_others_and_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[str] = []

    def spawner(name: str, _: dict[str, str]) -> Callable[[], subprocess.Popen[bytes]]:
        started.append(name)
        return dead

    monkeypatch.setattr(supervisor, "stage_spawner", spawner)
    children = ChildProcesses([], ["inference", "learning", "api"], {})
    assert started == ["inference", "api"]
    children.start_optional()
    children.start_optional()
    assert started == ["inference", "api", "learning"]
