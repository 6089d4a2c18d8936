"""How a cyclist and a van are drawn; the axes are those of `figures`."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, hypot, pi, sin

import cv2
import numpy as np

from lookout.service.demo.figures import Colour, Look, Pen, Pixels, Point, paint_arm, shade

WHEEL_M = 0.35
PEDALS = (-0.05, 0.30)  # the crank's axis: forward, up
SADDLE = (-0.22, 1.00)
BICYCLE: Colour = (30, 34, 40)
RIDER = Look(shirt=(226, 66, 44), trousers=(34, 38, 52), skin=(224, 178, 146), hair=(246, 214, 60))


def draw_cyclist(pen: Pen, ridden_m: float, look: Look) -> None:
    """A rider bent over the handlebar; the pedals turn once in 4.5 m."""
    far, near = pen.sides()
    turn = -2 * pi * ridden_m / 4.5
    _paint_leg_on_pedal(pen, look, turn, far, 0.7)
    _paint_bicycle(pen)
    _paint_leg_on_pedal(pen, look, turn + pi, near, 1.0)
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


def _paint_bicycle(pen: Pen) -> None:
    for hub in (-0.53, 0.53):
        pen.line(pen.trace(_wheel(hub, 0.0, WHEEL_M)), 0.075, BICYCLE, closed=True)
    rear, front, crank, saddle, head = (
        (-0.53, 0, 0.35),
        (0.53, 0, 0.35),
        (-0.05, 0, 0.3),
        (-0.2, 0, 0.9),
        (0.4, 0, 0.86),
    )
    frame = pen.trace([rear, crank, head, saddle, crank, rear, saddle])
    pen.line(frame, 0.06, (40, 110, 190))
    pen.line(pen.trace([front, head, (0.42, 0, 1.02)]), 0.06, (40, 110, 190))
    pen.line(pen.trace([(0.48, 0.26, 1.03), (0.42, 0, 1.02), (0.48, -0.26, 1.03)]), 0.05, BICYCLE)


def _wheel(forward_m: float, left_m: float, radius_m: float) -> list[Point]:
    """A circle that stands on the ground."""
    turns = np.linspace(0, 2 * pi, 20)[:-1]
    return [
        (forward_m + radius_m * cos(turn), left_m, radius_m + radius_m * sin(turn))
        for turn in turns
    ]


def _paint_leg_on_pedal(pen: Pen, look: Look, turn: float, side: int, light: float) -> None:
    hip, pedal = SADDLE, (PEDALS[0] + 0.17 * cos(turn), PEDALS[1] + 0.17 * sin(turn))
    knee = _bent(hip, pedal, 0.46)
    leg = pen.trace(
        [(f, side * 0.10, u) for f, u in (hip, knee, pedal, (pedal[0] + 0.14, pedal[1] - 0.01))]
    )
    pen.line(leg[:3], 0.14, shade(look.trousers, light))
    pen.line(leg[2:], 0.10, shade((236, 236, 232), light))


def _bent(
    start: tuple[float, float], end: tuple[float, float], bone_m: float
) -> tuple[float, float]:
    """The joint between two equal bones, bent forward."""
    along, up = end[0] - start[0], end[1] - start[1]
    reach = min(hypot(along, up), 2 * bone_m - 1e-6)
    bend = (bone_m**2 - (reach / 2) ** 2) ** 0.5 / reach
    return start[0] + along / 2 - up * bend, start[1] + up / 2 + along * bend


# forward, up
VAN_PROFILE = ((-2.4, 0.35), (-2.4, 2.15), (1.25, 2.15), (2.15, 1.25), (2.4, 0.85), (2.4, 0.35))
VAN_LIGHT = (0.62, 1.12, 0.50, 0.95, 0.85, 0.40)  # of the strip from each profile point to the next
VAN_HALF_WIDTH_M = 0.95
GLASS: Colour = (58, 74, 88)


def draw_van(pen: Pen, _driven_m: float, paint: Colour) -> None:
    """A delivery van: a convex box, so that the strips that face the camera are all that is seen of it."""
    far, near = pen.sides()
    outlines = {side: _on_side(pen, side, VAN_PROFILE) for side in (far, near)}
    for index, light in enumerate(VAN_LIGHT):
        pair = [index, (index + 1) % len(VAN_PROFILE)]
        strip = np.concatenate([outlines[far][pair], outlines[near][pair[::-1]]])
        if pen.casting or _faces_camera(strip, outlines[near]):
            pen.face(strip, GLASS if index == 2 else shade(paint, light))
    pen.face(outlines[near], paint)
    if not pen.casting:
        _paint_van_side(pen, near, paint)
    for hub in (-1.45, 1.50):
        pen.face(pen.trace(_wheel(hub, near * 0.97, 0.36)), (28, 28, 30))
        pen.disc(pen.trace([(hub, near * 0.98, 0.36)])[0], 0.17, (150, 152, 156))


def _on_side(pen: Pen, side: int, outline: Sequence[tuple[float, float]]) -> Pixels:
    """A flat outline (forward, up) on the van's left (1) or right (-1) side."""
    return pen.trace([(forward, side * VAN_HALF_WIDTH_M, up) for forward, up in outline])


def _faces_camera(strip: Pixels, side: Pixels) -> bool:
    """A strip of a convex box is seen if it lies outside its near side's outline."""
    middle = strip[:2].mean(0)
    return (
        cv2.pointPolygonTest(side.astype(np.float32), (float(middle[0]), float(middle[1])), False)
        < 0
    )


def _paint_van_side(pen: Pen, near: int, paint: Colour) -> None:
    window = ((0.75, 1.30), (0.75, 1.95), (1.20, 1.95), (1.85, 1.30))
    stripe = ((-2.4, 0.75), (-2.4, 1.0), (2.30, 1.0), (2.4, 0.75))
    for outline, colour in ((window, GLASS), (stripe, (214, 92, 38))):
        pen.face(_on_side(pen, near, outline), colour)
    for seam in (-0.6, 0.55):
        pen.line(_on_side(pen, near, ((seam, 0.45), (seam, 2.05))), 0.03, shade(paint, 0.8))
    lamp = pen.trace([(2.4, near * 0.75, 0.75), (2.4, near * 0.5, 0.75)])
    if pen.stance.heading_depth < -0.1:
        pen.line(lamp, 0.14, (255, 250, 220))
