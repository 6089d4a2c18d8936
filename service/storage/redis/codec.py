"""The form of messages in Redis: flat fields, readable with redis-cli; pixels and cells raw.

Reading checks every field against its declared type (msgspec); a message that does not fit raises
BrokenMessageError and nothing else. Fields that this version does not know are left out, so that
two versions can share a Redis.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np
from pydantic import ValidationError

from lookout.service.core.camera import Camera
from lookout.service.core.clock import Moment
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
from lookout.service.core.sinks import Letter

Fields = dict[str, str | bytes]
Row = Mapping[bytes, bytes]
T = TypeVar("T")

VERSION = b"1"
"""Version of the messages in the bus's streams; one of another version, or none, is unreadable."""

RAW = {b"rgb", b"cells"}  # arrays; every other field is text

UNREADABLE = (KeyError, ValueError, RecursionError, msgspec.MsgspecError)
"""Raised within this module by a message that is not what its type declares."""

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]  # the range that Redis can hold


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
    if frame.uptime_s is not None:
        fields["uptime"], fields["machine"] = repr(frame.uptime_s), frame.machine
    if frame.late_s:
        fields["late"] = repr(frame.late_s)
    fields["rgb"] = np.ascontiguousarray(frame.pixels).tobytes()
    return fields


class FrameRow(msgspec.Struct, frozen=True):
    """A frame's row without its pixels."""

    captured_at: float
    size: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,9}x[0-9]{1,9}\Z")]
    revision: Count = 0
    skipped: Count = 0
    skipped_for: str = ""
    uptime: float | None = None
    machine: str = ""
    late: float = 0.0


def read_frame(camera: str, frame_id: FrameId, row: Row) -> Frame:
    """Raises BrokenMessageError where the fields are not a frame's."""
    try:
        check_version(row)
        fields = msgspec.convert(texts(row), FrameRow, strict=False)
        width, height = map(int, fields.size.split("x"))
        return Frame(
            camera,
            *frame_id,
            finite(fields.captured_at),
            np.frombuffer(row[b"rgb"], np.uint8).reshape(height, width, 3),
            revision=fields.revision,
            skipped=fields.skipped,
            skipped_for=fields.skipped_for,
            uptime_s=None if fields.uptime is None else finite(fields.uptime),
            machine=fields.machine,
            late_s=finite(fields.late),
        )
    except UNREADABLE as error:
        raise broken(f"frame {camera} {frame_id}", error) from error


def check_version(row: Row) -> None:
    """Raise ValueError where a row of the bus is of another version, or says none."""
    if row.get(b"v") != VERSION:
        raise ValueError(f"version {row.get(b'v', b'')[:20]!r}")


def texts(row: Row) -> dict[str, Any]:
    """Return the fields of a row that are text. Raises ValueError where one is not UTF-8."""
    return {name.decode(): value.decode() for name, value in row.items() if name not in RAW}


def finite(seconds: float) -> float:
    """Return a time in seconds. Raises ValueError for inf and nan."""
    if not math.isfinite(seconds):
        raise ValueError("a time that is none")
    return seconds


def count(text: bytes | None) -> int:
    """Return a count; 0 where there is none, or something else in its place."""
    return int(text) if text is not None and text.isdigit() else 0


def frame_id(text: bytes | None) -> FrameId | None:
    """Return a frame's id; None where there is none, or something else in its place."""
    try:
        return FrameId.parse(text.decode()) if text else None
    except ValueError:
        return None


def broken(message: str, error: Exception) -> BrokenMessageError:
    """Return the exception for a message that cannot be read; its text is at most a line."""
    return BrokenMessageError(f"{message} cannot be read: {str(error)[:200]}")


def float_or_nan(text: bytes) -> float:
    """Return a number, or nan for what is none."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def float_or_zero(text: bytes) -> float:
    """Return a finite number; 0 for what is none."""
    number = float_or_nan(text)
    return number if math.isfinite(number) else 0.0


def read_due(captured_at: bytes, uptime: bytes, machine: bytes, late: bytes) -> Moment:
    """Return when a frame is due, of its fields (b"": it has none); nan for what is no time."""
    captured = Moment(
        float_or_nan(captured_at),
        float_or_nan(uptime) if uptime else None,
        machine.decode(errors="replace"),
    )
    return captured.shifted(float_or_nan(late) if late else 0.0)


def unreadable_frame(camera: str, frame_id: FrameId) -> Frame:
    """In the place of a frame that cannot be read: no pixels, no time."""
    return Frame(
        camera, frame_id.session, frame_id.seq, float("nan"), np.empty((0, 0, 3), np.uint8)
    )


def read_gap(camera: str, row: Row) -> Gap:
    """Raises BrokenMessageError where the fields are not a gap's."""
    try:
        fields = {**texts(row), "camera": camera}
        return msgspec.convert(fields | {"first_seq": fields["first"]}, Gap, strict=False)
    except UNREADABLE as error:
        raise broken(f"gap of {camera}", error) from error


def heat_fields(heat: Heat) -> Fields:
    fields: Fields = {"v": VERSION, "cells": heat.cells.astype("<u2").tobytes()}
    if heat.motions:
        fields["motions"] = heat.motions
    return fields


def read_heat(camera: str, frame_id: FrameId, row: Row) -> Heat:
    """Raises BrokenMessageError where the fields are not a heatmap's."""
    try:
        check_version(row)
        cells = np.frombuffer(row[b"cells"], "<u2")
        side = round(len(cells) ** 0.5)
        motions = row.get(b"motions", b"").decode()
        return Heat(camera, frame_id.session, frame_id.seq, cells.reshape(side, side), motions)
    except UNREADABLE as error:
        raise broken(f"heatmap {camera} {frame_id}", error) from error


