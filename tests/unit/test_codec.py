"""Messages cross the bus unchanged; everything else there is refused with BrokenMessageError."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.service.core.errors import BrokenMessageError
from lookout.service.core.messages import Frame, FrameId, Heat, Score
from lookout.service.storage.redis import codec
from lookout.service.storage.redis.codec import Fields
from tests.conftest import examples

ID = FrameId(5, 9)
NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False)
TIMES = st.floats(0, 1e11)


def row(fields: Fields) -> dict[bytes, bytes]:
    """Return a row as Redis gives it back."""
    return {
        name.encode(): value if isinstance(value, bytes) else value.encode()
        for name, value in fields.items()
    }


def a_frame(**changes: Any) -> Frame:
    return Frame(
        "a", *ID, **{"captured_at": 1.5, "pixels": np.zeros((2, 3, 3), np.uint8), **changes}
    )


def a_score() -> Score:
    return Score("a", *ID, 1.5, 1.6, "tiny", 30.0, 0.1, 0.2, True, 0.5)


GOOD: list[tuple[Callable[[str, FrameId, codec.Row], object], Fields]] = [
    (codec.read_frame, codec.frame_fields(a_frame(revision=3, skipped=2, skipped_for="takeover"))),
    (codec.read_score, codec.score_fields(a_score())),
    (codec.read_heat, codec.heat_fields(Heat("a", *ID, np.zeros((4, 4), np.uint16)))),
]


@given(TIMES, st.integers(0, 2**40), st.integers(0, 99), st.integers(1, 9), st.integers(1, 9))
def test_a_frame_comes_back_as_it_went(
    at: float, revision: int, skipped: int, width: int, height: int
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    frame = a_frame(
        captured_at=at,
        pixels=pixels,
        revision=revision,
        skipped=skipped,
        skipped_for="lag" * (skipped > 0),
        uptime_s=at / 7 if skipped else None,
        machine="m" * (skipped > 0),
        late_s=at / 3 if revision else 0.0,
    )
    back = codec.read_frame("a", ID, row(codec.frame_fields(frame)))
    np.testing.assert_array_equal(back.pixels, pixels)
    for name in ("id", "captured_at", "revision", "skipped", "skipped_for", "captured", "late_s"):
        assert getattr(back, name) == getattr(frame, name)


@given(st.tuples(TIMES, TIMES, NUMBERS, NUMBERS, NUMBERS, st.none() | st.booleans(), NUMBERS))
def test_a_score_comes_back_with_every_bit(parts: tuple[Any, ...]) -> None:
    captured_at, scored_at, psnr, distance, gate, updated, value = parts
    score = Score("a", *ID, captured_at, scored_at, "tiny", psnr, distance, gate, updated, value)
    assert codec.read_score("a", ID, row(codec.score_fields(score))) == score


@pytest.mark.parametrize(("read", "fields"), GOOD)
@pytest.mark.parametrize("version", [None, b"", b"0", b"2", b"1" * 1000])
def test_another_version_is_refused(
    read: Callable[[str, FrameId, codec.Row], object], fields: Fields, version: bytes | None
) -> None:
    given = {name: value for name, value in row(fields).items() if name != b"v"}
    with pytest.raises(BrokenMessageError, match="cannot be read"):
        read("a", ID, given if version is None else given | {b"v": version})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"size", b"99999999999999999999x99999999999999999999"),
        (b"size", b"100000x100000"),
        (b"size", b"-1x2"),
        (b"size", b"3x2x1"),
        (b"rgb", b""),
        (b"rgb", bytes(10**7)),
        (b"captured_at", b"nan"),
        (b"captured_at", b"1e999"),
        (b"revision", b"-3"),
        (b"skipped", b"9" * 5000),
        (b"skipped_for", b"\xff\xfe"),
    ],
)
def test_huge_and_truncated_frames_are_refused(name: bytes, value: bytes) -> None:
    with pytest.raises(BrokenMessageError):
        codec.read_frame("a", ID, row(GOOD[0][1]) | {name: value})


@examples(300)
@given(st.integers(0, 2), st.data())
def test_whatever_stands_there_is_read_or_refused(which: int, data: st.DataObject) -> None:
    """Messages with fields left out, cut, doubled or replaced raise only BrokenMessageError."""
    read, fields = GOOD[which]
    given = row(fields)
    for name in data.draw(st.lists(st.sampled_from(sorted(given)), max_size=3)):
        value = given.get(name, b"")
        change = data.draw(st.sampled_from(["drop", "cut", "double", "replace"]))
        if change == "drop":
            given.pop(name, None)
        else:
            given[name] = {"cut": value[: len(value) // 2], "double": value * 2}.get(
                change
            ) or data.draw(st.binary(max_size=40))
    try:
        read("a", ID, given)
    except BrokenMessageError as error:
        assert len(str(error)) < 400
