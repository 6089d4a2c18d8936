"""Clips: normal ones to train and calibrate on, labelled ones to evaluate on.

A data folder looks like Ped2's (`train/`, `test/`, `labels.json`), or as Ped2, Avenue and ShanghaiTech are distributed,
or is itself a folder of clips. A clip is a video file or a folder of frame images; one alone will do, as a recording.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lookout.models.data.image_folder import (
    announced_images,
    frame_images,
    holds_images,
    natural,
    read_images,
)
from lookout.models.errors import DataError
from lookout.models.media import decode as video
from lookout.models.media.decode import Announced, OnFrame, Parts, Pixels, read_clip, read_parts
from lookout.models.media.preprocess import Preprocess

SUFFIXES = frozenset({".mp4", ".avi", ".mkv", ".mov", ".webm", ".ts", ".m4v", ".mpg", ".mpeg"})

TRAIN = ("train", "Train", "training/frames", "training/videos", "training_videos", "training")
TEST = ("test", "Test", "testing/frames", "testing/videos", "testing_videos", "testing")
"""Where the sets keep their clips; the first one that is there counts."""

MASKS = "_gt"
"""Ped2's folders of masks, which lie among the test clips, end so."""

MEMORY_SHARE = 0.5
"""Of the machine's memory that footage may take."""


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
        raise DataError(
            f"{data} holds no video clip ({', '.join(sorted(SUFFIXES))}) and no folder of images"
        )
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


@dataclass(frozen=True, slots=True)
class Reading:
    """How normal clips are read."""

    sample_fps: float | None = None  # frames a second that are kept, as a camera's are; None: all
    tell: Callable[[str], None] | None = None  # of damage that was passed over; None: it is refused


STRICT = Reading()
"""Every frame, and no damage."""


def read(path: Path, preprocess: Preprocess, on_frame: OnFrame = lambda _: None) -> Pixels:
    """A clip, whichever way it lies there: (N, height_px, width_px, 3) uint8 RGB. Raises VideoError, DataError."""
    return (read_images if path.is_dir() else read_clip)(path, preprocess, on_frame)


def announced(path: Path) -> Announced:
    """What a clip says of itself before it is decoded; a folder of images says no frame rate.

    Raises VideoError, DataError.
    """
    return announced_images(path) if path.is_dir() else video.announced(path)


def frames_announced(path: Path) -> int:
    """How many frames it will have, exactly of a folder; 0 where a file does not say. Raises VideoError, DataError."""
    return len(frame_images(path)) if path.is_dir() else video.frames_announced(path)


def frames_expected(path: Path, sample_fps: float | None = None) -> int:
    """The same, by its duration where a file does not say, and of those kept at `sample_fps`: about."""
    return len(frame_images(path)) if path.is_dir() else video.frames_expected(path, sample_fps)


def memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


class Room:
    """The memory for clips that lie there together. What they say of themselves may be wrong, or nothing."""

    def __init__(
        self, paths: list[Path], preprocess: Preprocess, sample_fps: float | None = None
    ) -> None:
        """Raises DataError before hours of decoding end in a kill, or where frames that are to be sampled say no time;
        VideoError for what cannot be opened.
        """
        _check_times(paths, sample_fps)
        self._size = f"{preprocess.width_px}x{preprocess.height_px}"
        self._frame_bytes = preprocess.height_px * preprocess.width_px * 3
        self._most_bytes = MEMORY_SHARE * memory_bytes()
        self._frames = 0
        self._require(sum(frames_expected(path, sample_fps) for path in paths), "about ")

    def take(self, _frame: Pixels) -> None:
        """One more frame is there. Raises DataError where it is one too many."""
        self._frames += 1
        self._require(self._frames, "the first ")

    def _require(self, frames: int, which: str) -> None:
        needed = frames * self._frame_bytes
        if needed > self._most_bytes:
            raise DataError(
                f"{which}{frames} frames of {self._size} are {needed / 1e9:.1f} GB; {self._most_bytes / 1e9:.1f} GB "
                f"of this machine's memory are for them: take fewer clips or shorter ones, or a smaller --size"
            )


def whole_clip(path: Path, preprocess: Preprocess, t_length: int) -> Pixels:
    """Every frame of it. Raises VideoError, DataError, also for less than T frames, or more than memory holds."""
    clip = read(path, preprocess, Room([path], preprocess).take)
    _check_length(path.name, [clip], t_length)
    return clip


