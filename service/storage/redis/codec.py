"""The form of messages in Redis: flat fields, readable with redis-cli; pixels and cells raw."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from pydantic import ValidationError

from lookout.service.core.camera import Camera
from lookout.service.core.errors import BrokenMessageError
from lookout.service.core.messages import (
    Alert,
    AlertEvent,
    CameraEvent,
    Frame,
    FrameId,
    Gap,
    Heat,
    Score,
)

Fields = dict[str, str | bytes]
Row = Mapping[bytes, bytes]
T = TypeVar("T")

VERSION = b"1"
"""Version of the messages in the bus's streams; one of another version, or none, is unreadable."""


def flat(fields: Fields) -> list[str | bytes]:
    """Names and values in turn, as a command takes them."""
    return [part for field in fields.items() for part in field]


def frame_fields(frame: Frame) -> Fields:
    height, width, _ = frame.pixels.shape
    fields: Fields = {
        "v": VERSION,
        "captured_at": repr(frame.captured_at),
        "size": f"{width}x{height}",
    }
    if frame.revision:
        fields["revision"] = str(frame.revision)
    if frame.skipped:
        fields["skipped"], fields["skipped_for"] = str(frame.skipped), frame.skipped_for
    fields["rgb"] = np.ascontiguousarray(frame.pixels).tobytes()
    return fields


def read_frame(camera: str, frame_id: FrameId, row: Row) -> Frame:
    """Raises BrokenMessageError where the fields are not a frame's."""
    try:
        _check_version(row)
        width, height = (_count(part) for part in row[b"size"].split(b"x"))
        pixels = np.frombuffer(row[b"rgb"], np.uint8).reshape(height, width, 3)
        return Frame(
            camera,
            frame_id.session,
            frame_id.seq,
            _time(row[b"captured_at"]),
            pixels,
            revision=_count(row.get(b"revision", b"0")),
            skipped=_count(row.get(b"skipped", b"0")),
            skipped_for=row.get(b"skipped_for", b"").decode(),
        )
    except (KeyError, ValueError) as error:
        raise BrokenMessageError(f"frame {camera} {frame_id} cannot be read: {error}") from error


def _check_version(row: Row) -> None:
    if row[b"v"] != VERSION:
        raise ValueError(f"version {row[b'v'][:20]!r}")


def _count(text: bytes) -> int:
    """A whole number, 0 or more, that Redis can hold."""
    if not (text.isdigit() and len(text) < 20):
        raise ValueError(f"not a number: {text[:20]!r}")
    return int(text)


def _time(text: bytes) -> float:
    """UTC seconds."""
    seconds = float(text)
    if not math.isfinite(seconds):
        raise ValueError("a time that is none")
    return seconds


def float_or_nan(text: bytes) -> float:
    """Return a number, or nan for what is none."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def unreadable_frame(camera: str, frame_id: FrameId) -> Frame:
    """In the place of a frame that cannot be read: no pixels, no time."""
    return Frame(
        camera, frame_id.session, frame_id.seq, float("nan"), np.empty((0, 0, 3), np.uint8)
    )


def read_gap(camera: str, row: Row) -> Gap:
    """Raises BrokenMessageError where the fields are not a gap's."""
    try:
        session, first, frames = (int(row[name]) for name in (b"session", b"first", b"frames"))
        return Gap(camera, session, first, frames, row[b"reason"].decode())
    except (KeyError, ValueError) as error:
        raise BrokenMessageError(f"gap of {camera} cannot be read: {error}") from error


def heat_fields(heat: Heat) -> Fields:
    return {"v": VERSION, "cells": heat.cells.astype("<u2").tobytes()}


def read_heat(camera: str, frame_id: FrameId, row: Row) -> Heat:
    """Raises BrokenMessageError where the fields are not a heatmap's."""
    try:
        _check_version(row)
        cells = np.frombuffer(row[b"cells"], "<u2")
        side = round(len(cells) ** 0.5)
        return Heat(camera, frame_id.session, frame_id.seq, cells.reshape(side, side))
    except (KeyError, ValueError) as error:
        raise BrokenMessageError(f"heatmap {camera} {frame_id} cannot be read: {error}") from error


