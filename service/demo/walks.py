"""Positions over time: routes over the square, the people who walk them, and the three anomalies.

Everything is a function of the time, so that any frame can be drawn without the ones before it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import cos, hypot, pi, sin
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lookout.service.demo.figures import (
    RUN,
    WALK,
    Colour,
    Look,
    Pen,
    PinholeCamera,
    Stance,
    draw_person,
)
from lookout.service.demo.square import FOUNTAIN, FOUNTAIN_RADIUS_M, PLANTERS
from lookout.service.demo.vehicles import RIDER, draw_cyclist, draw_van

AnomalyKind = Literal["cyclist", "runner", "van"]
Spot = tuple[float, float]  # metres right of the middle, metres of depth
Drawing = Callable[[Pen, float], None]  # the pen, and how many metres the figure has come

WALK_MPS = 1.15
SPEED_MPS: dict[AnomalyKind, float] = {
    "cyclist": 3.5 * WALK_MPS,
    "runner": 2.8 * WALK_MPS,
    "van": 4.0 * WALK_MPS,
}
REACH_M: dict[AnomalyKind, float] = {"cyclist": 1.3, "runner": 1.2, "van": 3.5}
"""Half a figure's length with its shadow."""
WALKERS = 10
NEAREST_M = 15.5  # below the picture, shadows included
FARTHEST_M = 58.5  # above the picture
OBSTACLES = (
    (*FOUNTAIN, FOUNTAIN_RADIUS_M + 0.7),
    *((*at, 1.5) for at in PLANTERS),
)
"""What stands on the square: x, depth and the clearance that a route keeps, in metres."""

SHIRTS: tuple[Colour, ...] = (
    (196, 68, 62), (64, 104, 168), (232, 226, 214), (58, 128, 96), (222, 168, 62), (92, 70, 120),
    (60, 66, 78), (208, 122, 148), (120, 164, 196), (150, 92, 60),
)  # fmt: skip
TROUSERS: tuple[Colour, ...] = (
    (48, 56, 84), (40, 40, 44), (110, 96, 78), (72, 84, 108), (86, 88, 92), (140, 128, 108),
)  # fmt: skip
SKINS: tuple[Colour, ...] = ((236, 194, 162), (214, 164, 128), (160, 112, 82), (104, 72, 54))
HAIRS: tuple[Colour, ...] = (
    (44, 34, 28),
    (92, 64, 40),
    (176, 138, 84),
    (30, 28, 30),
    (150, 148, 146),
)
BAGS: tuple[Colour, ...] = ((70, 78, 60), (150, 60, 50), (44, 48, 60))
RIDERS: tuple[Colour, ...] = (RIDER.shirt, (244, 196, 40), (46, 160, 210), (240, 120, 40))
RUNNER = Look(
    shirt=(0, 0, 0), trousers=(36, 40, 60), skin=(222, 174, 140), hair=(60, 42, 30), height_m=1.78
)
VANS: tuple[Colour, ...] = ((236, 236, 230), (214, 222, 232), (240, 226, 190))


class Figure(NamedTuple):
    """A drawing, its place and the distance that it has come."""

    stance: Stance
    draw: Drawing
    gone_m: float = 0.0

    def paint(
        self, canvas: NDArray[np.uint8], camera: PinholeCamera, *, casting: bool = False
    ) -> None:
        """Draw on `canvas`: (H, W, 3), or (H, W) for the shadow alone when `casting`."""
        self.draw(Pen(canvas, camera, self.stance, casting=casting), self.gone_m)


class Route:
    """A smooth line over the ground, by the metres gone along it."""

    def __init__(self, waypoints: Sequence[Spot]) -> None:
        self.spots = round_corners(np.array(waypoints, np.float64))
        steps = np.hypot(*np.diff(self.spots, axis=0).T)
        self.gone_m: NDArray[np.float64] = np.concatenate([[0.0], np.cumsum(steps)])
        self.length_m = float(self.gone_m[-1])

    def at(self, gone_m: float) -> Stance:
        """Return place and heading `gone_m` metres along the route."""
        ends = np.interp((gone_m - 0.3, gone_m, gone_m + 0.3), self.gone_m, self.spots[:, 0])
        deep = np.interp((gone_m - 0.3, gone_m, gone_m + 0.3), self.gone_m, self.spots[:, 1])
        right = float(ends[2] - ends[0])
        away = float(deep[2] - deep[0])
        length = hypot(right, away) or 1.0
        return Stance(float(ends[1]), float(deep[1]), right / length, away / length)

    def is_free(self) -> bool:
        """Return whether the route keeps clear of everything that stands on the square."""
        return all(
            np.hypot(*(self.spots - (x, depth)).T).min() > clear for x, depth, clear in OBSTACLES
        )


