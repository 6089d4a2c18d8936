"""Write frames as a clip that reads back bit for bit: FFV1 in Matroska."""

from __future__ import annotations

import contextlib
import io
import json
import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.stream import VideoStream

from lookout.models.arrays import Pixels
from lookout.models.media.atomic_file import write_bytes
from lookout.models.media.container import open_video

SUFFIX = ".mkv"
CODEC = "ffv1"
PIXEL_FORMAT = "bgr0"
"""RGB without subsampling, the one of FFV1 that has eight bits a channel. Measured on 48 frames of
Ped2 at 256x256: 26 kB and 4 ms of one core a frame, half the size of lossless H.264.
"""

CAPTURED = "CAPTURED_AT"
"""Tag that holds when each frame was captured (s, UTC epoch), as JSON: Matroska counts whole ms."""

MAX_DENOMINATOR = 1000
MIN_FPS = 0.001


def write_lossless(path: Path, frames: Pixels, fps: float, captured: Sequence[float] = ()) -> None:
    """Write (N, H, W, 3) uint8 RGB as a clip of `fps` frames a second, whole or not at all.

    captured: of each frame (s, UTC epoch), for `captured_times`. `models.media.clip_reader`
    returns the same bits. Raises OSError where the folder cannot be written or the disk is full,
    ValueError without a frame.
    """
    if not len(frames):
        raise ValueError("a clip needs a frame")
    write_bytes(path, lossless(frames, fps, captured))


def captured_times(path: Path) -> list[float]:
    """Return when each frame of a clip was captured (s, UTC epoch); [] where it does not say.

    Raises VideoError where it is missing or cannot be opened.
    """
    with open_video(path) as container, contextlib.suppress(ValueError):
        found = json.loads(container.metadata.get(CAPTURED, "[]"))
        if isinstance(found, list):
            return [float(at) for at in found if isinstance(at, float) and math.isfinite(at)]
    return []


def lossless(frames: Pixels, fps: float, captured: Sequence[float] = ()) -> bytes:
    """Return a Matroska file; it is made in memory, since libav hides errors of the disk."""
    rate = Fraction(max(fps, MIN_FPS)).limit_denominator(MAX_DENOMINATOR)
    height_px, width_px = frames.shape[1:3]
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        if captured:
            container.metadata[CAPTURED] = json.dumps(list(captured))
        stream = cast(VideoStream, container.add_stream(CODEC, rate=rate))
        stream.width = width_px
        stream.height = height_px
        stream.pix_fmt = PIXEL_FORMAT
        stream.thread_count = 1  # the live line has the other cores
        for number, pixels in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            picture = picture.reformat(format=PIXEL_FORMAT)
            picture.pts = number
            picture.time_base = 1 / rate
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return file.getvalue()
