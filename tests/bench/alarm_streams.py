"""Alarm budgets on drawn scores, without pictures."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC

import numpy as np

from lookout.models.evaluation.events import ClipValue
from lookout.models.scoring.alert_policy import AlertPolicy
from lookout.models.scoring.budget_report import DAY_S, poisson_interval
from lookout.models.scoring.calibration import squash
from tests.bench.watched_budget import FIRST_MONDAY_S, NEAR, Watched, table

STEP_S = 6.0  # between the scores of a stream
STREAM_POLICY = AlertPolicy(min_duration_s=STEP_S, clear_after_s=3 * STEP_S)


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
