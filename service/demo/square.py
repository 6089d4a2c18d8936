"""The background: a paved square with a fountain, a lawn and trees behind it. Painted once.

It is the same for every seed because the camera is fixed: a model trained on one scene can score
another.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from lookout.service.demo.figures import Colour, Pen, PinholeCamera, Stance, shade

Map = NDArray[np.float32]

LAWN_M = 38.5  # depth at which the paving ends
PATH_HALF_WIDTH_M = 2.2  # the way through the lawn, to the picture's upper edge
FOUNTAIN = (0.0, 27.5)  # right of the middle, depth
FOUNTAIN_RADIUS_M = 1.7
PLANTERS = ((-8.4, 36.4), (8.4, 36.4))
TREES = ((-13.5, 43.0), (-8.6, 46.5), (-4.6, 44.0), (5.2, 44.5), (9.6, 42.5), (14.2, 45.5))
BENCHES = (-11.4, -5.2, 5.2, 11.6)
SHADED = 0.66  # of the light remains in a shadow
PLACE_SEED = 20240607

Leaf = tuple[float, float, float, float]  # right, up, radius, brightness
Disc = tuple[float, float, Colour]  # radius, height above the ground
BASIN: tuple[Disc, ...] = (
    (1.70, 0.0, (128, 122, 114)), (1.70, 0.42, (202, 196, 184)), (1.48, 0.42, (112, 108, 102)),
    (1.46, 0.30, (92, 146, 168)), (0.95, 0.30, (116, 168, 186)),
)  # fmt: skip
BOWL: tuple[Disc, ...] = (
    (0.45, 1.05, (140, 134, 126)), (0.66, 1.25, (208, 202, 190)), (0.54, 1.25, (124, 174, 190)),
)  # fmt: skip
STONE = np.array((176, 168, 156), np.float32)
GRASS = np.array((98, 134, 70), np.float32)


@lru_cache(maxsize=2)
def paint_square(camera: PinholeCamera) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the empty square in sun, with shadows, and in shade: (H, W, 3) uint8 RGB each."""
    rng = np.random.default_rng(PLACE_SEED)
    x, depth = ground_coordinates(camera)
    lawn = (depth > LAWN_M) & (np.abs(x) > PATH_HALF_WIDTH_M)
    ground = np.where(lawn[..., None], grass_colours(x, depth, rng), paving_colours(x, depth, rng))
    paint_kerbs(ground, x, depth)
    sunny = np.clip(ground, 0, 255).astype(np.uint8)
    shady = np.clip(ground * (SHADED, SHADED, SHADED * 1.05), 0, 255).astype(np.uint8)
    paint_furniture(sunny, shady, camera, rng)
    sunny.setflags(write=False)
    shady.setflags(write=False)
    return sunny, shady


def draw_fountain(pen: Pen, _travelled_m: float = 0.0) -> None:
    """Draw the fountain, anew in every frame: people pass behind it."""
    for radius, up, colour in BASIN:
        pen.face(ring_pixels(pen, radius, up), colour)
    pen.line(pen.trace([(0, 0, 0.25), (0, 0, 1.15)]), 0.30, (168, 162, 152))
    pen.line(pen.trace([(-0.06, 0, 0.25), (-0.06, 0, 1.15)]), 0.10, (206, 200, 190))
    for radius, up, colour in BOWL:
        pen.face(ring_pixels(pen, radius, up), colour)
    pen.disc(pen.trace([(0, 0, 1.42)])[0], 0.13, (216, 234, 240))


def draw_planter(pen: Pen, _travelled_m: float = 0.0) -> None:
    """Draw a stone trough with a round bush."""
    pen.face(
        pen.trace([(-0.7, 0, 0), (0.7, 0, 0), (0.8, 0, 0.55), (-0.8, 0, 0.55)]), (150, 142, 132)
    )
    pen.face(ring_pixels(pen, 0.8, 0.55), (96, 84, 70))
    for forward, up, radius, light in (
        (0, 1.0, 0.72, 0.8),
        (-0.22, 1.12, 0.5, 1.0),
        (-0.3, 1.3, 0.26, 1.25),
    ):
        pen.disc(pen.trace([(forward, 0, up)])[0], radius, shade((74, 116, 58), light))
    for forward, up in ((-0.5, 1.0), (0.1, 1.3), (0.4, 0.9), (-0.1, 0.8), (0.35, 1.25)):
        pen.disc(pen.trace([(forward, 0, up)])[0], 0.09, (214, 92, 108))


