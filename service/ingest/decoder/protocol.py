"""What a decoder and its worker say to each other: a job in one line, then lines of news. JSON, bounded.

The job travels on standard input, since arguments and environment of a process are open to others, passwords and all.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Literal

from lookout.service.core.camera import Camera
from lookout.service.core.settings import Settings
from lookout.service.storage.redis import codec

MAX_LINE = 16_384
MAX_JOB = 60_000  # fits a pipe's buffer: writing it never waits for the child
MAX_ERROR = 500

Kind = Literal[
    "ready", "opened", "session", "progress", "notice", "ended", "refused", "lost", "stalled"
]
EXIT_CODES: dict[Kind, int] = {"ended": 0, "refused": 3, "lost": 4, "stalled": 5}
"""How a decoder ends. Anything else (1, a signal) is a crash, and counts as lost."""


@dataclass(frozen=True, slots=True)
class Job:
    camera: Camera
    settings: Settings
    parent_pid: int
    token: str  # of the worker's lease: what a frame must show to be taken

    def dump(self) -> bytes:
        """One line. Raises ValueError for one that is too long."""
        data = {
            "camera": self.camera.model_dump(),
            "settings": self.settings.model_dump(mode="json", exclude={"token"}),
            "parent_pid": self.parent_pid,
            "token": self.token,
        }
        line = json.dumps(data).encode() + b"\n"
        if len(line) > MAX_JOB:
            raise ValueError(f"the camera's record is too long ({len(line)} bytes)")
        return line

    @classmethod
    def load(cls, line: bytes) -> Job:
        data = json.loads(line)
        return cls(
            Camera.model_validate(data["camera"]),
            Settings(**data["settings"]),
            data["parent_pid"],
            data["token"],
        )


@dataclass(frozen=True, slots=True)
class Said:
    """One line of a decoder: what happened, and where it stands."""

    kind: Kind
    session: int | None = None
    seq: int | None = None
    captured_at: float | None = None
    frames: int = 0  # kept since the decoder started
    damaged: int = 0  # packets of this session that could not be decoded
    waiting: bool = False  # for inference, at full pace
    error: str | None = None

    def dump(self) -> str:
        return codec.dump(self) + "\n"

    @classmethod
    def load(cls, line: bytes) -> Said:
        """Raises BrokenMessageError."""
        return codec.load(cls, line)


@dataclass(slots=True)
class Lines:
    """Cuts a stream of bytes into lines; one longer than MAX_LINE is left out."""

    _rest: bytes = b""
    _skipping: bool = field(default=False)

    def feed(self, data: bytes) -> list[bytes]:
        *whole, self._rest = (self._rest + data).split(b"\n")
        if whole and self._skipping:
            whole, self._skipping = whole[1:], False
        if len(self._rest) > MAX_LINE:
            self._rest, self._skipping = b"", True
        return [line for line in whole if len(line) <= MAX_LINE]
