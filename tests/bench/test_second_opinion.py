"""The measurement of the second opinion, shortened: its events are those that it says."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench.second_opinion import COLUMNS, Detector, Piece, as_normal, table_of, with_anomalies


def crossing(frames: int, size_px: int, row_px: int) -> Piece:
    """Return a textured square that crosses the picture on one row, on the second half abnormal."""
    rng = np.random.default_rng(0)
    still = rng.integers(90, 110, (256, 256, 3), dtype=np.uint8)
    texture = rng.integers(0, 256, (size_px, size_px, 3), dtype=np.uint8)
    shown = np.stack([still] * frames)
    for number in range(frames):
        left = 20 + 4 * number
        shown[number, row_px : row_px + size_px, left : left + size_px] = texture
    return Piece(shown, np.arange(frames) >= frames // 2, 9.0)


def test_an_event_has_size_speed_place_and_hour_of_what_moves() -> None:
    events = list(Detector().events([crossing(14, 40, 150)], least=4.0))
    assert len(events) > 5
    assert [event.abnormal for event in events][-1]
    table = table_of(events)
    assert [column.name for column in table.columns] == list(COLUMNS)
    last = dict(zip(COLUMNS, events[-1].row, strict=True))
    assert last["speed"] == pytest.approx(4, abs=1.5)
    assert last["down"] == pytest.approx(170 / 256, abs=0.1)
    assert last["hour"] == pytest.approx(9, abs=0.01)


def test_a_detector_that_has_learned_a_motion_finds_it_less_strange() -> None:
    piece = crossing(14, 40, 150)
    taught = Detector()
    taught.learn([piece])
    before = max(event.distance for event in Detector().events([piece], least=1.0))
    after = max((event.distance for event in taught.events([piece], least=1.0)), default=0.0)
    assert after < before / 2


def test_each_clip_gets_an_anomaly_of_each_kind() -> None:
    clip = crossing(14, 40, 150).frames
    (normal,) = as_normal([clip])
    assert not normal.abnormal.any()
    pieces = with_anomalies([clip])
    assert len(pieces) == 4
    for piece in pieces:
        assert 0 < piece.abnormal.sum() < len(clip)
        assert np.array_equal(piece.frames[~piece.abnormal], clip[~piece.abnormal])
