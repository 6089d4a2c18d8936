"""Changes of a whole picture, and things that only pass by, made of any footage.

Each is a function of a picture, (H, W, 3) uint8 RGB, and of the seconds since the change began.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lookout.models.arrays import Pixels
from lookout.service.core.messages import Frame

Happening = Callable[[Pixels, float], Pixels]


def frames_of(
    pictures: Iterable[Pixels], *, fps: float = 10, first: int = 0, start_s: float = 1000.0
) -> list[Frame]:
    """Yield frames as a camera sends them.

    `first` is the number of the first, and sets its time.
    """
    return [
        Frame("gate", 1000, seq, start_s + seq / fps, np.ascontiguousarray(pixels))
        for seq, pixels in enumerate(pictures, first)
    ]


def happening(
    pictures: Iterable[Pixels], what: Happening, *, after: int, fps: float = 10
) -> Iterator[Pixels]:
    """The same pictures, with `what` from number `after` on."""
    for number, picture in enumerate(pictures):
        yield picture if number < after else what(picture, (number - after) / fps)


def light(gain: float, offset: float = 0.0, noise: float = 0.0) -> Happening:
    """`noise`: standard deviation, of 255."""
    return lambda picture, _: _pixels(picture * gain + offset + noise * _noise(picture.shape))


def infrared(gain: float, offset: float) -> Happening:
    """The colours go, and the light is another."""
    return lambda picture, _: _pixels(
        picture.mean(axis=2, keepdims=True).repeat(3, axis=2) * gain + offset
    )


def moved(right: float, down: float = 0.0, degrees: float = 0.0, zoom: float = 1.0) -> Happening:
    """`right`, `down`: shares of the picture's width and height."""
    return lambda picture, _: _seen_from(picture, right, down, degrees, zoom)


def panned(right: float, seconds: float) -> Happening:
    return lambda picture, t: _seen_from(picture, right * min(1.0, t / seconds), 0.0, 0.0, 1.0)


def covered(level: float) -> Happening:
    return lambda picture, _: _pixels(level + 2 * _noise(picture.shape))


def blurred(share: float, seconds: float = 0.0) -> Happening:
    """`share`: the blur's standard deviation, of the picture's width.

    It takes `seconds` to get there.
    """

    def blur(picture: Pixels, t: float) -> Pixels:
        sigma = share * picture.shape[1] * (min(1.0, t / seconds) if seconds else 1.0)
        return _pixels(cv2.GaussianBlur(picture, (0, 0), max(sigma, 0.1)))

    return blur


def passing(share: float, level: int, speed: float, stops: bool = False) -> Happening:
    """A bus as wide as `share` of the picture with windows in it, at `speed` picture widths a
    second.
    """

    def drive(picture: Pixels, t: float) -> Pixels:
        height, width, _ = picture.shape
        long = round(share * width)
        nose = round((min(speed * t, share) if stops else speed * t) * width)
        made = picture.copy()
        made[height // 6 :, max(0, nose - long) : max(0, nose)] = level
        for window in range(nose - long + width // 32, nose, width // 6):
            made[
                height // 4 : height // 2, max(0, window) : max(0, min(window + width // 9, nose))
            ] = 30
        return made

    return drive


def between(begins_s: float, ends_s: float, what: Happening) -> Happening:
    """It lasts from `begins_s` until before `ends_s`."""
    return lambda picture, t: (
        what(picture, t - begins_s) if begins_s - 1e-6 <= t < ends_s - 1e-6 else picture
    )


def drifting(levels_a_second: float, most: float) -> Happening:
    """An exposure that follows the day."""
    return lambda picture, t: _pixels(
        picture.astype(np.float32) + max(-most, min(most, levels_a_second * t))
    )


def swaying(share: float) -> Happening:
    """A pole in the wind; `share` of the picture's width to either side."""
    return lambda picture, t: _seen_from(
        picture, share * float(np.sin(9 * t)), share / 2 * float(np.cos(7 * t)), 0, 1
    )


def flickering(what: Happening, times_a_second: float) -> Happening:
    """On and off, half the time each."""
    return lambda picture, t: (
        what(picture, t) if int(2 * t * times_a_second + 1e-6) % 2 else picture
    )


WHOLE: dict[str, Happening] = {
    "infrared, brighter": infrared(1.3, 10),
    "darker, x0.4": light(0.4),
    "lights off": light(0.1, noise=4),
    "lights on, x1.6": light(1.6),
    "moved by 16% to the right": moved(0.16),
    "moved by 16% down": moved(0, 0.16),
    "moved by 8%": moved(0.08),
    "turned by 10 degrees": moved(0, degrees=10),
    "zoomed by 1.3": moved(0, zoom=1.3),
    "panned by 16% in 1 s": panned(0.16, 1.0),
    "panned by 47% in 3 s": panned(0.47, 3.0),
    "covered, dark": covered(12),
    "covered, gray": covered(110),
    "defocused, 1.2%": blurred(0.012),
    "defocused, 3%": blurred(0.03),
    "sprayed over 1 s": blurred(0.03, 1.0),
}
"""Most of the picture changes, and stays so."""

PARTIAL: dict[str, Happening] = {
    **{
        f"bus over {share:.0%}, {tone}, {speed:g} widths/s": passing(share, level, speed)
        for share in (0.5, 0.65)
        for speed in (0.5, 1.0, 2.0)
        for tone, level in (("dark", 30), ("gray", 150), ("bright", 230))
    },
    "bus over 50% stops": passing(0.5, 30, 1.0, stops=True),
    "exposure drifts down": drifting(-15, 60),
    "exposure drifts up": drifting(15, 60),
    "sways by 1.5%": swaying(0.015),
    "one white picture": between(1.0, 1.1, covered(255)),
    "one black picture": between(1.0, 1.1, covered(0)),
    "lightning, 0.3 s": between(1.0, 1.3, light(2.0, 40)),
    "flashing 5 times a second": flickering(light(2.0, 60), 5),
}
"""Part of it changes, or slowly, or not for long."""


def _pixels(values: npt.NDArray[Any]) -> Pixels:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


@cache
def _noise_field() -> npt.NDArray[np.float32]:
    return np.random.default_rng(5).normal(0, 1, (1024, 1024, 3)).astype(np.float32)


_CORNERS = iter(np.random.default_rng(6).integers(0, 512, (100_000, 2)).tolist())


def _noise(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Standard normal; cut from one field, since new noise for each picture takes long."""
    top, left = next(_CORNERS)
    return np.resize(_noise_field()[top:, left:][: shape[0], : shape[1]], shape)


def _seen_from(picture: Pixels, right: float, down: float, degrees: float, zoom: float) -> Pixels:
    height, width, _ = picture.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, zoom)
    matrix[:, 2] += right * width, down * height
    return np.asarray(
        cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REFLECT), np.uint8
    )
