"""A clip as a folder of numbered images: how Ped2, Avenue and ShanghaiTech are distributed.

`Train001/001.tif`, `01/0000.jpg`, `01_001/000.jpg`: any prefix, numbers from 0 or 1, with leading zeros or not.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from lookout.models.errors import DataError, VideoError
from lookout.models.media.decode import Announced, OnFrame
from lookout.models.media.frame_buffer import Pile
from lookout.models.media.preprocess import Pixels, Preprocess

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

NUMBERED = re.compile(r"(.*?)(\d+)(\D*)")
"""What comes before the last number of a name, the number, and what follows it."""


def natural(path: Path) -> tuple[list[tuple[str, int]], str]:
    """Sorts 2 before 10."""
    parts = re.findall(r"(\D*)(\d*)", path.name)
    return [(text, int(number or -1)) for text, number in parts], path.name


def holds_images(folder: Path) -> bool:
    return any(_is_image(path) for path in folder.iterdir())


def frame_images(folder: Path) -> list[Path]:
    """The frames in their order. Raises DataError where a number is missing, doubled, or of another series."""
    found: dict[int, Path] = {}
    series: tuple[str, ...] | None = None
    for path in sorted(filter(_is_image, folder.iterdir()), key=natural):
        match = NUMBERED.fullmatch(path.name)
        if match is None:
            raise DataError(f"{folder.name}: {path.name} has no number in its name")
        before, number, after = match.groups()
        series = series or (before, after)
        if (before, after) != series:
            raise DataError(
                f"{folder.name} holds images of two series: {found[min(found)].name} and {path.name}"
            )
        if int(number) in found:
            raise DataError(
                f"{folder.name} holds frame {int(number)} twice: {found[int(number)].name} and {path.name}"
            )
        found[int(number)] = path
    for one, other in pairwise(sorted(found)):
        if other != one + 1:
            around = f"between {found[one].name} and {found[other].name}"
            raise DataError(f"{folder.name}: frame {one + 1} is missing, {around}")
    return [found[number] for number in sorted(found)]


def read_images(folder: Path, preprocess: Preprocess, on_frame: OnFrame = lambda _: None) -> Pixels:
    """The clip, ready for a model: (N, height_px, width_px, 3) uint8 RGB.

    Raises DataError for a series with holes, VideoError for an image that cannot be read or has another size.
    """
    clip, shape = Pile(), None
    with _silent():
        for path in frame_images(folder):
            rgb = _read(path)
            shape = shape or rgb.shape
            if rgb.shape != shape:
                size, first = (f"{width}x{height}" for height, width, _ in (rgb.shape, shape))
                raise VideoError(f"{folder.name}: {path.name} is {size}, the first frame {first}")
            frame = preprocess(rgb)
            clip.add(frame)
            on_frame(frame)
    return clip.taken()


def images_at(folder: Path, frames: Iterable[int]) -> dict[int, Pixels]:
    """Some of the frames by their numbers in the clip, 0-based: (H, W, 3) uint8 RGB, at their own size."""
    paths = frame_images(folder)
    with _silent():
        return {frame: _read(paths[frame]) for frame in frames}


def announced_images(folder: Path) -> Announced:
    """How many frames there are, and the size of the first."""
    height_px, width_px, _ = images_at(folder, [0])[0].shape
    return Announced(len(frame_images(folder)), None, width_px, height_px)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """OpenCV tells standard error of a damaged image in lines of its own; the caller's one line is enough."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def _read(path: Path) -> Pixels:
    """(H, W, 3) uint8 RGB; a gray image has three equal channels."""
    try:
        encoded = np.fromfile(path, np.uint8)
    except OSError as error:
        raise VideoError(
            f"{path.parent.name}: {path.name} cannot be read: {error.strerror}"
        ) from None
    bgr = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if len(encoded) else None
    if bgr is None:
        raise VideoError(f"{path.parent.name}: {path.name} is no image that can be read")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
