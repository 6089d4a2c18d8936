"""How long a clip is, before it is scored: labels and masks of another length must not cost an hour."""

from __future__ import annotations

from pathlib import Path

from lookout.models.data.clips import frames_announced
from lookout.models.media.decode import read_clip
from lookout.models.media.preprocess import Preprocess

SMALLEST = Preprocess(height_px=1, width_px=1)


def frames_of(path: Path, expected: int) -> int:
    """How many frames the clip has. Where a video announces another number than expected, it is decoded to count them.

    Its header alone refuses nothing: an mp4 that was cut without encoding it anew announces the frames before the cut
    too, an avi those that repeat the one before, a Matroska file none. Raises VideoError, DataError.
    """
    there = frames_announced(path)
    return there if path.is_dir() or there == expected else len(read_clip(path, SMALLEST))
