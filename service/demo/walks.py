"""Who is where at which moment: routes over the square, the people who walk them, and the three anomalies.

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

from lookout.service.demo.figures import RUN, WALK, Camera, Colour, Look, Pen, Stance, draw_person
from lookout.service.demo.square import FOUNTAIN, FOUNTAIN_RADIUS_M, PLANTERS
from lookout.service.demo.vehicles import RIDER, draw_cyclist, draw_van

Kind = Literal["cyclist", "runner", "van"]
Spot = tuple[float, float]  # metres right of the middle, metres of depth
Drawing = Callable[[Pen, float], None]  # the pen, and how many metres the figure has come

WALK_MPS = 1.15
SPEED_MPS: dict[Kind, float] = {
    "cyclist": 3.5 * WALK_MPS,
    "runner": 2.8 * WALK_MPS,
    "van": 4.0 * WALK_MPS,
}
REACH_M: dict[Kind, float] = {
    "cyclist": 1.3,
    "runner": 1.2,
    "van": 3.5,
}  # half a length, and its shadow
WALKERS = 10
NEAREST_M, FARTHEST_M = 15.5, 58.5  # out of the picture below and above, shadows included
OBSTACLES = (
    (*FOUNTAIN, FOUNTAIN_RADIUS_M + 0.7),
    *((*at, 1.5) for at in PLANTERS),
)  # x, depth, clearance

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
    """What is to be drawn where."""

    stance: Stance
    draw: Drawing
    gone_m: float = 0.0

    def paint(self, canvas: NDArray[np.uint8], camera: Camera, *, casting: bool = False) -> None:
        self.draw(Pen(canvas, camera, self.stance, casting=casting), self.gone_m)


class Route:
    """A smooth line over the ground, by the metres gone along it."""

    def __init__(self, waypoints: Sequence[Spot]) -> None:
        self.spots = _rounded(np.array(waypoints, np.float64))
        steps = np.hypot(*np.diff(self.spots, axis=0).T)
        self.gone_m: NDArray[np.float64] = np.concatenate([[0.0], np.cumsum(steps)])
        self.length_m = float(self.gone_m[-1])

    def at(self, gone_m: float) -> Stance:
        ends = np.interp((gone_m - 0.3, gone_m, gone_m + 0.3), self.gone_m, self.spots[:, 0])
        deep = np.interp((gone_m - 0.3, gone_m, gone_m + 0.3), self.gone_m, self.spots[:, 1])
        right, away = float(ends[2] - ends[0]), float(deep[2] - deep[0])
        length = hypot(right, away) or 1.0
        return Stance(float(ends[1]), float(deep[1]), right / length, away / length)

    def is_free(self) -> bool:
        """Whether it keeps clear of everything that stands on the square."""
        return all(
            np.hypot(*(self.spots - (x, depth)).T).min() > clear for x, depth, clear in OBSTACLES
        )


def _rounded(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Chaikin's corner cutting, four times: (N, 2) -> (about 16 N, 2)."""
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
    sway: float = 0.0  # how much the speed varies, as a share of it

    @property
    def end_s(self) -> float:
        return self.start_s + self.route.length_m / self.speed_mps

    def gone_m(self, time_s: float) -> float:
        """Metres gone: an even pace, with waves of about 12 m that leave start and end where they are."""
        went = self.speed_mps * (time_s - self.start_s)
        wave_m = self.route.length_m / max(1, round(self.route.length_m / 12)) / (2 * pi)
        return went + self.sway * wave_m * sin(went / wave_m)

    def figure(self, time_s: float) -> Figure:
        gone_m = self.gone_m(time_s)
        return Figure(self.route.at(gone_m), self.draw, gone_m)


class Crowd:
    """Ten people at a time, each followed by another when they have left. Drawn ahead as far as asked for."""

    def __init__(self, seed: int, camera: Camera) -> None:
        self.camera = camera
        self._lanes = [
            _Lane(np.random.default_rng((seed, lane)), camera) for lane in range(WALKERS)
        ]

    def at(self, time_s: float) -> list[Actor]:
        return [actor for lane in self._lanes if (actor := lane.at(time_s)) is not None]


class _Lane:
    """One person after another."""

    def __init__(self, rng: np.random.Generator, camera: Camera) -> None:
        self._rng, self._camera = rng, camera
        first = _walker(rng, camera, 0.0)
        early_s = rng.uniform(0.05, 0.85) * first.end_s
        self._actors = [replace(first, start_s=-early_s)]
        self._ends_s = [self._actors[0].end_s]

    def at(self, time_s: float) -> Actor | None:
        while self._ends_s[-1] < time_s:
            start_s = self._ends_s[-1] + self._rng.uniform(0, 1.0)
            self._actors.append(_walker(self._rng, self._camera, start_s))
            self._ends_s.append(self._actors[-1].end_s)
        actor = self._actors[bisect_left(self._ends_s, time_s)]
        return actor if actor.start_s <= time_s else None


