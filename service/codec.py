"""How messages look in Redis: flat fields, readable with redis-cli; pixels and heat cells raw."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from service.errors import BrokenMessageError
from service.messages import Alert, AlertEvent, Frame, FrameId, Heat, Score

Fields = dict[str, str | bytes]
Row = Mapping[bytes, bytes]
T = TypeVar("T")


def flat(fields: Fields) -> list[str | bytes]:
    """Names and values in turn, as a command takes them."""
    return [part for field in fields.items() for part in field]


def frame_fields(frame: Frame) -> Fields:
    height, width, _ = frame.pixels.shape
    return {
        "captured_at": repr(frame.captured_at),
        "size": f"{width}x{height}",
        "rgb": np.ascontiguousarray(frame.pixels).tobytes(),
    }


def read_frame(camera: str, frame_id: FrameId, row: Row) -> Frame:
    """Raises BrokenMessageError where the fields are not a frame's."""
    try:
        width, height = (int(part) for part in row[b"size"].split(b"x"))
        pixels = np.frombuffer(row[b"rgb"], np.uint8).reshape(height, width, 3)
        return Frame(camera, frame_id.session, frame_id.seq, float(row[b"captured_at"]), pixels)
    except (KeyError, ValueError) as error:
        raise BrokenMessageError(f"frame {camera} {frame_id} cannot be read: {error}") from error


def heat_fields(heat: Heat) -> Fields:
    return {"cells": heat.cells.astype("<u2").tobytes()}


def read_heat(camera: str, frame_id: FrameId, row: Row) -> Heat:
    """Raises BrokenMessageError where the fields are not a heatmap's."""
    try:
        cells = np.frombuffer(row[b"cells"], "<u2")
        side = round(len(cells) ** 0.5)
        return Heat(camera, frame_id.session, frame_id.seq, cells.reshape(side, side))
    except (KeyError, ValueError) as error:
        raise BrokenMessageError(f"heatmap {camera} {frame_id} cannot be read: {error}") from error


_SCORE_NUMBERS = ("psnr_db", "distance", "gate_error", "value")


def score_fields(score: Score) -> Fields:
    """`repr` keeps every bit of a float; what is None has no field."""
    fields: Fields = {
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
        numbers = {name: float(row[key]) if (key := name.encode()) in row else None for name in _SCORE_NUMBERS}
        updated = row.get(b"memory_updated")
        return Score(
            camera=camera,
            session=frame_id.session,
            seq=frame_id.seq,
            captured_at=float(row[b"captured_at"]),
            scored_at=float(row[b"scored_at"]),
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
    """The inverse of `dump`; fields this version does not know are left out. Raises BrokenMessageError."""
    try:
        data = json.loads(text)
        known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
        return kind(**{name: value for name, value in data.items() if name in known})
    except (ValueError, TypeError, AttributeError) as error:
        raise BrokenMessageError(f"{kind.__name__} cannot be read: {error}") from error


def event_fields(event: AlertEvent) -> Fields:
    return {"event": event.event, "alert": dump(event.alert)}


def read_event(row: Row) -> AlertEvent:
    """Raises BrokenMessageError where the fields are not an alert event's."""
    try:
        return AlertEvent(row[b"event"].decode(), load(Alert, row[b"alert"]))  # type: ignore[arg-type]
    except (KeyError, ValueError) as error:
        raise BrokenMessageError(f"alert event cannot be read: {error!r}") from error
