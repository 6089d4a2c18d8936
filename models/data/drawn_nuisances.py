"""Light, weather and nuisances of drawn scenes: what changes in a picture and means nothing.

Two generators: "usual" is for choosing and tuning; "other" has nuisances of other kinds and is for
a last test alone. Each has its stated rate an hour, and comes by chance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import pi, sin, sqrt
from typing import Literal

import cv2
import numpy as np

from lookout.models.arrays import Floats32, Pixels

Nuisances = Literal["usual", "other", "none"]

HOUR_S = 3600.0
NOISE_FIELDS = 61
LIGHT_STREAM = 11
NUISANCE_STREAM = 12
NOISE_STREAM = 13


@dataclass(frozen=True, slots=True)
class Bout:
    """A nuisance for a while."""

    start_s: float
    end_s: float
    chance: tuple[float, float, float, float]  # each in (0, 1): place, way, size, strength


Draw = Callable[[Pixels, Bout, float], Pixels]
"""Draws a bout on a canvas at a time in s; returns the canvas."""


@dataclass(frozen=True, slots=True)
class Nuisance:
    """One kind, with its rate."""

    name: str
    per_hour: float
    lasts_s: float
    draw: Draw
    is_outside: bool = True
    at_night: bool = False  # only then


def insect(canvas: Pixels, bout: Bout, time_s: float) -> Pixels:
    """A bright blob that zigzags close to the lens, 3 to 10 px."""
    share = (time_s - bout.start_s) / (bout.end_s - bout.start_s)
    place, way, size, phase = bout.chance
    x = 256 * (way + (1 - 2 * way) * share) + 20 * sin(9 * share + 6 * phase)
    y = 256 * place + 30 * sin(14 * share + 6 * size)
    cv2.circle(canvas, (round(x), round(y)), 3 + int(7 * size), (225, 225, 215), -1, cv2.LINE_AA)
    return canvas


def swaying_trees(canvas: Pixels, bout: Bout, time_s: float) -> Pixels:
    """Foliage in a corner that a gust moves by up to 4 px."""
    gust = sin(pi * (time_s - bout.start_s) / (bout.end_s - bout.start_s))
    for leaf in range(30):
        angle = 2.4 * leaf
        sway = 4 * bout.chance[3] * gust * sin(2 * pi * 0.7 * time_s + leaf)
        x = 215 + 22 * sin(angle) * (leaf / 30) ** 0.5 * 1.6 + sway
        y = 30 + 26 * sin(angle + 1.6) * (leaf / 30) ** 0.5 + sway / 2
        green = 70 + 40 * (leaf % 3)
        cv2.circle(canvas, (round(x), round(y)), 5, (50, green, 45), -1, cv2.LINE_AA)
    return canvas


def flicker(canvas: Pixels, bout: Bout, time_s: float) -> Pixels:
    """A lamp that fails for moments: up to 20 % of the light."""
    gain = 1 + 0.2 * bout.chance[3] * sin(37 * time_s) * sin(23 * time_s)
    return np.asarray(cv2.convertScaleAbs(canvas, alpha=gain), np.uint8)


def rain(canvas: Pixels, bout: Bout, time_s: float) -> Pixels:
    """A shower: streaks at other places in each frame."""
    rng = np.random.default_rng((int(bout.start_s), int(time_s * 100)))
    for x, y in rng.integers(0, 256, (int(10 + 40 * bout.chance[3]), 2)).tolist():
        cv2.line(canvas, (x, y), (x + 2, y + 12), (190, 195, 205), 1, cv2.LINE_AA)
    return canvas


def birds(canvas: Pixels, bout: Bout, time_s: float) -> Pixels:
    """Three dark wings that cross the picture in seconds."""
    share = (time_s - bout.start_s) / (bout.end_s - bout.start_s)
    for bird in range(3):
        x = round(300 * share - 30 * bird)
        y = round(200 * bout.chance[0] + 10 * bird)
        wing = round(5 * sin(20 * time_s + bird))
        cv2.line(canvas, (x - 6, y - wing), (x, y), (35, 35, 40), 2, cv2.LINE_AA)
        cv2.line(canvas, (x, y), (x + 6, y - wing), (35, 35, 40), 2, cv2.LINE_AA)
    return canvas


def headlights(canvas: Pixels, bout: Bout, time_s: float) -> Pixels:
    """A cone of light that sweeps over the ground."""
    share = (time_s - bout.start_s) / (bout.end_s - bout.start_s)
    lit = np.zeros_like(canvas)
    centre = (round(320 * share - 30), round(120 + 100 * bout.chance[0]))
    cv2.ellipse(lit, centre, (60, 25), 0, 0, 360, (70, 70, 60), -1, cv2.LINE_AA)
    return np.asarray(cv2.add(canvas, cv2.blur(lit, (31, 31))), np.uint8)


def shaking(canvas: Pixels, bout: Bout, time_s: float) -> Pixels:
    """Wind at the pole: the picture moves by up to 2 px."""
    shift = 2 * bout.chance[3] * sin(11 * time_s)
    moved = np.array([[1, 0, shift], [0, 1, shift / 2]], np.float32)
    turned = cv2.warpAffine(canvas, moved, (256, 256), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(turned, np.uint8)


def cloud_shadow(canvas: Pixels, bout: Bout, time_s: float) -> Pixels:
    """A soft dark band that passes within a minute."""
    share = (time_s - bout.start_s) / (bout.end_s - bout.start_s)
    columns = np.arange(256, dtype=np.float32)
    band = 1 - 0.35 * np.exp(-(((columns - 400 * share + 70) / 45) ** 2))
    return np.asarray(canvas * band[None, :, None], np.uint8)


KINDS: dict[Nuisances, tuple[Nuisance, ...]] = {
    "usual": (
        Nuisance("insect", 8, 2.5, insect, at_night=True),
        Nuisance("swaying trees", 6, 90, swaying_trees),
        Nuisance("flicker", 1, 5, flicker, is_outside=False),
        Nuisance("rain", 0.15, 600, rain),
    ),
    "other": (
        Nuisance("birds", 6, 4, birds),
        Nuisance("headlights", 6, 5, headlights, at_night=True),
        Nuisance("shaking", 1, 6, shaking),
        Nuisance("cloud shadow", 3, 50, cloud_shadow),
        Nuisance("sunlight through a door", 1, 40, cloud_shadow, is_outside=False),
    ),
    "none": (),
}


class Weather:
    """Light of the hour, noise and nuisances, over the picture of a scene."""

    def __init__(self, seed: int, nuisances: Nuisances, *, is_outside: bool) -> None:
        rng = np.random.default_rng((seed, LIGHT_STREAM))
        self._seed = seed
        self._is_outside = is_outside
        self._kinds = [one for one in KINDS[nuisances] if one.is_outside == is_outside]
        self._phases = rng.uniform(0, 2 * pi, 2).tolist()
        self._lamps_on_h = float(rng.uniform(17.5, 19))
        noise = np.random.default_rng((seed, NOISE_STREAM))
        self._noise = [
            np.asarray(noise.normal(16, 1.5, (256, 256, 3)).round(), np.uint8)
            for _ in range(NOISE_FIELDS)
        ]
        self._bouts = lru_cache(maxsize=64)(self.bouts_of_hour)

    def over(self, canvas: Pixels, index: int, time_s: float) -> Pixels:
        """Return the picture, (256, 256, 3), as the camera sees it in frame `index`."""
        for number, kind in enumerate(self._kinds):
            hour = int(time_s // HOUR_S)
            for bout in (*self._bouts(number, hour - 1), *self._bouts(number, hour)):
                if bout.start_s <= time_s < bout.end_s:
                    canvas = kind.draw(canvas, bout, time_s)
        # Neither grows with the light: a dark picture is as noisy as a bright one.
        noise = self._noise[index % NOISE_FIELDS]
        return np.asarray(cv2.addWeighted(canvas, self.light(time_s), noise, 1.0, -16.0), np.uint8)

    def light(self, time_s: float) -> float:
        """Return the light at a time: the sun, slow clouds, and lamps that switch at dusk."""
        first, second = self._phases
        clouds = 0.06 * sin(2 * pi * time_s / 1700 + first) + 0.03 * sin(2 * pi * time_s / 410)
        hour = time_s / HOUR_S % 24
        lamps = 0.0
        if hour >= self._lamps_on_h or hour < 6.5:
            lamps = 0.35
        if not self._is_outside:
            return 0.9 + clouds * 0.2 + lamps * 0.1
        sun = sqrt(max(0.0, sin(pi * (hour - 6) / 13 + 0.05 * second)))
        return 0.2 + 0.75 * sun * (1 + clouds) + lamps * (1 - sun)

    def bouts_of_hour(self, number: int, hour: int) -> list[Bout]:
        """Return when a kind comes in an hour."""
        kind = self._kinds[number]
        is_night = not 6 <= hour % 24 < 19
        if hour < 0 or (kind.at_night and not is_night):
            return []
        rng = np.random.default_rng((self._seed, NUISANCE_STREAM, number, hour))
        found = []
        for _ in range(rng.poisson(kind.per_hour)):
            start_s = hour * HOUR_S + float(rng.uniform(0, HOUR_S))
            place, way, size, strength = rng.random(4).tolist()
            lasts_s = kind.lasts_s * (0.5 + size)
            found.append(Bout(start_s, start_s + lasts_s, (place, way, size, strength)))
        return found


def wander(rng: np.random.Generator, side_px: int, cells: int) -> Floats32:
    """Return smooth noise of about so many cells, (side, side), mean 0, some ±1."""
    coarse = rng.normal(0, 1, (cells, cells)).astype(np.float32)
    smooth = cv2.resize(coarse, (side_px, side_px), interpolation=cv2.INTER_CUBIC)
    return np.asarray(smooth, np.float32)
