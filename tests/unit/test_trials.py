"""Trials of cameras whose decoders failed: a bound, results to whom they belong, and a way out."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field

import pytest

from lookout.service.core.errors import Reason
from lookout.service.core.settings import Settings, load_settings
from lookout.service.ingest.decoder.protocol import TrialKind, TrialResult
from lookout.service.ingest.forking.children import Children
from lookout.service.ingest.probe import Answer
from lookout.service.ingest.trials import (
    AT_ONCE,
    AWAY_S,
    BROKEN_OFF,
    START_LIMIT_S,
    UNTRIED,
    Trial,
    Trials,
)
from tests.ingest_line import camera

SETTINGS = load_settings(connect_timeout_s=10, stall_timeout_s=15)
FOR_LONG_S = START_LIMIT_S + 10 + 15 + 10


@dataclass
class FakeProcess:
    """Takes lines, and answers when a test says so."""

    asked: list[int] = field(default_factory=list)
    said: bytes = b""
    takes: bool = True
    ended: bool = False
    killed: bool = False

    def write(self, line: bytes) -> bool:
        self.asked.append(json.loads(line)["number"])
        return self.takes

    def say(self, number: int, kind: TrialKind, error: str | None = None) -> None:
        self.said += TrialResult(number, kind, error).dump().encode()

    def read(self) -> bytes:
        said, self.said = self.said, b""
        return said

    def has_ended(self) -> bool:
        return self.ended

    def kill(self) -> None:
        self.killed = True


@dataclass
class Bench:
    """Trials with fake processes, and the time."""

    now: float = 100.0
    processes: list[FakeProcess] = field(default_factory=list)
    trials: Trials = field(init=False)

    def __post_init__(self) -> None:
        self.trials = Trials(SETTINGS, Children(), self.spawn, lambda: self.now)

    def spawn(self, settings: Settings, _: Children) -> FakeProcess:
        assert settings is SETTINGS
        self.processes.append(FakeProcess())
        return self.processes[-1]

    def ask(self, name: str = "a", **fields: float) -> Trial:
        return self.trials.ask(camera(name, "rtsp://h/1", pace="fast", **fields))


def test_each_result_goes_to_its_trial_and_no_more_run_at_once_than_may() -> None:
    bench = Bench()
    rng = random.Random(0)
    trials = [bench.ask(f"camera-{number}") for number in range(100)]
    running: set[int] = set()
    while any(trial.answer() is None for trial in trials):
        (process,) = bench.processes
        running |= {number for number in process.asked if trials[number].result is None}
        assert len(running) <= AT_ONCE
        number = rng.choice(sorted(running))
        process.say(number, "lost", f"error {number}")
        running.remove(number)
    answers = [trial.answer() for trial in trials]
    assert answers == [Answer(Reason(f"error {number}")) for number in range(100)]


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("shows", Answer(shows=True)),
        ("unsure", Answer(shows=False)),
        ("lost", Answer(Reason("why"))),
        ("stalled", Answer(Reason("why"), stalled=True)),
    ],
)
def test_a_result_is_an_answer(kind: TrialKind, answer: Answer) -> None:
    bench = Bench()
    trial = bench.ask()
    assert trial.answer() is None
    bench.processes[0].say(0, kind, "why")
    assert trial.answer() == answer


def test_one_that_hangs_ends_the_process_and_is_left_to_a_decoder() -> None:
    bench = Bench()
    hanging = bench.ask("hanging")
    hanging.answer()
    bench.now += FOR_LONG_S - 20
    late = bench.ask("late")
    assert late.answer() is None
    bench.now += 30
    assert late.answer() == BROKEN_OFF
    assert hanging.answer() == Answer(shows=False)
    assert bench.processes[0].killed
    assert bench.ask().answer() == UNTRIED
    bench.now += AWAY_S
    again = bench.ask()
    assert again.answer() is None
    assert len(bench.processes) == 2


def test_a_process_that_dies_costs_an_attempt_and_one_that_was_idle_none() -> None:
    bench = Bench()
    trial = bench.ask()
    trial.answer()
    bench.processes[0].ended = True
    assert trial.answer() == BROKEN_OFF
    assert bench.ask().answer() == UNTRIED
    bench.now += AWAY_S
    trial = bench.ask()
    trial.answer()
    bench.processes[1].say(trial.number, "lost", "why")
    assert trial.answer() == Answer(Reason("why"))
    bench.processes[1].ended = True  # nobody has asked for a while
    trial = bench.ask()
    assert trial.answer() is None
    assert bench.processes[2].asked == [trial.number]


def test_a_process_that_takes_no_line_is_given_up() -> None:
    bench = Bench()
    bench.ask().answer()
    bench.processes[0].takes = False
    assert bench.ask().answer() == UNTRIED
    assert bench.processes[0].killed


def test_no_place_is_taken_by_a_camera_that_may_be_silent_for_long_or_that_is_given_up() -> None:
    bench = Bench()
    assert bench.ask(stall_timeout_s=60).answer() == UNTRIED
    given_up = bench.ask()
    given_up.cancel()
    other = bench.ask()
    other.answer()
    assert bench.processes[0].asked == [other.number]


def test_the_end_of_the_worker_is_that_of_the_process() -> None:
    bench = Bench()
    with bench.trials:
        bench.ask().answer()
    assert bench.processes[0].killed
