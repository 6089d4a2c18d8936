"""The real process of trials, against servers that answer and give nothing, and one that plays."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterator

import pytest

from lookout.service.core.errors import Reason
from lookout.service.core.settings import load_settings
from lookout.service.ingest.forking.children import Children
from lookout.service.ingest.probe import Answer
from lookout.service.ingest.trials import BROKEN_OFF, TrialChild, Trials
from tests.hostile_rtsp import (
    HONEST,
    PASSWORD,
    PICTURES,
    RtspClient,
    Script,
    hostile_server,
    refuses,
)
from tests.ingest_line import camera
from tests.waiting import wait_until

SETTINGS = load_settings(connect_timeout_s=2, stall_timeout_s=1)


@pytest.fixture(scope="module")
def trials() -> Iterator[Trials]:
    with Children() as children, Trials(SETTINGS, children) as running:
        yield running


def ended(trials: Trials, url: str) -> Answer:
    trial = trials.ask(camera("a", url))
    wait_until(trial.answer, "the trial ends", 60)
    assert trial.result is not None
    return trial.result


def plays(client: RtspClient) -> None:
    client.play(HONEST)
    client.show_all(PICTURES, itertools.count(0, 0.1))


def mute(client: RtspClient) -> None:
    client.play(HONEST)
    client.hold()


@pytest.mark.parametrize(
    ("script", "says", "code"),
    [
        (
            refuses("401 Unauthorized"),
            "401 unauthorized: user or password is wrong",
            "source_unauthorized",
        ),
        (
            refuses("404 Not Found"),
            "404 not found: the server has no such stream",
            "source_not_found",
        ),
        (lambda client: client.play(HONEST), "the stream ended", "source_ended"),
    ],
    ids=["401", "404", "hangs up"],
)
def test_a_server_that_answers_and_gives_nothing_says_why(
    trials: Trials, script: Script, says: str, code: str
) -> None:
    with hostile_server(script) as url:
        answer = ended(trials, url)
    assert answer == Answer(Reason(says))
    assert answer.error is not None
    assert answer.error.code == code


def test_a_server_that_plays_shows_and_one_that_falls_silent_is_told_with_the_limit(
    trials: Trials,
) -> None:
    with hostile_server(plays) as url:
        assert ended(trials, url) == Answer(shows=True)
    with hostile_server(mute) as url:
        answer = ended(trials, url)
    assert "within 2 s" in str(answer.error) or "silent for 1 s" in str(answer.error)
    assert PASSWORD not in str(answer)


def test_a_process_that_is_killed_is_replaced() -> None:
    with (
        Children() as children,
        Trials(SETTINGS, children) as trials,
        hostile_server(mute) as url,
    ):
        trial = trials.ask(camera("a", url))
        assert trial.answer() is None
        assert isinstance(trials._process, TrialChild)
        child = trials._process.child
        wait_until(lambda: child.exit_code() is None and child.pid is not None, "it runs", 60)
        os.kill(child.pid or 0, signal.SIGKILL)
        assert wait_until(trial.answer, "it is noticed") == BROKEN_OFF


def test_nothing_of_libavs_log_is_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    with (
        Children() as children,
        Trials(SETTINGS, children) as trials,
        hostile_server(lambda client: client.play(HONEST)) as url,
    ):
        asked = [trials.ask(camera(f"camera-{number}", url)) for number in range(20)]
        wait_until(lambda: all(trial.answer() for trial in asked), "they end", 60)
    assert {trial.result for trial in asked} == {Answer(Reason("the stream ended"))}
    assert capfd.readouterr().err == ""
