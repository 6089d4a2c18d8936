"""The worker's side of a decoder process: start it, read it without waiting, end it."""

from __future__ import annotations

import contextlib
from typing import Protocol

from lookout.service.core.camera import Camera
from lookout.service.core.errors import BrokenMessageError
from lookout.service.core.settings import Settings
from lookout.service.ingest.decoder.protocol import DecoderMessage, Job, LineSplitter
from lookout.service.ingest.forking.children import Children

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
    """A child process that runs `decoder/main.py` for one camera."""

    def __init__(self, children: Children, camera: Camera, settings: Settings, token: str) -> None:
        """Start the process; `token` is the token of the camera's lease.

        Raises OSError where no process can be started, ValueError where the camera's record is too
        long.
        """
        self._child = children.start("decoder", Job(camera, settings, token).dump())
        self._lines = LineSplitter()

    @property
    def pid(self) -> int | None:
        """Process id; None for the first moments."""
        self._child.exit_code()
        return self._child.pid

    def read_messages(self) -> list[DecoderMessage]:
        """Return the messages of at most READ_BYTES; a line that cannot be read is left out."""
        if self._child.stdout.closed:
            return []
        messages = []
        for line in self._lines.feed(self._child.stdout.read(READ_BYTES) or b""):
            with contextlib.suppress(BrokenMessageError):
                messages.append(DecoderMessage.load(line))
        return messages

    def exit_code(self) -> int | None:
        """Return the exit code, negative for a signal; None while the process runs."""
        return self._child.exit_code()

    def terminate(self) -> None:
        """Ask the process to end (SIGTERM)."""
        self._child.terminate()

    def kill(self) -> None:
        """Kill the process (SIGKILL)."""
        self._child.kill()

    def close(self) -> None:
        """Close the pipe of a process that has ended or is given up."""
        self._child.close()