_SCORE_NUMBERS = ("psnr_db", "distance", "gate_error", "value", "local_db")


def score_fields(score: Score) -> Fields:
    """`repr` keeps every bit of a float; what is None has no field."""
    fields: Fields = {
        "v": VERSION,
        "captured_at": repr(score.captured_at),
        "scored_at": repr(score.scored_at),
        "model": score.model,
    }
    for name in _SCORE_NUMBERS:
        number = getattr(score, name)
        if number is not None:
            fields[name] = repr(number)
    if score.memory_updated is not None:
        fields["memory_updated"] = str(int(score.memory_updated))
    return fields


def read_score(camera: str, frame_id: FrameId, row: Row) -> Score:
    """Raises BrokenMessageError where the fields are not a score's."""
    try:
        _check_version(row)
        numbers = {
            name: float(row[key]) if (key := name.encode()) in row else None
            for name in _SCORE_NUMBERS
        }
        updated = row.get(b"memory_updated")
        return Score(
            camera=camera,
            session=frame_id.session,
            seq=frame_id.seq,
            captured_at=_time(row[b"captured_at"]),
            scored_at=_time(row[b"scored_at"]),
            model=row[b"model"].decode(),
            memory_updated=None if updated is None else updated == b"1",
            **numbers,
        )
    except (KeyError, ValueError) as error:
        raise BrokenMessageError(f"score {camera} {frame_id} cannot be read: {error}") from error


def dump(message: Any) -> str:
    """A dataclass of plain values as JSON."""
    return json.dumps(dataclasses.asdict(message), separators=(",", ":"))


def load(kind: type[T], text: str | bytes) -> T:
    """The inverse of `dump`; fields this version does not know are left out.

    Raises BrokenMessageError.
    """
    try:
        data = json.loads(text)
        known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
        return kind(**{name: value for name, value in data.items() if name in known})
    except (ValueError, TypeError, AttributeError) as error:
        raise BrokenMessageError(f"{kind.__name__} cannot be read: {error}") from error


def read_camera(text: str | bytes) -> Camera:
    """Read a camera's record; fields this version does not know are left out.

    Raises BrokenMessageError.
    """
    try:
        return Camera.model_validate_json(text, extra="ignore")
    except ValidationError as error:
        raise BrokenMessageError(f"camera cannot be read: {error}") from error


def camera_event_fields(event: CameraEvent) -> Fields:
    """Kind and frame come first: they are what makes two events the same."""
    frame = FrameId(event.session, event.seq)
    return {"kind": event.kind, "frame": str(frame), "at": repr(event.at), "detail": event.detail}


def read_camera_event(camera: str, _entry: FrameId, row: Row) -> CameraEvent:
    """Raises BrokenMessageError where the fields are not a camera event's."""
    try:
        kind = row[b"kind"].decode()
        frame = FrameId.parse(row[b"frame"].decode())
        at = float(row[b"at"])
        detail = row[b"detail"].decode()
        return CameraEvent(kind, camera, *frame, at, detail)  # type: ignore[arg-type]
    except (KeyError, ValueError) as error:
        raise BrokenMessageError(f"camera event cannot be read: {error!r}") from error


def alert_event_fields(event: AlertEvent) -> Fields:
    return {"event": event.event, "alert": dump(event.alert)}


def read_alert_event(_camera: str, _entry: FrameId, row: Row) -> AlertEvent:
    """Raises BrokenMessageError where the fields are not an alert event's."""
    try:
        event = row[b"event"].decode()
        return AlertEvent(event, load(Alert, row[b"alert"]))  # type: ignore[arg-type]
    except (KeyError, ValueError) as error:
        raise BrokenMessageError(f"alert event cannot be read: {error!r}") from error