def ring_pixels(pen: Pen, radius_m: float, up_m: float) -> NDArray[np.int32]:
    """Project a level circle: (32, 2) as from `Pen.trace`."""
    turns = np.linspace(0, 2 * np.pi, 33)[:-1]
    return pen.trace([(radius_m * np.cos(turn), radius_m * np.sin(turn), up_m) for turn in turns])


def ground_coordinates(camera: PinholeCamera) -> tuple[Map, Map]:
    """Return the ground position of each pixel: metres right, metres of depth, (H, W) each."""
    rows, columns = np.mgrid[0 : camera.height_px, 0 : camera.width_px].astype(np.float32)
    depth = camera.focal_px * camera.HEIGHT_M / (rows - camera.horizon_px)
    return (columns - camera.width_px / 2) * depth / camera.focal_px, depth


def paving_colours(x: Map, depth: Map, rng: np.random.Generator) -> Map:
    """Return the colour of slabs, darker bands, and rings around the fountain: (H, W, 3)."""
    slab = tile_brightness(x, depth, 0.9, rng)
    band = (
        np.minimum(np.abs((x + 3.6) % 7.2 - 3.6), np.abs((depth - 27.5 + 3.6) % 7.2 - 3.6)) < 0.45
    )
    light = slab * np.where(band, 0.87, 1.0)
    away = np.hypot(x - FOUNTAIN[0], depth - FOUNTAIN[1])
    turn = np.arctan2(depth - FOUNTAIN[1], x - FOUNTAIN[0]).astype(np.float32)
    rings = tile_brightness(turn * np.float32(14 / np.pi), away, 0.7, rng)
    rings *= np.where(np.abs(away - 3.3) < 0.35, 0.84, 0.95)
    light = np.where(away < 3.65, rings, light) * (1 + 0.05 * random_patches(x, depth, 3.0, rng))
    warmth = 1 + 0.02 * random_patches(x, depth, 1.3, rng)[..., None] * np.array(
        (1, 0, -1), np.float32
    )
    return np.asarray(STONE * light[..., None] * warmth, np.float32)


def tile_brightness(x: Map, y: Map, side_m: float, rng: np.random.Generator) -> Map:
    """Return the brightness of a grid of stones with dark joints: (H, W) around 1."""
    shades = rng.normal(1, 0.045, (97, 89)).astype(np.float32)
    column = np.floor(x / side_m).astype(int)
    row = np.floor(y / side_m).astype(int)
    from_edge = np.minimum(edge_distance(x, side_m), edge_distance(y, side_m))
    joint = 1 - 0.22 * np.exp(-((from_edge / 0.045) ** 2))
    return np.asarray(shades[row % 97, column % 89] * joint, np.float32)


def edge_distance(value: Map, side_m: float) -> Map:
    """Return the distance in metres to the nearest multiple of `side_m`."""
    rest = value % side_m
    return np.asarray(np.minimum(rest, side_m - rest), np.float32)


def grass_colours(x: Map, depth: Map, rng: np.random.Generator) -> Map:
    """Return the colour of a lawn mown in stripes: (H, W, 3)."""
    mown = np.where((depth - 2 * np.floor(depth / 2)) < 1, 1.03, 0.98)
    light = mown * (
        1 + 0.06 * random_patches(x, depth, 1.7, rng) + 0.05 * random_patches(x, depth, 0.25, rng)
    )
    return np.asarray(GRASS * light[..., None], np.float32)


def random_patches(x: Map, depth: Map, grain_m: float, rng: np.random.Generator) -> Map:
    """Return smooth random patches of `grain_m`, (H, W), roughly standard normal."""
    field = rng.normal(0, 1, (256, 256)).astype(np.float32)
    column = (x / grain_m) % 255
    row = (depth / grain_m) % 255
    return np.asarray(cv2.remap(field, column, row, cv2.INTER_LINEAR), np.float32)


