"""The causal value: scores scaled by bounds from calibration or from a camera's first frames.

Its offline counterpart, `metrics.value_minmax`, uses the whole clip, future frames included; the
two are never mixed. No torch here: a checkpoint's header holds bounds, and ingest and the API read
headers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, isfinite, log
from typing import Any

import numpy as np

from lookout.models.arrays import Floats

QUANTILE = 0.01
"""Share of the normal frames left outside each bound: one broken frame must not set it."""

GATE_QUANTILE = 0.5
"""Quantile of the normal gate errors that is the gate of a guarded memory. Half of the normal
frames teach it, which is plenty; an event that is predicted worse than the usual normal frame does
not. One γ for all cameras would let through nothing of one and everything of another, by the noise
of their pictures."""

LOW = 0.1
HIGH = 0.5
"""Values at the bounds: normal footage lies between; calibration has seen nothing above HIGH."""

WIDEST_DB = 6.0
"""Most that the two parts of a fused value are scaled by: in a scene where nothing moves most of
the time their bounds lie 20 to 30 dB apart, and what is 5 dB above the upper one is unusual there
as anywhere."""

SHARPNESS = 4.0
"""How closely a fused value follows the larger of its two parts; 0: it is their mean."""

PLACE_WEIGHT = 0.5
"""Share of the memory of places in a fused value where the checkpoint does not say one."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The QUANTILE and 1 - QUANTILE quantiles of PSNR (dB) and memory distance on normal footage.

    Also the GATE_QUANTILE of its gate errors (peak 1, 0 to 1) and the quantiles of its local scores
    and of its memory of places; None: not measured, as in checkpoints of older versions.
    """

    psnr_low_db: float
    psnr_high_db: float
    distance_low: float
    distance_high: float
    frames: int  # number of normal frames behind them
    gate_error: float | None = None
    local_db: tuple[float, float] | None = None
    place_db: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for anything but finite numbers in order."""
        numbers = (self.psnr_low_db, self.psnr_high_db, self.distance_low, self.distance_high)
        if not all(isinstance(number, (int, float)) and isfinite(number) for number in numbers):
            raise ValueError("bounds must be finite numbers")
        if self.psnr_low_db > self.psnr_high_db or self.distance_low > self.distance_high:
            raise ValueError("a lower bound lies above its upper bound")
        if self.gate_error is not None and not (isfinite(self.gate_error) and self.gate_error >= 0):
            raise ValueError("a gate error must be a finite number, 0 or more")
        for name, bounds in (("local score", self.local_db), ("places", self.place_db)):
            if bounds is not None:
                low, high = bounds
                if not (isfinite(low) and isfinite(high) and low <= high):
                    raise ValueError(f"bounds of the {name} must be finite numbers in order")

    @classmethod
    def of(
        cls,
        psnr_db: Sequence[float] | Floats,
        distance: Sequence[float] | Floats,
        gate_error: Sequence[float] | Floats = (),
        local_db: Sequence[float] | Floats | None = None,
        place_db: Sequence[float] | Floats = (),
    ) -> Bounds:
        """Return the bounds of normal frames, one entry a frame.

        gate_error, place_db: empty, or nan where it was not measured. local_db: finite, as many as
        the others. Raises ValueError for no frames, or where a number is not finite.
        """
        psnr = np.asarray(psnr_db, np.float64)
        dist = np.asarray(distance, np.float64)
        if not (psnr.size and np.isfinite(psnr).all() and np.isfinite(dist).all()):
            raise ValueError("bounds need finite scores of at least one normal frame")
        psnr_low_db, psnr_high_db = normal_range(psnr)
        distance_low, distance_high = normal_range(dist)
        gate = None
        gates = np.asarray(gate_error, np.float64)
        gates = gates[np.isfinite(gates)]
        if gates.size:
            gate = float(np.quantile(gates, GATE_QUANTILE))
        local_range = None
        if local_db is not None:
            local_range = normal_range(np.asarray(local_db, np.float64))
        place_range = None
        places = np.asarray(place_db, np.float64)
        places = places[np.isfinite(places)]
        if places.size:
            place_range = normal_range(places)
        return cls(
            psnr_low_db=psnr_low_db,
            psnr_high_db=psnr_high_db,
            distance_low=distance_low,
            distance_high=distance_high,
            frames=int(psnr.size),
            gate_error=gate,
            local_db=local_range,
            place_db=place_range,
        )

    @classmethod
    def of_json(cls, data: dict[str, Any]) -> Bounds:
        """Raises ValueError, TypeError or KeyError for anything else than `asdict` gives."""
        ranges = {
            name: tuple(data[name])
            for name in ("local_db", "place_db")
            if data.get(name) is not None
        }
        return cls(**data | ranges)


