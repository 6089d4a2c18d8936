"""The usual height of a camera's values by hour of day and kind of day.

What is usual at 14:00 may be unusual at 02:00. Each of 48 slots (24 hours of a weekday, 24 of a
day of the weekend, local time) keeps mean and variance of the highest value of each minute. A value
is made even by them: as many deviations above its slot's level as it would be above the level of
all hours. One threshold on even values is then another one in each hour, and the same number of
alarms is spread over all of them.

A slot that has seen little takes the level of its neighbours: hours around it, and the same hours
of the other kind of day. All on the scale of the bounds: 0 at the lower one, 1 at the upper one.
"""

from __future__ import annotations

from datetime import datetime, tzinfo
from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from lookout.models.arrays import Floats, packed, unpacked

HOURS = 24
SLOTS = 2 * HOURS
QUARTER_S = 900
"""The offsets of time zones are whole quarters of an hour."""

BLOCK_S = 60.0
"""Footage whose highest value is one sample of its slot."""

OWN_BLOCKS = 120.0
"""Samples at which a slot counts as much as its neighbours: two visits of the hour."""

ALL_BLOCKS = 60.0
"""Weight of all hours together among the neighbours, in samples."""

HOUR_DECAY = 0.4
"""Weight of a neighbour by each hour of distance."""

OTHER_DAY = 0.3
"""Weight of the same hour of the other kind of day."""

REMEMBERED_BLOCKS = 1200.0
"""Samples that a slot remembers: four weeks of weekdays. A slow change is followed."""

LEAST_RATIO = 0.25
"""Least deviation of a slot, of that of all hours: a quiet night does not make noise an event."""

USUAL_OFFSET = 4.0
USUAL_DEVIATIONS = 6.0
"""A sample counts to this height, or to so many deviations above all hours if that is more: an
event may be of any height, and must not set the level."""

LEAST_DEVIATION = 0.02
"""Of values that are all equal."""


class HourLevel(NamedTuple):
    """Mean and deviation of the highest values of a slot's minutes."""

    mean: float
    deviation: float


