"""Array types that several rooms share, and the format of a stored heatmap. No torch."""

from __future__ import annotations

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
