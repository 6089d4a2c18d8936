"""Compare alarm budgets with the alarms that cameras then raise.

    python -m tests.bench.alarm_budget streams [DAYS]     drawn scores, without pictures
    python -m tests.bench.alarm_budget cameras [SEEDS]    many drawn cameras, after a day to learn
    python -m tests.bench.alarm_budget hours [SEEDS]      what is usual by day, at night
    python -m tests.bench.alarm_budget scenes [MINUTES]   drawn scenes, scored with `places`
    python -m tests.bench.alarm_budget clips              Ped1 and Ped2, normal, in random order

A row is a camera with a budget: alarms expected and seen, how many of them were false, the 95 %
interval of the rate seen, events noticed and their median delay; "lowest" where the scene has too
few peaks to fill the budget, and its threshold is as low as it may be. Streams are scores that are
drawn themselves (one in 6 s, at a rate and height of peaks that change with the hour and the
weather), so that weeks can be followed: they try the budget, not the score. Nothing is left out:
the first hours count as well, but for `cameras`: their first day is to learn from, and the days
after it are counted, so many that a factor of 1.5 can be told from chance. Printed, never judged.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, tzinfo
from math import nan

import numpy as np

from lookout.models.arrays import Pixels
from lookout.models.data.drawn_nuisances import Nuisances
from lookout.models.data.drawn_scene import FPS, KINDS, DrawnScene
from lookout.models.evaluation.events import ClipValue
from lookout.models.media.clip_reader import read_clip
from lookout.models.media.preprocess import Preprocess
from lookout.models.scoring.alarm_budget import AlarmBudget
from lookout.models.scoring.alert_policy import AlertOpened, AlertPolicy, PolicyState
from lookout.models.scoring.budget_report import CHECKABLE, DAY_S, poisson_interval, span_words
from lookout.models.scoring.calibration import squash
from lookout.models.scoring.normalizer import LEARN_FRAMES, Normalizer, RawScores
from lookout.models.scoring.place_state import PlaceState
from tests.conftest import SHARED

AFTER_S = 10.0  # an alarm so long after an event is still the event's
STEP_S = 6.0  # between the scores of a stream
STREAM_POLICY = AlertPolicy(min_duration_s=STEP_S, clear_after_s=3 * STEP_S)
NEAR = 1.5  # seen is near the budget within this factor
FIRST_HOUR = 9  # of drawn scenes
FIRST_MONDAY_S = 4 * DAY_S  # 5 January 1970


@dataclass
class Watched:
    """One budget on one camera, score by score."""

    name: str
    per_day: float
    policy: AlertPolicy = field(default_factory=AlertPolicy)
    zone: tzinfo | None = None  # of the hours that the threshold knows
    seen: int = 0
    false: int = 0
    delays_s: list[float] = field(default_factory=list)
    events: int = 0

    def __post_init__(self) -> None:
        self.budget = AlarmBudget(self.per_day, self.policy, self.zone)
        self.state: PolicyState = self.policy.initial()
        self._event_since: float | None = None
        self._event_until = -1e9
        self._is_noticed = False

    def see(self, score: ClipValue, *, is_abnormal: bool) -> None:
        """Take the next score."""
        now = score.captured_at
        if is_abnormal:
            if self._event_since is None or now > self._event_until + AFTER_S:
                self._event_since = now
                self._is_noticed = False
                self.events += 1
            self._event_until = now
        self.state, events = self.budget.step(self.state, score)
        for event in events:
            if not isinstance(event, AlertOpened):
                continue
            self.seen += 1
            if self._event_since is None or now > self._event_until + AFTER_S:
                self.false += 1
            elif not self._is_noticed:
                self._is_noticed = True
                self.delays_s.append(now - self._event_since)

    @property
    def is_near(self) -> bool:
        """Whether the alarms seen are within NEAR of those expected."""
        expected = self.budget.report().expected
        return expected / NEAR <= self.seen <= expected * NEAR

    @property
    def is_lowest(self) -> bool:
        """Whether no larger budget would have a lower threshold."""
        return self.budget.threshold_for(1e9) >= self.budget.rule.threshold

    def row(self) -> str:
        """Return the row of the table."""
        report = self.budget.report()
        recall = "no events"
        if self.events:
            recall = f"{len(self.delays_s)} of {self.events} events"
        if self.delays_s:
            recall += f", {np.median(self.delays_s):.1f} s"
        if self.is_lowest:
            recall += ", lowest"
        interval = f"{report.seen_per_day_low:.3g} to {report.seen_per_day_high or 0:.3g} a day"
        return (
            f"{self.name:20} {self.per_day:4g} a day {span_words(report.footage_minutes * 60):>12}"
            f"  expected {report.expected:6.1f}  seen {self.seen:3}, {self.false:3} false"
            f"  ({interval})  {recall}"
        )


def table(watched: Sequence[Watched]) -> Iterator[str]:
    """Yield a row for each, and how many are near their budget where it can be told."""
    yield from (one.row() for one in watched)
    for per_day in sorted({one.per_day for one in watched}, reverse=True):
        reports = [(one, one.budget.report()) for one in watched if one.per_day == per_day]
        known = [
            (one, report)
            for one, report in reports
            if report.expected >= CHECKABLE and not one.is_lowest
        ]
        if known:
            near = sum(one.is_near for one, _ in known)
            ratios = np.array([one.seen / report.expected for one, report in known])
            yield (
                f"{per_day:g} a day: {near} of {len(known)} cameras within a factor {NEAR:g}; "
                f"seen over expected {np.median(ratios):.2f} (median), "
                f"{ratios.min():.2f} to {ratios.max():.2f}"
            )


# Drawn scores


@dataclass(frozen=True)
class Traffic:
    """The peaks of a drawn camera."""

    per_day: float  # peaks, at the busiest
    scale: float  # of their height, in widths of the bounds
    lasts_s: float
    at_night: float  # share of the rate
    heights: Callable[[np.random.Generator, int], np.ndarray]


TRAFFIC = {
    "street": Traffic(3000, 0.25, 6, 0.1, lambda rng, n: rng.exponential(1, n)),
    "corridor": Traffic(600, 0.4, 10, 0.02, lambda rng, n: rng.weibull(1.5, n)),
    "car park": Traffic(150, 0.15, 15, 0.3, lambda rng, n: rng.pareto(4, n)),
    "machine": Traffic(1500, 0.6, 5, 1.0, lambda rng, n: rng.random(n)),
    "trees": Traffic(800, 0.35, 40, 1.0, lambda rng, n: rng.lognormal(0, 0.6, n)),
}


def varied(kind: str, seed: int) -> Traffic:
    """Return another camera of the kind: rate, height and nights of its own."""
    rng = np.random.default_rng((seed, sorted(TRAFFIC).index(kind), 1))
    usual = TRAFFIC[kind]
    return replace(
        usual,
        per_day=usual.per_day * rng.lognormal(0, 0.4),
        scale=usual.scale * rng.lognormal(0, 0.3),
        at_night=rng.uniform(0, 1),
    )


def stream(
    kind: str, seed: int, days: int, *, traffic: Traffic | None = None, step_s: float = STEP_S
) -> Iterator[tuple[ClipValue, bool]]:
    """Yield scores of a drawn camera, and whether something abnormal goes on: once in ten days.

    traffic: in place of the kind's own.
    """
    traffic = traffic or TRAFFIC[kind]
    rng = np.random.default_rng((seed, sorted(TRAFFIC).index(kind)))
    count = int(DAY_S / step_s)
    hours = np.arange(count) * step_s / 3600
    busy = np.clip(np.sin((hours - 6) / 24 * 2 * np.pi) + 0.3, 0, 1)
    rate = traffic.at_night + (1 - traffic.at_night) * busy
    weather = 0.0
    for day in range(days):
        weather = 0.7 * weather + 0.15 * rng.normal()
        offsets = 0.45 + 0.22 * rng.normal(size=count)
        lift = np.zeros(count)
        peaks = rng.poisson(traffic.per_day * rate.mean() * np.exp(weather / 2))
        begins = rng.choice(count, size=peaks, p=rate / rate.sum())
        heights = traffic.scale * traffic.heights(rng, peaks) * np.exp(weather / 4)
        lasts = np.maximum(1, traffic.lasts_s / step_s * rng.lognormal(0, 0.7, peaks)).astype(int)
        for begin, length, height in zip(begins, lasts, heights, strict=True):
            lift[begin : begin + length] = np.maximum(lift[begin : begin + length], height)
        abnormal = np.zeros(count, np.bool_)
        begin = int(rng.integers(0, count - 10))
        abnormal[begin : begin + 5] = day % 10 == 4
        offsets += np.where(abnormal, rng.uniform(0.5, 4), lift)
        for number, offset in enumerate(offsets.tolist()):
            at = day * DAY_S + number * step_s
            yield ClipValue(at, squash(offset)), bool(abnormal[number])


def streams(
    budgets: dict[float, int], kinds: Iterable[str] = TRAFFIC, seeds: Sequence[int] = (0, 1)
) -> Iterator[str]:
    """Yield the table of drawn scores; budgets: alarms a day → days of footage."""
    found = []
    for kind in kinds:
        for seed in seeds:
            for per_day, days in budgets.items():
                watched = Watched(f"{kind} {seed}", per_day, STREAM_POLICY)
                for score, is_abnormal in stream(kind, seed, days):
                    watched.see(score, is_abnormal=is_abnormal)
                found.append(watched)
                print(watched.row(), file=sys.stderr, flush=True)  # it takes long
    yield from table(found)


def cameras(seeds: int, budgets: dict[float, int], kinds: Iterable[str] = TRAFFIC) -> Iterator[str]:
    """Yield the share of many drawn cameras that come near each budget after a day to learn from.

    budgets: alarms a day → days that are counted after the first. Their scores are one in 20 s.
    """
    policy = AlertPolicy(min_duration_s=0.0, clear_after_s=60.0, quiet_after_s=60.0)
    for per_day, days in budgets.items():
        ratios = []
        lowest = 0
        for kind in kinds:
            for seed in range(seeds):
                watched = Watched(f"{kind} {seed}", per_day, policy)
                learned = watched.budget.report()
                is_learned = False
                scores = stream(kind, seed, days + 1, traffic=varied(kind, seed), step_s=20.0)
                for score, is_abnormal in scores:
                    if not is_learned and score.captured_at >= DAY_S:
                        learned = watched.budget.report()
                        is_learned = True
                    watched.see(score, is_abnormal=is_abnormal)
                counted = watched.budget.report()
                expected = counted.expected - learned.expected
                ratios.append((counted.seen - learned.seen) / expected)
                lowest += watched.is_lowest
                print(f"{watched.name} {ratios[-1]:.2f} {watched.is_lowest}", file=sys.stderr)
        found = np.array(ratios)
        near = int(((found >= 1 / NEAR) & (found <= NEAR)).sum())
        low, high = np.quantile(found, (0.025, 0.975))
        chance_low, chance_high = poisson_interval(round(per_day * days))
        yield (
            f"{per_day:4g} a day, {days:2} days: {near} of {len(found)} cameras within a factor "
            f"{NEAR:g}; seen over expected {np.median(found):.2f} (median), {low:.2f} to "
            f"{high:.2f} (95 %); chance alone {chance_low / per_day / days:.2f} to "
            f"{chance_high / per_day / days:.2f}; {lowest} at the lowest threshold"
        )


NIGHT_HOURS = (1, 4)
DELIVERY_HOURS = (13, 16)
DELIVERY_HEIGHTS = (1.2, 2.4)


def hourly(seed: int, days: int) -> Iterator[tuple[ClipValue, bool]]:
    """Yield scores, one in 20 s from a Monday on, and whether something comes at a wrong hour.

    Deliveries come six times an hour on weekdays from 13 to 16 h, and never at night: the same
    passage, once in each night between 1 and 4 h, is what should be noticed.
    """
    rng = np.random.default_rng(seed)
    step_s = 20.0
    count = int(DAY_S / step_s)
    hours = np.arange(count) * step_s / 3600
    busy = 0.1 + 0.9 * np.clip(np.sin((hours - 6) / 14 * np.pi), 0, 1)
    for day in range(days):
        offsets = 0.4 + 0.2 * rng.normal(size=count)
        passes = rng.random(count) < 1200 / count * busy
        offsets += np.where(passes, rng.exponential(0.2, count), 0)
        begin, end = (round(hour * 3600 / step_s) for hour in DELIVERY_HOURS)
        if day % 7 < 5:
            comes = rng.random(end - begin) < 6 * step_s / 3600
            offsets[begin:end] += np.where(comes, rng.uniform(*DELIVERY_HEIGHTS, end - begin), 0)
        begin, end = (round(hour * 3600 / step_s) for hour in NIGHT_HOURS)
        wrong = int(rng.integers(begin, end))
        offsets[wrong] = 0.4 + rng.uniform(*DELIVERY_HEIGHTS)
        for number, offset in enumerate(offsets.tolist()):
            at = FIRST_MONDAY_S + day * DAY_S + number * step_s
            yield ClipValue(at, squash(offset)), number == wrong


def hours(seeds: int, per_day: float = 4, learn_days: int = 7, days: int = 14) -> Iterator[str]:
    """Yield what one threshold and one by the hour notice at the same budget.

    The first days are to learn from and are not counted.
    """
    policy = AlertPolicy(min_duration_s=0.0, clear_after_s=60.0, quiet_after_s=60.0)
    for name, zone in (("one threshold", None), ("by the hour", UTC)):
        events = 0
        noticed = 0
        false = 0
        for seed in range(seeds):
            watched = Watched(name, per_day, policy, zone=zone)
            before = (0, 0, 0)
            for score, is_abnormal in hourly(seed, learn_days + days):
                if score.captured_at == FIRST_MONDAY_S + learn_days * DAY_S:
                    before = (watched.events, len(watched.delays_s), watched.false)
                watched.see(score, is_abnormal=is_abnormal)
            events += watched.events - before[0]
            noticed += len(watched.delays_s) - before[1]
            false += watched.false - before[2]
        yield (
            f"{name:13} {per_day:g} a day, {seeds} cameras, {days} days: {noticed} of {events} "
            f"events at a wrong hour noticed; {false / seeds / days:.2f} false alarms a day"
        )


# Pictures


class Places:
    """The values that a new camera with `places` shows, frame by frame."""

    def __init__(self) -> None:
        self._places = PlaceState(LEARN_FRAMES // 2)
        self._normalizer = Normalizer(None, LEARN_FRAMES // 2, "places")
        self._former: tuple[tuple[int, int], Pixels] | None = None

    def value(self, frame_id: tuple[int, int], frame: Pixels) -> float | None:
        """Return the value of the next frame; None while learning."""
        former = self._former
        self._former = (frame_id, frame)
        if former is None or former[0] != (frame_id[0], frame_id[1] - 1):
            return None
        motion = self._places.features(frame_id, former[1], frame)
        place_db = self._places.measure(frame_id, motion)
        value = self._normalizer.value(RawScores(0.0, 0.0, nan, 0.0, place_db))
        self._places.learn(motion, value if self._normalizer.settled else None)
        return value


def scenes(
    minutes: float,
    budgets: Sequence[float] = (288, 24),
    nuisances: Sequence[Nuisances] = ("usual", "other"),
) -> Iterator[str]:
    """Yield the table of drawn scenes, from 9 o'clock on, with an event about every ten minutes."""
    found = []
    for kind in KINDS:
        for which in nuisances:
            scene = DrawnScene(
                kind, 7, nuisances=which, anomalies_per_hour=6, start_hour=FIRST_HOUR
            )
            places = Places()
            watched = [Watched(f"{kind}, {which}", per_day) for per_day in budgets]
            for number in range(int(minutes * 60 * FPS)):
                value = places.value((0, number), scene.frame(number))
                score = ClipValue(number / FPS, value)
                for one in watched:
                    one.see(score, is_abnormal=value is not None and scene.is_abnormal(number))
            found += watched
            for one in watched:
                print(one.row(), file=sys.stderr, flush=True)  # it takes long
    yield from table(found)