def _walker(rng: np.random.Generator, camera: Camera, start_s: float) -> Actor:
    return Actor(
        route=_stroll(rng, camera),
        start_s=start_s,
        speed_mps=WALK_MPS * rng.uniform(0.85, 1.15),
        draw=partial(draw_person, look=_look(rng), gait=WALK),
        sway=rng.uniform(-0.08, 0.08),
    )


def _look(rng: np.random.Generator) -> Look:
    return Look(
        shirt=_one_of(rng, SHIRTS),
        trousers=_one_of(rng, TROUSERS),
        skin=_one_of(rng, SKINS),
        hair=_one_of(rng, HAIRS),
        height_m=rng.uniform(1.62, 1.86),
        bag=_one_of(rng, BAGS) if rng.uniform() < 0.3 else None,
    )


def _one_of(rng: np.random.Generator, colours: Sequence[Colour]) -> Colour:
    return colours[int(rng.integers(len(colours)))]


def _stroll(rng: np.random.Generator, camera: Camera) -> Route:
    """From one edge of the picture to another, gently curved, around what stands in the way."""
    for _ in range(100):
        enters, leaves = rng.choice(4, 2, replace=False, p=(0.33, 0.33, 0.16, 0.18))
        middle = [(rng.uniform(-6, 6), rng.uniform(20.5, 34))]
        route = Route(
            _gate(int(enters), rng, camera) + middle + _gate(int(leaves), rng, camera)[::-1]
        )
        if route.is_free():
            return route
    return Route(
        [_side(-1, 21, camera), _side(1, 21, camera)]
    )  # in front of everything: always free


def _gate(edge: int, rng: np.random.Generator, camera: Camera) -> list[Spot]:
    """Waypoints from outside the picture to the square: 0 left, 1 right, 2 near, 3 far, through the lawn."""
    if edge < 2:
        return [_side(1 if edge else -1, rng.uniform(20, 35), camera)]
    if edge == 2:
        return [(rng.uniform(-5, 5), NEAREST_M)]
    x = rng.uniform(-1.4, 1.4)
    return [(x, FARTHEST_M), (x, 40.0), (x * 2, 35.0)]


def _side(side: int, depth_m: float, camera: Camera, reach_m: float = 1.2) -> Spot:
    """Just outside the picture's left (-1) or right (1) edge, `reach_m` being half the figure's length."""
    return side * (camera.half_width_m(depth_m + 1) + reach_m), depth_m


def anomaly(kind: Kind, start_s: float, variant: int, camera: Camera) -> Actor:
    """The figure of one event; even variants come from the left, odd ones from the right."""
    side = 1 if variant % 2 else -1
    way = {"cyclist": _around_fountain, "runner": _across, "van": _straight}[kind]
    return Actor(
        Route(way(side, variant // 2, camera)), start_s, SPEED_MPS[kind], _drawing(kind, variant)
    )


def _drawing(kind: Kind, variant: int) -> Drawing:
    if kind == "cyclist":
        return partial(draw_cyclist, look=replace(RIDER, shirt=RIDERS[variant % len(RIDERS)]))
    if kind == "runner":
        return partial(
            draw_person, look=replace(RUNNER, shirt=RIDERS[(variant + 1) % len(RIDERS)]), gait=RUN
        )
    return partial(draw_van, paint=VANS[variant % len(VANS)])


def _around_fountain(side: int, variant: int, camera: Camera) -> list[Spot]:
    """From one side, around the fountain, out on the other: straight across would last but 3 s."""
    enters, leaves = ((25.5, 24.0), (30.0, 24.5), (28.5, 26.0))[variant % 3]
    turns = np.linspace(0.6, 2 * pi + 2.2, 13)
    circle = [(side * 3.9 * cos(turn), FOUNTAIN[1] - 3.9 * sin(turn)) for turn in turns]
    reach_m = REACH_M["cyclist"]
    return [_side(side, enters, camera, reach_m), *circle, _side(-side, leaves, camera, reach_m)]


def _across(side: int, variant: int, camera: Camera) -> list[Spot]:
    enters, middle, leaves = ((33.5, 22.5, 24.0), (23.0, 33.0, 31.0), (31.0, 32.5, 24.0))[
        variant % 3
    ]
    reach_m = REACH_M["runner"]
    return [
        _side(side, enters, camera, reach_m),
        (0.0, middle),
        _side(-side, leaves, camera, reach_m),
    ]


def _straight(side: int, variant: int, camera: Camera) -> list[Spot]:
    enters, leaves = ((32.5, 31.5), (22.6, 22.6), (31.0, 33.5))[variant % 3]
    reach_m = REACH_M["van"]
    return [_side(side, enters, camera, reach_m), _side(-side, leaves, camera, reach_m)]