_SCORE_NUMBERS = ("psnr_db", "distance", "gate_error", "value", "local_db", "place_db")


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
    if score.zones:
        fields["zones"] = dump(score.zones)
    if score.reused:
        fields["reused"] = "1"
    return fields


def read_score(camera: str, frame_id: FrameId, row: Row) -> Score:
    """Raises BrokenMessageError where the fields are not a score's."""
    try:
        check_version(row)
        fields = {**texts(row), "camera": camera, **frame_id._asdict()}
        if "zones" in fields:
            fields["zones"] = msgspec.json.decode(fields["zones"], type=dict[str, float | None])
        score = msgspec.convert(fields, Score, strict=False)
        finite(score.captured_at)
        finite(score.scored_at)
    except UNREADABLE as error:
        raise broken(f"score {camera} {frame_id}", error) from error
    return score


def dump(message: Any) -> str:
    """Return a dataclass of plain values as JSON, in ASCII."""
    return json.dumps(msgspec.to_builtins(message), separators=(",", ":"))


def load(kind: type[T], text: str | bytes) -> T:
    """Return the inverse of `dump`; fields this version does not know are left out.

    Raises BrokenMessageError.
    """
    message: T
    try:
        message = decoder_of(kind).decode(text)  # type: ignore[arg-type]  # a class is hashable
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        # `json` reads what `dump` may write and no other does: NaN, half of a surrogate pair.
        try:
            message = checked(kind, json.loads(text))
        except UNREADABLE as error:
            raise broken(kind.__name__, error) from error
    return message


@cache
def decoder_of(kind: type[Any]) -> msgspec.json.Decoder[Any]:
    """Return what reads a type from JSON, made once."""
    return msgspec.json.Decoder(kind)


def checked(kind: type[T], data: Any) -> T:
    """Return parsed JSON as an object of a type. Raises BrokenMessageError."""
    try:
        return msgspec.convert(data, kind)
    except UNREADABLE as error:
        raise broken(kind.__name__, error) from error


def read_camera(text: str | bytes) -> Camera:
    """Read a camera's record; fields this version does not know are left out.

    Raises BrokenMessageError.
    """
    try:
        return Camera.model_validate_json(text, extra="ignore")
    except ValidationError as error:
        parts = (
            f"{'.'.join(map(str, part['loc'])) or 'record'}: {part['msg']}"
            for part in error.errors()
        )
        raise broken("camera", ValueError("; ".join(parts))) from error


def camera_event_fields(event: CameraEvent) -> Fields:
    """Kind and frame come first: they are what makes two events the same."""
    frame = FrameId(event.session, event.seq)
    return {"kind": event.kind, "frame": str(frame), "at": repr(event.at), "detail": event.detail}


def read_camera_event(camera: str, _entry: FrameId, row: Row) -> CameraEvent:
    """Raises BrokenMessageError where the fields are not a camera event's."""
    try:
        fields = texts(row)
        frame = FrameId.parse(fields["frame"])
        fields |= {"camera": camera, **frame._asdict()}
        event = msgspec.convert(fields, CameraEvent, strict=False)
        finite(event.at)
    except UNREADABLE as error:
        raise broken("camera event", error) from error
    return event


def read_alert(camera: str, alert_id: str, text: str | bytes) -> Alert:
    """Read an alert of a camera. Raises BrokenMessageError where it is none, or another one."""
    alert = load(Alert, text)
    try:
        check_alert(alert)
    except ValueError as error:
        raise broken("Alert", error) from error
    if (alert.camera, alert.id) != (camera, alert_id):
        raise broken("Alert", ValueError(f"it is {alert.id[:80]!r} of {alert.camera[:64]!r}"))
    return alert


def read_letter(text: bytes, *, again: bool) -> Letter:
    """Read an event that could not be delivered. Raises BrokenMessageError.

    again: it waits to be sent again.
    """
    letter = load(Letter, text)
    try:
        check_alert(letter.event.alert)
        finite(letter.failed_at)
    except ValueError as error:
        raise broken("letter", error) from error
    return replace(letter, again=again)


def check_alert(alert: Alert) -> None:
    """Raise ValueError where a number of an alert is none, which JSON has no word for."""
    for number in (alert.opened_at, alert.threshold, alert.peak_value, alert.peak_at):
        finite(number)
    finite(alert.closed_at or 0.0)


def alert_event_fields(event: AlertEvent) -> Fields:
    fields = msgspec.to_builtins(event.alert)
    if event.alert.kind == "anomaly":  # as versions wrote it that knew no other
        del fields["kind"]
    if event.alert.zone is None:
        del fields["zone"]
    if event.alert.suppressed_by is None:
        del fields["suppressed_by"]
    if not event.alert.detail:
        del fields["detail"]
    return {"event": event.event, "alert": json.dumps(fields, separators=(",", ":"))}


def read_alert_event(camera: str, entry: FrameId, row: Row) -> AlertEvent:
    """Raises BrokenMessageError where the fields are not an alert event's."""
    try:
        fields = texts(row)
        event = msgspec.convert(fields | {"alert": json.loads(fields["alert"])}, AlertEvent)
        check_alert(event.alert)
    except UNREADABLE as error:
        raise broken("alert event", error) from error
    return replace(event, id=f"{camera}:{entry}")