def clips(budgets: Sequence[float] = (288, 24)) -> Iterator[str]:
    """Yield the table of the public normal clips, each scene's in a random order."""
    found = []
    for name in ("ped1", "ped2"):
        paths = sorted((SHARED / "data" / name / "train").iterdir())
        np.random.default_rng(0).shuffle(paths)
        places = Places()
        watched = [Watched(f"{name}, random order", per_day) for per_day in budgets]
        for session, path in enumerate(paths):
            for number, frame in enumerate(read_clip(path, Preprocess())):
                value = places.value((session, number), frame)
                for one in watched:
                    one.see(ClipValue(number / 10, value, session), is_abnormal=False)
        found += watched
    yield from table(found)


def main() -> None:
    """Print one of the tables."""
    which, *number = sys.argv[1:] or ["streams"]
    if which == "scenes":
        lines = scenes(float(number[0]) if number else 24 * 60)
    elif which == "cameras":
        lines = cameras(int(number[0]) if number else 8, {24: 5, 4: 20, 1: 60})
    elif which == "hours":
        lines = hours(int(number[0]) if number else 3)
    elif which == "clips":
        lines = clips()
    else:
        days = int(number[0]) if number else 40
        lines = streams({24: max(1, days // 8), 4: max(1, days // 3), 1: days})
    for text in lines:
        print(text, flush=True)


if __name__ == "__main__":
    main()
