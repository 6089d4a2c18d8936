"""A video file as a clip in memory, and the facts that its header announces."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import av.error
import numpy as np

from lookout.models.arrays import Pixels
from lookout.models.errors import CutOffError, VideoError
from lookout.models.media.container import (
    MAX_FPS,
    open_video,
    reason,
    usual_step_s,
    video_stream,
)
from lookout.models.media.decode import Picture, pictures
from lookout.models.media.preprocess import FrameBuffer, Preprocess
from lookout.models.media.timeline import Sampler, Timeline

GIVE_THEIR_END = ("matroska,webm", "nut")
"""Containers whose duration, as libav gives it, is the time of their end. The parts of a long
recording begin where the one before ended.
"""

OnFrame = Callable[[Pixels], None]
"""Gets each preprocessed frame before the next one is decoded. What it raises ends the reading."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A video in parts, cut where frames are missing or pictures change their size.

    No part continues the one before.
    """

    parts: list[Pixels]  # (N, height_px, width_px, 3) uint8 RGB each
    damaged: int  # packets and pictures
    lost: int  # frames that were passed over for damage, by their time: up to the next keyframe
    cut_off: str = ""  # that the file ends early

    def require_undamaged(self, name: str) -> None:
        """Raise VideoError where anything was damaged, or the end is missing."""
        if self.cut_off:
            raise VideoError(f"{name}: {self.cut_off}")
        if self.damaged:
            raise VideoError(f"{name}: {self.damaged} of its packets or pictures are damaged")


def read_clip(path: Path, preprocess: Preprocess, on_frame: OnFrame = lambda _: None) -> Pixels:
    """Return a whole clip, preprocessed: (N, height_px, width_px, 3) uint8 RGB.

    Raises VideoError where it cannot be read, holds no frame, is damaged or cut off.
    """
    recording = read_parts(path, preprocess, on_frame)
    recording.require_undamaged(path.name)
    if len(recording.parts) == 1:
        return recording.parts[0]
    return np.concatenate(recording.parts)


def read_parts(
    path: Path,
    preprocess: Preprocess,
    on_frame: OnFrame = lambda _: None,
    sample_fps: float | None = None,
) -> Recording:
    """Return a clip that may be damaged; damage is passed over, and the clip cut there.

    It is also cut where pictures change their size, as a camera begins another session there.
    sample_fps: keep so many frames a second, as for a camera, and cut where the clock jumps; None
    keeps all. Raises VideoError where the file cannot be read, or holds no frame.
    """
    buffers: list[FrameBuffer] = []
    damage = DamageCount()
    ends: list[str] = []
    for frame in kept_frames(path, preprocess, damage, ends, sample_fps):
        if frame.begins:
            buffers.append(FrameBuffer())
        buffers[-1].add(frame.pixels)
        on_frame(frame.pixels)
    damage.end_stretch(0)
    cut_off = "".join(ends)
    if not buffers:
        raise VideoError(f"{path.name} holds no frame{'; ' * bool(ends)}{cut_off}")
    parts = [buffer.take() for buffer in buffers]
    return Recording(parts, damage.damaged, damage.lost, cut_off)


@dataclass(frozen=True, slots=True)
class KeptFrame:
    """A frame of a file, preprocessed."""

    pixels: Pixels  # (height_px, width_px, 3) uint8 RGB
    at_s: float  # since the first frame of the file
    begins: bool  # it does not continue the one before: frames are missing, or the size is another


def kept_frames(
    path: Path,
    preprocess: Preprocess,
    damage: DamageCount,
    ends: list[str],
    sample_fps: float | None = None,
) -> Iterator[KeptFrame]:
    """Yield the frames of a file one by one, as `read_parts` takes them.

    damage: counts what is passed over; ends: gets a line where the file is cut off.
    Raises VideoError where the file cannot be read.
    """
    last_s = 0.0
    cut = True
    shape = None
    with open_video(path) as container, named_errors(path):
        timeline = Timeline(usual_step_s(container))
        sampler = Sampler(sample_fps)
        for picture in noting_the_end(pictures(container, damage.add), ends):
            at_s = timeline.at(picture.pts_s)
            missing = round((at_s - last_s) / timeline.step_s) - 1
            cut |= damage.end_stretch(missing)
            cut |= timeline.jumped and sample_fps is not None
            last_s = at_s
            if not sampler.keeps(at_s):
                continue
            cut |= picture.rgb.shape != shape
            shape = picture.rgb.shape
            yield KeptFrame(preprocess(picture.rgb), at_s, cut)
            cut = False


def noting_the_end(stream: Iterator[Picture], ends: list[str]) -> Iterator[Picture]:
    """Yield the pictures of a file; add to `ends` that it is cut off, where it is."""
    try:
        yield from stream
    except CutOffError as error:
        ends.append(str(error))


@dataclass(slots=True)
class DamageCount:
    """Damage of one file, stretch by stretch."""

    damaged: int = 0  # packets and pictures
    lost: int = 0  # frames
    _in_stretch: int = 0  # damaged since the last whole picture

    def add(self) -> None:
        """Count a damaged packet or picture."""
        self.damaged += 1
        self._in_stretch += 1

    def end_stretch(self, missing: int) -> bool:
        """Take note of a whole picture, or the end; return whether there was damage before it.

        missing: frames that are missing before it by its time.
        """
        was_damaged = self._in_stretch > 0
        if was_damaged:
            self.lost += max(self._in_stretch, missing)
        self._in_stretch = 0
        return was_damaged


@contextlib.contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Turn errors of reading into a VideoError that names the file."""
    try:
        yield
    except (av.error.FFmpegError, OSError) as error:
        raise VideoError(f"{path.name} cannot be read: {reason(error)}") from error
    except VideoError as error:
        raise VideoError(f"{path.name}: {error}") from error


@dataclass(frozen=True, slots=True)
class ClipInfo:
    """Facts that a clip announces before it is decoded; a header may be wrong.

    The size is that of the pictures as they are shown.
    """

    frames: int  # 0 where it does not say
    fps: float | None  # on average; None where it does not say
    width_px: int
    height_px: int
    duration_s: float = 0.0  # 0 where it does not say

    def expected_frames(self, sample_fps: float | None = None) -> int:
        """Return about how many frames will be kept; 0 where nothing says it.

        By the duration where frames are not counted, and at most `sample_fps` a second.
        """
        frames = self.frames or round(self.duration_s * (self.fps or 0))
        if sample_fps is None:
            return frames
        sampled = math.ceil(self.duration_s * sample_fps)
        return min((count for count in (frames, sampled) if count), default=0)


def read_info(path: Path) -> ClipInfo:
    """Read a video file's header. Raises VideoError where it cannot be opened or has no video."""
    with open_video(path) as container:
        stream = video_stream(container)
        start_s = (container.start_time or 0) / 1e6
        duration_s = (container.duration or 0) / 1e6
        if container.format.name in GIVE_THEIR_END and 0 < start_s < duration_s:
            duration_s -= start_s
        if stream.duration:
            duration_s = float(stream.duration * stream.time_base)
        fps = float(stream.average_rate or 0)
        known_fps = fps if 0 < fps < MAX_FPS else None  # libav says 0 or 1000 for an unknown one
        info = ClipInfo(int(stream.frames), known_fps, stream.width, stream.height, duration_s)
        # Whether it is shown turned is known with the first picture alone.
        with contextlib.suppress(av.error.FFmpegError, VideoError):
            for picture in pictures(container, live=True):
                height_px, width_px, _ = picture.rgb.shape
                return replace(info, width_px=width_px, height_px=height_px)
    return info