def clip_parts(
    path: Path,
    preprocess: Preprocess,
    t_length: int,
    reading: Reading = STRICT,
    room: Room | None = None,
) -> list[Pixels]:
    """A clip in parts of at least T frames: one, unless frames are missing in it, which no window may reach across.

    Raises VideoError for one that cannot be read, DataError where no T frames are together, or memory does not hold it.
    """
    room = room or Room([path], preprocess, reading.sample_fps)
    if path.is_dir():
        parts = [read_images(path, preprocess, room.take)]
    else:
        found = read_parts(path, preprocess, room.take, reading.sample_fps)
        _judge(path.name, found, t_length, reading)
        parts = found.clips
    _check_length(path.name, parts, t_length)
    return [part for part in parts if len(part) >= t_length]


def _judge(name: str, found: Parts, t_length: int, reading: Reading) -> None:
    """Raises VideoError where it is damaged and nobody is told; else tells what is left."""
    if reading.tell is None:
        found.require_undamaged(name)
        return
    lengths = [len(part) for part in found.clips]
    used = [length for length in lengths if length >= t_length]
    if used and (found.damaged or used != lengths):
        short = (
            f", {sum(lengths) - sum(used)} more in pieces of less than {t_length}"
            if used != lengths
            else ""
        )
        pieces = f"{sum(used)} used, in {len(used)} piece{'s' * (len(used) > 1)}"
        reading.tell(f"{name}: {found.lost} frames passed over for damage{short}; {pieces}")


def _check_times(paths: list[Path], sample_fps: float | None) -> None:
    folder = next(filter(Path.is_dir, paths), None)
    if sample_fps is not None and folder is not None:
        raise DataError(
            f"{folder.name}: images do not say how fast they follow each other, as --sample-fps needs"
        )


def _check_length(name: str, parts: list[Pixels], t_length: int) -> None:
    longest = max(map(len, parts))
    if longest < t_length:
        raise DataError(
            f"{name} has {longest} frames{' together' * (len(parts) > 1)}; the model needs {t_length}"
        )


@dataclass(frozen=True, slots=True)
class Footage:
    """Clips in memory as uint8, and every window of T frames in them."""

    clip_names: tuple[str, ...]  # of each; the parts of one recording have one name
    clips: list[Pixels]  # each (N, H, W, 3) RGB
    windows: npt.NDArray[np.int64]  # (windows, 2): clip, first frame
    t_length: int
    sha256: str  # names the decoded content: 16 hex digits

    @classmethod
    def load(
        cls,
        paths: list[Path],
        preprocess: Preprocess,
        t_length: int,
        reading: Reading = STRICT,
        room: Room | None = None,
    ) -> Footage:
        """Decode all clips. room: which others share; None: they have one of their own.

        Raises VideoError for an unreadable one, DataError for one shorter than T frames, or more than memory holds.
        """
        room = room or Room(paths, preprocess, reading.sample_fps)
        return cls.of_parts(
            {path.name: clip_parts(path, preprocess, t_length, reading, room) for path in paths},
            t_length,
        )

    @classmethod
    def of(cls, clips: Mapping[str, Pixels], t_length: int) -> Footage:
        """Of clips (N, H, W, 3) uint8 RGB by their names. Raises DataError for one shorter than T frames."""
        for name, clip in clips.items():
            _check_length(name, [clip], t_length)
        return cls.of_parts({name: [clip] for name, clip in clips.items()}, t_length)

    @classmethod
    def of_parts(cls, parts: Mapping[str, list[Pixels]], t_length: int) -> Footage:
        """Of recordings in parts of at least T frames, in their order."""
        names, pixels = (
            tuple(name for name, own in parts.items() for _ in own),
            [clip for own in parts.values() for clip in own],
        )
        windows = [
            (i, first) for i, clip in enumerate(pixels) for first in range(len(clip) - t_length + 1)
        ]
        return cls(names, pixels, np.array(windows, np.int64), t_length, _digest(pixels))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the recordings, each once."""
        return tuple(dict.fromkeys(self.clip_names))

    def parts(self, name: str) -> list[Pixels]:
        """Of one recording."""
        return [clip for own, clip in zip(self.clip_names, self.clips, strict=True) if own == name]

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


def _digest(clips: list[Pixels]) -> str:
    total = sha256()
    for clip in clips:
        total.update(np.ascontiguousarray(clip).reshape(-1).data)  # no copy of it
    return total.hexdigest()[:16]
