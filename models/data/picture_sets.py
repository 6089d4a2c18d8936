"""Sets of labelled pictures as distributed: MNIST (idx), CIFAR-10 (binary), scikit-learn's digits.

CIFAR-10 also comes as pickles ("python version"). A pickle runs what is in it, so it is not read.
"""

from __future__ import annotations

import gzip
import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lookout.models.arrays import Pixels
from lookout.models.errors import DataError

DIGITS = "digits"
"""Name, in place of a folder, of the digits that scikit-learn holds."""

MOST_BYTES = 2**30  # of one file, unpacked
GZIP_MAGIC = b"\x1f\x8b"
UBYTE = 8  # idx's code of the type that MNIST has
CIFAR_SIDE_PX = 32
CIFAR_ROW_BYTES = 1 + 3 * CIFAR_SIDE_PX**2
CIFAR_TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
CIFAR_TEST = "test_batch.bin"


@dataclass(frozen=True, slots=True)
class LabelledPictures:
    """Pictures and the class of each."""

    pixels: Pixels  # (N, H, W, C) uint8; C is 1 or 3
    classes: NDArray[np.uint8]  # (N,)

    def of_class(self, number: int, *, others: bool = False) -> Pixels:
        """Return the pictures of a class, or of all others, (n, H, W, C)."""
        chosen: Pixels = self.pixels[(self.classes == number) != others]
        return chosen


@dataclass(frozen=True, slots=True)
class PictureSet:
    """A set with the division into training and test that it is distributed with."""

    name: str
    train: LabelledPictures
    test: LabelledPictures


def read_picture_set(data: Path) -> PictureSet:
    """Read a folder of MNIST or CIFAR-10, or `digits`.

    Raises DataError, in one line, for a folder of neither, and for a file that is cut off, damaged
    or does not hold what its header or its size says; OSError for one that cannot be read.
    """
    if str(data) == DIGITS:
        return packaged_digits()
    if not data.is_dir():
        raise DataError(f"{data.name} is no folder: give that of MNIST or CIFAR-10, or {DIGITS}")
    if (data / CIFAR_TRAIN[0]).exists():
        parts = [read_cifar(data / name) for name in CIFAR_TRAIN]
        train = LabelledPictures(
            np.concatenate([part.pixels for part in parts]),
            np.concatenate([part.classes for part in parts]),
        )
        return PictureSet("CIFAR-10", train, read_cifar(data / CIFAR_TEST))
    if (data / "data_batch_1").exists():
        raise DataError(
            f"{data.name} is CIFAR-10's Python version: pickles, which run what is in them; "
            "take the binary version, cifar-10-binary.tar.gz"
        )
    return PictureSet("MNIST", read_mnist(data, "train"), read_mnist(data, "t10k"))


def read_mnist(folder: Path, part: str) -> LabelledPictures:
    """Read `train` or `t10k` of MNIST, with the names that its files have. Raises DataError."""
    pictures = idx_file(folder, f"{part}-images", 3)
    kinds = idx_file(folder, f"{part}-labels", 1)
    if len(pictures) != len(kinds):
        raise DataError(
            f"{folder.name}: {len(pictures)} pictures and {len(kinds)} labels of {part}"
        )
    return LabelledPictures(pictures[..., None], checked_classes(folder.name, kinds))


def idx_file(folder: Path, stem: str, dimensions: int) -> NDArray[np.uint8]:
    """Return the array of an idx file, plain or gzip, whichever of its names it has.

    Raises DataError where there is none, and as `read_idx` does.
    """
    names = [
        f"{stem}{separator}idx{dimensions}-ubyte{suffix}"
        for separator in "-."
        for suffix in ("", ".gz")
    ]
    for name in names:
        if (folder / name).is_file():
            return read_idx(folder / name, dimensions)
    raise DataError(
        f"{folder.name} holds neither {names[1]} (MNIST) nor {CIFAR_TRAIN[0]} (CIFAR-10)"
    )


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Return the array of an idx file of bytes, plain or gzip.

    Raises DataError for another magic, a size that is not what the header says, and a gzip stream
    that is damaged or cut off.
    """
    with path.open("rb") as start:
        is_gzip = start.read(2) == GZIP_MAGIC
    open_file = gzip.open if is_gzip else open
    try:
        with open_file(path, "rb") as file:
            magic = file.read(4)
            if magic != bytes((0, 0, UBYTE, dimensions)):
                raise DataError(f"{path.name} is no idx file of {dimensions} dimensions of bytes")
            header = file.read(4 * dimensions)
            if len(header) < 4 * dimensions:
                raise DataError(f"{path.name} is cut off in its header")
            shape = np.frombuffer(header, ">u4").tolist()
            size = math.prod(shape)
            if not 0 < size <= MOST_BYTES:
                raise DataError(f"{path.name}: its header says {shape}, which is not read")
            content = file.read(size + 1)
    except EOFError:
        raise DataError(f"{path.name} is cut off: its gzip stream has no end") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path.name} is a damaged gzip file: {error}") from None
    if len(content) != size:
        more = "more" if len(content) > size else f"{len(content)}"
        raise DataError(f"{path.name}: its header says {shape}, {size} bytes, and it holds {more}")
    return np.frombuffer(content, np.uint8).reshape(shape)


def read_cifar(path: Path) -> LabelledPictures:
    """Read a file of CIFAR-10's binary version. Raises DataError for another size or class."""
    if not path.is_file():
        raise DataError(f"{path.parent.name} lacks {path.name}")
    size = path.stat().st_size
    if not 0 < size <= MOST_BYTES or size % CIFAR_ROW_BYTES:
        raise DataError(
            f"{path.name} is cut off or no file of CIFAR-10: {size} bytes, "
            f"not a multiple of {CIFAR_ROW_BYTES}"
        )
    rows = np.frombuffer(path.read_bytes(), np.uint8).reshape(-1, CIFAR_ROW_BYTES)
    planes = rows[:, 1:].reshape(-1, 3, CIFAR_SIDE_PX, CIFAR_SIDE_PX)
    pixels = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
    return LabelledPictures(pixels, checked_classes(path.name, rows[:, 0]))


def checked_classes(name: str, classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return classes from 0 to 9. Raises DataError for another one."""
    if classes.max() > 9:
        raise DataError(f"{name} has a class {classes.max()}; they are 0 to 9")
    return classes


def packaged_digits() -> PictureSet:
    """Return scikit-learn's digits at MNIST's size; of each, the first two thirds are to train on.

    8x8 pictures of 17 levels, scaled up by OpenCV's bilinear filter.
    """
    from sklearn.datasets import load_digits  # noqa: PLC0415  nothing else here needs it

    found = load_digits()
    levels = (found.images / 16).astype(np.float32)
    large = np.stack([cv2.resize(one, (28, 28)) for one in levels])
    pixels = np.round(255 * large[..., None]).astype(np.uint8)
    classes = found.target.astype(np.uint8)
    to_train = np.zeros(len(classes), np.bool_)
    for number in range(10):
        of_it = np.flatnonzero(classes == number)
        to_train[of_it[: 2 * len(of_it) // 3]] = True
    return PictureSet(
        DIGITS,
        LabelledPictures(pixels[to_train], classes[to_train]),
        LabelledPictures(pixels[~to_train], classes[~to_train]),
    )
