"""Recordings of a street, and footage of it that the learning stage seems to have kept."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np

from lookout.models.media.lossless_clip import write_lossless
from lookout.service.core import urls
from lookout.service.core.messages import FrameId
from lookout.service.learning.camera import SOURCE
from lookout.service.learning.footage import FootageFolder
from tests.tiny import street


def film(path: Path, count: int = 40) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    write_lossless(path, np.stack([street(number) for number in range(count)]), 10)
    return path


def keep(folder: Path, begins: list[float]) -> FootageFolder:
    """Keep two seconds from each time on, as the recorder does."""
    footage = FootageFolder(folder)
    for number, begins_s in enumerate(begins):
        pixels = np.stack([street(one) for one in range(20)])
        times = [begins_s + one / 10 for one in range(20)]
        footage.add(FrameId(1000, 100 * number), pixels, times, 0.5)
    return footage


def write_source(folder: Path, url: str) -> None:
    """Say that the footage is of an address: the stage drops that of another."""
    (folder / SOURCE).write_text(sha256(urls.mask(url).encode()).hexdigest()[:16])
