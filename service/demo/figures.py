"""How people are drawn: joints in metres, projected by one pinhole camera.

A figure's own axes are (forward, left, up) in metres with the origin on the ground below its middle, so that
one drawing serves every heading and distance. Flattened along the sun's rays, it is the figure's shadow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, pi, sin

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
Point = tuple[float, float, float]
Pixels = NDArray[np.int32]
Canvas = NDArray[np.uint8]

SUB_BITS = 4  # cv2's fixed point: sixteenths of a pixel, so that slow things move smoothly
SUB_PX = 1 << SUB_BITS
SUN = (
    0.42,
    -0.30,
)  # a shadow's shift (right, away from the camera) in metres for each metre of height


@dataclass(frozen=True, slots=True)
class Camera:
    """A fixed view down on the square. Pictures of another size show the same height of it, scaled."""

    width_px: int
    height_px: int

    HEIGHT_M = 16.0

    @property
    def unit(self) -> float:
        return self.height_px / 288

    @property
    def focal_px(self) -> float:
        return 500 * self.unit

    @property
    def horizon_px(self) -> float:
        return -144 * self.unit

    def half_width_m(self, depth_m: float) -> float:
        """How far to the right the picture reaches at this depth."""
        return self.width_px / 2 * depth_m / self.focal_px


@dataclass(frozen=True, slots=True)
class Stance:
    """Where a figure stands (metres right of the middle, metres from the camera) and its unit heading."""

    x_m: float
    depth_m: float
    heading_x: float = 1.0
    heading_depth: float = 0.0


class Pen:
    """Draws one figure on one canvas, in the figure's own metres."""

    def __init__(
        self, canvas: Canvas, camera: Camera, stance: Stance, *, casting: bool = False
    ) -> None:
        """`canvas`: (H, W, 3) RGB, or (H, W) when `casting` the shadow: shaded pixels become 255."""
        self.canvas, self.camera, self.stance, self.casting = canvas, camera, stance, casting
        self.scale = camera.focal_px / stance.depth_m  # pixels a metre

    def trace(self, points: Sequence[Point]) -> Pixels:
        """(N, 3) metres forward, left, up -> (N, 2) canvas x, y in sixteenths of a pixel."""
        forward, left, up = np.array(points, np.float64).T
        at, view = self.stance, self.camera
        x = at.x_m + forward * at.heading_x - left * at.heading_depth
        depth = at.depth_m + forward * at.heading_depth + left * at.heading_x
        if self.casting:
            x, depth, up = x + SUN[0] * up, depth + SUN[1] * up, np.zeros_like(up)
        scale = view.focal_px / depth
        column = view.width_px / 2 + x * scale
        row = view.horizon_px + (view.HEIGHT_M - up) * scale
        pixels: Pixels = np.rint(np.stack([column, row], 1) * SUB_PX).astype(np.int32)
        return pixels

    def line(self, pixels: Pixels, width_m: float, colour: Colour, *, closed: bool = False) -> None:
        width_px = max(1, round(width_m * self.scale))
        cv2.polylines(
            self.canvas, [pixels], closed, self._ink(colour), width_px, self._edge, SUB_BITS
        )

    def disc(self, centre: Pixels, radius_m: float, colour: Colour) -> None:
        """`centre`: (2,) as from `trace`."""
        at, radius = (int(centre[0]), int(centre[1])), round(radius_m * self.scale * SUB_PX)
        cv2.circle(self.canvas, at, radius, self._ink(colour), -1, self._edge, SUB_BITS)

    def face(self, pixels: Pixels, colour: Colour) -> None:
        """A filled convex outline."""
        cv2.fillConvexPoly(self.canvas, pixels, self._ink(colour), self._edge, SUB_BITS)

    def sides(self) -> tuple[int, int]:
        """+1 for a figure's left, -1 for its right: the one farther from the camera first."""
        return (1, -1) if self.stance.heading_x > 0 else (-1, 1)

    @property
    def far_light(self) -> float:
        """Far limbs are darker, but not head-on, where far and near change places."""
        return 1 - 0.25 * abs(self.stance.heading_x)

    @property
    def _edge(self) -> int:
        return (
            cv2.LINE_8 if self.casting else cv2.LINE_AA
        )  # a shadow is a mask: soft edges would widen it

    def _ink(self, colour: Colour) -> Colour:
        return (255, 255, 255) if self.casting else colour


def shade(colour: Colour, factor: float) -> Colour:
    red, green, blue = (min(255, round(part * factor)) for part in colour)
    return red, green, blue


@dataclass(frozen=True, slots=True)
class Look:
    """One person's body and clothes."""

    shirt: Colour
    trousers: Colour
    skin: Colour
    hair: Colour
    height_m: float = 1.72
    bag: Colour | None = None


@dataclass(frozen=True, slots=True)
class Gait:
    """How the limbs swing; angles in radians."""

    stride_m: float  # two steps
    thigh: float
    knee: float
    knee_lift: float  # on top of `knee`, while the leg swings forward
    arm: float
    elbow: float
    lean: float


WALK = Gait(stride_m=1.40, thigh=0.42, knee=0.08, knee_lift=0.75, arm=0.42, elbow=0.25, lean=0.04)
RUN = Gait(stride_m=2.40, thigh=0.72, knee=0.30, knee_lift=1.35, arm=0.85, elbow=1.60, lean=0.22)


