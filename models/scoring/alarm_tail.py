"""The tail of a camera's peaks: how often one exceeds a threshold that few or none have reached.

Peaks over a high level are fitted with a generalised Pareto distribution, as SPOT does (Siffer et
al., KDD 2017). Its two parameters come from probability-weighted moments (Hosking and Wallis 1987),
which are integrals of the survival curve, so that the number of peaks at each threshold is all
there is to keep. With few peaks the shape is not fitted: the tail is exponential (that of a Gumbel
law of block maxima), its scale is drawn towards a prior, and what is not known of the scale makes
the tail heavier. Little footage so gives high thresholds.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise
from math import exp, inf, log
from typing import NamedTuple

from lookout.models.scoring.alarm_counts import COUNT, OFFSETS, THRESHOLDS

FIT_PEAKS = 20.0
"""Peaks that the tail is fitted to: the highest ones."""

QUIET_SHARE = 0.98
"""Share of the footage that lies below every threshold, whatever the budget: SPOT's high quantile.
Equal values never alarm, and a budget that no scene can fill ends here."""

CLOSING_SHARE = 0.9
"""Share of the footage that is low under every threshold: an alert must be able to close."""

PRIOR_SCALE = 0.5
"""Scale of the peaks before any is seen, in widths of the bounds."""

PRIOR_PEAKS = 2.0
"""Weight of the prior in peaks."""

SHAPED_PEAKS = 30.0
"""Peaks at which half of the fitted shape counts."""

MISFIT = 2.0
"""Factor by which the alarms that were counted may exceed what the fitted tail says. The greater of
two thresholds that are both right would be too high as a rule."""

FORGOTTEN_PEAKS = 0.05
"""A peak of which so little is left no longer holds the threshold above it."""

SHAPES = (-0.3, 0.5)
"""Shapes that are believed. A sharper end or a heavier tail would be that of a few odd peaks."""


class TailFit(NamedTuple):
    """A generalised Pareto distribution of peaks over a level."""

    level: float  # on the scale of OFFSETS
    peaks: float  # over it, after forgetting
    scale: float  # on the same scale
    shape: float  # 0: exponential; above: heavier

    def offset_for(self, alarms: float) -> float:
        """Return the level, `level` or above, that so many peaks are expected to exceed.

        One peak more than was seen is taken to be there: the next peak ranks among them like any
        other, as in a conformal bound.
        """
        share = alarms / (self.peaks + 1)
        if share >= 1:
            return self.level
        if share <= 0:
            return inf
        steps = -log(share)
        if abs(self.shape) < 1e-9:
            return self.level + self.scale * steps
        return self.level + self.scale * (exp(min(self.shape * steps, 500.0)) - 1) / self.shape


@dataclass(frozen=True, slots=True)
class PeakCurve:
    """Number of alarms by threshold, made not to rise, above the level that is quiet."""

    # Number of the lowest threshold that QUIET_SHARE and CLOSING_SHARE allow; COUNT: none.
    first: int
    alarms: list[float]  # at each threshold: the most at it or at a higher one

    @classmethod
    def of(
        cls, alarms: list[float], times_s: list[float], footage_s: float, hysteresis: float
    ) -> PeakCurve:
        """Return the curve of these counts; each list has COUNT entries.

        times_s: time at or above each threshold. hysteresis: of the policy.
        """
        most = 0.0
        falling = []
        for count in reversed(alarms):
            most = max(most, count)
            falling.append(most)
        quiet = first_above(times_s, (1 - QUIET_SHARE) * footage_s)
        usual = first_above(times_s, (1 - CLOSING_SHARE) * footage_s)
        first = COUNT
        if usual < COUNT:
            first = max(quiet, bisect_left(THRESHOLDS, THRESHOLDS[usual] + hysteresis))
        return cls(first, falling[::-1])

    def fit(self) -> TailFit:
        """Return the fit to the highest peaks, FIT_PEAKS at most."""
        base = min(self.first, COUNT - 1)
        while base < COUNT - 1 and self.alarms[base] > FIT_PEAKS:
            base += 1
        peaks = self.alarms[base]
        mean = 0.0  # excess over the level
        squared = 0.0
        if peaks > 0:
            shares = [count / peaks for count in self.alarms[base:]]
            widths = [after - before for before, after in pairwise(OFFSETS[base:])]
            for width, (left, right) in zip(widths, pairwise(shares), strict=True):
                mean += width * (left + right) / 2
                squared += width * (left**2 + left * right + right**2) / 3
        scale = (PRIOR_PEAKS * PRIOR_SCALE + peaks * mean) / (PRIOR_PEAKS + peaks)
        shape = 0.0
        moment = squared / 2
        if peaks > 0 and mean > 2 * moment:
            least, most = SHAPES
            believed = peaks / (peaks + SHAPED_PEAKS)
            shape = believed * min(max(2 - mean / (mean - 2 * moment), least), most)
            scale *= 1 - shape  # keeps the mean excess
        return TailFit(OFFSETS[base], peaks, scale, shape + 1 / (PRIOR_PEAKS + peaks))

    def offset_for(self, alarms: float) -> float:
        """Return the threshold, on the scale of OFFSETS, that lets through so many alarms.

        alarms: in the footage behind the counts. Never lower for fewer alarms.
        """
        if self.first == COUNT:
            return inf
        tail = self.fit()
        if alarms < tail.peaks + 1:
            return max(tail.offset_for(alarms), self.seldom(MISFIT * alarms))
        return self.seldom(alarms)

    def seldom(self, alarms: float) -> float:
        """Return the threshold at which the alarms seen, and one more, are so many, at least one.

        This is the conformal bound: if peaks come in any order, the next one of them exceeds it
        with the probability that the budget allows, whatever their distribution. Where the budget
        allows less than one alarm, it lies above every peak that is remembered.
        """
        allowed = max(alarms, 1.0) + FORGOTTEN_PEAKS
        for number in range(self.first, COUNT):
            count = self.alarms[number] + 1
            if count <= allowed:
                if number == self.first:
                    break
                above = self.alarms[number - 1] + 1
                share = (log(above) - log(allowed)) / (log(above) - log(count))
                return OFFSETS[number - 1] + share * (OFFSETS[number] - OFFSETS[number - 1])
        return OFFSETS[self.first]


def first_above(times_s: list[float], limit_s: float) -> int:
    """Return the number of the lowest threshold that is reached for so long at most; COUNT: none.

    times_s: time at or above each threshold, not rising.
    """
    first = COUNT
    while first > 0 and times_s[first - 1] <= limit_s:
        first -= 1
    return first
