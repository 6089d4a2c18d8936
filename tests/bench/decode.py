"""Decode and preprocess against bare PyAV decoding of the same clip.

Rates are frames per second of CPU time, of all threads, so that a busy machine changes them little;
the ways take turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median

import av
import cv2
import numpy as np

from lookout.models.media.clip_reader import read_clip
from lookout.models.media.preprocess import Preprocess
from tests.bench.table import Row

COMMAND = "python -m tests.bench decode"
SIZES = {"360p": (640, 360), "1080p": (1920, 1080)}  # width, height
TO_REACH = 0.85
FPS = 10
SIDE_PX = 256


def report(folder: Path, seconds: float = 30.0, repeats: int = 5) -> Iterator[Row]:
    """Yield two rows for each size: `read_clip`, and planes scaled first, beside bare decoding."""
    for name, (width_px, height_px) in SIZES.items():
        frames = round(seconds * FPS)
        clip = moving_clip(folder / f"{name}.mp4", width_px, height_px, frames)
        ways: dict[str, Callable[[], object]] = {
            "bare": partial(bare, clip),
            "decode, RGB and resize": partial(read_clip, clip, Preprocess()),
            "planes scaled before RGB": partial(planes_first, clip),
        }
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(repeats):
            for way, decode in ways.items():
                began_s = time.process_time()
                decode()
                rates[way].append(frames / (time.process_time() - began_s))
        for way in [way for way in ways if way != "bare"]:
            yield Row(
                f"{way} of {name} H.264, beside bare decoding (frames/s of CPU)",
                median(rates[way]),
                COMMAND,
                median(rates["bare"]),
                TO_REACH,
                "higher",
            )


def bare(clip: Path) -> None:
    """Decode every picture, and do nothing with it."""
    with av.open(str(clip)) as container:
        container.streams.video[0].thread_type = "AUTO"
        for _ in container.decode(video=0):
            pass


def planes_first(clip: Path) -> np.ndarray:
    """Return yuv420p frames whose planes are scaled before the colours: (N, 256, 256, 3) uint8.

    It is a measurement: `read_clip` gives other pixels, and reads every format.
    """
    half = SIDE_PX // 2
    found = []
    with av.open(str(clip)) as container:
        container.streams.video[0].thread_type = "AUTO"
        for frame in container.decode(video=0):
            scaled = []
            for plane, side_px in zip(frame.planes, (SIDE_PX, half, half), strict=True):
                rows = np.frombuffer(plane, np.uint8)  # type: ignore[call-overload]  # a buffer
                rows = rows.reshape(plane.height, plane.line_size)[:, : plane.width]
                scaled.append(cv2.resize(rows, (side_px, side_px)))
            i420 = np.concatenate([plane.reshape(-1, SIDE_PX) for plane in scaled])
            found.append(cv2.cvtColor(i420, cv2.COLOR_YUV2RGB_I420))
    return np.stack(found)


def moving_clip(path: Path, width_px: int, height_px: int, frames: int) -> Path:
    """Write a clip of a picture with detail that moves, as a camera's does."""
    detail = np.random.default_rng(0).integers(0, 256, (height_px // 4, width_px // 4), np.uint8)
    picture = detail.repeat(4, axis=0).repeat(4, axis=1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("h264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuv420p"
        for number in range(frames):
            moved = np.roll(picture, 4 * number, axis=1)
            frame = av.VideoFrame.from_ndarray(np.stack([moved] * 3, axis=-1), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
