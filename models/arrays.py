"""Array types that several rooms share, and the format of a stored heatmap. No torch."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

import numpy as np
import numpy.typing as npt

SIDE = 64  # cells of a heatmap along each side
PEAK = 65535  # level of a root mean squared error of 1

Pixels = npt.NDArray[np.uint8]
"""Pictures, (..., H, W, 3) uint8 RGB unless the signature says otherwise."""

HeatMap = npt.NDArray[np.uint16]
"""(..., 64, 64): root mean squared error of a cell, peak 1, times 65535; see `as_levels`."""

Cells = npt.NDArray[np.int64]
"""A count for each cell of a heatmap, (64, 64), or the cell of each pixel, (H, W)."""

Floats = npt.NDArray[np.float64]
"""A series of numbers, mostly one a frame: (N,)."""

Floats32 = npt.NDArray[np.float32]
"""Small pictures and maps in single precision."""


def packed(array: npt.NDArray[Any], dtype: str) -> str:
    """Return an array's bytes in base64, for JSON; dtype: with its byte order, such as "<f4"."""
    return b64encode(np.ascontiguousarray(array, dtype).tobytes()).decode()


def unpacked(text: str, dtype: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return the array of this shape that `packed` wrote.

    Raises ValueError where it is of another size or holds a number that is not finite.
    """
    array = np.frombuffer(b64decode(text, validate=True), dtype).reshape(shape)
    if not np.isfinite(array).all():
        raise ValueError("a stored number is not finite")
    return array
