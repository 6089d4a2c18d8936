"""The worker's side of a decoder process: start it, read it without waiting, end it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from typing import Protocol

from lookout.service.core.camera import Camera
from lookout.service.core.errors import BrokenMessageError
from lookout.service.core.settings import Settings
from lookout.service.ingest.decoder.protocol import DecoderMessage, Job, LineSplitter

READ_BYTES = 65_536  # all that a pipe holds


class DecoderHandle(Protocol):
    """The part of a decoder process that a runner uses. No method waits."""

    def read_messages(self) -> list[DecoderMessage]:
        """Return the messages since the last call."""

    def exit_code(self) -> int | None:
        """Return the exit code, negative for a signal; None while the process runs."""

    def terminate(self) -> None:
        """Ask the process to end."""

    def kill(self) -> None:
        """Kill the process."""

    def close(self) -> None:
        """Close the pipe of a process that has ended or is given up."""


class DecoderProcess:
    """A process of `lookout.service.ingest.decoder`.

    It has a process session of its own, so that Ctrl-C reaches the worker alone. It dies with the
    thread that started it: start it from a thread that lasts.
    """

    def __init__(self, camera: Camera, settings: Settings, token: str) -> None:
        """Start the process; `token` is the token of the camera's lease.

        Raises OSError where no process can be started, ValueError where the camera's record is too
        long.
        """
        job = Job(camera, settings, os.getpid(), token).dump()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "lookout.service.ingest.decoder"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        self._lines = LineSplitter()
        assert self._process.stdin is not None  # noqa: S101
        assert self._process.stdout is not None  # noqa: S101
        self._stdout = self._process.stdout
        os.set_blocking(self._stdout.fileno(), False)
        with contextlib.suppress(BrokenPipeError), self._process.stdin as stdin:
            stdin.write(job)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def read_messages(self) -> list[DecoderMessage]:
        """Return the messages of at most READ_BYTES; a line that cannot be read is left out."""
        if self._stdout.closed:
            return []
        messages = []
        for line in self._lines.feed(self._stdout.read(READ_BYTES) or b""):
            with contextlib.suppress(BrokenMessageError):
                messages.append(DecoderMessage.load(line))
        return messages

    def exit_code(self) -> int | None:
        """Return the exit code, negative for a signal; None while the process runs."""
        return self._process.poll()

    def terminate(self) -> None:
        """Ask the process to end (SIGTERM)."""
        self._process.terminate()

    def kill(self) -> None:
        """Kill the process (SIGKILL)."""
        self._process.kill()

    def close(self) -> None:
        """Close the pipe of a process that has ended or is given up."""
        self._stdout.close()
