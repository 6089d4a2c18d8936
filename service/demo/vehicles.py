"""Draw a cyclist and a van; the axes are those of `figures`."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, hypot, pi, sin

import cv2
import numpy as np

from lookout.service.demo.figures import (
    CanvasPoints,
    Colour,
    FigurePoint,
    Look,
    Pen,
    paint_arm,
    shade,
)

WHEEL_M = 0.35
PEDALS = (-0.05, 0.30)  # the crank's axis: forward, up
SADDLE = (-0.22, 1.00)
BICYCLE: Colour = (30, 34, 40)
RIDER = Look(shirt=(226, 66, 44), trousers=(34, 38, 52), skin=(224, 178, 146), hair=(246, 214, 60))


def draw_cyclist(pen: Pen, ridden_m: float, look: Look) -> None:
    """Draw a rider bent over the handlebar; the pedals turn once in 4.5 m."""
    far, near = pen.sides()
    turn = -2 * pi * ridden_m / 4.5
    paint_pedalling_leg(pen, look, turn, far, 0.7)
    paint_bicycle(pen)
    paint_pedalling_leg(pen, look, turn + pi, near, 1.0)
    back = pen.trace([(SADDLE[0], 0, SADDLE[1]), (0.20, 0, 1.46), (0.32, 0, 1.68), (0.29, 0, 1.74)])
    for side, light in ((far, 0.7), (near, 0.88)):
        arm = pen.trace(
            [(0.20, side * 0.20, 1.42), (0.33, side * 0.26, 1.18), (0.50, side * 0.24, 1.05)]
        )
        paint_arm(pen, arm, 1.0, shade(look.shirt, light), look.skin)
        if side == far:
            pen.line(back[:2], 0.27, look.shirt)
    pen.disc(back[2], 0.12, look.skin)
    pen.disc(back[3], 0.125, look.hair)


def paint_bicycle(pen: Pen) -> None:
    """Paint wheels, frame and handlebar."""
    for hub in (-0.53, 0.53):
        pen.line(pen.trace(wheel_points(hub, 0.0, WHEEL_M)), 0.075, BICYCLE, closed=True)
    rear = (-0.53, 0, 0.35)
    front = (0.53, 0, 0.35)
    crank = (-0.05, 0, 0.3)
    saddle = (-0.2, 0, 0.9)
    head = (0.4, 0, 0.86)
    frame = pen.trace([rear, crank, head, saddle, crank, rear, saddle])
    pen.line(frame, 0.06, (40, 110, 190))
    pen.line(pen.trace([front, head, (0.42, 0, 1.02)]), 0.06, (40, 110, 190))
    pen.line(pen.trace([(0.48, 0.26, 1.03), (0.42, 0, 1.02), (0.48, -0.26, 1.03)]), 0.05, BICYCLE)


def wheel_points(forward_m: float, left_m: float, radius_m: float) -> list[FigurePoint]:
    """Return 19 points of an upright circle that touches the ground."""
    turns = np.linspace(0, 2 * pi, 20)[:-1]
    return [
        (forward_m + radius_m * cos(turn), left_m, radius_m + radius_m * sin(turn))
        for turn in turns
    ]


def paint_pedalling_leg(pen: Pen, look: Look, turn: float, side: int, light: float) -> None:
    """Paint one leg with its foot on the pedal; `turn` is the crank's angle in radians."""
    pedal = (PEDALS[0] + 0.17 * cos(turn), PEDALS[1] + 0.17 * sin(turn))
    knee = middle_joint(SADDLE, pedal, 0.46)
    toe = (pedal[0] + 0.14, pedal[1] - 0.01)
    leg = pen.trace([(forward, side * 0.10, up) for forward, up in (SADDLE, knee, pedal, toe)])
    pen.line(leg[:3], 0.14, shade(look.trousers, light))
    pen.line(leg[2:], 0.10, shade((236, 236, 232), light))


def middle_joint(
    start: tuple[float, float], end: tuple[float, float], bone_m: float
) -> tuple[float, float]:
    """Return the joint between two bones of `bone_m`, bent forward: (forward, up) in metres."""
    along = end[0] - start[0]
    up = end[1] - start[1]
    reach = min(hypot(along, up), 2 * bone_m - 1e-6)
    bend = (bone_m**2 - (reach / 2) ** 2) ** 0.5 / reach
    return start[0] + along / 2 - up * bend, start[1] + up / 2 + along * bend


VAN_PROFILE = ((-2.4, 0.35), (-2.4, 2.15), (1.25, 2.15), (2.15, 1.25), (2.4, 0.85), (2.4, 0.35))
"""Outline of the van seen from its side: (forward, up) in metres."""
VAN_LIGHT = (0.62, 1.12, 0.50, 0.95, 0.85, 0.40)  # of the strip from each profile point to the next
VAN_HALF_WIDTH_M = 0.95
GLASS: Colour = (58, 74, 88)


def draw_van(pen: Pen, _driven_m: float, paint: Colour) -> None:
    """Draw a delivery van: a convex box, of which only strips that face the camera are visible."""
    far, near = pen.sides()
    outlines = {side: side_outline(pen, side, VAN_PROFILE) for side in (far, near)}
    for index, light in enumerate(VAN_LIGHT):
        pair = [index, (index + 1) % len(VAN_PROFILE)]
        strip = np.concatenate([outlines[far][pair], outlines[near][pair[::-1]]])
        if pen.casting or faces_camera(strip, outlines[near]):
            is_windscreen = index == 2
            pen.face(strip, GLASS if is_windscreen else shade(paint, light))
    pen.face(outlines[near], paint)
    if not pen.casting:
        paint_van_side(pen, near, paint)
    for hub in (-1.45, 1.50):
        pen.face(pen.trace(wheel_points(hub, near * 0.97, 0.36)), (28, 28, 30))
        pen.disc(pen.trace([(hub, near * 0.98, 0.36)])[0], 0.17, (150, 152, 156))


def side_outline(pen: Pen, side: int, outline: Sequence[tuple[float, float]]) -> CanvasPoints:
    """Project an outline, (forward, up) in metres, on the van's left (1) or right (-1) side."""
    return pen.trace([(forward, side * VAN_HALF_WIDTH_M, up) for forward, up in outline])


def faces_camera(strip: CanvasPoints, side: CanvasPoints) -> bool:
    """Return whether a strip of the convex box is visible: outside its near side's outline."""
    middle = strip[:2].mean(0)
    point = (float(middle[0]), float(middle[1]))
    return cv2.pointPolygonTest(side.astype(np.float32), point, False) < 0


def paint_van_side(pen: Pen, near: int, paint: Colour) -> None:
    """Paint window, stripe and seams of the near side, and the headlamps of a van that comes."""
    window = ((0.75, 1.30), (0.75, 1.95), (1.20, 1.95), (1.85, 1.30))
    stripe = ((-2.4, 0.75), (-2.4, 1.0), (2.30, 1.0), (2.4, 0.75))
    for outline, colour in ((window, GLASS), (stripe, (214, 92, 38))):
        pen.face(side_outline(pen, near, outline), colour)
    for seam in (-0.6, 0.55):
        pen.line(side_outline(pen, near, ((seam, 0.45), (seam, 2.05))), 0.03, shade(paint, 0.8))
    lamp = pen.trace([(2.4, near * 0.75, 0.75), (2.4, near * 0.5, 0.75)])
    if pen.stance.heading_depth < -0.1:
        pen.line(lamp, 0.14, (255, 250, 220))