def paint_kerbs(ground: Map, x: Map, depth: Map) -> None:
    """Paint the stone edges of lawn and path into `ground`, (H, W, 3)."""
    beside = np.abs(x) > PATH_HALF_WIDTH_M
    kerb = beside & (np.abs(depth - LAWN_M) < 0.28)
    kerb |= (np.abs(np.abs(x) - PATH_HALF_WIDTH_M) < 0.13) & (depth > LAWN_M)
    ground[kerb] = (204, 198, 186)


def paint_furniture(
    sunny: NDArray[np.uint8],
    shady: NDArray[np.uint8],
    camera: PinholeCamera,
    rng: np.random.Generator,
) -> None:
    """Paint trees and benches, which nobody passes behind, and the shadows of all objects."""
    mask = np.zeros(sunny.shape[:2], np.uint8)
    crowns = {at: random_crown(rng) for at in TREES}
    for at, crown in crowns.items():
        draw_tree(Pen(mask, camera, Stance(*at), casting=True), crown)
    for x_m in BENCHES:
        draw_bench(Pen(mask, camera, Stance(x_m, LAWN_M - 0.8), casting=True))
    draw_fountain(Pen(mask, camera, Stance(*FOUNTAIN), casting=True))
    for at in PLANTERS:
        draw_planter(Pen(mask, camera, Stance(*at), casting=True))
    cv2.copyTo(shady, mask, sunny)
    for canvas, light in ((sunny, 1.0), (shady, SHADED)):
        for at in sorted(TREES, key=lambda tree: -tree[1]):
            draw_tree(Pen(canvas, camera, Stance(*at)), crowns[at], light)
        for x_m in BENCHES:
            draw_bench(Pen(canvas, camera, Stance(x_m, LAWN_M - 0.8)), light)


def random_crown(rng: np.random.Generator) -> list[Leaf]:
    """Return tufts of leaves, the lit ones last: up and to the left, where the sun is."""
    tufts: list[Leaf] = []
    for _ in range(70):
        turn = rng.uniform(0, 2 * np.pi)
        away = 1.5 * rng.uniform() ** 0.5
        x = away * np.cos(turn)
        up = 3.2 + 0.9 * away * np.sin(turn)
        radius = rng.uniform(0.25, 0.5)
        brightness = 0.95 + 0.16 * (up - 3.2 - x) + rng.normal(0, 0.08)
        tufts.append((x, up, radius, brightness))
    return sorted(tufts, key=lambda tuft: tuft[1] - tuft[0])


def draw_tree(pen: Pen, crown: list[Leaf], light: float = 1.0) -> None:
    """Draw the trunk and the crown of a tree."""
    pen.line(pen.trace([(0, 0, 0), (0, 0, 2.6)]), 0.34, shade((104, 82, 62), light))
    pen.line(pen.trace([(-0.08, 0, 0), (-0.08, 0, 2.6)]), 0.10, shade((140, 114, 88), light))
    for x, up, radius, brightness in crown:
        pen.disc(pen.trace([(x, 0, up)])[0], radius, shade((70, 112, 56), brightness * light))


def draw_bench(pen: Pen, light: float = 1.0) -> None:
    """Draw a wooden bench on iron feet."""
    wood: Colour = shade((150, 104, 66), light)
    for foot in (-0.8, 0.8):
        pen.line(pen.trace([(foot, 0.15, 0), (foot, 0.15, 0.8)]), 0.07, shade((60, 60, 62), light))
        pen.line(pen.trace([(foot, -0.2, 0), (foot, -0.2, 0.42)]), 0.07, shade((60, 60, 62), light))
    for left, up in ((0.15, 0.82), (0.15, 0.64), (0.1, 0.44), (-0.15, 0.44)):
        plank = pen.trace([(-0.95, left, up), (0.95, left, up)])
        pen.line(plank, 0.11, wood if up > 0.5 else shade(wood, 1.2))
