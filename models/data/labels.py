"""Frame labels: which frames of the test clips are anomalous.

`labels.json` in the data folder; without it `testing/test_frame_mask/NN_MMMM.npy`, as ShanghaiTech
is distributed; without that, what the masks of the pixels say (Ped2 and Avenue as distributed).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lookout.models.data.clips import count_frames
from lookout.models.data.masks import Masked
from lookout.models.errors import DataError

FrameLabels = npt.NDArray[np.uint8]

SHANGHAITECH = ("testing/test_frame_mask", "test_frame_mask")
"""Where ShanghaiTech's labels lie; the first one that is there counts."""


@dataclass(frozen=True, slots=True)
class Truth:
    """The labels of one clip, and the file they come from."""

    source: str  # the file that says so
    clip: str
    labels: FrameLabels  # (N,) 0/1

    def of(self, frames: int) -> FrameLabels:
        """Its labels. Raises DataError where there are not as many as the clip has frames."""
        if len(self.labels) != frames:
            raise DataError(
                f"{self.source} says that clip {self.clip} has {len(self.labels)} frames; "
                f"it has {frames}"
            )
        return self.labels


def read_labels(
    data: Path, clips: list[Path], masks: Mapping[str, Masked] | None
) -> dict[str, Truth] | None:
    """Return the labels of these clips by name; None where there are none.

    Raises DataError where a file is damaged or missing, or does not fit its clip; VideoError where
    a clip that may not fit cannot be decoded.
    """
    names = [path.stem for path in clips]
    found = read_own(data / "labels.json", names) or read_shanghaitech(data, names)
    if not found and masks:
        found = {name: Truth("its mask", name, masked.labels) for name, masked in masks.items()}
    if not found:
        return None
    for path in clips:
        truth = found[path.stem]
        truth.of(count_frames(path, len(truth.labels)))
    return found


def read_own(path: Path, clips: list[str]) -> dict[str, Truth] | None:
    """Read labels.json: each clip's number of frames, and its anomalous intervals.

    Returns None where the file is not there. Raises DataError.
    """
    if not path.exists():
        return None
    try:
        test = json.loads(path.read_text())["test"]
        return {
            name: Truth(path.name, name, labels_of_intervals(name, test[name])) for name in clips
        }
    except KeyError as error:
        raise DataError(f"{path.name}: nothing about {error}") from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path.name} is no label file: {error}") from None


def labels_of_intervals(name: str, entry: dict[str, Any]) -> FrameLabels:
    """Return the labels of a clip's entry in labels.json, (N,) 0/1. Raises DataError."""
    frames = entry["frames"]
    labels = np.zeros(frames, np.uint8)
    for first, last in entry["anomalous_first_last_0based_inclusive"]:
        if not 0 <= first <= last < frames:
            raise DataError(
                f"labels.json: interval {first} to {last} does not fit "
                f"clip {name} of {frames} frames"
            )
        labels[first : last + 1] = 1
    return labels


def read_shanghaitech(data: Path, clips: list[str]) -> dict[str, Truth] | None:
    """Read ShanghaiTech's labels: a file a clip, 0 or 1 a frame.

    Returns None where none of the folders is there. Raises DataError.
    """
    for folder in (data / name for name in SHANGHAITECH):
        if folder.is_dir():
            return {name: read_array(folder / f"{name}.npy", name) for name in clips}
    return None


def read_array(path: Path, name: str) -> Truth:
    """Read the labels of one clip from an array, (N,) 0/1. Raises DataError."""
    try:
        stored = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"{path.parent.name}: nothing about {name!r}") from None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path.name} is no label file: {error}") from None
    if not isinstance(stored, np.ndarray) or stored.ndim != 1 or not np.isin(stored, (0, 1)).all():
        raise DataError(f"{path.name} is no label file: a 0 or 1 for each frame is expected")
    return Truth(path.name, name, stored.astype(np.uint8))
