"""Reports that the processes of a job print, a line each, and the frame of such a process."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from lookout.models.errors import CheckpointError, DataError, TrainingError, VideoError
from lookout.service.core.errors import (
    NO_REASON,
    FootageError,
    LookoutError,
    Reason,
    Value,
    reason_fields,
)
from lookout.service.core.jobs import HeldOut, Shadow
from lookout.service.core.lifecycle import stop_on_signals

T = TypeVar("T")
ShouldStop = Callable[[], bool]
"""Returns True once the process is to stop."""

EXPLAINED = (
    CheckpointError,
    DataError,
    FootageError,
    TrainingError,
    VideoError,
    OSError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """A line of a process that reads, trains or compares, as JSON."""

    progress: float = 0.0  # 0 to 1
    left_s: float | None = None
    before: HeldOut | None = None
    after: HeldOut | None = None
    left_out: int = 0  # segments that were too strange to train on
    started_from: str = ""  # name of the checkpoint
    shadow: Shadow | None = None  # old and new side by side
    error: str = ""  # why it ended; it is not tried again
    error_code: str = ""  # see `Reason`
    error_values: dict[str, Value] = field(default_factory=dict)

    @property
    def reason(self) -> Reason:
        """The error; empty where there is none."""
        return Reason.read(self.error, self.error_code, self.error_values) or NO_REASON


Print = Callable[[TrainingReport], None]


def print_report(report: TrainingReport) -> None:
    """Print a report as a line of JSON."""
    sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    sys.stdout.buffer.flush()


def explain(error: Exception) -> Reason:
    """Return an error in one line."""
    if isinstance(error, LookoutError):
        return error.reason
    if isinstance(error, OSError) and error.strerror:
        file = str(error.filename or "a file")
        said = f"{file} cannot be written or read: {error.strerror}"
        return Reason(said, code="job_file", file=file, why=error.strerror)
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return Reason(lines[0], code="job_error", why=lines[0])


def file_reason(error: OSError, folder: Path) -> Reason:
    """Return that a file of a job, by default its folder, cannot be written or read."""
    file, why = str(error.filename or folder), error.strerror or str(error)
    return Reason(f"{file}: {why}", code="job_file", file=file, why=why)


def still_there(asked: T | None) -> T:
    """Return what a job asks of its process. Raises FootageError where its files are gone."""
    if asked is None:
        raise FootageError("the files of the job are gone", code="job_files_gone")
    return asked


def require_file(path: Path) -> None:
    """Raise FootageError where the recording of a job is gone."""
    if not path.is_file():
        raise FootageError(
            f"{path.name}: there is no such file in the media folder",
            code="no_recording",
            name=path.name,
        )


def run_task(lock: Path, work: Callable[[ShouldStop], TrainingReport | None], finish: Print) -> int:
    """Run the work of a process to its end; return the exit code: 0 for a report that is the last.

    lock: file that is locked meanwhile: a former process may still save its state. work: returns
    None once its argument says stop, by a signal or since the stage is gone. finish: writes the
    last report, which may be an error.
    """
    parent_pid = os.getppid()
    try:
        with lock.open("w") as file, stop_on_signals() as stop:
            fcntl.flock(file, fcntl.LOCK_EX)
            report = work(lambda: stop.is_set() or os.getppid() != parent_pid)
            if report is None:
                return 1
            finish(report)
    except EXPLAINED as error:
        report = TrainingReport(**reason_fields("error", explain(error)))
        finish(report)
    print_report(report)
    return 0
