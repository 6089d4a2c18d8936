"""Draw people: joints in metres, projected by one pinhole camera.

A figure's own axes are (forward, left, up) in metres with the origin on the ground below its
middle, so that one drawing serves every heading and distance. Flattened along the sun's rays, it is
the figure's shadow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, pi, sin

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
FigurePoint = tuple[float, float, float]
CanvasPoints = NDArray[np.int32]
Canvas = NDArray[np.uint8]

SUB_BITS = 4  # cv2's fixed point: sixteenths of a pixel, so that slow things move smoothly
SUB_PX = 1 << SUB_BITS
SUN = (0.42, -0.30)
"""Shift of a shadow (right, away from the camera), in metres for each metre of height."""


@dataclass(frozen=True, slots=True)
class PinholeCamera:
    """A fixed view down on the square. The picture's height always shows the same part of it."""

    width_px: int
    height_px: int

    HEIGHT_M = 16.0

    @property
    def unit(self) -> float:
        """Scale of this picture relative to one that is 288 pixels high."""
        return self.height_px / 288

    @property
    def focal_px(self) -> float:
        """Focal length."""
        return 500 * self.unit

    @property
    def horizon_px(self) -> float:
        """Row of the horizon, above the picture."""
        return -144 * self.unit

    def half_width_m(self, depth_m: float) -> float:
        """Return the distance from the picture's middle to its edge at `depth_m`."""
        return self.width_px / 2 * depth_m / self.focal_px


@dataclass(frozen=True, slots=True)
class Stance:
    """A figure's place (right of the middle, away from the camera) and its unit heading."""

    x_m: float
    depth_m: float
    heading_x: float = 1.0
    heading_depth: float = 0.0


class Pen:
    """Draws one figure on one canvas, in the figure's own metres."""

    def __init__(
        self, canvas: Canvas, camera: PinholeCamera, stance: Stance, *, casting: bool = False
    ) -> None:
        """`canvas`: (H, W, 3) RGB; when `casting` the shadow (H, W), where shade becomes 255."""
        self.canvas = canvas
        self.camera = camera
        self.stance = stance
        self.casting = casting
        self.scale = camera.focal_px / stance.depth_m  # pixels a metre
        self.line_type = cv2.LINE_AA
        if casting:  # a shadow is a mask: soft edges would widen it
            self.line_type = cv2.LINE_8

    def trace(self, points: Sequence[FigurePoint]) -> CanvasPoints:
        """Project points: (N, 3) metres forward, left, up; result (N, 2) x, y in 1/16 pixels."""
        forward, left, up = np.array(points, np.float64).T
        at = self.stance
        view = self.camera
        x = at.x_m + forward * at.heading_x - left * at.heading_depth
        depth = at.depth_m + forward * at.heading_depth + left * at.heading_x
        if self.casting:
            x = x + SUN[0] * up
            depth = depth + SUN[1] * up
            up = np.zeros_like(up)
        scale = view.focal_px / depth
        column = view.width_px / 2 + x * scale
        row = view.horizon_px + (view.HEIGHT_M - up) * scale
        pixels: CanvasPoints = np.rint(np.stack([column, row], 1) * SUB_PX).astype(np.int32)
        return pixels

    def line(
        self, pixels: CanvasPoints, width_m: float, colour: Colour, *, closed: bool = False
    ) -> None:
        """Draw a polyline through `pixels`, (N, 2) as from `trace`."""
        width_px = max(1, round(width_m * self.scale))
        ink = self.effective_colour(colour)
        cv2.polylines(self.canvas, [pixels], closed, ink, width_px, self.line_type, SUB_BITS)

    def disc(self, centre: CanvasPoints, radius_m: float, colour: Colour) -> None:
        """Draw a filled circle around `centre`, (2,) as from `trace`."""
        at = (int(centre[0]), int(centre[1]))
        radius = round(radius_m * self.scale * SUB_PX)
        ink = self.effective_colour(colour)
        cv2.circle(self.canvas, at, radius, ink, -1, self.line_type, SUB_BITS)

    def face(self, pixels: CanvasPoints, colour: Colour) -> None:
        """Draw a filled convex outline, (N, 2) as from `trace`."""
        cv2.fillConvexPoly(
            self.canvas, pixels, self.effective_colour(colour), self.line_type, SUB_BITS
        )

    def sides(self) -> tuple[int, int]:
        """Return the sides, the one farther from the camera first: +1 left, -1 right."""
        return (1, -1) if self.stance.heading_x > 0 else (-1, 1)

    @property
    def far_light(self) -> float:
        """Brightness of far limbs: darker, but not head-on, where far and near change places."""
        return 1 - 0.25 * abs(self.stance.heading_x)

    def effective_colour(self, colour: Colour) -> Colour:
        """Return `colour`, or white when a shadow is cast."""
        return (255, 255, 255) if self.casting else colour


