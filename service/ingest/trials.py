"""The worker's side of trials: ask whether a camera that answers sends pictures, without a decoder.

A camera whose decoder showed no picture (a wrong password, no such stream, a server that hangs up)
is tried in one process that all such cameras share, `decoder/trial.py`: a fork for each attempt
would cost 25 times as much. It starts with the first trial. Where it dies or libav blocks in it, it
is killed and stays away for AWAY_S; decoders then find out, at the slow rate of `attempts.py`.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from lookout.service.core.camera import Camera
from lookout.service.core.errors import BrokenMessageError, Reason
from lookout.service.core.settings import Settings
from lookout.service.ingest.decoder.protocol import (
    LineSplitter,
    TrialRequest,
    TrialResult,
    settings_fields,
)
from lookout.service.ingest.forking.children import Children
from lookout.service.ingest.probe import Answer

LOG = logging.getLogger(__name__)

AT_ONCE = 16
LONGEST_S = 60.0  # a camera that may be silent for longer would hold a place for others too long
START_LIMIT_S = 60.0  # for the fork server to load its libraries
SLACK_S = 3.0  # the process's own time-outs come first: they say more
AWAY_S = 40.0
READ_BYTES = 65_536

UNTRIED = Answer()
BROKEN_OFF = Answer(Reason("the attempt was broken off", code="source_broken_off"))
NO_PICTURE = Reason("no picture came", code="source_no_picture")


class TrialProcess(Protocol):
    """The part of the process that is used. No method waits."""

    def write(self, line: bytes) -> bool:
        """Hand a line over; return False where the process does not take it."""

    def read(self) -> bytes:
        """Return what the process has written since the last call."""

    def has_ended(self) -> bool:
        """Tell whether the process has ended."""

    def kill(self) -> None:
        """Kill the process, and close its pipes."""


@dataclass(slots=True, eq=False)
class Trial:
    """A trial: waiting, under way or done."""

    camera: Camera
    number: int
    limit_s: float
    owner: Trials
    ends_at: float = 0.0  # when it is overdue, monotonic
    result: Answer | None = None

    def answer(self) -> Answer | None:
        """Return how the trial ended; None while it waits or runs."""
        if self.result is None:
            self.owner.step()
        return self.result

    def cancel(self) -> None:
        """Give the trial up."""
        self.owner.forget(self)


@dataclass(slots=True)
class Trials:
    """The trials of one worker, as a context. No method waits."""

    settings: Settings
    children: Children
    spawn: Callable[[Settings, Children], TrialProcess] | None = None
    monotonic: Callable[[], float] = time.monotonic
    _process: TrialProcess | None = None
    _lines: LineSplitter = field(default_factory=LineSplitter)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _waiting: deque[Trial] = field(default_factory=deque)
    _running: dict[int, Trial] = field(default_factory=dict)
    _away_until: float = 0.0
    _loaded: bool = False  # the process has answered

    def __enter__(self) -> Trials:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def ask(self, camera: Camera) -> Trial:
        """Begin to try a camera as soon as a place is free."""
        limits = (self.settings.connect_timeout_s, self.settings.stall_timeout_s)
        limit_s = camera.first_picture_limit_s(limits[0]) + camera.stall_limit_s(limits[1])
        trial = Trial(camera, next(self._numbers), limit_s, self)
        if limit_s > LONGEST_S or self.monotonic() < self._away_until:
            trial.result = UNTRIED
        else:
            self._waiting.append(trial)
        return trial

    def step(self) -> None:
        """Read results, end what hangs, and begin trials that wait."""
        now = self.monotonic()
        if self._process is not None:
            self._read(self._process, now)
            self._look_after(self._process, now)
        while self._waiting and len(self._running) < AT_ONCE:
            self._begin(self._waiting.popleft(), now)

    def forget(self, trial: Trial) -> None:
        """Give a trial up; one that is under way keeps its place until it ends."""
        with contextlib.suppress(ValueError):
            self._waiting.remove(trial)

    def _read(self, process: TrialProcess, now: float) -> None:
        for line in self._lines.feed(process.read()):
            with contextlib.suppress(BrokenMessageError):
                result = TrialResult.load(line)
                if (trial := self._running.pop(result.number, None)) is not None:
                    trial.result = answer_of(result)
                if not self._loaded:
                    self._loaded = True
                    for other in self._running.values():
                        other.ends_at = now + other.limit_s + SLACK_S

    def _look_after(self, process: TrialProcess, now: float) -> None:
        overdue = [trial for trial in self._running.values() if now > trial.ends_at]
        for trial in overdue:
            trial.result = Answer(shows=False)
        if overdue:
            LOG.warning("trials of cameras are given up for %g s: one hangs in libav", AWAY_S)
            self._away_until = now + AWAY_S
            self._end()
        elif process.has_ended():
            if self._running:
                LOG.warning("trials of cameras are given up for %g s: their process died", AWAY_S)
                self._away_until = now + AWAY_S
            self._end()

    def _begin(self, trial: Trial, now: float) -> None:
        if now < self._away_until:
            trial.result = UNTRIED
            return
        try:
            if self._process is None:
                self._process = (self.spawn or TrialChild)(self.settings, self.children)
                self._loaded = False
            taken = self._process.write(TrialRequest(trial.number, trial.camera).dump())
        except OSError:
            taken = False
        if not taken:
            trial.result = UNTRIED
            self._away_until = now + AWAY_S
            self._end()
            return
        start_s = 0.0 if self._loaded else START_LIMIT_S
        trial.ends_at = now + start_s + trial.limit_s + SLACK_S
        self._running[trial.number] = trial

    def _end(self) -> None:
        """Kill the process; every trial in it has to be tried again."""
        if self._process is not None:
            self._process.kill()
        self._process = None
        self._lines = LineSplitter()
        for trial in self._running.values():
            trial.result = trial.result or BROKEN_OFF
        self._running.clear()


def answer_of(result: TrialResult) -> Answer:
    """Return the end of a trial as that of a probe."""
    if result.kind == "shows":
        return Answer(shows=True)
    if result.kind == "unsure":
        return Answer(shows=False)
    return Answer(result.reason or NO_PICTURE, stalled=result.kind == "stalled")


class TrialChild:
    """The process itself, a child of the fork server."""

    def __init__(self, settings: Settings, children: Children) -> None:
        """Start it. Raises OSError where no process can be started."""
        line = json.dumps(settings_fields(settings)).encode() + b"\n"
        self.child = children.start("trial", line, keeps_stdin=True)

    def write(self, line: bytes) -> bool:
        """Hand a line over; return False where the process does not take it."""
        assert self.child.stdin is not None  # noqa: S101
        try:
            return self.child.stdin.write(line) == len(line)
        except OSError:
            return False

    def read(self) -> bytes:
        """Return what the process has written since the last call."""
        return self.child.stdout.read(READ_BYTES) or b""

    def has_ended(self) -> bool:
        """Tell whether the process has ended."""
        return self.child.exit_code() is not None

    def kill(self) -> None:
        """Kill the process, and close its pipes."""
        self.child.kill()
        self.child.close()
