"""Long footage, drawn while it is scored: scenes whose days have traffic, light and weather.

A frame is a function of kind, seed and number alone, so that footage of any length needs no memory
and can begin anywhere. It is no picture of the world: shapes move over a painted ground, and what
they do, how often and how large they are is stated here, so that a rate of alarms can be compared
with what happened. `drawn_nuisances` adds what moves and means nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import hypot, pi, sin
from typing import Literal, get_args

import cv2
import numpy as np

from lookout.models.arrays import Pixels
from lookout.models.data.drawn_nuisances import Nuisances, Weather, wander

SceneKind = Literal["street", "corridor", "car-park", "machine"]
KINDS: tuple[SceneKind, ...] = get_args(SceneKind)

SIDE_PX = 256
FPS = 5
MINUTE_S = 60.0
LONGEST_S = 55.0
"""Whoever crosses the picture is gone after so long: two minutes of arrivals make a frame."""

USUAL_HOURS = (13, 16)
USUAL_PER_HOUR = 6.0
WRONG_HOURS = (1, 4)
WORKDAYS = 5
"""What is tied to the hour comes at its usual hours on the first five of each seven days, and, as
an anomaly, once in each night."""

STREAM = {"flow": 1, "anomaly": 2, "delivery": 3, "ground": 4, "hour": 5}
"""Independent streams of chance of one seed."""

PixelPoint = tuple[float, float]  # px: right, down


@dataclass(frozen=True, slots=True)
class Flow:
    """Those who cross the picture on one way, as a rule or against it."""

    name: str
    per_hour: float  # at the busiest hour; of an anomaly: its share among them
    ways: tuple[tuple[PixelPoint, PixelPoint], ...]
    speed_px_s: float
    size_px: PixelPoint  # width, height, where the ground is nearest
    walks: bool = True
    wait_s: float = 0.0  # stands still halfway
    at_night: float = 0.1  # share of the rate


@dataclass(frozen=True, slots=True)
class ScenePlan:
    """The ground, who crosses it, and what is abnormal there."""

    flows: tuple[Flow, ...]
    anomalies: tuple[Flow, ...]
    delivery: Flow | None  # once a day, between 8 and 18 h: rare, and normal
    hourly: Flow  # where it is asked for: usual at USUAL_HOURS, abnormal at WRONG_HOURS
    horizon_px: float  # sizes shrink towards it; 0: they do not
    is_outside: bool


def two_ways(one: PixelPoint, other: PixelPoint) -> tuple[tuple[PixelPoint, PixelPoint], ...]:
    """Return a way in both directions."""
    return ((one, other), (other, one))


PAVEMENT = two_ways((-10, 205), (266, 190))
FAR_PAVEMENT = two_ways((-10, 110), (266, 104))
LANE = (((-40.0, 160.0), (300.0, 150.0)),)
DEPTH = two_ways((110, 70), (150, 262))
ROW = two_ways((-40, 150), (300, 150))
CLEANED = ((-30.0, 235.0), (286.0, 235.0))
BELT = (((-20.0, 170.0), (276.0, 170.0)),)
PLANS: dict[SceneKind, ScenePlan] = {
    "street": ScenePlan(
        flows=(
            Flow("walker", 60, PAVEMENT, 28, (13, 40)),
            Flow("far walker", 60, FAR_PAVEMENT, 12, (13, 40)),
            Flow("car", 90, LANE, 75, (70, 34), walks=False),
        ),
        anomalies=(
            Flow("runner", 1, PAVEMENT, 95, (13, 40)),
            Flow("cyclist on the pavement", 1, PAVEMENT, 80, (34, 42), walks=False),
            Flow("car against the lane", 1, ((LANE[0][1], LANE[0][0]),), 75, (70, 34), walks=False),
        ),
        delivery=Flow("delivery", 1, LANE, 60, (90, 50), walks=False, wait_s=25),
        hourly=Flow("sweeper", USUAL_PER_HOUR, LANE, 25, (80, 46), walks=False),
        horizon_px=60,
        is_outside=True,
    ),
    "corridor": ScenePlan(
        flows=(Flow("walker", 50, DEPTH, 24, (26, 90), at_night=0.02),),
        anomalies=(
            Flow("runner", 1, DEPTH, 85, (26, 90)),
            Flow("cart", 1, two_ways((-30, 200), (286, 200)), 60, (80, 50), walks=False),
        ),
        delivery=None,
        hourly=Flow("cleaner", USUAL_PER_HOUR, two_ways(*CLEANED), 30, (60, 60), walks=False),
        horizon_px=40,
        is_outside=False,
    ),
    "car-park": ScenePlan(
        flows=(
            Flow("car", 20, ROW, 35, (60, 30), walks=False, wait_s=8),
            Flow("walker", 25, two_ways((40, 262), (220, 90)), 22, (12, 36)),
        ),
        anomalies=(
            Flow("racing car", 1, ROW, 150, (60, 30), walks=False),
            Flow("runner", 1, two_ways((40, 262), (220, 90)), 85, (12, 36)),
        ),
        delivery=Flow("delivery", 1, ROW, 30, (90, 50), walks=False, wait_s=20),
        hourly=Flow("rubbish lorry", USUAL_PER_HOUR, ROW, 25, (100, 60), walks=False),
        horizon_px=20,
        is_outside=True,
    ),
    "machine": ScenePlan(
        flows=(Flow("part", 240, BELT, 40, (24, 24), walks=False, at_night=1.0),),
        anomalies=(
            Flow("part that slides", 1, BELT, 160, (24, 24), walks=False),
            Flow("part that falls", 1, (((150, 150), (170, 270)),), 120, (24, 24), walks=False),
        ),
        delivery=None,
        hourly=Flow("cleaner", USUAL_PER_HOUR, two_ways(*CLEANED), 30, (60, 60), walks=False),
        horizon_px=0,
        is_outside=False,
    ),
}


@dataclass(frozen=True, slots=True)
class Passage:
    """One of them on the way, at a time."""

    flow: Flow
    start_s: float
    way: tuple[PixelPoint, PixelPoint]
    colour: tuple[int, int, int]
    pace: float  # of the flow's speed
    is_anomaly: bool

    @property
    def end_s(self) -> float:
        """The time at which it is gone."""
        (left, top), (right, bottom) = self.way
        moving_s = hypot(right - left, bottom - top) / (self.flow.speed_px_s * self.pace)
        return self.start_s + min(moving_s + self.flow.wait_s, LONGEST_S)

    def share(self, time_s: float) -> float:
        """Return the share of the way, 0 to 1."""
        whole_s = self.end_s - self.start_s - self.flow.wait_s
        passed_s = time_s - self.start_s
        if passed_s > whole_s / 2:
            passed_s = max(whole_s / 2, passed_s - self.flow.wait_s)
        return passed_s / whole_s


class DrawnScene:
    """Frames of a fixed camera in any order."""

    size = (SIDE_PX, SIDE_PX)
    fps = FPS

    def __init__(
        self,
        kind: SceneKind,
        seed: int,
        *,
        nuisances: Nuisances = "usual",
        anomalies_per_hour: float = 0.0,
        start_hour: float = 0.0,
        is_hourly: bool = False,
    ) -> None:
        """nuisances: "usual", "other" (kept for a last test: nothing is tuned on it) or "none".

        anomalies_per_hour: around the clock, of the plan's kinds by chance. start_hour: of frame 0,
            since midnight of the first day.
        is_hourly: whether the plan's hourly flow comes, too: six times an hour on workdays from 13
            to 16 h, and once in each night between 1 and 4 h, which is labelled as abnormal. The
            first day is a Monday.
        """
        self.plan = PLANS[kind]
        self._seed = seed
        self._anomalies_per_hour = anomalies_per_hour
        self._start_s = start_hour * 3600
        self._is_hourly = is_hourly
        self._ground = painted_ground(kind, seed, self.plan)
        self._weather = Weather(seed, nuisances, is_outside=self.plan.is_outside)
        self._passages = lru_cache(maxsize=8)(self.passages_of_minute)

    def frame(self, index: int) -> Pixels:
        """Return frame `index`, (256, 256, 3) uint8 RGB."""
        time_s = self._start_s + index / FPS
        canvas = self._ground.copy()
        for passage in sorted(self.passages_at(time_s), key=lambda one: one.way[0][1]):
            self.draw(canvas, passage, time_s)
        return self._weather.over(canvas, index, time_s)

    def frames(self, count: int) -> Iterator[Pixels]:
        """Yield the first `count` frames."""
        return (self.frame(index) for index in range(count))

    def is_abnormal(self, index: int) -> bool:
        """Return whether an anomaly is on its way in frame `index`."""
        time_s = self._start_s + index / FPS
        return any(passage.is_anomaly for passage in self.passages_at(time_s))

    def passages_at(self, time_s: float) -> list[Passage]:
        """Return all who are on their way."""
        minute = int(time_s // MINUTE_S)
        found = [*self._passages(minute - 1), *self._passages(minute)]
        return [one for one in found if one.start_s <= time_s < one.end_s]

    def passages_of_minute(self, minute: int) -> list[Passage]:
        """Return all who come in a minute, from midnight of the first day on."""
        hour = minute / 60 % 24
        busy = max(0.0, sin(pi * (hour - 6) / 14))
        found = []
        for number, flow in enumerate(self.plan.flows):
            rng = np.random.default_rng((self._seed, STREAM["flow"], number, max(minute, 0)))
            rate = flow.per_hour / 60 * (flow.at_night + (1 - flow.at_night) * busy)
            found += [passage(flow, minute, rng) for _ in range(rng.poisson(rate))]
        rng = np.random.default_rng((self._seed, STREAM["anomaly"], max(minute, 0)))
        for _ in range(rng.poisson(self._anomalies_per_hour / 60)):
            flow = self.plan.anomalies[rng.integers(len(self.plan.anomalies))]
            found.append(passage(flow, minute, rng, is_anomaly=True))
        day, of_day = divmod(minute, 24 * 60)
        rng = np.random.default_rng((self._seed, STREAM["delivery"], max(day, 0)))
        if self.plan.delivery is not None and of_day == rng.integers(8 * 60, 18 * 60):
            found.append(passage(self.plan.delivery, minute, rng))
        if self._is_hourly:
            found += self._hourly_passages(day, of_day)
        return found if minute >= 0 else []

    def _hourly_passages(self, day: int, of_day: int) -> list[Passage]:
        """Return the hourly flow's passages of a minute of a day."""
        flow = self.plan.hourly
        minute = day * 24 * 60 + of_day
        rng = np.random.default_rng((self._seed, STREAM["hour"], max(day, 0)))
        if of_day == rng.integers(WRONG_HOURS[0] * 60, WRONG_HOURS[1] * 60):
            return [passage(flow, minute, rng, is_anomaly=True)]
        if day % 7 >= WORKDAYS or not USUAL_HOURS[0] * 60 <= of_day < USUAL_HOURS[1] * 60:
            return []
        rng = np.random.default_rng((self._seed, STREAM["hour"], max(day, 0), of_day))
        return [passage(flow, minute, rng) for _ in range(rng.poisson(flow.per_hour / 60))]

    def draw(self, canvas: Pixels, passage: Passage, time_s: float) -> None:
        """Draw one of them, with legs that swing or wheels."""
        share = passage.share(time_s)
        (left, top), (right, bottom) = passage.way
        x = left + share * (right - left)
        y = top + share * (bottom - top)
        near = 1.0
        if self.plan.horizon_px:
            near = (y - self.plan.horizon_px) / (SIDE_PX - self.plan.horizon_px)
        width = max(2.0, passage.flow.size_px[0] * near)
        height = max(3.0, passage.flow.size_px[1] * near)
        shade = tuple(int(part * 0.6) for part in passage.colour)
        if not passage.flow.walks:
            box(canvas, (x - width / 2, y - height), (x + width / 2, y), passage.colour)
            box(canvas, (x - width / 3, y - height), (x + width / 3, y - height / 2), shade)
            return
        travelled_px = share * hypot(right - left, bottom - top)
        swing = width / 2 * sin(2 * pi * travelled_px / (1.2 * height))
        hip = (x, y - height * 0.45)
        for foot in (x + swing, x - swing):
            line(canvas, hip, (foot, y), shade, max(1, round(width / 4)))
        box(canvas, (x - width / 3, y - height * 0.85), (x + width / 3, hip[1]), passage.colour)
        centre = (round(x), round(y - height * 0.92))
        cv2.circle(canvas, centre, max(1, round(width / 4)), (200, 165, 140), -1, cv2.LINE_AA)


