"""The score of places, its heatmap, and the regions that stand out, with what is usual there.

From the distances of `lookout.models.places`: a patch counts with its mean distance over the last
frames, a frame with the mean of its worst patches. A flicker of one frame is a fifth of itself,
and the frames that are missing after a start count as 0: a camera begins calm. No torch here.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lookout.models.arrays import PEAK, SIDE, Floats32, HeatMap, packed, unpacked
from lookout.models.motion import FEATURES, Features, PlacesConfig
from lookout.models.places import PlaceMemory

LEAST = 1e-3
"""Least multiple of the usual distance: -30 dB, such as where nothing moves."""

FULL_HEAT = 16.0
"""Multiple of the usual distance at which a cell of the heatmap is 1."""

STANDS_OUT = 4.0
"""Multiple of the usual distance from which a patch belongs to a region."""

MOST_REGIONS = 8
"""Regions of a frame, the worst first."""


@dataclass(frozen=True, slots=True)
class UsualRange:
    """A measured number of a region beside the 5 % and 95 % quantiles of its place."""

    name: str  # of FEATURES
    seen: float
    low: float | None  # None: nothing was ever seen to move there
    high: float | None


@dataclass(frozen=True, slots=True)
class StrangeRegion:
    """Connected patches that stand out, measured where most of them moves."""

    box_px: tuple[int, int, int, int]  # left, top, width, height in the model's picture
    distance: float  # of the worst patch, as a multiple of the usual one
    speed: UsualRange  # px a frame
    share: UsualRange  # of the patch that moves, 0 to 1
    direction_deg: float  # 0: to the right, 90: down; of what moves
    area_px: int  # pixels that move in the region, about

    def as_json(self) -> dict[str, Any]:
        """Return the region as plain values."""
        return asdict(self)


class PlaceScore:
    """The score of one camera's consecutive frames, in dB; higher is more abnormal."""

    def __init__(self, config: PlacesConfig | None = None) -> None:
        self._config = config or PlacesConfig()
        self._last: deque[Floats32] = deque(maxlen=self._config.lasts)
        self._newest_id: tuple[int, int] | None = None  # session and sequence number

    def update(self, frame_id: tuple[int, int], distances: Floats32) -> float:
        """Return the score of a frame; one that does not follow on the last begins anew.

        0 dB is the usual distance. frame_id: session and sequence number.
        distances: (rows, columns) float32. Raises ValueError for another shape.
        """
        sides = (self._config.patches, self._config.patches)
        if distances.shape != sides:
            raise ValueError(f"distances must be {sides}, not {distances.shape}")
        newest = self._newest_id
        if newest is None or frame_id != (newest[0], newest[1] + 1):
            self._last.clear()
        self._newest_id = frame_id
        self._last.append(distances.astype(np.float32))
        worst = np.sort(self.lasting, axis=None)[-self._config.worst :]
        return 10 * math.log10(max(float(worst.mean(dtype=np.float64)), LEAST))

    def repeat(self, frame_id: tuple[int, int]) -> float:
        """Return the score of the next frame, which is as far from normal as the last one."""
        return self.update(frame_id, self._last[-1])

    @property
    def lasting(self) -> Floats32:
        """Mean distances over the last frames, (rows, columns); missing frames count as 0."""
        total = np.zeros((self._config.patches, self._config.patches), np.float32)
        for distances in self._last:
            total += distances
        return total / np.float32(self._config.lasts)

    def worst_in(self, patches: npt.NDArray[np.bool_]) -> float:
        """Return the score of the newest frame in some patches alone, (rows, columns), in dB."""
        worst = np.sort(self.lasting[patches])[-self._config.worst :]
        mean = 0.0
        if worst.size:
            mean = float(worst.mean(dtype=np.float64))
        return 10 * math.log10(max(mean, LEAST))

    def heat(self) -> HeatMap:
        """Return the last frames' distances as a heatmap, (64, 64); FULL_HEAT is its peak."""
        # A patch covers two cells of the motion at a stride of one: its centre is their corner.
        edge = np.pad(self.lasting, 1, mode="edge")
        cells = (edge[:-1, :-1] + edge[:-1, 1:] + edge[1:, :-1] + edge[1:, 1:]) / 4
        wide = cv2.resize(cells, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
        levels = np.clip(wide / FULL_HEAT, 0, 1) * PEAK
        return np.asarray(levels.round(), np.uint16)

    def regions(
        self, memory: PlaceMemory, features: Features, least: float = STANDS_OUT
    ) -> list[StrangeRegion]:
        """Return what stands out of the newest frame, the worst first, MOST_REGIONS at most.

        features: of the newest frame. least: multiple of the usual distance.
        """
        lasting = self.lasting
        count, labels, boxes, _ = cv2.connectedComponentsWithStats(
            (lasting >= least).astype(np.uint8)
        )
        found = []
        for number in range(1, count):
            here = labels == number
            # Only what moves can be measured, and best inside it; the distances last longer.
            weight = np.where(here, lasting * features[..., 0], 0)
            if not weight.any():
                continue
            row, column = divmod(int(weight.argmax()), lasting.shape[1])
            found.append(self._measured(memory, features, boxes[number], row, column, here))
        return sorted(found, key=lambda region: -region.distance)[:MOST_REGIONS]

    def _measured(
        self,
        memory: PlaceMemory,
        features: Features,
        box: Any,  # OpenCV's: left, top, width, height in patches
        row: int,
        column: int,
        here: Any,  # (rows, columns) bool
    ) -> StrangeRegion:
        step = self._config.cell_px
        seen = dict(zip(FEATURES, features[row, column].tolist(), strict=True))
        ranges = {}
        for name in ("speed", "share"):
            low, high = memory.usual_range(row, column, name) or (None, None)
            ranges[name] = UsualRange(name, seen[name], low, high)
        left, top, width, height = (int(number) for number in box[:4])
        return StrangeRegion(
            box_px=(left * step, top * step, (width + 1) * step, (height + 1) * step),
            distance=float(self.lasting[here].max()),
            speed=ranges["speed"],
            share=ranges["share"],
            direction_deg=math.degrees(math.atan2(seen["down"], seen["right"])) % 360,
            area_px=int(features[..., 0][here].sum() * step * step),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the state for a snapshot: the distances that the next score depends on."""
        kept = list(self._last)[-self._config.lasts + 1 :]
        return {"at": self._newest_id, "last": [packed(distances, "<f4") for distances in kept]}

    @classmethod
    def from_json(cls, state: dict[str, Any], config: PlacesConfig | None = None) -> PlaceScore:
        """Continue from `to_json`'s result.

        Raises ValueError, TypeError or KeyError for anything else.
        """
        score = cls(config)
        sides = (score._config.patches, score._config.patches)
        score._last.extend(unpacked(text, "<f4", sides) for text in state["last"])
        if state["at"] is not None:
            session, number = state["at"]
            score._newest_id = (int(session), int(number))
        return score
