"""A clip as a folder of numbered images, as Ped2, Avenue and ShanghaiTech are distributed.

`Train001/001.tif`, `01/0000.jpg`, `01_001/000.jpg`: any prefix, numbers from 0 or 1, with leading
zeros or not.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from lookout.models.arrays import Pixels
from lookout.models.errors import DataError, VideoError
from lookout.models.media.clip_reader import ClipInfo, OnFrame
from lookout.models.media.preprocess import FrameBuffer, Preprocess

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

BLACK_16 = 255  # of 16 bits: black in 8 bits
MAX_12 = 4095  # the largest value of 12 bits

NUMBERED = re.compile(r"(.*?)(\d+)(\D*)")
"""A name cut at its last number: text before, number, text after."""


def natural(path: Path) -> tuple[list[tuple[str, int]], str]:
    """Return a sort key that puts 2 before 10."""
    parts = re.findall(r"(\D*)(\d*)", path.name)
    return [(text, int(number or -1)) for text, number in parts], path.name


def is_image(path: Path) -> bool:
    """Return whether a file's name is that of an image."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def holds_images(folder: Path) -> bool:
    """Return whether there is an image in a folder."""
    return any(map(is_image, folder.iterdir()))


def frame_images(folder: Path) -> list[Path]:
    """Return the frames in their order.

    Raises DataError where a number is missing, doubled, or of another series.
    """
    images: dict[int, Path] = {}
    series: tuple[str, ...] | None = None
    for path in sorted(filter(is_image, folder.iterdir()), key=natural):
        match = NUMBERED.fullmatch(path.name)
        if match is None:
            raise DataError(f"{folder.name}: {path.name} has no number in its name")
        before, number, after = match.groups()
        series = series or (before, after)
        if (before, after) != series:
            first = images[min(images)].name
            raise DataError(f"{folder.name} holds images of two series: {first} and {path.name}")
        frame = int(number)
        if frame in images:
            raise DataError(
                f"{folder.name} holds frame {frame} twice: {images[frame].name} and {path.name}"
            )
        images[frame] = path
    for frame, following in pairwise(sorted(images)):
        if following != frame + 1:
            around = f"between {images[frame].name} and {images[following].name}"
            raise DataError(f"{folder.name}: frame {frame + 1} is missing, {around}")
    return [images[frame] for frame in sorted(images)]


def read_images(folder: Path, preprocess: Preprocess, on_frame: OnFrame = lambda _: None) -> Pixels:
    """Return the clip, preprocessed: (N, height_px, width_px, 3) uint8 RGB.

    Raises DataError for a series with holes, VideoError for an image that cannot be read or has
    another size than the first.
    """
    buffer = FrameBuffer()
    first_shape: tuple[int, ...] | None = None
    with silent_opencv():
        for path in frame_images(folder):
            rgb = read_image(path)
            first_shape = first_shape or rgb.shape
            if rgb.shape != first_shape:
                size, first = (f"{width}x{height}" for height, width, _ in (rgb.shape, first_shape))
                raise VideoError(f"{folder.name}: {path.name} is {size}, the first frame {first}")
            frame = preprocess(rgb)
            buffer.add(frame)
            on_frame(frame)
    return buffer.take()


def images_at(folder: Path, frames: Iterable[int]) -> dict[int, Pixels]:
    """Return some frames by their 0-based numbers: (H, W, 3) uint8 RGB, at their own size."""
    paths = frame_images(folder)
    with silent_opencv():
        return {frame: read_image(paths[frame]) for frame in frames}


def read_folder_info(folder: Path) -> ClipInfo:
    """Return the number of frames and the size of the first. Raises DataError, VideoError."""
    height_px, width_px, _ = images_at(folder, [0])[0].shape
    return ClipInfo(len(frame_images(folder)), None, width_px, height_px)


@contextlib.contextmanager
def silent_opencv() -> Iterator[None]:
    """Keep OpenCV's own lines about a damaged image from standard error."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def read_image(path: Path) -> Pixels:
    """Return an image as (H, W, 3) uint8 RGB; a gray one has three equal channels.

    Raises VideoError where it cannot be read, or holds values of 12 bits or less in 16: their upper
    8 bits are almost black.
    """
    try:
        encoded = np.fromfile(path, np.uint8)
    except OSError as error:
        raise VideoError(
            f"{path.parent.name}: {path.name} cannot be read: {error.strerror}"
        ) from None
    bgr = None
    if len(encoded):
        bgr = cv2.imdecode(encoded, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if bgr is not None and bgr.dtype != np.uint8:
        if bgr.dtype == np.uint16 and BLACK_16 < bgr.max() <= MAX_12:
            raise VideoError(
                f"{path.parent.name}: {path.name} holds values up to {bgr.max()} in 16 bits, "
                "which are almost black: scale the images to 8 bits, or to the whole of 16"
            )
        bgr = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    if bgr is None:
        raise VideoError(f"{path.parent.name}: {path.name} is no image that can be read")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
