"""A memory of places: how things move at each place of a fixed camera's picture, by examples.

After EVAL (A. Singh, M. J. Jones, E. Learned-Miller, "EVAL: Explainable Video Anomaly
Localization", CVPR 2023): the picture is divided into places, each place keeps examples of normal
motion, and a motion is as abnormal as it is far from the nearest example. Nothing is trained.

    frame, frame before --DIS flow--> cells --mean of 3 frames--> patches: features x_p (F,)
    d_p = min over the examples e of the place of |(x_p - e) / sigma|, over the usual d of the place
    score = mean of the worst patches, of their means over the last frames, in dB

Optical flow: T. Kroeger, R. Timofte, D. Dai, L. Van Gool, "Fast Optical Flow using Dense Inverse
Search", ECCV 2016. Examples are drawn as by J. S. Vitter, "Random Sampling with a Reservoir", 1985:
in one pass, in a memory of fixed size. sigma is the deviation of each feature over all that moved.
No torch here; the same frames give the same bits.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lookout.models.arrays import Floats32, packed, unpacked
from lookout.models.motion import FEATURES, Features, PlacesConfig

FIRST_SIGMA = (0.3, 0.1, 0.45, 0.2, 0.06, 0.1, 0.1)
"""Deviations of the features before anything has moved."""

FIRST_WEIGHT = 100
"""Patches that the first deviations count as."""

LEAST_SIGMA = 1e-3
LEAST_USUAL = 1e-3
"""A deviation, and a usual distance, are never less: still footage must not divide by zero."""


class PlaceMemory:
    """Examples of the normal motion of each place, bounded, learned in one pass."""

    def __init__(self, config: PlacesConfig | None = None) -> None:
        self.config = config or PlacesConfig()
        places = self.config.places**2
        side = np.arange(self.config.patches) // 2
        self._place = side[:, None] * self.config.places + side  # (rows, columns): of each patch
        self._examples = np.zeros((places, self.config.examples, len(FEATURES)), np.float16)
        self._count = np.zeros(places, np.int64)  # examples of each place
        self._offered = np.zeros(places, np.int64)  # patches that could have become one
        self._usual = np.zeros(places, np.float64)  # mean distance of what moved there
        self._moved = np.zeros(places, np.int64)  # patches behind it, at most `usual_patches`
        first = np.array(FIRST_SIGMA)
        self._moments = np.stack([0 * first, first**2]) * FIRST_WEIGHT  # sums of x and x²
        self._weight = float(FIRST_WEIGHT)
        self._frames = 0

    @property
    def frames(self) -> int:
        """Frames learned from."""
        return self._frames

    @property
    def examples(self) -> int:
        """Examples kept, of all places."""
        return int(self._count.sum())

    @property
    def sigma(self) -> Floats32:
        """Deviation of each feature over what has moved, (F,)."""
        mean, square = self._moments / self._weight
        deviation = np.sqrt(np.maximum(square - mean * mean, 0))
        return np.asarray(np.maximum(deviation, LEAST_SIGMA), np.float32)

    def distances(self, features: Features) -> Floats32:
        """Return how far each patch is from its place's examples, (rows, columns) float32.

        1 is the usual distance of a normal patch there; 0 where nothing moves. Every place knows
        "nothing moves"; an empty memory knows nothing else, and its usual distance is one sigma.
        features: (rows, columns, F) float32. Raises ValueError for another shape.
        """
        moving, raw = self._nearest(features)
        found = np.zeros(features.shape[:2], np.float32)
        found[moving] = raw / self._usual_distances()[self._place[moving]]
        return found

    def learn(self, features: Features) -> None:
        """Take in the next normal frame's features; see `distances`."""
        config = self.config
        moving, raw = self._nearest(features)
        x = features[moving]  # (P, F)
        place = self._place[moving]  # (P,)
        offered = np.flatnonzero(raw > config.radius)
        draws = np.random.default_rng((config.seed, self._frames)).random((len(offered), 2))
        for number, (chance, slot) in zip(offered, draws, strict=True):
            p = place[number]
            self._offered[p] = min(self._offered[p] + 1, config.remembered)
            if self._count[p] < config.examples:
                self._examples[p, self._count[p]] = x[number]
                self._count[p] += 1
            elif chance * self._offered[p] < config.examples:
                self._examples[p, int(slot * config.examples)] = x[number]
        new = np.bincount(place, minlength=len(self._count))  # patches that move in each place
        self._moved = np.minimum(self._moved + new, config.usual_patches)
        total = np.bincount(place, raw, minlength=len(new))
        here = np.flatnonzero(new)
        mean = total[here] / new[here]
        self._usual[here] += (mean - self._usual[here]) * new[here] / self._moved[here]
        wide = x.astype(np.float64)
        self._moments += np.stack([wide.sum(axis=0), (wide**2).sum(axis=0)])
        self._weight += len(x)
        self._frames += 1

    def usual_range(self, row: int, column: int, feature: str) -> tuple[float, float] | None:
        """Return the 5 % and 95 % quantiles of a feature over the examples at a patch.

        None where nothing was seen to move. Raises ValueError for an unknown feature.
        """
        place = self._place[row, column]
        known = self._examples[place, : self._count[place], FEATURES.index(feature)].astype(float)
        if not known.size:
            return None
        low, high = np.quantile(known, (0.05, 0.95))
        return float(low), float(high)

    def state_dict(self) -> dict[str, Any]:
        """Return the state as JSON-able values; `load_state_dict` continues from it bit for bit."""
        kept = np.concatenate([own[:n] for own, n in zip(self._examples, self._count, strict=True)])
        return {
            "examples": packed(kept, "<f2"),
            "count": packed(self._count, "<u2"),
            "offered": packed(self._offered, "<u4"),
            "usual": packed(self._usual, "<f8"),
            "moved": packed(self._moved, "<u4"),
            "moments": packed(self._moments, "<f8"),
            "weight": self._weight,
            "frames": self._frames,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`'s result of a memory of the same configuration.

        Raises ValueError, KeyError or TypeError where the state is broken, and changes nothing.
        """
        places = len(self._count)
        count = unpacked(state["count"], "<u2", (places,)).astype(np.int64)
        if count.max() > self.config.examples:
            raise ValueError("the state is of a larger memory of places")
        kept = unpacked(state["examples"], "<f2", (int(count.sum()), len(FEATURES)))
        examples = np.zeros_like(self._examples)
        examples[np.arange(self.config.examples) < count[:, None]] = kept
        offered = unpacked(state["offered"], "<u4", (places,)).astype(np.int64)
        usual = unpacked(state["usual"], "<f8", (places,)).astype(np.float64)
        moved = unpacked(state["moved"], "<u4", (places,)).astype(np.int64)
        moments = unpacked(state["moments"], "<f8", self._moments.shape).astype(np.float64)
        weight = float(state["weight"])
        frames = int(state["frames"])
        if not (math.isfinite(weight) and weight >= FIRST_WEIGHT and frames >= 0):
            raise ValueError("the state is not one of a memory of places")
        self._examples = examples
        self._count = count
        self._offered = offered
        self._usual = usual
        self._moved = moved
        self._moments = moments
        self._weight = weight
        self._frames = frames

    def _nearest(self, features: Features) -> tuple[npt.NDArray[np.bool_], Floats32]:
        """Return which patches move, and their distances to the nearest example, in sigmas."""
        shape = (*self._place.shape, len(FEATURES))
        if features.shape != shape:
            raise ValueError(f"features must be {shape}, not {features.shape}")
        moving = features[..., 0] > self.config.moving_share
        x = features[moving] / self.sigma  # (P, F)
        place = self._place[moving]  # (P,)
        known = self._examples[place] / self.sigma  # (P, E, F)
        squares = ((known - x[:, None]) ** 2).sum(axis=-1)  # (P, E)
        missing = np.arange(self.config.examples) >= self._count[place][:, None]
        squares[missing] = np.inf
        still = (x**2).sum(axis=-1)  # (P,): to "nothing moves"
        nearest = np.minimum(squares.min(axis=1, initial=np.inf), still)
        return moving, np.sqrt(nearest).astype(np.float32)

    def _usual_distances(self) -> Floats32:
        """Return the usual distance at each place, with its neighbours' and the whole picture's."""
        side = self.config.places
        whole = 1.0
        if self._moved.any():
            whole = float((self._usual * self._moved).sum() / self._moved.sum())
        kernel = np.array([0.25, 0.5, 0.25])
        sums, counts = (
            cv2.sepFilter2D(one.reshape(side, side), -1, kernel, kernel, borderType=0)
            for one in (self._usual * self._moved, self._moved.astype(np.float64))
        )
        prior = self.config.prior_patches
        usual = (sums + prior * whole) / (counts + prior)
        return np.asarray(np.maximum(usual.reshape(-1), LEAST_USUAL), np.float32)
