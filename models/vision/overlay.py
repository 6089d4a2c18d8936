"""The heatmap laid over its frame, and pictures encoded as JPEG and PNG."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from lookout.models.arrays import PEAK, Floats32

FAINT_RMSE = 0.02
FULL_RMSE = 0.20
"""Errors (peak 1) up to FAINT are not drawn, from FULL on the colour is strongest.

Both are fixed, so that pictures of different frames compare.
"""

FAINT_RGB = np.array([255, 210, 70], np.float32)  # yellow
FULL_RGB = np.array([255, 45, 30], np.float32)  # red

STRONGEST = 0.7
"""Opacity of the strongest colour: the frame stays visible below it."""

JPEG_QUALITY = 88


def overlay(pixels: npt.NDArray[np.uint8], cells: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    """Return a frame with its heatmap over it; where the error is small the frame is unchanged.

    pixels: (H, W, 3) uint8 RGB. cells: (64, 64) uint16, root mean squared error times 65535.
    """
    height, width, _ = pixels.shape
    rmse = cv2.resize(
        cells.astype(np.float32) / PEAK, (width, height), interpolation=cv2.INTER_LINEAR
    )
    colour, opacity = colours(np.asarray(rmse, np.float32))
    return np.asarray(np.rint(pixels * (1 - opacity) + colour * opacity), np.uint8)


def colours(rmse: Floats32) -> tuple[Floats32, Floats32]:
    """Return colour, (H, W, 3) RGB from 0 to 255, and opacity, (H, W, 1) from 0 to 1, of errors.

    rmse: (H, W) float32, peak 1.
    """
    strength = np.clip((rmse - FAINT_RMSE) / (FULL_RMSE - FAINT_RMSE), 0, 1)
    colour = FAINT_RGB + strength[..., None] * (FULL_RGB - FAINT_RGB)
    return colour, STRONGEST * np.sqrt(strength)[..., None]


def layer_png(cells: npt.NDArray[np.uint16]) -> bytes:
    """Encode a heatmap alone as PNG with opacity, to be laid over any picture of the camera.

    cells: (64, 64) uint16, root mean squared error times 65535.
    """
    colour, opacity = colours(np.asarray(cells.astype(np.float32) / PEAK, np.float32))
    shown = np.concatenate([colour[..., ::-1], 255 * opacity], axis=2)
    return encode(".png", np.ascontiguousarray(np.rint(shown), np.uint8))


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Encode (H, W, 3) uint8 RGB as PNG."""
    return encode(".png", np.ascontiguousarray(pixels[..., ::-1]))


def jpeg(pixels: npt.NDArray[np.uint8], quality: int = JPEG_QUALITY) -> bytes:
    """Encode (H, W, 3) uint8 RGB as JPEG."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    return encode(".jpg", np.ascontiguousarray(pixels[..., ::-1]), options)


def raw_png(cells: npt.NDArray[np.uint16]) -> bytes:
    """Encode a heatmap as 16-bit grayscale PNG: value / 65535 = RMSE of the cell, peak 1."""
    return encode(".png", np.ascontiguousarray(cells, np.uint16))


def encode(
    suffix: str,
    image: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
    options: list[int] | None = None,
) -> bytes:
    """Encode a picture in OpenCV's channel order. Raises ValueError where OpenCV cannot."""
    done, data = cv2.imencode(suffix, image, options or [])
    if not done:
        raise ValueError(f"a picture of {image.shape} cannot be encoded as {suffix}")
    return bytes(data)
