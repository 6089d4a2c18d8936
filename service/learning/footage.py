"""The recorded footage of one camera: a folder of short lossless segments.

A segment's name holds what is known of it, so that a kill leaves nothing to repair and no second
list of what is there.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lookout.models.arrays import Pixels
from lookout.models.media.lossless_clip import SUFFIX, write_lossless
from lookout.service.core.errors import NO_REASON, Reason
from lookout.service.core.messages import FrameId

_NAME = re.compile(
    r"(\d{1,19})-(\d{1,19})_(\d{1,6})f_(\d{1,15})-(\d{1,15})_(\d{1,5})m_(\d{1,5})x(\d{1,5})"
    + re.escape(SUFFIX)
)
_TEMPORARY = re.compile(r"\..+\.\d+" + re.escape(SUFFIX))  # of `atomic_file.replacing`

MOTION_PARTS = 10_000
"""Motion stands in a name as so many parts of the picture."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Consecutive frames of one session."""

    path: Path
    first: FrameId
    frames: int
    begins_ms: int  # captured, UTC epoch
    ends_ms: int
    motion: float  # share of the picture that differed from its first frame, at most; 0 to 1
    width_px: int
    height_px: int
    size_bytes: int

    @property
    def last(self) -> FrameId:
        """The id of its last frame."""
        return FrameId(self.first.session, self.first.seq + self.frames - 1)

    @property
    def seconds(self) -> float:
        """Its length: the distance of its first and last frame, and one frame's more."""
        return (self.ends_ms - self.begins_ms) / 1000 * self.frames / max(1, self.frames - 1)

    def overlaps(self, begin_s: float, end_s: float) -> bool:
        """Tell whether any of it was captured in a period (s, UTC epoch)."""
        return self.begins_ms <= end_s * 1000 and self.ends_ms >= begin_s * 1000


class FootageFolder:
    """The segments of one camera. Methods that touch the disk may raise OSError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._segments: list[Segment] | None = None  # None: not listed yet

    @property
    def segments(self) -> list[Segment]:
        """Every segment, ascending by time. The folder is listed once."""
        if self._segments is None:
            self._segments = read_segments(self.folder)
        return self._segments

    @property
    def size_bytes(self) -> int:
        """Bytes of all segments."""
        return sum(segment.size_bytes for segment in self.segments)

    def add(
        self, first: FrameId, frames: Pixels, captured: Sequence[float], motion: float
    ) -> Segment:
        """Write (N, H, W, 3) uint8 RGB, two frames or more, as a segment.

        captured: of each frame, ascending, s, UTC epoch.
        """
        count, height_px, width_px, _ = frames.shape
        begins_ms = round(captured[0] * 1000)
        ends_ms = max(begins_ms + 1, round(captured[-1] * 1000))
        parts = round(motion * MOTION_PARTS)
        name = f"{first}_{count}f_{begins_ms}-{ends_ms}_{parts}m_{width_px}x{height_px}{SUFFIX}"
        path = self.folder / name
        fps = (count - 1) * 1000 / (ends_ms - begins_ms)
        self.drop([segment for segment in self.segments if segment.path == path])
        write_lossless(path, frames, fps, captured)
        segment = parse_segment(path, path.stat().st_size)
        if segment is None:
            raise ValueError(f"{name} is no segment's name")
        self.segments.append(segment)
        self.segments.sort(key=lambda one: (one.begins_ms, one.first))
        return segment

    def drop(self, gone: list[Segment]) -> int:
        """Remove segments; return how many there were."""
        for segment in gone:
            self.segments.remove(segment)
            if all(other.path != segment.path for other in self.segments):
                segment.path.unlink(missing_ok=True)
        return len(gone)

    def drop_before(self, oldest_s: float) -> int:
        """Remove segments that ended before a time (s, UTC epoch); return how many."""
        return self.drop([one for one in self.segments if one.ends_ms < oldest_s * 1000])

    def shrink(self, limit_bytes: int) -> int:
        """Remove the least diverse segments until the rest fits; return how many were removed."""
        gone = least_diverse(self.segments, limit_bytes)
        return self.drop(gone)


def footage_folder(data_dir: Path, camera: str) -> Path:
    """Return the folder of a known camera's footage."""
    return data_dir / "learning" / camera / "footage"


def read_segments(folder: Path) -> list[Segment]:
    """Return the segments of a folder, ascending by time; remove what a kill left half written.

    For their writer alone.
    """
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for path in folder.iterdir():
            if _TEMPORARY.fullmatch(path.name):
                path.unlink(missing_ok=True)
    return list_segments(folder)


def list_segments(folder: Path) -> list[Segment]:
    """Return the segments of a folder, ascending by time, while another may write and remove."""
    found = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for path in folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                segment = parse_segment(path, path.stat().st_size)
                if segment is not None:
                    found.append(segment)
    return sorted(found, key=lambda one: (one.begins_ms, one.first))


def parse_segment(path: Path, size_bytes: int) -> Segment | None:
    """Return the segment of a file's name; None for a file that is none."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None
    session, seq, frames, begins_ms, ends_ms, parts, width_px, height_px = map(int, match.groups())
    return Segment(
        path,
        FrameId(session, seq),
        frames,
        begins_ms,
        ends_ms,
        parts / MOTION_PARTS,
        width_px,
        height_px,
        size_bytes,
    )


def least_diverse(segments: list[Segment], limit_bytes: int) -> list[Segment]:
    """Return which segments to remove, so that the rest takes at most `limit_bytes`.

    segments: ascending by time. The two that lie closest to each other in time say much the same:
    of them the one with less motion goes, the older one where they are equal. What stays is spread
    over the whole time.
    """
    kept = list(segments)
    size_bytes = sum(segment.size_bytes for segment in kept)
    gone = []
    while kept and size_bytes > limit_bytes:
        place = 0
        if len(kept) > 1:
            begins = np.array([segment.begins_ms for segment in kept])
            place = int(np.argmin(np.diff(begins)))
            if kept[place + 1].motion < kept[place].motion:
                place += 1
        segment = kept.pop(place)
        size_bytes -= segment.size_bytes
        gone.append(segment)
    return gone


def disk_shortage(folder: Path, least_mb: int) -> Reason:
    """Return that the disk of a folder has less than `least_mb` free; empty where it has more.

    Raises OSError where there is no such folder.
    """
    free_mb = shutil.disk_usage(folder).free // 2**20
    if free_mb >= least_mb:
        return NO_REASON
    return Reason(
        f"{free_mb} MB are free in {folder}, and nothing is recorded or replayed below {least_mb} "
        "(LOOKOUT_LEARNING_FREE_MB)",
        code="disk_low",
        free=free_mb,
        least=least_mb,
    )
