"""Clips: normal ones to train and calibrate on, labelled ones to evaluate on.

A data folder looks like Ped2's (`train/`, `test/`, `labels.json`), or as Ped2, Avenue and ShanghaiTech are distributed,
or is itself a folder of clips. A clip is a video file or a folder of frame images; one alone will do, as a recording.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models import video
from models.errors import DataError
from models.preprocess import Preprocess
from models.training.images import announced_images, frame_images, holds_images, natural, read_images
from models.video import Announced, Pixels, read_clip

SUFFIXES = frozenset({".mp4", ".avi", ".mkv", ".mov", ".webm", ".ts", ".m4v", ".mpg", ".mpeg"})

TRAIN = ("train", "Train", "training/frames", "training/videos", "training_videos", "training")
TEST = ("test", "Test", "testing/frames", "testing/videos", "testing_videos", "testing")
"""Where the sets keep their clips; the first one that is there counts."""

MASKS = "_gt"
"""Ped2's folders of masks, which lie among the test clips, end so."""

MEMORY_SHARE = 0.5
"""Of the machine's memory that footage may take; while a clip is put together, it is there twice."""


def train_clips(data: Path) -> list[Path]:
    """The normal clips: of `data/train` (see TRAIN) where it exists, else of `data`. Raises DataError for none."""
    return _clips(_part(data, TRAIN))


def evaluation_clips(data: Path) -> list[Path]:
    """The clips to evaluate: of `data/test` (see TEST) where it exists, else of `data`. Raises DataError for none."""
    return _clips(_part(data, TEST))


def _part(data: Path, names: tuple[str, ...]) -> Path:
    return next((data / name for name in names if (data / name).is_dir()), data)


def _clips(data: Path) -> list[Path]:
    """Video files and folders of images in `data`, in natural order; or `data` itself, where it is one of these."""
    if data.is_file():
        return [data]
    if not data.is_dir():
        raise DataError(f"there is no folder {data}")
    found = sorted(filter(_is_clip, data.iterdir()), key=natural)
    if not found and holds_images(data):
        return [data]
    if not found:
        raise DataError(f"{data} holds no video clip ({', '.join(sorted(SUFFIXES))}) and no folder of images")
    stems: dict[str, Path] = {}
    for path in found:
        if path.stem in stems:
            raise DataError(f"{data} holds two clips named {path.stem}")
        stems[path.stem] = path
    return found


def _is_clip(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    if path.is_dir():
        return not path.name.endswith(MASKS) and holds_images(path)
    return path.suffix.lower() in SUFFIXES


def read(path: Path, preprocess: Preprocess) -> Pixels:
    """A clip, whichever way it lies there: (N, height_px, width_px, 3) uint8 RGB. Raises VideoError, DataError."""
    return read_images(path, preprocess) if path.is_dir() else read_clip(path, preprocess)


def announced(path: Path) -> Announced:
    """What a clip says of itself before it is decoded; a folder of images says no frame rate.

    Raises VideoError, DataError.
    """
    return announced_images(path) if path.is_dir() else video.announced(path)


def frames_announced(path: Path) -> int:
    """How many frames it will have, exactly of a folder; 0 where a file does not say. Raises VideoError, DataError."""
    return len(frame_images(path)) if path.is_dir() else video.frames_announced(path)


def whole_clip(path: Path, preprocess: Preprocess, t_length: int) -> Pixels:
    """The same. Raises DataError also where it is shorter than T frames."""
    clip = read(path, preprocess)
    _check_length(path.name, clip, t_length)
    return clip


def _check_length(name: str, clip: Pixels, t_length: int) -> None:
    if len(clip) < t_length:
        raise DataError(f"{name} has {len(clip)} frames; the model needs {t_length}")


@dataclass(frozen=True, slots=True)
class Footage:
    """Clips in memory as uint8, and every window of T frames in them."""

    names: tuple[str, ...]
    clips: list[Pixels]  # each (N, H, W, 3) RGB
    windows: npt.NDArray[np.int64]  # (windows, 2): clip, first frame
    t_length: int
    sha256: str  # names the decoded content: 16 hex digits

    @classmethod
    def load(cls, paths: list[Path], preprocess: Preprocess, t_length: int) -> Footage:
        """Decode all clips.

        Raises VideoError for an unreadable one, DataError for one shorter than T frames, or more than memory holds.
        """
        _require_memory(paths, preprocess)
        return cls.of({path.name: read(path, preprocess) for path in paths}, t_length)

    @classmethod
    def of(cls, clips: dict[str, Pixels], t_length: int) -> Footage:
        """Of clips (N, H, W, 3) uint8 RGB by their names. Raises DataError for one shorter than T frames."""
        for name, clip in clips.items():
            _check_length(name, clip, t_length)
        pixels = list(clips.values())
        windows = [(i, first) for i, clip in enumerate(pixels) for first in range(len(clip) - t_length + 1)]
        return cls(tuple(clips), pixels, np.array(windows, np.int64), t_length, _digest(pixels))

    def window(self, index: int) -> Pixels:
        """(T, H, W, 3) uint8 RGB."""
        clip, first = self.windows[index]
        frames: Pixels = self.clips[clip][first : first + self.t_length]
        return frames

    def batches(self, size: int, seed: int, epoch: int) -> Iterator[npt.NDArray[np.int64]]:
        """One epoch's windows in an order that seed and epoch alone decide; the last, smaller batch is left out."""
        order = np.random.default_rng((seed, epoch)).permutation(len(self.windows))
        size = min(size, len(order))
        for start in range(0, len(order) - size + 1, size):
            yield order[start : start + size]

    def batches_per_epoch(self, size: int) -> int:
        return max(1, len(self.windows) // size)

    @property
    def nbytes(self) -> int:
        return sum(clip.nbytes for clip in self.clips)


def _require_memory(paths: list[Path], preprocess: Preprocess) -> None:
    """Raises DataError before hours of decoding end in a kill; by what the files say of themselves."""
    frames = sum(map(frames_announced, paths))
    needed, there = frames * preprocess.height_px * preprocess.width_px * 3, MEMORY_SHARE * memory_bytes()
    if needed > there:
        raise DataError(
            f"{frames} frames of {preprocess.width_px}x{preprocess.height_px} are {needed / 1e9:.1f} GB; "
            f"{there / 1e9:.1f} GB of this machine's memory are for them: take fewer clips, or a smaller --size"
        )


def memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _digest(clips: list[Pixels]) -> str:
    total = sha256()
    for clip in clips:
        total.update(clip.tobytes())
    return total.hexdigest()[:16]
