"""The memory of places of one camera, as it follows the camera: measure first, then learn.

A frame is measured against what was normal before it, and learned afterwards. In the first minutes
every frame is; once the bounds have settled, a frame that looks abnormal is not: what is unusual
must not become usual by lasting.
"""

from __future__ import annotations

from math import nan
from typing import Any

from lookout.models.arrays import HeatMap, Pixels
from lookout.models.media.preprocess import resized
from lookout.models.motion import Features, MotionFeatures, PlacesConfig
from lookout.models.places import PlaceMemory
from lookout.models.scoring.alert_regions import Motion, motion_of
from lookout.models.scoring.calibration import HIGH
from lookout.models.scoring.places import PlaceScore
from lookout.models.vision.zones import PixelMask, ZoneMask


class PlaceState:
    """Measures and learns the motion of one camera's consecutive frames."""

    def __init__(
        self,
        warm_up_frames: int,
        config: PlacesConfig | None = None,
        zones: ZoneMask | None = None,
    ) -> None:
        """warm_up_frames: learned before anything is measured. zones: None: all patches count."""
        self._config = config or PlacesConfig()
        self._warm_up_frames = warm_up_frames
        self._zones = zones
        self._ignored: PixelMask | None = None  # (rows, columns): patches
        if zones is not None and zones.ignores:
            self._ignored = ~zones.patches(self._config.side_px, self._config.cell_px)
        self._motion = MotionFeatures(self._config)
        self._memory = PlaceMemory(self._config)
        self._score = PlaceScore(self._config)

    @property
    def seen_frames(self) -> int:
        """Number of warm-up frames learned so far, of `warm_up_frames`."""
        return min(self._memory.frames, self._warm_up_frames)

    @property
    def form(self) -> list[float]:
        """Return the numbers that the height of a score hangs on: bounds belong to one form."""
        return [self._config.lasts, self._config.worst, self._config.noise_times]

    @property
    def frames(self) -> int:
        """Consecutive pictures that the motion of a frame is taken from."""
        return self._config.flow_frames + 1

    @property
    def warm_up_frames(self) -> int:
        """Number of frames that are learned before anything is measured."""
        return self._warm_up_frames

    def reset(self) -> PlaceState:
        """Return one with the same settings that has learned nothing."""
        return PlaceState(self._warm_up_frames, self._config, self._zones)

    def features(self, frame_id: tuple[int, int], previous: Pixels, frame: Pixels) -> Features:
        """Return the motion features of the next frame, for `measure`.

        frame_id: session and sequence number. previous, frame: consecutive, (H, W, 3) uint8 RGB of
            any size; what is not a square of `side_px` is resized to one. Ignored pixels are hidden
            in them (`ZoneMask.hide`); nothing moves in an ignored patch.
        """
        sides = (self._config.side_px, self._config.side_px)
        if frame.shape[:2] != sides:
            previous = resized(previous, sides)
            frame = resized(frame, sides)
        features = self._motion.update(frame_id, previous, frame)
        if self._ignored is not None:
            features[self._ignored] = 0
        return features

    def measure(self, frame_id: tuple[int, int], features: Features) -> float:
        """Return how far the next frame is from what is normal, in dB; nan while warming up."""
        if self.seen_frames < self._warm_up_frames:
            return nan
        return self._score.update(frame_id, self._memory.distances(features))

    def repeat(self, frame_id: tuple[int, int]) -> float:
        """Return the score of the next frame, whose picture is still that of the last one.

        Only once the memory has warmed up; nothing is learned.
        """
        self._motion.repeat(frame_id)
        return self._score.repeat(frame_id)

    def score_in(self, patches: PixelMask) -> float:
        """Return the score in some patches of the frame that was measured last, in dB.

        patches: (rows, columns). nan while warming up.
        """
        if self.seen_frames < self._warm_up_frames:
            return nan
        return self._score.worst_in(patches)

    def heat(self) -> HeatMap:
        """Return the heatmap of the frame that was measured last, (64, 64); 0 where ignored."""
        heat = self._score.heat()
        if self._zones is not None:
            heat[~self._zones.cells] = 0
        return heat

    def motions(self, features: Features) -> list[Motion]:
        """Return what moves strangely in the frame that was measured last, the worst first."""
        found = self._score.regions(self._memory, features)
        return [motion_of(region, self._config.side_px) for region in found]

    def learn(self, features: Features, value: float | None) -> None:
        """Learn the frame that was measured last; not where its value is above normal.

        value: of the frame, in (0, 1); None while the bounds are not settled.
        """
        if value is None or value < HIGH:
            self._memory.learn(features)

    def memory_json(self) -> dict[str, Any]:
        """Return the memory alone, for `with_memory`, up to 0.3 MB of text."""
        return self._memory.state_dict()

    def with_memory(self, memory: dict[str, Any]) -> PlaceState:
        """Return one with the same settings and another memory, whose next frame is its first.

        Raises ValueError, TypeError or KeyError where `memory_json` did not make it.
        """
        state = self.reset()
        state._memory.load_state_dict(memory)
        return state

    def to_json(self) -> dict[str, Any]:
        """Return the state for a snapshot, about 0.3 MB of text."""
        return {
            "form": self.form,
            "motion": self._motion.to_json(),
            "memory": self._memory.state_dict(),
            "score": self._score.to_json(),
        }

    def restored(self, state: dict[str, Any]) -> PlaceState:
        """Return one with the same settings that continues from `to_json`'s result.

        Raises ValueError, TypeError or KeyError for anything else.
        """
        restored = self.reset()
        restored._motion.load_json(state["motion"])
        restored._memory.load_state_dict(state["memory"])
        restored._score = PlaceScore.from_json(state["score"], self._config)
        return restored
