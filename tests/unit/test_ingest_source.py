"""Errors of a stream: a camera that fell silent is told from a file that ends."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest

from lookout.models.arrays import Pixels
from lookout.models.media.decode import Picture
from lookout.models.media.preprocess import Preprocess
from lookout.models.media.timeline import Sampler, Timeline
from lookout.service.core.camera import Camera
from lookout.service.core.clock import EPOCH
from lookout.service.core.errors import SourceRefusedError, SourceStalledError
from lookout.service.core.settings import Settings
from lookout.service.ingest.decoder.frame_pipeline import FramePipeline
from lookout.service.ingest.decoder.source import translate_conversion, translate_errors
from lookout.service.replay.recording import FrameCollector, NoPacing

STALL_S = 0.05
PICTURE = Picture(0.0, lambda: np.zeros((8, 8, 3), np.uint8))


def camera(url: str) -> Camera:
    return Camera(
        id="a",
        url=url,
        model="tiny",
        fps=None,
        pace="realtime",
        calibration="model",
        enabled=True,
        created_at=0.0,
        revision=1,
    )


def held_back() -> Iterator[Picture]:
    """Do as libav at its time-out: yield the packet that it still had, then wait as long again."""
    yield PICTURE
    time.sleep(2 * STALL_S)
    yield PICTURE
    raise AssertionError("it is asked once more")


def test_a_picture_that_came_after_the_time_out_is_the_last() -> None:
    stream = translate_errors(held_back(), camera("rtsp://x"), Settings(stall_timeout_s=STALL_S))
    assert [next(stream), next(stream)] == [PICTURE, PICTURE]
    with pytest.raises(SourceStalledError, match=f"silent for {STALL_S:g} s"):
        next(stream)


def test_a_file_may_take_its_time() -> None:
    stream = translate_errors(held_back(), camera("/x.mp4"), Settings(stall_timeout_s=STALL_S))
    with pytest.raises(AssertionError, match="asked once more"):
        list(stream)


def test_a_picture_too_large_to_convert_says_so() -> None:
    def convert() -> Pixels:
        raise MemoryError

    (picture,) = translate_conversion(iter([Picture(0.0, convert)]), SourceRefusedError)
    with pytest.raises(SourceRefusedError, match="more memory than a decoder may take"):
        _ = picture.rgb


def test_a_picture_that_sampling_leaves_out_is_not_converted() -> None:
    converted: list[float] = []

    def picture(number: int) -> Picture:
        def convert() -> Pixels:
            converted.append(number)
            return np.zeros((8, 8, 3), np.uint8)

        return Picture(number / 10, convert)

    pipeline = FramePipeline(
        FrameCollector(camera("/x.mp4"), 1),
        NoPacing(),
        Preprocess(8, 8),
        Sampler(5.0),
        Timeline(0.1),
        is_file=True,
    )
    pipeline.start_pacing(EPOCH)
    for number in range(10):
        pipeline.take(picture(number))
    assert converted == [0, 2, 4, 6, 8]