def shade(colour: Colour, factor: float) -> Colour:
    """Return `colour` with every channel multiplied by `factor` and cut at 255."""
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
    """Swing of the limbs; angles in radians."""

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
    """Draw a person `walked_m` metres along the route; feet stay where they touch the ground."""
    phase = 2 * pi * walked_m / gait.stride_m
    grown = look.height_m / 1.72
    far, near = pen.sides()
    leg_phase = {1: phase, -1: phase + pi}
    legs = {side: leg_points(gait, leg_phase[side], side) for side in (far, near)}
    hip_m = 0.05 - min(leg[2][2] for leg in legs.values())  # the lower foot stands on the ground
    arms = {side: arm_points(gait, leg_phase[-side], side) for side in (far, near)}
    trunk: list[FigurePoint] = [
        (0, 0, 0),
        upper_body_point(gait, 0.52),
        upper_body_point(gait, 0.73),
        upper_body_point(gait, 0.77, -0.03),
    ]
    body = [*legs[far], *legs[near], *arms[far], *arms[near], *trunk, *torso_points(gait, far)]
    pixels = pen.trace([(f * grown, s * grown, (u + hip_m) * grown) for f, s, u in body])
    paint_person(pen, look, grown, pixels)


def paint_person(pen: Pen, look: Look, grown: float, pixels: CanvasPoints) -> None:
    """Paint a person's 24 points, farthest parts first; `grown` is the height relative to 1.72 m.

    pixels: (24, 2): legs 4 + 4 and arms 3 + 3 (far ones first), hip, neck, head, hair, torso 4,
    bag 2.
    """
    paint_arm(pen, pixels[8:11], grown, shade(look.shirt, 0.88 * pen.far_light), look.skin)
    for leg, light in ((pixels[0:4], pen.far_light), (pixels[4:8], 1.0)):
        pen.line(leg[:3], 0.15 * grown, shade(look.trousers, light))
        pen.line(leg[2:], 0.10 * grown, shade((52, 44, 40), light))
    pen.disc(pixels[17], 0.13 * grown, look.hair)
    from_behind = pen.stance.heading_depth
    if from_behind <= 0:
        paint_bag(pen, look, grown, pixels)
    paint_trunk(pen, look, grown, pixels)
    if from_behind > 0:  # the hair covers the face little by little as they turn away
        paint_bag(pen, look, grown, pixels)
        pen.disc(pixels[17], 0.13 * grown * min(1.0, 1.6 * from_behind), look.hair)
    paint_arm(pen, pixels[11:14], grown, shade(look.shirt, 0.88), look.skin)


def paint_trunk(pen: Pen, look: Look, grown: float, pixels: CanvasPoints) -> None:
    """Paint torso, neck and head; pixels: (24, 2) as for `paint_person`."""
    pen.line(pixels[14:16], 0.24 * grown, look.shirt)
    pen.face(pixels[18:22], look.shirt)
    pen.line(pixels[15:17], 0.11 * grown, shade(look.skin, 0.9))
    pen.disc(pixels[16], 0.115 * grown, look.skin)


def paint_bag(pen: Pen, look: Look, grown: float, pixels: CanvasPoints) -> None:
    """Paint the bag of a person who has one; pixels: (24, 2) as for `paint_person`."""
    if look.bag is not None:
        pen.line(pixels[22:24], 0.26 * grown, look.bag)


def paint_arm(pen: Pen, arm: CanvasPoints, grown: float, sleeve: Colour, skin: Colour) -> None:
    """Paint shoulder, elbow and hand; arm: (3, 2)."""
    pen.line(arm[1:], 0.085 * grown, skin)
    pen.line(arm[:2], 0.11 * grown, sleeve)


def upper_body_point(
    gait: Gait, height_m: float, forward_m: float = 0.0, left_m: float = 0.0
) -> FigurePoint:
    """Return a point `height_m` above the hip that leans with the upper body."""
    return forward_m + height_m * sin(gait.lean), left_m, height_m * cos(gait.lean)


def torso_points(gait: Gait, far: int) -> list[FigurePoint]:
    """Return the outline of shoulders and hips (4 points) and a bag on the back (2)."""
    corners = ((0.0, 0.15), (0.52, 0.20), (0.52, -0.20), (0.0, -0.15))
    outline = [upper_body_point(gait, up, 0, far * left) for up, left in corners]
    return [*outline, upper_body_point(gait, 0.22, -0.17), upper_body_point(gait, 0.42, -0.17)]


def leg_points(gait: Gait, phase: float, side: int) -> list[FigurePoint]:
    """Return hip, knee, ankle and toe, relative to the middle of the hips; phase in radians."""
    thigh = gait.thigh * sin(phase) + 0.06
    shin = thigh - gait.knee - gait.knee_lift * max(0.0, cos(phase)) ** 2
    knee = (0.43 * sin(thigh), side * 0.08, -0.43 * cos(thigh))
    ankle = (knee[0] + 0.42 * sin(shin), side * 0.08, knee[2] - 0.42 * cos(shin))
    toe = (ankle[0] + 0.16 * cos(shin), ankle[1], ankle[2] + 0.16 * sin(shin))
    return [(0.0, side * 0.08, 0.0), knee, ankle, toe]


def arm_points(gait: Gait, phase: float, side: int) -> list[FigurePoint]:
    """Return shoulder, elbow and hand, relative to the middle of the hips; phase in radians."""
    upper = gait.arm * sin(phase)
    lower = upper + gait.elbow
    x, left, z = upper_body_point(gait, 0.50, 0, side * 0.23)
    elbow = (x + 0.28 * sin(upper), left, z - 0.28 * cos(upper))
    hand = (elbow[0] + 0.27 * sin(lower), left * 0.9, elbow[2] - 0.27 * cos(lower))
    return [(x, left, z), elbow, hand]
