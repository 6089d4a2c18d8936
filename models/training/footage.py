"""Folders of clips: normal ones to train and calibrate on, labelled ones to evaluate on.

A data folder looks like Ped2's (`train/`, `test/`, `labels.json`), or is itself a folder of normal clips.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.errors import DataError
from models.preprocess import Preprocess
from models.video import Pixels, read_clip

SUFFIXES = frozenset({".mp4", ".avi", ".mkv", ".mov", ".webm", ".ts", ".m4v", ".mpg", ".mpeg"})

Labels = npt.NDArray[np.uint8]


def train_clips(data: Path) -> list[Path]:
    """The normal clips: those of `data/train` where that exists, else of `data`. Raises DataError for none."""
    return _clips(_part(data, "train"))


def evaluation_clips(data: Path) -> list[Path]:
    """The clips to evaluate: those of `data/test` where that exists, else of `data`. Raises DataError for none."""
    return _clips(_part(data, "test"))


def _part(data: Path, name: str) -> Path:
    return data / name if (data / name).is_dir() else data


def _clips(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        raise DataError(f"{folder} holds no video clip ({', '.join(sorted(SUFFIXES))})")
    for one, other in pairwise(found):
        if one.stem == other.stem:
            raise DataError(f"{folder} holds two clips named {one.stem}")
    return found


def whole_clip(path: Path, preprocess: Preprocess, t_length: int) -> Pixels:
    """All frames of a clip, (N, H, W, 3). Raises VideoError where it cannot be read, DataError where N < T."""
    clip = read_clip(path, preprocess)
    if len(clip) < t_length:
        raise DataError(f"{path.name} has {len(clip)} frames; the model needs {t_length}")
    return clip


@dataclass(frozen=True, slots=True)
class Footage:
    """Clips in memory as uint8, and every window of T frames in them."""

    clips: list[Pixels]  # each (N, H, W, 3) RGB
    windows: npt.NDArray[np.int64]  # (windows, 2): clip, first frame
    t_length: int
    sha256: str  # names the decoded content: 16 hex digits

    @classmethod
    def load(cls, paths: list[Path], preprocess: Preprocess, t_length: int) -> Footage:
        """Decode all clips. Raises VideoError for an unreadable one, DataError for one of less than T frames."""
        clips = [whole_clip(path, preprocess, t_length) for path in paths]
        windows = [(i, first) for i, clip in enumerate(clips) for first in range(len(clip) - t_length + 1)]
        return cls(clips, np.array(windows, np.int64), t_length, _digest(clips))

    def window(self, index: int) -> Pixels:
        """(T, H, W, 3) uint8 RGB."""
        clip, first = self.windows[index]
        frames: Pixels = self.clips[clip][first : first + self.t_length]
        return frames

    def batches(self, size: int, seed: int, epoch: int) -> Iterator[list[Pixels]]:
        """One epoch in an order that seed and epoch alone decide; the last, smaller batch is left out."""
        order = np.random.default_rng((seed, epoch)).permutation(len(self.windows))
        size = min(size, len(order))
        for start in range(0, len(order) - size + 1, size):
            yield [self.window(int(index)) for index in order[start : start + size]]

    def batches_per_epoch(self, size: int) -> int:
        return max(1, len(self.windows) // size)


def _digest(clips: list[Pixels]) -> str:
    total = sha256()
    for clip in clips:
        total.update(clip.tobytes())
    return total.hexdigest()[:16]


def read_labels(data: Path, clips: list[str]) -> dict[str, Any] | None:
    """What `data/labels.json` says of these clips; None where there is no such file.

    Raises DataError where the file is damaged or says nothing about one of them. Read before the scoring begins: a
    wrong file must not cost an hour. `labels_of` then turns an entry into labels.
    """
    path = data / "labels.json"
    if not path.exists():
        return None
    try:
        test = json.loads(path.read_text())["test"]
        entries = {name: test[name] for name in clips}
        for name, entry in entries.items():
            labels_of(name, entry, entry["frames"])
    except KeyError as error:
        raise DataError(f"{path.name}: nothing about {error}") from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path.name} is no label file: {error}") from None
    return entries


def labels_of(name: str, entry: dict[str, Any], frames: int) -> Labels:
    """A clip's labels (N,) 0/1. Raises DataError where they do not fit its number of decoded frames."""
    if entry["frames"] != frames:
        raise DataError(f"labels.json says that clip {name} has {entry['frames']} frames; it has {frames}")
    labels = np.zeros(frames, np.uint8)
    for first, last in entry["anomalous_first_last_0based_inclusive"]:
        if not 0 <= first <= last < frames:
            raise DataError(f"labels.json: interval {first} to {last} does not fit clip {name} of {frames} frames")
        labels[first : last + 1] = 1
    return labels
