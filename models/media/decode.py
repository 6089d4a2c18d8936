"""How a video is opened and decoded: one way, for training and for live cameras alike. PyAV, no torch."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import av.container
import av.error
import numpy as np
import numpy.typing as npt

from lookout.models.errors import NoPictureError, VideoError
from lookout.models.media.frame_buffer import Pile
from lookout.models.media.preprocess import Preprocess
from lookout.models.media.timeline import Sampler, Timeline

Pixels = npt.NDArray[np.uint8]

FILE_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,h264,hevc,m4v,mjpeg,ogg"
"""Containers that hold their own frames: a playlist could name any other file or host."""

FILE_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": FILE_FORMATS}
BROKEN_IN_A_ROW = 100  # packets that cannot be decoded before a file counts as broken
TORN = 4  # pictures after lost packets that may be torn, keyframe or not: some are in the decoder already
USUAL_FPS = 25.0  # for a stream that does not say, or says nonsense
MOST_FPS = 1000.0
TAINTED = 100  # pictures at most that wait for a keyframe after damage: a stream of intra refresh never sends one


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


@dataclass(slots=True)
class Trust:
    """Which pictures can be believed. What follows a damaged one is made of it, unmarked by libav, until a keyframe."""

    missing: Callable[[], bool]  # were packets lost on the way since the last time?
    reorders: bool = False  # pictures from before a damaged packet may come after it, keyframes too
    _seen: bool = False  # a picture: before the first one a decoder waits for a keyframe by itself
    _torn: int = 0
    _tainted: int = 0

    def damaged(self) -> None:
        """A packet could not be decoded."""
        self._tainted = TAINTED if self._seen else 0
        self._torn = TORN if self._seen and self.reorders else self._torn

    def believes(self, frame: Any) -> bool:
        """`frame`: the next of the stream, an av.VideoFrame."""
        self._seen = True
        if self.missing():
            self._torn, self._tainted = TORN, TAINTED
        if frame.is_corrupt:
            self._tainted = TAINTED
        elif frame.key_frame and not self._torn:
            self._tainted = 0
        believed = not self._tainted
        self._torn, self._tainted = max(0, self._torn - 1), max(0, self._tainted - 1)
        return believed


def pictures(
    container: av.container.InputContainer,
    on_broken: Callable[[], None] = lambda: None,
    *,
    live: bool = False,
    missing: Callable[[], bool] = lambda: False,
    patience_s: float = math.inf,
) -> Iterator[Picture]:
    """Decode the first video stream, in the order of display; damage is passed over, up to the next keyframe.

    `live` gives each frame as soon as it is there; otherwise several are decoded at once. The pixels are the same.
    `on_broken` is called for each packet that cannot be decoded and each damaged picture; `missing` says whether
    packets were lost before they came here. Raises NoPictureError when packets come for `patience_s` and no picture;
    VideoError when there is no video stream or no decoder for it, when BROKEN_IN_A_ROW packets of a file in a row
    cannot be decoded (a live stream may be joined long before its next keyframe), or at the end of a file that is cut
    off. Errors of reading (a lost connection) come as libav's own, after the frames that came before them.
    """
    stream = _video_of(container)
    stream.thread_type = (
        "SLICE" if live else "AUTO"
    )  # one thread a frame would hold back as many frames as threads
    trust, since_s = Trust(missing, bool(stream.codec_context.has_b_frames)), time.monotonic()

    def broken() -> None:
        trust.damaged()
        on_broken()

    for frames in _decoded(container, stream, broken, math.inf if live else BROKEN_IN_A_ROW):
        for frame in frames:
            if trust.believes(frame):
                yield Picture(frame.time, _rgb(frame))
                since_s = time.monotonic()  # what the taker needed is not the stream's silence
            else:
                on_broken()
        if time.monotonic() - since_s > patience_s:
            raise NoPictureError(f"packets come, but no whole picture for {patience_s:g} s")
    if not live and (cut := _cut_off(container, stream)):
        raise VideoError(f"the file is cut off: its last {cut} frames are missing")


def _video_of(container: av.container.InputContainer) -> Any:
    if not container.streams.video:
        raise VideoError("there is no video in it")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise VideoError("its video is of a kind that cannot be decoded here")
    return stream


def _decoded(
    container: av.container.InputContainer,
    stream: Any,
    on_broken: Callable[[], None],
    most_broken: float,
) -> Iterator[list[Any]]:
    """What each packet gives: one frame, several, or none."""
    broken_in_a_row = 0
    try:
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError as error:
                on_broken()
                broken_in_a_row += 1
                if broken_in_a_row >= most_broken:
                    raise VideoError(
                        f"{broken_in_a_row} packets in a row cannot be decoded"
                    ) from error
                frames = []
            if frames:
                broken_in_a_row = 0
            yield frames
    except av.error.FFmpegError:
        if held_back := _held_back(stream):
            yield held_back
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


def usual_step_s(container: av.container.InputContainer) -> float:
    """The usual distance of two frames, as the container has it."""
    rates = [
        float(stream.average_rate or stream.guessed_rate or 0)
        for stream in container.streams.video[:1]
    ]
    return 1 / rates[0] if rates and 0 < rates[0] <= MOST_FPS else 1 / USUAL_FPS


OnFrame = Callable[[Pixels], None]
"""Gets each frame, ready for a model, before the next one is decoded: to count them, and to end it by an exception."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A recording, cut where frames are missing: what follows does not go on from what came before."""

    clips: list[Pixels]  # (N, height_px, width_px, 3) uint8 RGB each
    damaged: int  # packets and pictures
    lost: int  # frames that were passed over for it, by their time: all up to the next keyframe

    def require_undamaged(self, name: str) -> None:
        """Raises VideoError."""
        if self.damaged:
            raise VideoError(f"{name}: {self.damaged} of its packets or pictures are damaged")