def causal_value(psnr_db: float, distance: float, bounds: Bounds, fusion_weight: float) -> float:
    """Return the live value of one frame, in (0, 1); higher is more abnormal.

    The paper's fusion, eq. 15: λ (1 - P̂) + (1 - λ) D̂, with P̂ and D̂ scaled by bounds that
    were known before the frame came; then squashed.
    """
    abnormal_psnr = scale(bounds.psnr_high_db - psnr_db, bounds.psnr_high_db - bounds.psnr_low_db)
    abnormal_distance = scale(
        distance - bounds.distance_low, bounds.distance_high - bounds.distance_low
    )
    return squash(fusion_weight * abnormal_psnr + (1 - fusion_weight) * abnormal_distance)


def local_value(score_db: float, bounds: Bounds) -> float:
    """Return the live value of a local score, in (0, 1); the bounds must hold local ones."""
    return squash(place_in(bounds.local_db, score_db))


def place_value(score_db: float, bounds: Bounds) -> float:
    """Return the live value of the memory of places, in (0, 1); the bounds must hold its own."""
    return squash(place_in(bounds.place_db, score_db))


def fused_value(
    local_db: float, place_db: float, bounds: Bounds, place_weight: float = PLACE_WEIGHT
) -> float:
    """Return the live value of the local score and the memory of places together, in (0, 1).

    place_weight: share of the memory of places, 0 to 1.
    """
    local = place_in(narrowed(bounds.local_db), local_db)
    return squash(fused(local, place_in(narrowed(bounds.place_db), place_db), place_weight))


def fused(local: float, place: float, place_weight: float) -> float:
    """Return a soft maximum: log of the weighted mean of exp(SHARPNESS x), over SHARPNESS.

    local, place: as `place_in` gives them. A part that tells nothing does not hide what the other
    tells, as it would in their mean; where both are unusual, the value is the higher for it.
    """
    if place_weight in (0.0, 1.0):
        return place if place_weight else local
    largest = max(local, place)
    mean = (1 - place_weight) * exp(SHARPNESS * (local - largest))
    mean += place_weight * exp(SHARPNESS * (place - largest))
    return largest + log(mean) / SHARPNESS


def narrowed(bounds: tuple[float, float] | None) -> tuple[float, float]:
    """Return bounds at most WIDEST_DB apart, the upper one as it is; they must be there."""
    assert bounds is not None  # noqa: S101
    low, high = bounds
    return max(low, high - WIDEST_DB), high


def place_in(bounds: tuple[float, float] | None, score_db: float) -> float:
    """Return 0 for a score at the lower bound and 1 at the upper one; the bounds must be there."""
    assert bounds is not None  # noqa: S101
    low, high = bounds
    return scale(score_db - low, high - low)


def squash(x: float) -> float:
    """Map (-inf, inf) to (0, 1), strictly increasing and with a continuous slope.

    It is linear between the bounds, hyperbolic beyond. A clip at the bounds would tie all anomalies
    at 1; an exponential would tie the strong ones in float64.
    """
    slope = HIGH - LOW
    if x > 1:
        return 1 - (1 - HIGH) / (1 + (x - 1) * slope / (1 - HIGH))
    if x < 0:
        return LOW / (1 - x * slope / LOW)
    return LOW + slope * x


def unsquash(value: float) -> float:
    """Return the x whose `squash` is a value in (0, 1)."""
    slope = HIGH - LOW
    if value > HIGH:
        return 1 + ((1 - HIGH) / (1 - value) - 1) * (1 - HIGH) / slope
    if value < LOW:
        return (1 - LOW / value) * LOW / slope
    return (value - LOW) / slope


def normal_range(numbers: Floats) -> tuple[float, float]:
    """Return the QUANTILE and 1 - QUANTILE quantiles."""
    low, high = np.quantile(numbers, (QUANTILE, 1 - QUANTILE))
    return float(low), float(high)


def scale(offset: float, width: float) -> float:
    """Return offset / width; a still picture has bounds of no width: any step beyond is large."""
    return offset / max(width, 1e-12)