class HourLevels:
    """Follows one camera's values, and makes them even between the hours."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._blocks = np.zeros(SLOTS)  # samples, up to REMEMBERED_BLOCKS
        self._mean = np.zeros(SLOTS)
        self._variance = np.zeros(SLOTS)
        self._slot = 0
        self._quarter: int | None = None  # whose slot `_slot` is
        self._block_s = 0.0
        self._block_top = 0.0
        self._set_levels()

    def slot_of(self, at: float) -> int:
        """Return the slot of a time (s, UTC epoch): its hour, and 24 more at the weekend."""
        local = datetime.fromtimestamp(at, self._zone)
        return local.hour + HOURS * (local.weekday() >= 5)

    def move_to(self, at: float) -> bool:
        """Take the levels of this time from now on; return True where its slot is another.

        A time that no calendar holds changes nothing.
        """
        try:
            quarter = int(at // QUARTER_S)
            if quarter == self._quarter:
                return False
            slot = self.slot_of(at)
        except (ValueError, OverflowError, OSError):
            return False
        self._quarter = quarter
        if slot == self._slot:
            return False
        self._slot = slot
        self._block_s = 0.0
        self._set_levels()
        return True

    def learn(self, offset: float, passed_s: float) -> None:
        """Take in a value of the present slot, with the footage in s that it adds."""
        usual = self._all.mean + USUAL_DEVIATIONS * self._all.deviation
        offset = min(offset, max(USUAL_OFFSET, usual))
        if self._block_s <= 0:
            self._block_top = offset
        self._block_top = max(self._block_top, offset)
        self._block_s += passed_s
        if self._block_s < BLOCK_S:
            return
        slot = self._slot
        self._blocks[slot] = min(self._blocks[slot] + 1, REMEMBERED_BLOCKS)
        share = 1 / self._blocks[slot]
        step = self._block_top - self._mean[slot]
        self._mean[slot] += share * step
        self._variance[slot] = (1 - share) * (self._variance[slot] + share * step**2)
        self._block_s = 0.0
        self._set_levels()

    def even(self, offset: float) -> float:
        """Return a value of the present slot as it would be at the level of all hours."""
        return self._all.mean + (offset - self._own.mean) * self._ratio

    def uneven(self, offset: float, slot: int | None = None) -> float:
        """Return the value of a slot (None: the present one) whose `even` this is."""
        own = self._own if slot is None else self.shrunk(slot)
        return own.mean + (offset - self._all.mean) / (self._all.deviation / own.deviation)

    def _set_levels(self) -> None:
        self._all = self.level_of(np.ones(SLOTS))
        self._own = self.shrunk(self._slot)
        self._ratio = self._all.deviation / self._own.deviation

    def level_of(self, weights: Floats) -> HourLevel:
        """Return the level of several slots together; weights: (48,) of each one's samples."""
        counts = self._blocks * weights
        total = float(counts.sum())
        if total <= 0:
            return HourLevel(0.0, 1.0)
        mean = float(counts @ self._mean) / total
        variance = float(counts @ (self._variance + (self._mean - mean) ** 2)) / total
        return HourLevel(mean, max(sqrt(variance), LEAST_DEVIATION))

    def shrunk(self, slot: int) -> HourLevel:
        """Return the level of a slot, drawn to its neighbours as long as it has seen little."""
        weights = neighbours(slot)
        near = float(self._blocks @ weights)
        around = mixed((self._all, ALL_BLOCKS), (self.level_of(weights), near))
        deviation = max(sqrt(self._variance[slot]), LEAST_DEVIATION)
        own = HourLevel(float(self._mean[slot]), deviation)
        level = mixed((around, OWN_BLOCKS), (own, float(self._blocks[slot])))
        usual = self._all.deviation
        deviation = min(max(level.deviation, LEAST_RATIO * usual), usual / LEAST_RATIO)
        return HourLevel(level.mean, deviation)

    def state_dict(self) -> dict[str, Any]:
        """Return the state as JSON-able values, some 2 kB."""
        return {
            "zone": str(self._zone),
            "levels": packed(np.stack([self._blocks, self._mean, self._variance]), "<f8"),
            "slot": self._slot,
            "quarter": self._quarter,
            "block_s": self._block_s,
            "block_top": self._block_top,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`'s result; that of another time zone is left alone.

        Raises ValueError, TypeError or KeyError for anything else.
        """
        if state["zone"] != str(self._zone):
            return
        levels = unpacked(state["levels"], "<f8", (3, SLOTS))
        slot = int(state["slot"])
        if not (np.isfinite(levels).all() and (levels[::2] >= 0).all() and 0 <= slot < SLOTS):
            raise ValueError("levels are finite numbers of 48 slots")
        block_s = float(state["block_s"])
        block_top = float(state["block_top"])
        self._blocks, self._mean, self._variance = (row.copy() for row in levels)
        self._slot = slot
        self._quarter = state["quarter"]
        self._block_s = block_s
        self._block_top = block_top
        self._set_levels()


def neighbours(slot: int) -> Floats:
    """Return the weight of each slot as a neighbour of this one, (48,); 0 of itself."""
    kind, hour = divmod(slot, HOURS)
    kinds, hours = np.divmod(np.arange(SLOTS), HOURS)
    apart = np.abs(hours - hour)
    apart = np.minimum(apart, HOURS - apart)
    weights = HOUR_DECAY**apart * np.where(kinds == kind, 1.0, OTHER_DAY)
    weights[slot] = 0.0
    return np.asarray(weights)


def mixed(*parts: tuple[HourLevel, float]) -> HourLevel:
    """Return the mean of levels by weight; the sum of the weights is above 0."""
    total = sum(weight for _, weight in parts)
    mean = sum(weight * level.mean for level, weight in parts) / total
    deviation = sum(weight * level.deviation for level, weight in parts) / total
    return HourLevel(mean, deviation)
