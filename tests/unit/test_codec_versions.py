"""Redis outlives a version: recorded messages of the former codec are read, and written the same.

Any bytes in their place are refused with BrokenMessageError and with nothing else.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lookout.service.core.errors import BrokenMessageError
from lookout.service.core.messages import (
    Alert,
    AlertEvent,
    CameraEvent,
    Frame,
    FrameId,
    Gap,
    Heat,
    InferenceReport,
    IngestReport,
    Score,
)
from lookout.service.ingest.decoder.protocol import DecoderMessage
from lookout.service.storage.redis import codec
from tests.conftest import examples

ID = FrameId(1000, 7)
AT = 1700000000.25
PIXELS = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
CELLS = np.array([[0, 1], [256, 65535]], np.uint16)

ALERT = Alert("gate:1000-7", "gate", "open", AT, None, 0.75, 0.9000000000000001, AT)
ALERT_JSON = (
    b'{"id":"gate:1000-7","camera":"gate","state":"open","opened_at":1700000000.25,'
    b'"closed_at":null,"threshold":0.75,"peak_value":0.9000000000000001,"peak_at":1700000000.25}'
)
INGEST_JSON = (
    rb'{"state":"reconnecting","at":1700000000.25,"revision":3,"last_error":"gone \u00e9 \udcff",'
    rb'"session":1000,"last_seq":7,"last_captured_at":1e+16,"fps":null,"waiting":true,'
    rb'"retry_at":1700000001.0,"reconnects_last_hour":2,"stalls_last_hour":1,"worker":"w-1"}'
)
INFERENCE_JSON = (
    b'{"state":"online","at":1700000000.25,"revision":3,"last_error":null,"learned":300,'
    b'"to_learn":300,"drift":NaN,"rollbacks":1,"tampered":false,"score":0.5,"score_peak":0.75,'
    b'"worker":"w-2"}'
)
DECODER_JSON = (
    b'{"kind":"lost","session":1000,"seq":7,"captured_at":1700000000.25,"frames":8,"damaged":0,'
    b'"waiting":false,"error":"gone"}'
)
INGEST = IngestReport(
    "reconnecting", AT, 3, "gone é \udcff", 1000, 7, 1e16, None, True, AT + 0.75, 2, 1, "w-1"
)
INFERENCE = InferenceReport(
    "online", AT, 3, None, 300, 300, math.nan, 1, False, 0.5, 0.75, worker="w-2"
)
DECODER = DecoderMessage("lost", 1000, 7, AT, frames=8, error="gone")

FULL_SCORE = Score("gate", *ID, AT, 1e16, "ped2", 36.61, 0.0042, 1.5e-07, False, 0.125, math.inf)
LEARNING_SCORE = Score("gate", *ID, AT, AT, "ae", None, None, None, None, None)
CHANGE = CameraEvent("scene_change", "gate", *ID, AT, "darker: 112, then 45 – Straße")

Reader = Callable[[str, FrameId, codec.Row], Any]
Rows = list[tuple[Reader, codec.Fields, dict[bytes, bytes], object]]

ROWS: Rows = [
    (
        codec.read_score,
        codec.score_fields(FULL_SCORE),
        {
            b"v": b"1",
            b"captured_at": b"1700000000.25",
            b"scored_at": b"1e+16",
            b"model": b"ped2",
            b"psnr_db": b"36.61",
            b"distance": b"0.0042",
            b"gate_error": b"1.5e-07",
            b"value": b"0.125",
            b"local_db": b"inf",
            b"memory_updated": b"0",
        },
        FULL_SCORE,
    ),
    (
        codec.read_score,
        codec.score_fields(LEARNING_SCORE),
        {
            b"v": b"1",
            b"captured_at": b"1700000000.25",
            b"scored_at": b"1700000000.25",
            b"model": b"ae",
        },
        LEARNING_SCORE,
    ),
    (
        codec.read_camera_event,
        codec.camera_event_fields(CHANGE),
        {
            b"kind": b"scene_change",
            b"frame": b"1000-7",
            b"at": b"1700000000.25",
            b"detail": b"darker: 112, then 45 \xe2\x80\x93 Stra\xc3\x9fe",
        },
        CHANGE,
    ),
    (
        codec.read_alert_event,
        codec.alert_event_fields(AlertEvent("new", ALERT)),
        {b"event": b"new", b"alert": ALERT_JSON},
        AlertEvent("new", ALERT),
    ),
]
FRAME_ROW = {
    b"v": b"1",
    b"captured_at": b"1700000000.25",
    b"size": b"3x2",
    b"revision": b"3",
    b"skipped": b"2",
    b"skipped_for": b"takeover",
    b"rgb": bytes(range(18)),
}
HEAT_ROW = {b"v": b"1", b"cells": b"\x00\x00\x01\x00\x00\x01\xff\xff"}
GAP_ROW = {b"session": b"1000", b"first": b"8", b"frames": b"3", b"reason": b"lag"}

JSON: list[tuple[type, bytes, Any]] = [
    (Alert, ALERT_JSON, ALERT),
    (IngestReport, INGEST_JSON, INGEST),
    (InferenceReport, INFERENCE_JSON, INFERENCE),
    (DecoderMessage, DECODER_JSON, DECODER),
]


def read_gap(camera: str, _id: FrameId, row: codec.Row) -> Gap:
    return codec.read_gap(camera, row)


READERS: list[tuple[Reader, dict[bytes, bytes]]] = [
    *((read, row) for read, _, row, _ in ROWS),
    (codec.read_frame, FRAME_ROW),
    (codec.read_heat, HEAT_ROW),
    (read_gap, GAP_ROW),
]


def as_in_redis(fields: codec.Fields) -> dict[bytes, bytes]:
    return {
        name.encode(): value if isinstance(value, bytes) else value.encode()
        for name, value in fields.items()
    }


@pytest.mark.parametrize(("read", "fields", "row", "message"), ROWS)
def test_a_recorded_row_is_read_and_written_alike(
    read: Reader, fields: codec.Fields, row: dict[bytes, bytes], message: object
) -> None:
    assert read("gate", ID, row) == message
    assert as_in_redis(fields) == row
    assert read("gate", ID, row | {b"of_a_later_version": b"?"}) == message


def test_a_recorded_frame_heatmap_and_gap_are_read_and_written_alike() -> None:
    frame = codec.read_frame("gate", ID, FRAME_ROW | {b"of_a_later_version": b"?"})
    np.testing.assert_array_equal(frame.pixels, PIXELS)
    assert (frame.id, frame.captured_at, frame.revision) == (ID, AT, 3)
    assert (frame.skipped, frame.skipped_for) == (2, "takeover")
    written = codec.frame_fields(Frame("gate", *ID, AT, PIXELS, 3, 2, "takeover"))
    assert as_in_redis(written) == FRAME_ROW
    heat = codec.read_heat("gate", ID, HEAT_ROW)
    np.testing.assert_array_equal(heat.cells, CELLS)
    assert as_in_redis(codec.heat_fields(Heat("gate", *ID, CELLS))) == HEAT_ROW
    assert codec.read_gap("gate", GAP_ROW) == Gap("gate", 1000, 8, 3, "lag")


@pytest.mark.parametrize(("kind", "text", "message"), JSON)
def test_recorded_json_is_read_and_its_fields_are_written_alike(
    kind: type, text: bytes, message: Any
) -> None:
    assert repr(codec.load(kind, text)) == repr(message)  # nan equals nothing
    recorded = json.loads(text)
    written = json.loads(codec.dump(message))
    assert repr({name: written[name] for name in recorded}) == repr(recorded)
    later = json.dumps(json.loads(text) | {"of_a_later_version": [1]})
    assert repr(codec.load(kind, later)) == repr(message)


@pytest.mark.parametrize(
    ("kind", "text", "name", "value"),
    [
        (Alert, ALERT_JSON, "peak_value", "0.9"),
        (Alert, ALERT_JSON, "peak_value", None),
        (Alert, ALERT_JSON, "state", "ajar"),
        (Alert, ALERT_JSON, "id", 5),
        (IngestReport, INGEST_JSON, "waiting", "true"),
        (IngestReport, INGEST_JSON, "state", "x" * 10_000),
        (IngestReport, INGEST_JSON, "revision", 1.5),
        (InferenceReport, INFERENCE_JSON, "score", [0.5]),
        (InferenceReport, INFERENCE_JSON, "tampered", 0),
        (DecoderMessage, DECODER_JSON, "kind", "won"),
        (DecoderMessage, DECODER_JSON, "seq", "7"),
    ],
)
def test_json_of_another_type_is_refused(kind: type, text: bytes, name: str, value: object) -> None:
    with pytest.raises(BrokenMessageError, match=f"^{kind.__name__} cannot be read: ") as refused:
        codec.load(kind, json.dumps(json.loads(text) | {name: value}))
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    ("read", "row", "name", "value"),
    [
        (codec.read_score, ROWS[0][2], b"value", b"high"),
        (codec.read_score, ROWS[0][2], b"scored_at", b"inf"),
        (codec.read_score, ROWS[0][2], b"memory_updated", b"maybe"),
        (codec.read_camera_event, ROWS[2][2], b"kind", b"weather"),
        (codec.read_camera_event, ROWS[2][2], b"at", b"nan"),
        (codec.read_alert_event, ROWS[3][2], b"event", b"newer"),
        (codec.read_alert_event, ROWS[3][2], b"alert", b"[" * 100_000),
        (read_gap, GAP_ROW, b"frames", b"3.5"),
        (codec.read_frame, FRAME_ROW, b"size", b"3x2\n"),
    ],
)
def test_rows_of_another_type_are_refused(
    read: Reader, row: dict[bytes, bytes], name: bytes, value: bytes
) -> None:
    with pytest.raises(BrokenMessageError, match="cannot be read: ") as refused:
        read("gate", ID, row | {name: value})
    assert len(str(refused.value)) < 300


WORDS = st.binary(max_size=40) | st.sampled_from(
    [b"nan", b"-1", b"9" * 400, b"[" * 5000, b"null", b'"\\udcff"', b"\xff", b"1\x00"]
)


@examples(200)
@given(st.sampled_from(READERS), st.data())
def test_any_row_is_read_or_refused(
    reader: tuple[Reader, dict[bytes, bytes]], data: st.DataObject
) -> None:
    read, good = reader
    names = st.sampled_from(sorted(good)) | st.binary(max_size=9)
    changes = data.draw(st.dictionaries(names, WORDS, max_size=6))
    kept = data.draw(st.sets(st.sampled_from(sorted(good))))
    try:
        read("gate", ID, {name: good[name] for name in kept} | changes)
    except BrokenMessageError as error:
        assert len(str(error)) < 300


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
FIELD_NAMES = st.sampled_from(
    sorted({name for _, text, _ in JSON for name in json.loads(text)})
) | st.text(max_size=5)
PARSED = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELD_NAMES, inner)
)


@examples(200)
@given(
    st.sampled_from([kind for kind, _, _ in JSON] + [dict]),
    st.binary(max_size=60) | WORDS | PARSED.map(lambda data: json.dumps(data).encode()),
)
@example(Alert, b"[" * 100_000)
@example(dict, b'{"a":' * 100_000)
@example(Alert, b'{"state": "\\udcff"}')
@example(IngestReport, b'{"state": "online", "at": 1' + b"0" * 5000 + b"}")
def test_any_json_is_read_or_refused(kind: type, text: bytes) -> None:
    try:
        codec.load(kind, text)
    except BrokenMessageError as error:
        assert len(str(error)) < 300
