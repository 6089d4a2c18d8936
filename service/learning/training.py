"""The process that trains, as the stage sees it: started, paused, asked for its last report."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

import msgspec

from lookout.service.core.lifecycle import die_with_parent
from lookout.service.learning.reports import TrainingReport

STOP_LIMIT_S = 4.0  # to save its state
READ_LIMIT_S = 1.0
NICEST = 19
LAST_WORDS = 2000  # characters of standard error


class TrainingProcess:
    """A child process at the lowest priority, which dies with this one."""

    def __init__(self, folder: Path, module: str = "learning.trainer") -> None:
        """Start a `module` of the service on a folder. Raises OSError where there is no process."""
        self.paused = False
        self._report = TrainingReport()
        self._words = b""
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", f"lookout.service.{module}", str(folder)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
            preexec_fn=prepare_child,  # noqa: PLW1509  it calls the kernel alone
        )
        streams = ((self._process.stdout, self._read_reports), (self._process.stderr, self._read))
        self._readers = [
            threading.Thread(target=read, args=(stream,), name="training", daemon=True)
            for stream, read in streams
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def report(self) -> TrainingReport:
        """Its newest report."""
        return self._report

    def exit_code(self) -> int | None:
        """Return its exit code; None while it runs. Negative: the signal that killed it."""
        code = self._process.poll()
        if code is not None:
            self._join_readers()
        return code

    def last_words(self) -> str:
        """Return the last line that it wrote to standard error."""
        lines = self._words.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def pause(self, paused: bool) -> None:
        """Stop it where it stands, or let it go on."""
        if paused != self.paused:
            self.paused = paused
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGSTOP if paused else signal.SIGCONT)

    def stop(self) -> None:
        """End it, with its state saved where it can do that in time."""
        self.pause(False)
        self._process.terminate()
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._join_readers()

    def _join_readers(self) -> None:
        """Wait until what the process has written is read."""
        for reader in self._readers:
            reader.join(READ_LIMIT_S)

    def _read_reports(self, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                with contextlib.suppress(msgspec.MsgspecError):
                    self._report = msgspec.json.decode(line, type=TrainingReport)

    def _read(self, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                self._words = (self._words + line)[-LAST_WORDS:]


def prepare_child() -> None:
    """Let the child die with the stage, though it be paused, and give way to everybody."""
    die_with_parent(signal.SIGKILL)
    os.nice(NICEST)
