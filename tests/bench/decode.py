"""Decode and preprocess against bare PyAV decoding of the same clip."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import av
import numpy as np

from lookout.models.media.clip_reader import read_clip
from lookout.models.media.preprocess import Preprocess
from tests.bench.footage import median_s
from tests.bench.table import Row

COMMAND = "python -m tests.bench decode"
SIZES = {"360p": (640, 360), "1080p": (1920, 1080)}  # width, height
TO_REACH = 0.85
FPS = 10


def report(folder: Path, seconds: float = 30.0, repeats: int = 5) -> Iterator[Row]:
    """Yield a row for each size: frames/s of `read_clip`, beside bare decoding."""
    for name, (width_px, height_px) in SIZES.items():
        frames = round(seconds * FPS)
        clip = moving_clip(folder / f"{name}.mp4", width_px, height_px, frames)
        bare_s = median_s(partial(bare, clip), repeats)
        ours_s = median_s(partial(read_clip, clip, Preprocess()), repeats)
        yield Row(
            f"decode, RGB and resize of {name} H.264, beside bare decoding (frames/s)",
            frames / ours_s,
            COMMAND,
            frames / bare_s,
            TO_REACH,
            "higher",
        )


def bare(clip: Path) -> None:
    """Decode every picture, and do nothing with it."""
    with av.open(str(clip)) as container:
        container.streams.video[0].thread_type = "AUTO"
        for _ in container.decode(video=0):
            pass


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
