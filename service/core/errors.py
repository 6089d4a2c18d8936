"""Errors outside the mathematics, by who has to act on them.

LookoutError                 one line for the operator, without passwords; exit code 1 of a command
├── SettingsError            an environment variable or option is wrong: exit code 2
│   ├── UnprotectedError     other machines could come in, and no token is set: exit code 3
│   └── NoDeviceError        the GPU that is asked for is not there: exit code 5
├── AddressError             the address to listen on cannot be had: exit code 4
├── SourceError              a camera's stream cannot be used
│   ├── SourceRefusedError   a retry will not help: the camera is `failed` until it is changed
│   ├── SourceUnusableError  it is there and has no video that can be decoded: `failed` for an hour
│   └── SourceLostError      it may come back: the camera is `reconnecting`
│       └── SourceStalledError   it is there and gives no picture: the camera is `stalled`
├── FootageError             a recording, or the files of a job, cannot be used
├── RequestError             a request asks for something that cannot be (HTTP 422)
├── RoleError                the sender's role is too small (HTTP 403)
├── RefusedDeliveryError     a sink's receiver will never take an event
│   └── GoneReceiverError    nor any other: there is no such receiver any more
├── NotFoundError            no such camera, alert, frame (HTTP 404)
├── ConflictError            it exists already (HTTP 409)
├── NoRoomError              the disk takes nothing more (HTTP 507)
└── BrokenMessageError       bytes in Redis that are not what this version writes
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Self

from pydantic_core import PydanticCustomError

Value = str | int | float
"""A part of the sentence of a reason. A number is written as the reader's language does."""


class Reason(str):
    """One line for a person on why something is as it is, and what it says to a program.

    code: a name of the reason that stays, for a reader who says it in another language; empty where
    nothing is said. `values` stand in that sentence. Of a reason `why` within this one they have
    the text, its code as `why_code`, and its values as `why.` with their names.
    """

    code: str
    values: dict[str, Value]

    def __new__(cls, said: object = "", *, code: str = "", **values: Value) -> Self:
        self = super().__new__(cls, said)
        self.code = code
        self.values = {}
        for name, value in values.items():
            self.values[name] = value
            if isinstance(value, Reason):
                inner = {f"{name}.{part}": one for part, one in value.values.items()}
                self.values |= {name: str(value), f"{name}_code": value.code, **inner}
        return self

    @classmethod
    def read(cls, said: str | None, code: str, values: Mapping[str, Value]) -> Self | None:
        """Return the reason of a message's fields, as `reason_fields` made them; None for none."""
        if not said:
            return None
        self = cls(said, code=code)
        self.values = dict(values)
        return self


NO_REASON = Reason()


def reason_fields(name: str, reason: str | None) -> dict[str, Any]:
    """Return the fields `name`, `name_code` and `name_values` of a message that holds a reason."""
    if not isinstance(reason, Reason):
        return {name: reason, f"{name}_code": "", f"{name}_values": {}}
    return {name: str(reason), f"{name}_code": reason.code, f"{name}_values": reason.values}


class LookoutError(Exception):
    """Anything Lookout can explain in one line.

    said: a Reason, or its text with its code and values; a code is for a reader who says it in
    another language.
    """

    exit_code = 1  # of the command that it ends
    field: str | None = None  # of a request, which it is about

    def __init__(self, said: object = "", *, code: str | None = None, **values: Value) -> None:
        super().__init__(said)
        self.reason = said if isinstance(said, Reason) else Reason(said, code=code or "", **values)

    @property
    def code(self) -> str | None:
        """The reason's code; None where it has none."""
        return self.reason.code or None

    @property
    def values(self) -> dict[str, Value]:
        """Parts of the reason's sentence, by name."""
        return self.reason.values


class SettingsError(LookoutError):
    """A setting is wrong or missing."""

    exit_code = 2


class UnprotectedError(SettingsError):
    """Listening there would let anybody in."""

    exit_code = 3


class NoDeviceError(SettingsError):
    """The device that is asked for cannot be used here."""

    exit_code = 5


class AddressError(LookoutError):
    """The address to listen on cannot be had: another program's port, or another machine's name."""

    exit_code = 4


class SourceError(LookoutError):
    """A camera's stream cannot be used."""


class SourceRefusedError(SourceError):
    """The stream will never work as configured (no video in it, outside the media folder)."""


class SourceUnusableError(SourceError):
    """The stream is there and holds no video that can be decoded: seldom tried again."""


class SourceLostError(SourceError):
    """The stream is away and may come back (unreachable, broken off, silent)."""


class SourceStalledError(SourceLostError):
    """The stream is open, and no picture comes."""


class FootageError(LookoutError):
    """A recording cannot be learned from or replayed, or the files of a job are gone."""


class RequestError(LookoutError):
    """A request asks for something that cannot be."""


class RoleError(LookoutError):
    """The sender's role does not allow what a request asks for."""


class RefusedDeliveryError(LookoutError):
    """A sink's receiver will not take an event, however often it is sent."""


class GoneReceiverError(RefusedDeliveryError):
    """A sink's receiver has gone for good: the sink is removed."""


class NotFoundError(LookoutError):
    """The camera, alert or frame that a request names is not there."""


class ConflictError(LookoutError):
    """The thing to be created exists already."""


class NoRoomError(LookoutError):
    """The disk takes nothing more."""


class BrokenMessageError(LookoutError):
    """A message in Redis cannot be read."""


def invalid(said: str, *, code: str, **values: str | int) -> PydanticCustomError:
    """Return the ValueError with which a validator refuses a field, of a `code` that stays.

    said: the reason; `{name}` in it stands for the value of that name.
    """
    return PydanticCustomError(code, said, values)


@contextlib.contextmanager
def about_field(name: str) -> Iterator[None]:
    """Let an error that is raised inside say which field of the request it is about."""
    try:
        yield
    except LookoutError as error:
        error.field = name
        raise
