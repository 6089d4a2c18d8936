"""Signature of a whole picture, about 1 KB: it shows whether most of it changed, and how.

A passing bus changes up to half of a picture, a switch of the light or a push at the camera all of
it. Four measures tell them apart, and none of them reacts to noise or a few people: the light
(coarse gray), the detail (whether each small cell is brighter or darker than its surroundings,
whatever the light), the colour and the sharpness.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

# Sides of the small pictures that are compared.
from lookout.models.arrays import Floats32, Pixels

CELLS = 48
BLOCKS = 8
SHARP_PX = 128
DETAIL_MIN = 3.0
"""Of 255: a cell closer to its surroundings is like them; sensor noise of 20 stays below."""
SURROUNDINGS = 9  # cells
FEW = CELLS * CELLS // 20  # so few cells with detail say little

# The limits below lie between what real footage shows and what such changes make of it
# (python -m tests.bench.scene).
LIGHT_MIN = 20.0
"""Of 255: an exposure that drifts by this in a second is followed."""
LIGHT_SHARE = 0.7
"""Of the blocks, all in one direction; a dark bus over two thirds of the picture: 0.66."""
LIKE_MIN = 0.25
"""Turned by ten degrees: up to 0.22; a bus over two thirds: from 0.34; an ordinary second: from
0.65."""
LIKE_SURE = 0.6
"""Above, the picture has not shifted."""
SHIFT_CELLS = 2  # 11 px of 256: more than a pole in the wind
SHIFT_GAIN = 0.2
SHIFT_LIKE = 0.45
"""Once shifted back, the picture is more alike by SHIFT_GAIN, and at least this alike; 40 px of
256: from 0.5."""
GRAY_MAX = 2.0
COLOUR_MIN = 6.0
"""Of 255: infrared is below GRAY_MAX, colour footage far above COLOUR_MIN."""
SHARP_RATIO = 0.4
"""A blur of 3 px of 256: up to 0.31; a flat bus over two thirds: from 0.48; key frames: 0.87 to
1.25."""
SHARP_FLOOR = 1.5  # noise alone
STEADY_LIGHT = 5.0
STEADY_SHARE = 0.3
STEADY_LIKE = 0.65
STEADY_FOCUS = 0.4


@dataclass(frozen=True, slots=True, eq=False)
class SceneSignature:
    """Summary of one picture, about 1 KB."""

    light: Floats32  # (8, 8), mean gray of a block, whole numbers 0 to 255
    detail: Floats32  # (48, 48), -1 darker than its surroundings, +1 brighter, 0 as they are
    colour: float  # mean distance of the channels, 0 to 255; 0 is gray
    sharpness: float  # mean absolute Laplacian at 128x128

    @classmethod
    def from_pixels(cls, pixels: Pixels) -> SceneSignature:
        """`pixels`: (H, W, 3) uint8 RGB."""
        gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        fine = shrink(gray, SHARP_PX)
        coarse = shrink(pixels, BLOCKS).astype(np.int16)
        return cls(
            light=shrink(fine, BLOCKS).astype(np.float32),
            detail=detail_signs(shrink(fine, CELLS)),
            colour=float((coarse.max(axis=2) - coarse.min(axis=2)).mean()),
            sharpness=float(np.abs(cv2.Laplacian(fine, cv2.CV_16S)).mean()),
        )

    @property
    def level(self) -> float:
        """Mean gray, 0 to 255."""
        return float(self.light.mean())

    @property
    def contrast(self) -> float:
        """Standard deviation of the blocks' gray."""
        return float(self.light.std())

    def to_json(self) -> dict[str, Any]:
        """About 1 KB; `from_json` gives back the very same."""
        bits = np.packbits(np.stack((self.detail > 0, self.detail < 0))).tobytes()
        return {
            "light": base64.b64encode(self.light.astype(np.uint8).tobytes()).decode(),
            "detail": base64.b64encode(bits).decode(),
            "colour": self.colour,
            "sharpness": self.sharpness,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SceneSignature:
        """Raises KeyError, TypeError or ValueError on anything that `to_json` did not make."""
        light = np.frombuffer(base64.b64decode(data["light"]), np.uint8).reshape(BLOCKS, BLOCKS)
        bits = np.frombuffer(base64.b64decode(data["detail"]), np.uint8)
        up, down = np.unpackbits(bits).reshape(2, CELLS, CELLS).astype(np.float32)
        return cls(
            light.astype(np.float32), up - down, float(data["colour"]), float(data["sharpness"])
        )


def shrink(picture: npt.NDArray[Any], side: int) -> npt.NDArray[Any]:
    """Return the picture at (side, side) or (side, side, 3); each pixel is the mean of its area."""
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)


