"""Pictures for people: the heatmap laid over its frame, and how pictures are encoded and kept."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import cv2
import numpy as np

from lookout.service.core.messages import FrameId, HeatMap, Pixels

FAINT_RMSE, FULL_RMSE = 0.02, 0.20
"""Errors up to FAINT (peak 1) are not drawn, from FULL on the colour is strongest. Fixed, so that pictures compare."""

FAINT_RGB, FULL_RGB = np.array([255, 210, 70], np.float32), np.array([255, 45, 30], np.float32)
"""Yellow to red."""

STRONGEST = 0.7
"""Opacity of the strongest colour: the frame stays visible below it."""

JPEG_QUALITY = 88

PICTURE_BYTES = 100_000
"""Of a large one."""


def overlay(pixels: Pixels, cells: HeatMap) -> Pixels:
    """(H, W, 3) RGB frame with its (64, 64) heatmap over it; where the error is small the frame stays as it is."""
    height, width, _ = pixels.shape
    rmse = cv2.resize(
        cells.astype(np.float32) / 65535, (width, height), interpolation=cv2.INTER_LINEAR
    )
    strength = np.clip((rmse - FAINT_RMSE) / (FULL_RMSE - FAINT_RMSE), 0, 1)
    colour = FAINT_RGB + strength[..., None] * (FULL_RGB - FAINT_RGB)
    opacity = STRONGEST * np.sqrt(strength)[..., None]
    return np.asarray(np.rint(pixels * (1 - opacity) + colour * opacity), np.uint8)


def png(pixels: Pixels) -> bytes:
    """(H, W, 3) RGB as PNG."""
    return _encoded(".png", _bgr(pixels))


def jpeg(pixels: Pixels) -> bytes:
    """(H, W, 3) RGB as JPEG."""
    return _encoded(".jpg", _bgr(pixels), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


def raw_png(cells: HeatMap) -> bytes:
    """The heatmap itself as 16-bit grayscale PNG: value / 65535 = root mean squared error of the cell, peak 1."""
    return _encoded(".png", np.ascontiguousarray(cells, np.uint16))


def picture_path(data_dir: Path, alert_id: str) -> Path:
    """Where an alert's picture lies. Raises ValueError for what is no alert id: no path is made of it."""
    camera, _, frame_id = alert_id.rpartition(":")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", camera):
        raise ValueError(f"not an alert id: {alert_id!r}")
    return data_dir / "pictures" / camera / f"{camera}:{FrameId.parse(frame_id)}.jpg"


def keep(path: Path, data: bytes) -> None:
    """Write a file that is there whole or not at all. Raises OSError (disk full, read-only)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def check_room(data_dir: Path) -> None:
    """Raises OSError where no picture can be kept now (read-only, full, another's folder)."""
    trial = data_dir / "pictures" / ".trial"
    keep(trial, bytes(PICTURE_BYTES))
    drop(trial)


def drop(path: Path) -> None:
    """Remove a picture; one that is not there, or cannot be removed, is no trouble."""
    with contextlib.suppress(OSError):
        path.unlink()


def _bgr(pixels: Pixels) -> Pixels:
    return np.ascontiguousarray(pixels[..., ::-1])


def _encoded(suffix: str, image: Pixels | HeatMap, options: list[int] | None = None) -> bytes:
    done, data = cv2.imencode(suffix, image, options or [])
    if not done:
        raise ValueError(f"a picture of {image.shape} cannot be encoded as {suffix}")
    return bytes(data)
