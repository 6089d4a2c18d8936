"""The causal value: what is normal is known beforehand, from calibration or a camera's first frames.

Its offline sister, `scoring.value_minmax`, looks at the whole clip, the future included; the two are never mixed.
No torch here: a checkpoint's header holds bounds, and ingest and the API read headers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite, nan
from typing import Any

import numpy as np
import numpy.typing as npt

QUANTILE = 0.01
"""Share of the normal frames left outside each bound: one broken frame must not set it."""

GATE_QUANTILE = 0.5
"""Of the normal gate errors: the gate of a guarded memory. Half of the normal frames teach it, which is plenty; an
event that is predicted worse than the usual normal frame does not. One γ for all cameras would let through nothing of
one and everything of another, by the noise of their pictures."""

LOW, HIGH = 0.1, 0.5
"""Values at the bounds: normal footage lies between, and above HIGH is what calibration never saw."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where PSNR (dB) and memory distance lie on normal footage: the QUANTILE and 1 - QUANTILE quantiles.

    And the GATE_QUANTILE of its gate errors (peak 1, 0 to 1); None: not measured, as in checkpoints of older versions.
    """

    psnr_low_db: float
    psnr_high_db: float
    distance_low: float
    distance_high: float
    frames: int  # how many normal frames they were taken from
    gate_error: float | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for anything but finite numbers in order."""
        numbers = (self.psnr_low_db, self.psnr_high_db, self.distance_low, self.distance_high)
        if not all(isinstance(number, (int, float)) and isfinite(number) for number in numbers):
            raise ValueError("bounds must be finite numbers")
        if self.psnr_low_db > self.psnr_high_db or self.distance_low > self.distance_high:
            raise ValueError("a lower bound lies above its upper bound")
        if self.gate_error is not None and not (isfinite(self.gate_error) and self.gate_error >= 0):
            raise ValueError("a gate error must be a finite number, 0 or more")

    @classmethod
    def of(
        cls,
        psnr_db: Sequence[float] | Floats,
        distance: Sequence[float] | Floats,
        gate_error: Sequence[float] | Floats | None = None,
    ) -> Bounds:
        """Bounds of normal frames, one entry a frame. Raises ValueError for none, or where a number is not finite.

        gate_error: may be nan where it was not measured.
        """
        psnr, dist = np.asarray(psnr_db, np.float64), np.asarray(distance, np.float64)
        if not (psnr.size and np.isfinite(psnr).all() and np.isfinite(dist).all()):
            raise ValueError("bounds need finite scores of at least one normal frame")
        psnr_low, psnr_high = np.quantile(psnr, (QUANTILE, 1 - QUANTILE))
        distance_low, distance_high = np.quantile(dist, (QUANTILE, 1 - QUANTILE))
        gates = np.asarray([] if gate_error is None else gate_error, np.float64)
        gates = gates[np.isfinite(gates)]
        gate = float(np.quantile(gates, GATE_QUANTILE)) if gates.size else None
        return cls(float(psnr_low), float(psnr_high), float(distance_low), float(distance_high), int(psnr.size), gate)


def causal_value(psnr_db: float, distance: float, bounds: Bounds, lambda_: float) -> float:
    """The live value of one frame, in (0, 1): λ (1 - P̂) + (1 - λ) D̂ with P̂, D̂ scaled by the bounds, then squashed.

    The same fusion as the paper's eq. 15 turned so that higher is more abnormal, but with bounds that were known
    before the frame came.
    """
    abnormal_psnr = _scaled(bounds.psnr_high_db - psnr_db, bounds.psnr_high_db - bounds.psnr_low_db)
    abnormal_distance = _scaled(distance - bounds.distance_low, bounds.distance_high - bounds.distance_low)
    return squash(lambda_ * abnormal_psnr + (1 - lambda_) * abnormal_distance)


def squash(x: float) -> float:
    """Strictly increasing from (-inf, inf) to (0, 1): linear between the bounds, hyperbolic beyond, slope continuous.

    A clip at the bounds would tie all anomalies at 1; an exponential would tie the strong ones in float64.
    """
    slope = HIGH - LOW
    if x > 1:
        return 1 - (1 - HIGH) / (1 + (x - 1) * slope / (1 - HIGH))
    if x < 0:
        return LOW / (1 - x * slope / LOW)
    return LOW + slope * x


def _scaled(offset: float, width: float) -> float:
    """A camera that shows one still picture has bounds of no width: any step beyond them counts as large."""
    return offset / max(width, 1e-12)


class Learner:
    """From scores to values: with given bounds at once, else after the first `needed` frames have set them.

    `lookout evaluate` and the live line share this, so that both give the same value for the same scores.
    """

    def __init__(self, bounds: Bounds | None, needed: int) -> None:
        self.bounds = bounds
        self.needed = needed
        self._seen: list[tuple[float, float, float]] = []  # PSNR, distance, gate error (nan: not measured)

    @property
    def learned(self) -> int:
        """Frames taken in so far, of `needed`."""
        return self.needed if self.bounds else len(self._seen)

    def value(self, psnr_db: float, distance: float, lambda_: float, gate_error: float = nan) -> float | None:
        """The causal value of the next frame; None while learning, the frame that completes the bounds included."""
        if self.bounds is not None:
            return causal_value(psnr_db, distance, self.bounds, lambda_)
        if np.isfinite(psnr_db) and np.isfinite(distance):
            self._seen.append((psnr_db, distance, gate_error))
        if len(self._seen) >= self.needed:
            self.bounds = Bounds.of(*np.array(self._seen).T)
            self._seen.clear()
        return None

    def as_json(self) -> dict[str, Any]:
        """Where it stands, for a snapshot; JSON keeps every bit of a float. It has no nan: None instead."""
        seen = [[number if isfinite(number) else None for number in frame] for frame in self._seen]
        return {"bounds": asdict(self.bounds) if self.bounds else None, "seen": seen}

    @classmethod
    def of_json(cls, data: dict[str, Any], needed: int) -> Learner:
        """Goes on where `as_json` was taken. Raises ValueError, TypeError or KeyError for anything else."""
        learner = cls(Bounds(**data["bounds"]) if data["bounds"] else None, needed)
        learner._seen = [(psnr, distance, nan if gate is None else gate) for psnr, distance, gate in data["seen"]]
        return learner
