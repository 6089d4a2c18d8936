"""Protocol of worker and decoder: one job as a line, then lines of messages. JSON, bounded.

The job travels on standard input: other users can read a process's arguments and environment, and a
camera's url may hold a password.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from lookout.service.core.camera import Camera
from lookout.service.core.errors import Reason, Value, reason_fields
from lookout.service.core.settings import Settings
from lookout.service.core.urls import mask
from lookout.service.storage.redis import codec

MAX_LINE = 16_384
MAX_JOB = 60_000  # fits a pipe's buffer: writing it never waits for the process
MAX_ERROR = 500
MAX_VALUE = 200  # characters of what stands in an error's sentence

MessageKind = Literal[
    "ready",
    "opened",
    "session",
    "progress",
    "notice",
    "ended",
    "refused",
    "lost",
    "stalled",
    "unusable",
]
EXIT_CODES: dict[MessageKind, int] = {
    "ended": 0,
    "refused": 3,
    "lost": 4,
    "stalled": 5,
    "unusable": 6,
}
"""Exit codes of a decoder. Any other (1, a signal) is a crash, and counts as lost."""


def settings_fields(settings: Settings) -> dict[str, Any]:
    """Return the settings that a process of ingest needs: without the API's token and the key."""
    return settings.model_dump(mode="json", exclude={"token", "secret_key"})


def error_fields(error: Reason | None) -> dict[str, Any]:
    """Return the fields of a message that hold an error, bounded and with passwords masked."""
    if error is None:
        return {}
    fields = reason_fields("error", error)
    values = {
        name: mask(value)[:MAX_VALUE] if isinstance(value, str) else value
        for name, value in fields["error_values"].items()
    }
    return fields | {"error": mask(error)[:MAX_ERROR], "error_values": values}


@dataclass(frozen=True, slots=True)
class Job:
    """The one job of a decoder process."""

    camera: Camera
    settings: Settings
    token: str  # of the worker's lease: the bus takes a frame only with it

    def dump(self) -> bytes:
        """Return the job as one line. Raises ValueError for more than MAX_JOB bytes."""
        data = {
            "camera": self.camera.model_dump(),
            "settings": settings_fields(self.settings),
            "token": self.token,
        }
        line = json.dumps(data).encode() + b"\n"
        if len(line) > MAX_JOB:
            raise ValueError(f"the camera's record is too long ({len(line)} bytes)")
        return line

    @classmethod
    def load(cls, line: bytes) -> Job:
        """Return the job of a line that `dump` wrote."""
        data = json.loads(line)
        return cls(
            Camera.model_validate(data["camera"]),
            Settings(**data["settings"]),
            data["token"],
        )


@dataclass(frozen=True, slots=True)
class DecoderMessage:
    """One message of a decoder: an event and the decoder's progress at that time."""

    kind: MessageKind
    session: int | None = None
    seq: int | None = None
    captured_at: float | None = None
    frames: int = 0  # kept since the decoder started
    damaged: int = 0  # packets of this session that could not be decoded
    waiting: bool = False  # for inference, at full pace
    error: str | None = None
    uptime_s: float | None = None  # captured_at on the machine's monotonic clock
    error_code: str = ""  # see `Reason`
    error_values: dict[str, Value] = field(default_factory=dict)

    @property
    def reason(self) -> Reason | None:
        """The error; None where there is none."""
        return Reason.read(self.error, self.error_code, self.error_values)

    def dump(self) -> str:
        """Return the message as one line."""
        return codec.dump(self) + "\n"

    @classmethod
    def load(cls, line: bytes) -> DecoderMessage:
        """Return the message of a line. Raises BrokenMessageError."""
        return codec.load(cls, line)


# The process that tries sources: the settings as the first line, then a request a line

TrialKind = Literal["shows", "lost", "stalled", "unsure"]


@dataclass(frozen=True, slots=True)
class TrialRequest:
    """A source to try, and a number for the result."""

    number: int
    camera: Camera

    def dump(self) -> bytes:
        """Return what opening the source needs as one line."""
        fields = self.camera.model_dump(include=TRIED_BY)
        return json.dumps({"number": self.number, "camera": fields}).encode() + b"\n"

    @classmethod
    def load(cls, line: bytes) -> TrialRequest:
        """Return the request of a line that `dump` wrote."""
        data = json.loads(line)
        return cls(data["number"], Camera.model_validate(data["camera"]))


TRIED_BY = {"id", "url", "model", "transport", "stall_timeout_s", "created_at", "revision"}


@dataclass(frozen=True, slots=True)
class TrialResult:
    """The end of a trial. `unsure`: a decoder has to find out."""

    number: int
    kind: TrialKind
    error: str | None = None
    error_code: str = ""  # see `Reason`
    error_values: dict[str, Value] = field(default_factory=dict)

    @property
    def reason(self) -> Reason | None:
        """The error; None where there is none."""
        return Reason.read(self.error, self.error_code, self.error_values)

    def dump(self) -> str:
        """Return the result as one line."""
        return codec.dump(self) + "\n"

    @classmethod
    def load(cls, line: bytes) -> TrialResult:
        """Return the result of a line. Raises BrokenMessageError."""
        return codec.load(cls, line)


@dataclass(slots=True)
class LineSplitter:
    """Split a stream of bytes into lines; one longer than MAX_LINE is left out."""

    _rest: bytes = b""
    _skipping: bool = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that `data` completes, without their ends."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        if whole and self._skipping:
            del whole[0]
            self._skipping = False
        if len(self._rest) > MAX_LINE:
            self._rest = b""
            self._skipping = True
        return [line for line in whole if len(line) <= MAX_LINE]
