"""How a video is opened and decoded: one way, for training and for live cameras alike. PyAV, no torch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import av.container
import av.error
import numpy as np
import numpy.typing as npt

from models.errors import VideoError
from models.preprocess import Preprocess

Pixels = npt.NDArray[np.uint8]

FILE_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,h264,hevc,m4v,mjpeg,ogg"
"""Containers that hold their own frames: a playlist could name any other file or host."""

FILE_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": FILE_FORMATS}
BROKEN_IN_A_ROW = 100  # packets that cannot be decoded before a stream counts as broken


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded frame."""

    pts_s: float | None  # s since the stream's own zero; None where the stream does not say
    rgb: Pixels  # (H, W, 3)


def reason(error: Exception) -> str:
    """What libav says, without the address it says it of."""
    if isinstance(error, av.error.FFmpegError):
        return str(error.strerror or type(error).__name__)
    return str(error) or type(error).__name__


@contextlib.contextmanager
def opened(path: Path) -> Iterator[av.container.InputContainer]:
    """Open a video file. Raises VideoError when it is missing, no video, or of a format that is not taken."""
    try:
        container = av.open(str(path), options=FILE_OPTIONS)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"{path.name} cannot be opened as a video: {reason(error)}") from error
    with container:
        yield container


def pictures(
    container: av.container.InputContainer, on_broken: Callable[[], None] = lambda: None, *, live: bool = False
) -> Iterator[Picture]:
    """Decode the first video stream, in the order of display; a packet that cannot be decoded is passed over.

    `live` gives each frame as soon as it is there; otherwise several are decoded at once. The pixels are the same.
    `on_broken` is called for each such packet. Raises VideoError when there is no video stream, when
    BROKEN_IN_A_ROW packets in a row cannot be decoded, or at the end of a file that is cut off. Errors of reading
    (a lost connection) come as libav's own, after the frames that came before them.
    """
    if not container.streams.video:
        raise VideoError("there is no video in it")
    stream = container.streams.video[0]
    stream.thread_type = "SLICE" if live else "AUTO"  # one thread a frame would hold back as many frames as threads
    for frame in _decoded(container, stream, on_broken):
        yield Picture(frame.time, _rgb(frame))
    if not live and (missing := _cut_off(container, stream)):
        raise VideoError(f"the file is cut off: its last {missing} frames are missing")


def _decoded(container: av.container.InputContainer, stream: Any, on_broken: Callable[[], None]) -> Iterator[Any]:
    broken_in_a_row = 0
    try:
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError as error:
                on_broken()
                broken_in_a_row += 1
                if broken_in_a_row >= BROKEN_IN_A_ROW:
                    raise VideoError(f"{broken_in_a_row} packets in a row cannot be decoded") from error
                continue
            if frames:
                broken_in_a_row = 0
            yield from frames
    except av.error.FFmpegError:
        yield from _held_back(stream)
        raise


def _held_back(stream: Any) -> list[Any]:
    """The frames that the decoder still has, for their order or its threads, when reading has failed."""
    with contextlib.suppress(av.error.FFmpegError):
        return list(stream.codec_context.decode(None))
    return []


def _cut_off(container: av.container.InputContainer, stream: Any) -> int:
    """How many frames lie behind the file's end, by the file's own index (mp4 and mov have one)."""
    return sum(entry.pos + entry.size > container.size for entry in stream.index_entries)


def _rgb(frame: Any) -> Pixels:
    """libswscale's full conversion; a full-range stream (yuvj420p, as Ped2's) keeps its gray values exactly."""
    return np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)


def read_clip(path: Path, preprocess: Preprocess) -> Pixels:
    """A whole clip, ready for a model: (N, height_px, width_px, 3) uint8 RGB.

    Raises VideoError when it cannot be read, holds no frame, or ends in broken data.
    """
    broken = 0

    def count() -> None:
        nonlocal broken
        broken += 1

    try:
        with opened(path) as container:
            frames = [preprocess(picture.rgb) for picture in pictures(container, count)]
    except (av.error.FFmpegError, OSError) as error:
        raise VideoError(f"{path.name} cannot be read: {reason(error)}") from error
    except VideoError as error:
        raise VideoError(f"{path.name}: {error}") from error
    if broken:
        raise VideoError(f"{path.name}: {broken} of its packets are damaged")
    if not frames:
        raise VideoError(f"{path.name} holds no frame")
    return np.stack(frames)


def frames_announced(path: Path) -> int:
    """How many frames the file's header promises; 0 where it does not say. For progress bars only."""
    with opened(path) as container:
        return sum(stream.frames for stream in container.streams.video[:1])
