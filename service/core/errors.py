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
from collections.abc import Iterator

from pydantic_core import PydanticCustomError


class LookoutError(Exception):
    """Anything Lookout can explain in one line.

    code: a name of the reason that stays, for a reader who says it in another language; `values`
    stand in that sentence.
    """

    exit_code = 1  # of the command that it ends
    field: str | None = None  # of a request, which it is about

    def __init__(self, *said: object, code: str | None = None, **values: str | int) -> None:
        super().__init__(*said)
        self.code = code
        self.values = values


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