def read_clip(path: Path, preprocess: Preprocess, on_frame: OnFrame = lambda _: None) -> Pixels:
    """A whole clip, ready for a model: (N, height_px, width_px, 3) uint8 RGB.

    Raises VideoError when it cannot be read, holds no frame, or ends in broken data.
    """
    found = read_parts(path, preprocess, on_frame)
    found.require_undamaged(path.name)
    return found.clips[0]


def read_parts(
    path: Path,
    preprocess: Preprocess,
    on_frame: OnFrame = lambda _: None,
    sample_fps: float | None = None,
) -> Parts:
    """The same of a clip that may be damaged, which is passed over and cut there.

    sample_fps: keeps so many frames a second as a camera's line does, and cuts where the clock jumps; None keeps all.
    Raises VideoError when it cannot be read, or holds no frame.
    """
    parts, damage, last_s = list[Pile](), _Damage(), 0.0
    cut = True
    with _named(path), opened(path) as container:
        timeline, sampler = Timeline(usual_step_s(container)), Sampler(sample_fps)
        for picture in pictures(container, damage.seen):
            at_s = timeline.at(picture.pts_s)
            cut |= damage.over(round((at_s - last_s) / timeline.step_s) - 1)
            cut |= timeline.jumped and sample_fps is not None
            last_s = at_s
            if not sampler.keeps(at_s):
                continue
            parts += [Pile()] if cut else []
            cut = False
            frame = preprocess(picture.rgb)
            parts[-1].add(frame)
            on_frame(frame)
    damage.over(0)
    if not parts:
        raise VideoError(f"{path.name} holds no frame")
    return Parts([part.taken() for part in parts], damage.damaged, damage.lost)


@dataclass(slots=True)
class _Damage:
    """Of one file, stretch by stretch."""

    damaged: int = 0
    lost: int = 0
    _stretch: int = 0  # damaged since the last whole picture

    def seen(self) -> None:
        self.damaged, self._stretch = self.damaged + 1, self._stretch + 1

    def over(self, missing: int) -> bool:
        """A whole picture comes, after so many that are missing by its time: was there damage before it?"""
        was = self._stretch > 0
        self.lost += max(self._stretch, missing) if was else 0
        self._stretch = 0
        return was


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors of reading say of which file."""
    try:
        yield
    except (av.error.FFmpegError, OSError) as error:
        raise VideoError(f"{path.name} cannot be read: {reason(error)}") from error
    except VideoError as error:
        raise VideoError(f"{path.name}: {error}") from error


@dataclass(frozen=True, slots=True)
class Announced:
    """What a file's header promises of its video."""

    frames: int  # 0 where it does not say
    fps: float | None  # on average; None where it does not say
    width_px: int
    height_px: int


def announced(path: Path) -> Announced:
    """Raises VideoError when it cannot be opened, or holds no video."""
    with opened(path) as container:
        stream = _video_of(container)
        return Announced(stream.frames, _announced_fps(stream), stream.width, stream.height)


def frames_expected(path: Path, sample_fps: float | None = None) -> int:
    """About how many frames will be kept, by duration where the header does not count them; 0 where it says neither.

    Raises VideoError when it cannot be opened, or holds no video.
    """
    with opened(path) as container:
        stream = _video_of(container)
        whole_s = (
            float(stream.duration * stream.time_base)
            if stream.duration
            else (container.duration or 0) / 1e6
        )
        frames = int(stream.frames) or round(whole_s * (_announced_fps(stream) or 0))
    sampled = math.ceil(whole_s * sample_fps) if sample_fps else 0
    return min(frames, sampled) if frames and sampled else frames or sampled


def _announced_fps(stream: Any) -> float | None:
    """On average; None where none is known, of which libav says 0 or a thousand."""
    fps = float(stream.average_rate or 0)
    return fps if 0 < fps < MOST_FPS else None


def frames_announced(path: Path) -> int:
    """How many frames the file's header promises; 0 where it does not say. For progress bars only."""
    with opened(path) as container:
        return sum(stream.frames for stream in container.streams.video[:1])