def passage(
    flow: Flow, minute: int, rng: np.random.Generator, *, is_anomaly: bool = False
) -> Passage:
    """Return one of a flow that comes in a minute, by chance."""
    red, green, blue = (int(part) for part in rng.integers(40, 220, 3))
    return Passage(
        flow=flow,
        start_s=minute * MINUTE_S + float(rng.uniform(0, MINUTE_S)),
        way=flow.ways[rng.integers(len(flow.ways))],
        colour=(red, green, blue),
        pace=min(max(float(rng.normal(1, 0.12)), 0.75), 1.3),
        is_anomaly=is_anomaly,
    )


def painted_ground(kind: SceneKind, seed: int, plan: ScenePlan) -> Pixels:
    """Return the empty place, (256, 256, 3) uint8 RGB: texture, ways and a horizon."""
    rng = np.random.default_rng((seed, STREAM["ground"], KINDS.index(kind)))
    ground = wander(rng, SIDE_PX, 6) * 25 + wander(rng, SIDE_PX, 48) * 12 + 125
    canvas = np.asarray(np.repeat(ground[..., None], 3, axis=2).clip(0, 255), np.uint8)
    canvas[: round(plan.horizon_px)] = (150, 165, 185)
    for flow in plan.flows:
        (left, top), (right, bottom) = flow.ways[0]
        line(canvas, (left, top), (right, bottom), (105, 105, 108), 14)
        line(canvas, (left, top + 7), (right, bottom + 7), (180, 180, 175), 1)
    return canvas


def box(canvas: Pixels, low: PixelPoint, high: PixelPoint, colour: tuple[int, ...]) -> None:
    """Fill a rectangle with edges between pixels."""
    left, top, right, bottom = (round(16 * part) for part in (*low, *high))
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.int32)
    cv2.fillConvexPoly(canvas, corners, colour, cv2.LINE_AA, 4)


def line(
    canvas: Pixels, begin: PixelPoint, end: PixelPoint, colour: tuple[int, ...], thickness_px: int
) -> None:
    """Draw a line with ends between pixels."""
    ends = [(round(16 * right), round(16 * down)) for right, down in (begin, end)]
    cv2.line(canvas, ends[0], ends[1], colour, thickness_px, cv2.LINE_AA, 4)