def detail_signs(small: npt.NDArray[Any]) -> Floats32:
    """Return the sign of each cell of (48, 48) gray against its surroundings.

    No gain or offset changes it.
    """
    cells = small.astype(np.float32)
    above = cv2.blur(cells, (3, 3)) - cv2.blur(cells, (SURROUNDINGS, SURROUNDINGS))
    return np.where(np.abs(above) > DETAIL_MIN, np.sign(above), np.float32(0)).astype(np.float32)


def describe_change(before: SceneSignature, now: SceneSignature) -> str | None:
    """Return what changed of most of the picture, in words; None where nothing has."""
    return (
        light_change(before, now)
        or colour_change(before, now)
        or view_change(before, now)
        or focus_change(before, now)
    )


def is_steady(before: SceneSignature, now: SceneSignature) -> bool:
    """Return True where most of the picture is at rest; people may walk about in it."""
    moving = float((np.abs(now.light - before.light) > STEADY_LIGHT).mean())
    focusing = abs(math.log(sharpness_ratio(before, now)))
    return (
        moving <= STEADY_SHARE and likeness(before, now) >= STEADY_LIKE and focusing <= STEADY_FOCUS
    )


def likeness(before: SceneSignature, now: SceneSignature) -> float:
    """Return 1 for the same detail in the same places, 0 for another view; 1 without detail."""
    if not has_detail(before, now):
        return 1.0
    return float(np.vdot(before.detail, now.detail)) / detail_norm(before, now)


def sharpness_ratio(before: SceneSignature, now: SceneSignature) -> float:
    """Return the ratio of sharpness, above 0; 1 is as sharp as before."""
    return (now.sharpness + SHARP_FLOOR) / (before.sharpness + SHARP_FLOOR)


def has_detail(before: SceneSignature, now: SceneSignature) -> bool:
    """Return True where either picture has enough detail to be compared."""
    return bool(max(np.count_nonzero(before.detail), np.count_nonzero(now.detail)) >= 2 * FEW)


def detail_norm(before: SceneSignature, now: SceneSignature) -> float:
    """Return the correlation of two pictures of as much detail that are alike."""
    return math.sqrt((np.count_nonzero(before.detail) + FEW) * (np.count_nonzero(now.detail) + FEW))


def light_change(before: SceneSignature, now: SceneSignature) -> str | None:
    """Return how the light of most blocks changed, in words."""
    added = now.light - before.light
    for how, blocks in ("brighter", added > LIGHT_MIN), ("darker", added < -LIGHT_MIN):
        if blocks.mean() >= LIGHT_SHARE:
            grays = f"mean gray {before.level:.0f}, then {now.level:.0f} of 255"
            return f"the picture became {how}: {grays}"
    return None


def colour_change(before: SceneSignature, now: SceneSignature) -> str | None:
    """Return whether the colours went or came back, in words."""
    if before.colour > COLOUR_MIN and now.colour < GRAY_MAX:
        return "the colours went, as when infrared light is switched on"
    if before.colour < GRAY_MAX and now.colour > COLOUR_MIN:
        return "the colours came back, as when infrared light is switched off"
    return None


def view_change(before: SceneSignature, now: SceneSignature) -> str | None:
    """Return how the view shifted or changed, in words."""
    like = likeness(before, now)
    if like >= LIKE_SURE:
        return None
    right, down, shifted = find_shift(before, now)
    if max(abs(right), abs(down)) >= SHIFT_CELLS and shifted >= max(SHIFT_LIKE, like + SHIFT_GAIN):
        x = right / CELLS
        y = down / CELLS
        return f"the picture shifted by {x:+.0%} of its width, {y:+.0%} of its height"
    return "the view is another" if like < LIKE_MIN else None


def find_shift(before: SceneSignature, now: SceneSignature) -> tuple[int, int, float]:
    """Return the likeliest shift (cells to the right, cells down) and the likeness after it."""
    if not has_detail(before, now):
        return 0, 0, 1.0
    spectrum = np.fft.rfft2(now.detail) * np.conj(np.fft.rfft2(before.detail))
    fits = np.fft.irfft2(spectrum, s=(CELLS, CELLS))
    down, right = np.unravel_index(int(fits.argmax()), fits.shape)
    return (
        signed_cells(int(right)),
        signed_cells(int(down)),
        float(fits.max()) / detail_norm(before, now),
    )


def signed_cells(cells: int) -> int:
    """Return a circular shift as the shorter way, left or up being negative."""
    return cells - CELLS if cells > CELLS // 2 else cells


def focus_change(before: SceneSignature, now: SceneSignature) -> str | None:
    """Return whether the picture became blurred or sharp, in words."""
    ratio = sharpness_ratio(before, now)
    if ratio < SHARP_RATIO:
        return "the picture became blurred"
    return "the picture became sharp" if ratio > 1 / SHARP_RATIO else None
