"""A camera's window: only consecutive frames of one session and size are ever scored together."""

from __future__ import annotations

import numpy as np
import pytest

from models.bounds import Learner
from models.scorer import Scorer
from service.inference.line import CameraLine
from service.messages import Camera, Frame
from tests.tiny import EASY_BOUNDS, tiny_checkpoint


def camera(name: str = "a") -> Camera:
    return Camera(name, "rtsp://x", "tiny", None, "realtime", "model", enabled=True, created_at=0.0, revision=1)


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer(tiny_checkpoint())


@pytest.fixture
def line(scorer: Scorer) -> CameraLine:
    return CameraLine(camera(), scorer, scorer.fresh_items(), Learner(EASY_BOUNDS, 20), None)


def frame(seq: int, session: int = 1, size: int = 32) -> Frame:
    return Frame("a", session, seq, seq / 10, np.full((size, size, 3), seq % 256, np.uint8))


def clips(line: CameraLine, frames: list[Frame]) -> list[list[tuple[int, int]]]:
    """Every clip that these frames complete, as (session, seq) pairs."""
    line.offer(frames)
    found = []
    while (clip := line.next_clip()) is not None:
        found.append([(one.session, one.seq) for one in clip])
    return found


def test_frame_4_is_the_first_scored_and_every_later_one_follows(line: CameraLine) -> None:
    found = clips(line, [frame(seq) for seq in range(7)])
    assert found == [[(1, seq) for seq in range(last - 4, last + 1)] for last in (4, 5, 6)]
    assert line.handled == line.cursor == (1, 6)


def test_frames_may_come_one_at_a_time(line: CameraLine) -> None:
    assert [len(clips(line, [frame(seq)])) for seq in range(7)] == [0, 0, 0, 0, 1, 1, 1]


def test_a_gap_empties_the_window_and_is_counted(line: CameraLine) -> None:
    found = clips(line, [frame(seq) for seq in (0, 1, 2, 3, 6, 7, 8, 9, 10)])
    assert found == [[(1, seq) for seq in range(6, 11)]]
    assert line.dropped == {"lag": 2}


def test_a_new_session_empties_the_window(line: CameraLine) -> None:
    found = clips(line, [*(frame(seq) for seq in range(4)), *(frame(seq, session=2) for seq in range(5))])
    assert found == [[(2, seq) for seq in range(5)]]
    assert line.dropped == {}


def test_a_frame_of_another_size_is_never_scored(line: CameraLine) -> None:
    frames = [*(frame(seq) for seq in range(4)), frame(4, size=16), *(frame(seq) for seq in range(5, 10))]
    assert clips(line, frames) == [[(1, seq) for seq in range(5, 10)]]
    assert line.dropped == {"size": 1, "lag": 1}