def round_corners(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cut corners four times with Chaikin's algorithm: (N, 2) to about (16 N, 2)."""
    for _ in range(4):
        early = 0.75 * corners[:-1] + 0.25 * corners[1:]
        late = 0.25 * corners[:-1] + 0.75 * corners[1:]
        between = np.stack([early, late], 1).reshape(-1, 2)
        corners = np.concatenate([corners[:1], between[1:-1], corners[-1:]])
    return corners


@dataclass(frozen=True, slots=True)
class Actor:
    """One figure on its way, from `start_s` until the route's end."""

    route: Route
    start_s: float
    speed_mps: float
    draw: Drawing
    sway: float = 0.0  # variation of the speed, as a share of it

    @property
    def end_s(self) -> float:
        """The time at which the route ends."""
        return self.start_s + self.route.length_m / self.speed_mps

    def gone_m(self, time_s: float) -> float:
        """Return the distance covered: an even pace with waves of about 12 m."""
        went = self.speed_mps * (time_s - self.start_s)
        wave_m = self.route.length_m / max(1, round(self.route.length_m / 12)) / (2 * pi)
        return went + self.sway * wave_m * sin(went / wave_m)

    def figure(self, time_s: float) -> Figure:
        """Return the figure to draw at `time_s`."""
        gone_m = self.gone_m(time_s)
        return Figure(self.route.at(gone_m), self.draw, gone_m)


class Crowd:
    """Ten people at a time, each followed by another when they have left."""

    def __init__(self, seed: int, camera: PinholeCamera) -> None:
        self.camera = camera
        self._lanes = [
            WalkerQueue(np.random.default_rng((seed, lane)), camera) for lane in range(WALKERS)
        ]

    def at(self, time_s: float) -> list[Actor]:
        """Return the people on their way at `time_s`."""
        return [actor for lane in self._lanes if (actor := lane.at(time_s)) is not None]


class WalkerQueue:
    """One person after another. People are drawn at random as far ahead as is asked for."""

    def __init__(self, rng: np.random.Generator, camera: PinholeCamera) -> None:
        self._rng = rng
        self._camera = camera
        first = random_walker(rng, camera, 0.0)
        early_s = rng.uniform(0.05, 0.85) * first.end_s
        self._actors = [replace(first, start_s=-early_s)]
        self._ends_s = [self._actors[0].end_s]

    def at(self, time_s: float) -> Actor | None:
        """Return the person on their way at `time_s`, or None between two."""
        while self._ends_s[-1] < time_s:
            start_s = self._ends_s[-1] + self._rng.uniform(0, 1.0)
            self._actors.append(random_walker(self._rng, self._camera, start_s))
            self._ends_s.append(self._actors[-1].end_s)
        actor = self._actors[bisect_left(self._ends_s, time_s)]
        return actor if actor.start_s <= time_s else None


def random_walker(rng: np.random.Generator, camera: PinholeCamera, start_s: float) -> Actor:
    """Return a person with a random route, pace and look."""
    return Actor(
        route=random_route(rng, camera),
        start_s=start_s,
        speed_mps=WALK_MPS * rng.uniform(0.85, 1.15),
        draw=partial(draw_person, look=random_look(rng), gait=WALK),
        sway=rng.uniform(-0.08, 0.08),
    )


def random_look(rng: np.random.Generator) -> Look:
    """Return a random body and clothes."""
    return Look(
        shirt=random_colour(rng, SHIRTS),
        trousers=random_colour(rng, TROUSERS),
        skin=random_colour(rng, SKINS),
        hair=random_colour(rng, HAIRS),
        height_m=rng.uniform(1.62, 1.86),
        bag=random_colour(rng, BAGS) if rng.uniform() < 0.3 else None,
    )


def random_colour(rng: np.random.Generator, colours: Sequence[Colour]) -> Colour:
    """Return one of `colours`."""
    return colours[int(rng.integers(len(colours)))]


def random_route(rng: np.random.Generator, camera: PinholeCamera) -> Route:
    """Return a curved route from one edge of the picture to another, around the obstacles."""
    for _ in range(100):
        enters, leaves = rng.choice(4, 2, replace=False, p=(0.33, 0.33, 0.16, 0.18))
        middle = [(rng.uniform(-6, 6), rng.uniform(20.5, 34))]
        route = Route(
            entry_waypoints(int(enters), rng, camera)
            + middle
            + entry_waypoints(int(leaves), rng, camera)[::-1]
        )
        if route.is_free():
            return route
    in_front_of_everything = [edge_waypoint(-1, 21, camera), edge_waypoint(1, 21, camera)]
    return Route(in_front_of_everything)


def entry_waypoints(edge: int, rng: np.random.Generator, camera: PinholeCamera) -> list[Spot]:
    """Return waypoints from outside the picture to the square.

    edge: 0 left, 1 right, 2 near, 3 far (through the lawn).
    """
    if edge < 2:
        return [edge_waypoint(1 if edge else -1, rng.uniform(20, 35), camera)]
    if edge == 2:
        return [(rng.uniform(-5, 5), NEAREST_M)]
    x = rng.uniform(-1.4, 1.4)
    return [(x, FARTHEST_M), (x, 40.0), (x * 2, 35.0)]


def edge_waypoint(side: int, depth_m: float, camera: PinholeCamera, reach_m: float = 1.2) -> Spot:
    """Return a place just outside the picture's left (-1) or right (1) edge.

    reach_m: half the figure's length.
    """
    return side * (camera.half_width_m(depth_m + 1) + reach_m), depth_m


def anomaly(kind: AnomalyKind, start_s: float, variant: int, camera: PinholeCamera) -> Actor:
    """Return the figure of one event; even variants come from the left, odd ones from the right."""
    side = 1 if variant % 2 else -1
    way = {"cyclist": cyclist_waypoints, "runner": runner_waypoints, "van": van_waypoints}[kind]
    route = Route(way(side, variant // 2, camera))
    return Actor(route, start_s, SPEED_MPS[kind], anomaly_drawing(kind, variant))


def anomaly_drawing(kind: AnomalyKind, variant: int) -> Drawing:
    """Return the drawing of one kind; the variant chooses its colour."""
    if kind == "cyclist":
        return partial(draw_cyclist, look=replace(RIDER, shirt=RIDERS[variant % len(RIDERS)]))
    if kind == "runner":
        shirt = RIDERS[(variant + 1) % len(RIDERS)]
        return partial(draw_person, look=replace(RUNNER, shirt=shirt), gait=RUN)
    return partial(draw_van, paint=VANS[variant % len(VANS)])


def cyclist_waypoints(side: int, variant: int, camera: PinholeCamera) -> list[Spot]:
    """Return a way around the fountain and out on the other side.

    Straight across would last only 3 s.
    """
    enters, leaves = ((25.5, 24.0), (30.0, 24.5), (28.5, 26.0))[variant % 3]
    turns = np.linspace(0.6, 2 * pi + 2.2, 13)
    circle = [(side * 3.9 * cos(turn), FOUNTAIN[1] - 3.9 * sin(turn)) for turn in turns]
    reach_m = REACH_M["cyclist"]
    return [
        edge_waypoint(side, enters, camera, reach_m),
        *circle,
        edge_waypoint(-side, leaves, camera, reach_m),
    ]


def runner_waypoints(side: int, variant: int, camera: PinholeCamera) -> list[Spot]:
    """Return a way across the square with one bend in its middle."""
    ways = ((33.5, 22.5, 24.0), (23.0, 33.0, 31.0), (31.0, 32.5, 24.0))
    enters, middle, leaves = ways[variant % 3]
    reach_m = REACH_M["runner"]
    return [
        edge_waypoint(side, enters, camera, reach_m),
        (0.0, middle),
        edge_waypoint(-side, leaves, camera, reach_m),
    ]


def van_waypoints(side: int, variant: int, camera: PinholeCamera) -> list[Spot]:
    """Return a straight way across the square."""
    enters, leaves = ((32.5, 31.5), (22.6, 22.6), (31.0, 33.5))[variant % 3]
    reach_m = REACH_M["van"]
    return [
        edge_waypoint(side, enters, camera, reach_m),
        edge_waypoint(-side, leaves, camera, reach_m),
    ]
