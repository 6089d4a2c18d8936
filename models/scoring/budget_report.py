"""A budget of alarms beside the alarms that came, in numbers and in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any

DAY_S = 86_400.0

CHECKABLE = 3.0
"""Alarms that must be expected before the budget is compared with what was seen: with no alarm in
that time, the true rate is, with 95 %, still up to the budget."""

NORMAL_95 = 1.96
"""A normal number lies within so many standard deviations in 95 % of cases."""


@dataclass(frozen=True, slots=True)
class BudgetReport:
    """A budget beside what was seen since it was set."""

    per_day: float
    threshold: float  # now, in (0, 1)
    footage_minutes: float  # with values, and without an open alert
    expected: float  # alarms that the budget allows in it
    seen: int  # alarms
    seen_per_day_low: float  # 95 % interval of the rate of alarms, if they come by chance
    seen_per_day_high: float | None  # None before any footage
    sentence: str  # for a person

    @classmethod
    def of(cls, per_day: float, threshold: float, footage_s: float, seen: int) -> BudgetReport:
        """Return the report; footage_s and seen: since the budget was set."""
        days = footage_s / DAY_S
        expected = per_day * days
        low = 0.0
        high = None
        if days > 0:
            fewest, most = poisson_interval(seen)
            low = fewest / days
            high = most / days
        footage = span_words(footage_s)
        sentence = f"{footage} seen: a budget of {per_day:g} a day cannot be checked yet"
        if expected >= CHECKABLE:
            sentence = (
                f"{footage} seen: {seen} alarms where {expected:.3g} were expected; "
                f"{low:.2g} to {high:.2g} a day beside a budget of {per_day:g}"
            )
        return cls(per_day, threshold, footage_s / 60, expected, seen, low, high, sentence)

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> BudgetReport:
        """Return the report of a budget by its `state_dict`.

        Raises ValueError, TypeError or KeyError for anything else.
        """
        per_day, threshold, footage_s = (
            float(state[name]) for name in ("per_day", "threshold", "footage_s")
        )
        return cls.of(per_day, threshold, footage_s, int(state["seen"]))


def poisson_interval(seen: int) -> tuple[float, float]:
    """Return the 95 % interval of the mean of a Poisson number.

    Garwood's exact one to a hundredth, by the cube root that makes a chi-square number normal
    (Wilson and Hilferty 1931).
    """
    low = 0.0
    if seen > 0:
        low = seen * (1 - 1 / (9 * seen) - NORMAL_95 / (3 * sqrt(seen))) ** 3
    after = seen + 1
    high = after * (1 - 1 / (9 * after) + NORMAL_95 / (3 * sqrt(after))) ** 3
    return max(low, 0.0), high


def span_words(seconds: float) -> str:
    """Return a length of footage in words, such as "40 minutes" or "2.5 days"."""
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} minutes"
    if seconds < 2 * DAY_S:
        return f"{seconds / 3600:.3g} hours"
    return f"{seconds / DAY_S:.3g} days"
