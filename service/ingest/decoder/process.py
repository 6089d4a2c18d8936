"""The worker's side of a decoder process: start it, hear it without ever waiting for it, end it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from typing import Protocol

from lookout.service.core.camera import Camera
from lookout.service.core.errors import BrokenMessageError
from lookout.service.core.settings import Settings
from lookout.service.ingest.decoder.protocol import Job, Lines, Said

READ_BYTES = 65_536  # all that a pipe holds


class Child(Protocol):
    """What a runner needs of a decoder. Nothing here waits."""

    def hear(self) -> list[Said]: ...

    def exit_code(self) -> int | None: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...

    def close(self) -> None: ...


class Decoder:
    """A process of `lookout.service.ingest.decoder`, in a session of its own: Ctrl-C reaches the worker alone.

    It dies with the thread that started it, so that must be one that lasts.
    """

    def __init__(self, camera: Camera, settings: Settings, token: str) -> None:
        """`token`: of the camera's lease.

        Raises OSError where no process can be started, ValueError where the camera's record is too long.
        """
        job = Job(camera, settings, os.getpid(), token).dump()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "lookout.service.ingest.decoder"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        self._lines = Lines()
        assert self._process.stdin is not None  # noqa: S101
        assert self._process.stdout is not None  # noqa: S101
        self._stdout = self._process.stdout
        os.set_blocking(self._stdout.fileno(), False)
        with contextlib.suppress(BrokenPipeError), self._process.stdin as stdin:
            stdin.write(job)

    @property
    def pid(self) -> int:
        return self._process.pid

    def hear(self) -> list[Said]:
        """What it said since the last time, at most READ_BYTES; a line that cannot be read is left out."""
        data = self._stdout.read(READ_BYTES) if not self._stdout.closed else None
        said = []
        for line in self._lines.feed(data or b""):
            with contextlib.suppress(BrokenMessageError):
                said.append(Said.load(line))
        return said

    def exit_code(self) -> int | None:
        return self._process.poll()

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        """Let go of the pipe; the process has ended, or is given up."""
        self._stdout.close()