def draw_person(pen: Pen, walked_m: float, look: Look, gait: Gait) -> None:
    """A person after `walked_m` metres of their way: the feet keep to the ground they stepped on."""
    phase = 2 * pi * walked_m / gait.stride_m
    grown = look.height_m / 1.72
    far, near = pen.sides()
    legs = {side: _leg(gait, phase if side > 0 else phase + pi, side) for side in (far, near)}
    hip_m = 0.05 - min(leg[2][2] for leg in legs.values())  # the lower foot stands on the ground
    arms = {side: _arm(gait, phase if side < 0 else phase + pi, side) for side in (far, near)}
    trunk: list[Point] = [
        (0, 0, 0),
        (_tilt(gait, 0.52)),
        (_tilt(gait, 0.73)),
        (_tilt(gait, 0.77, -0.03)),
    ]
    body = [*legs[far], *legs[near], *arms[far], *arms[near], *trunk, *_torso(gait, far)]
    pixels = pen.trace([(f * grown, s * grown, (u + hip_m) * grown) for f, s, u in body])
    _paint_person(pen, look, grown, pixels)


def _paint_person(pen: Pen, look: Look, grown: float, pixels: Pixels) -> None:
    """`pixels`: (24, 2): legs 4 + 4 and arms 3 + 3, far ones first, hip, neck, head, hair, torso 4, bag 2."""
    far_leg, near_leg, far_arm, near_arm = pixels[0:4], pixels[4:8], pixels[8:11], pixels[11:14]
    paint_arm(pen, far_arm, grown, shade(look.shirt, 0.88 * pen.far_light), look.skin)
    for leg, light in ((far_leg, pen.far_light), (near_leg, 1.0)):
        pen.line(leg[:3], 0.15 * grown, shade(look.trousers, light))
        pen.line(leg[2:], 0.10 * grown, shade((52, 44, 40), light))
    pen.disc(pixels[17], 0.13 * grown, look.hair)
    from_behind = pen.stance.heading_depth
    for paint in (_paint_trunk, _paint_bag) if from_behind > 0 else (_paint_bag, _paint_trunk):
        paint(pen, look, grown, pixels)
    if from_behind > 0:  # the hair covers the face little by little as they turn away
        pen.disc(pixels[17], 0.13 * grown * min(1.0, 1.6 * from_behind), look.hair)
    paint_arm(pen, near_arm, grown, shade(look.shirt, 0.88), look.skin)


def _paint_trunk(pen: Pen, look: Look, grown: float, pixels: Pixels) -> None:
    pen.line(pixels[14:16], 0.24 * grown, look.shirt)
    pen.face(pixels[18:22], look.shirt)
    pen.line(pixels[15:17], 0.11 * grown, shade(look.skin, 0.9))
    pen.disc(pixels[16], 0.115 * grown, look.skin)


def _paint_bag(pen: Pen, look: Look, grown: float, pixels: Pixels) -> None:
    if look.bag is not None:
        pen.line(pixels[22:24], 0.26 * grown, look.bag)


def paint_arm(pen: Pen, arm: Pixels, grown: float, sleeve: Colour, skin: Colour) -> None:
    pen.line(arm[1:], 0.085 * grown, skin)
    pen.line(arm[:2], 0.11 * grown, sleeve)


def _tilt(gait: Gait, height_m: float, forward_m: float = 0.0, left_m: float = 0.0) -> Point:
    """A point of the upper body, `height_m` above the hip, leaning with it."""
    return forward_m + height_m * sin(gait.lean), left_m, height_m * cos(gait.lean)


def _torso(gait: Gait, far: int) -> list[Point]:
    """Shoulders and hips, as an outline, and a bag on the back."""
    corners = ((0.0, 0.15), (0.52, 0.20), (0.52, -0.20), (0.0, -0.15))
    outline = [_tilt(gait, up, 0, far * left) for up, left in corners]
    return [*outline, _tilt(gait, 0.22, -0.17), _tilt(gait, 0.42, -0.17)]


def _leg(gait: Gait, phase: float, side: int) -> list[Point]:
    """Hip, knee, ankle, toe, relative to the middle of the hips."""
    thigh = gait.thigh * sin(phase) + 0.06
    shin = thigh - gait.knee - gait.knee_lift * max(0.0, cos(phase)) ** 2
    knee = (0.43 * sin(thigh), side * 0.08, -0.43 * cos(thigh))
    ankle = (knee[0] + 0.42 * sin(shin), side * 0.08, knee[2] - 0.42 * cos(shin))
    toe = (ankle[0] + 0.16 * cos(shin), ankle[1], ankle[2] + 0.16 * sin(shin))
    return [(0.0, side * 0.08, 0.0), knee, ankle, toe]


def _arm(gait: Gait, phase: float, side: int) -> list[Point]:
    """Shoulder, elbow, hand, relative to the middle of the hips."""
    upper = gait.arm * sin(phase)
    lower = upper + gait.elbow
    x, left, z = _tilt(gait, 0.50, 0, side * 0.23)
    elbow = (x + 0.28 * sin(upper), left, z - 0.28 * cos(upper))
    hand = (elbow[0] + 0.27 * sin(lower), left * 0.9, elbow[2] - 0.27 * cos(lower))
    return [(x, left, z), elbow, hand]
