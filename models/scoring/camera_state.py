"""The scoring state of one camera: memory items, normalizer, local score and rollback.

The live service and `lookout evaluate` both advance it with `CameraState.update`, frame by frame,
so that the same frames give the same scores.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite, nan
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor, from_numpy

from lookout.models.arrays import SIDE, HeatMap, Pixels, packed, unpacked
from lookout.models.memory_update import Rollback, UpdateRule
from lookout.models.motion import Features
from lookout.models.scoring.carried import Carried
from lookout.models.scoring.local import LocalScore
from lookout.models.scoring.normalizer import Normalizer, RawScores
from lookout.models.scoring.place_state import PlaceState
from lookout.models.scoring.rotation import Rotation
from lookout.models.scoring.still import StillPicture
from lookout.models.scoring.views import Views, ViewState, ViewSwitch
from lookout.models.scoring.zone_scores import ZoneScores
from lookout.models.vision.scene_signature import SceneSignature
from lookout.models.vision.zones import ZoneMask


class StepOutput(NamedTuple):
    """Output of a scorer's step for one frame of one camera."""

    psnr_db: float
    distance: float
    gate_error: float  # nan without a memory that adapts
    memory_updated: bool
    drift: float  # of `items` from the trained ones: the largest 1 - cosine, in [0, 2]
    items: Tensor  # (M, D) float32 on the scorer's device, after the gated update
    cells: HeatMap  # (64, 64) uint16 heatmap: root mean squared error of a cell times 65535
    turns: int = 1  # frames that PSNR and distance are to be the mean of
    carried: Tensor | None = None  # uint8: a model's state for the next frame of the session

    def to_json(self) -> dict[str, Any]:
        """Return for a snapshot what a frame of the same picture repeats; None in place of nan."""
        numbers = (self.psnr_db, self.distance, self.gate_error)
        return {
            "numbers": [number if isfinite(number) else None for number in numbers],
            "turns": self.turns,
            "cells": packed(self.cells, "<u2"),
        }

    @classmethod
    def from_json(cls, state: dict[str, Any], items: Tensor) -> StepOutput:
        """Return the output that `to_json` saved, which has moved no memory (items).

        Raises ValueError, TypeError or KeyError for anything else.
        """
        numbers = [nan if number is None else float(number) for number in state["numbers"]]
        psnr_db, distance, gate_error = numbers
        cells = unpacked(state["cells"], "<u2", (SIDE, SIDE))
        turns = int(state["turns"])
        return cls(psnr_db, distance, gate_error, False, 0.0, items, cells, turns)


@dataclass(frozen=True, slots=True)
class FrameScore:
    """Score of one frame; numbers may be nan or infinite where the model overflows."""

    psnr_db: float
    distance: float
    gate_error: float  # nan without a memory that adapts
    memory_updated: bool
    value: float | None  # in (0, 1), higher is more abnormal; None while learning
    local_db: float
    place_db: float  # nan without a memory of places, and while it warms up
    drift: float  # after the frame's update, before a rollback
    rolled_back: bool  # the memory went back to the trained items after this frame
    # Value of each watched zone, as `value`.
    zones: Mapping[str, float | None] = field(default_factory=dict)
    reused: bool = False  # the picture is still that of the last score, which this one repeats


class CameraState:
    """The state that carries over from one scored frame of a camera to the next."""

    def __init__(
        self,
        trained_items: Tensor,
        normalizer: Normalizer,
        *,
        gamma: float,
        rule: UpdateRule | None,
        places: PlaceState | None = None,
        zones: ZoneMask | None = None,
        still_frames: int = 1,
    ) -> None:
        """Start from the trained memory.

        trained_items: (M, D) float32; (0, 0) without a memory that adapts.
        gamma: the published gate γ, for a guarded memory whose bounds hold no gate error.
        rule: fixed rule of the memory's update; None: guarded by the normalizer's bounds, and no
            update until there are some.
        places: the memory of places; None: the camera's score does not take it.
        zones: whose watched ones have values of their own; None: there is none.
        still_frames: of a picture that does not change, one frame in so many is scored.
        """
        self._trained_items = trained_items
        self._gamma = gamma
        self._rule = rule
        self._items = trained_items
        self._normalizer = normalizer
        self._local = LocalScore()
        self._rotation = Rotation()
        self._carried = Carried()
        self._places = places
        self._rollback = Rollback()
        self._drift = 0.0
        self._zones = ZoneScores(zones)
        self._views = Views()
        self._still = StillPicture(still_frames)
        self._outputs: dict[int, StepOutput] = {}  # part of a score in turns → its newest

    @property
    def items(self) -> Tensor:
        """The memory that the next frame reads: (M, D) float32."""
        return self._items

    @property
    def normalizer(self) -> Normalizer:
        """The source of the camera's bounds."""
        return self._normalizer

    @property
    def places(self) -> PlaceState | None:
        """The memory of places; None: `update` needs no motion."""
        return self._places

    @property
    def learned_frames(self) -> int:
        """Number of frames learned so far, of `to_learn_frames`."""
        warmed_up = 0 if self._places is None else self._places.seen_frames
        return warmed_up + self._normalizer.learned_frames

    @property
    def to_learn_frames(self) -> int:
        """Number of frames that are learned before there is a value."""
        warm_up = 0 if self._places is None else self._places.warm_up_frames
        return warm_up + self._normalizer.learn_frames

    def carried(self, session: int) -> Tensor | None:
        """Return what a model's live form takes for the next frame; None: the session begins."""
        if session != self._carried.session:
            return None
        return self._carried.state

    @property
    def drift(self) -> float:
        """The largest 1 - cosine between an item and its trained self, in [0, 2]."""
        return self._drift

    @property
    def rollbacks(self) -> int:
        """Number of times the memory went back to the trained items."""
        return self._rollback.rollbacks

    @property
    def views(self) -> Views:
        """The camera's views, by colour and by infrared light."""
        return self._views

    @property
    def rule(self) -> UpdateRule:
        """The rule by which the next frame updates the memory."""
        if self._rule is not None:
            return self._rule
        bounds = self._normalizer.bounds
        if bounds is None:
            return UpdateRule.fixed()
        return UpdateRule.guarded_by(
            bounds.gate_error, bounds.distance_high, self._trained_items.shape[1], self._gamma
        )

    def update(
        self, output: StepOutput, frame_id: tuple[int, int], motion: Features | None = None
    ) -> FrameScore:
        """Take in the next frame's output, computed with `items` and `rule`; return its score.

        frame_id: session and sequence number; a frame that does not follow on the last one
            restarts the local score.
        motion: `places.features` of the frame, where there is a memory of places.
        """
        rule = self.rule
        if self._still.is_used:
            self._outputs[frame_id[1] % output.turns] = output
        local_db = self._local.update(frame_id, output.cells)
        place_db = nan
        if self._places is not None and motion is not None:
            place_db = self._places.measure(frame_id, motion)
        psnr_db, distance = self._rotation.mean(
            frame_id, output.turns, output.psnr_db, output.distance
        )
        zones = self._zones.values(frame_id, output.cells, self._places, self._normalizer)
        raw = RawScores(psnr_db, distance, output.gate_error, local_db, place_db)
        value = self._normalizer.value(raw)
        if self._places is not None and motion is not None:
            self._places.learn(motion, value if self._normalizer.settled else None)
        self._carried = Carried(frame_id[0], output.carried)
        finite_distance = distance if isfinite(distance) else 0.0
        rolled_back = self._rollback.saw(output.drift, finite_distance, output.memory_updated, rule)
        self._items = output.items
        self._drift = output.drift
        if rolled_back:
            self._items = self._trained_items
            self._drift = 0.0
        return FrameScore(
            psnr_db=psnr_db,
            distance=distance,
            gate_error=output.gate_error,
            memory_updated=output.memory_updated,
            value=value,
            local_db=local_db,
            place_db=place_db,
            drift=output.drift,
            rolled_back=rolled_back,
            zones=zones,
        )

    def reuses(self, frame_id: tuple[int, int], newest: Pixels, frames: int) -> bool:
        """Judge the next frame, once: True where `reuse` stands in place of step and `update`.

        frame_id: session and sequence number. newest: (H, W, 3) uint8 RGB, the last picture of the
        frame's window, ignored pixels hidden. frames: of a window.
        """
        if self._places is not None:
            frames = max(frames, self._places.frames)
        turns = max((output.turns for output in self._outputs.values()), default=1)
        learns = self._normalizer.learns or self.learned_frames < self.to_learn_frames
        return self._still.may_reuse(frame_id, newest, frames, turns, learns=learns)

    def reuse(self, frame_id: tuple[int, int]) -> tuple[StepOutput, FrameScore]:
        """Return output and score of the next frame, for which `reuses` gave True.

        The output is that of the last scored frame, of the same part in a score in turns. Neither
        memory nor bounds learn from it.
        """
        turns = len(self._outputs)
        output = self._outputs[frame_id[1] % turns]
        local_db = self._local.repeat(frame_id)
        place_db = nan if self._places is None else self._places.repeat(frame_id)
        psnr_db, distance = self._rotation.mean(
            frame_id, output.turns, output.psnr_db, output.distance
        )
        zones = self._zones.repeated(frame_id, self._places, self._normalizer)
        raw = RawScores(psnr_db, distance, output.gate_error, local_db, place_db)
        score = FrameScore(
            psnr_db=psnr_db,
            distance=distance,
            gate_error=output.gate_error,
            memory_updated=False,
            value=self._normalizer.known_value(raw),
            local_db=local_db,
            place_db=place_db,
            drift=self._drift,
            rolled_back=False,
            zones=zones,
            reused=True,
        )
        return output, score

    def switch_view(self, before: SceneSignature, now: SceneSignature) -> ViewSwitch:
        """Go on with the bounds and the memory of places of another view: the scene has changed.

        A view that was not seen before is learned from its first frames. One that is left while
        its bounds are being learned is not kept.

        before, now: the pictures before and after the change.
        """
        learned = None
        if self._normalizer.bounds is not None:
            memory = None if self._places is None else self._places.memory_json()
            learned = ViewState(self._normalizer.to_json(), memory)
        switch = self._views.switch(before, now, learned)
        self._rotation = Rotation()
        self._carried = Carried()
        if switch.learned is not None:
            self._normalizer, self._places = self._parts_of(switch.learned)
            return switch
        self._normalizer = self._normalizer.reset()
        if self._places is not None:
            self._places = self._places.reset()
        return switch

    def _parts_of(self, learned: ViewState) -> tuple[Normalizer, PlaceState | None]:
        """Return what was learned of a view. Raises ValueError, TypeError or KeyError for a misfit.

        The memory of places is one of its own: no two views share an object.
        """
        normalizer = self._normalizer.restored(learned.normalizer)
        if self._places is None:
            return normalizer, None
        if learned.memory is None:
            raise ValueError("a view has no memory of places")
        return normalizer, self._places.with_memory(learned.memory)

    def state_dict(self) -> dict[str, Any]:
        """Return the state as JSON-able values; `load_state_dict` continues from it bit for bit."""
        packed = self._items.cpu().numpy().astype("<f4").tobytes()
        state = {
            "items": base64.b64encode(packed).decode(),
            "learner": self._normalizer.to_json(),
            "rollback": self._rollback.as_json(),
            "local": self._local.to_json(),
        }
        if self._rotation.turns > 1:
            state["rotation"] = self._rotation.to_json()
        if self._carried.state is not None:
            state["carried"] = self._carried.to_json()
        if self._places is not None:
            state["places"] = self._places.to_json()
        if self._views.is_used:
            state["views"] = self._views.to_json()
        if self._still.is_used:
            state["still"] = self._still.to_json()
            state["outputs"] = {str(part): one.to_json() for part, one in self._outputs.items()}
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`'s result; further keys are ignored.

        Where places were scored in another form, by an earlier version, the memory is kept and the
        bounds are learned anew.
        Raises ValueError, KeyError or TypeError where the state is broken or of another model, and
        then changes nothing.
        """
        items = self._unpack_items(state["items"])
        normalizer = self._normalizer.restored(state["learner"])
        rollback = Rollback.of_json(state["rollback"])
        local = LocalScore.from_json(state["local"])
        rotation = Rotation()
        if "rotation" in state:
            rotation = Rotation.from_json(state["rotation"])
        carried = Carried()
        if "carried" in state:
            carried = Carried.from_json(state["carried"])
        places = self._places
        if places is not None and "places" in state:
            places = places.restored(state["places"])
        is_of_form = places is None or state.get("places", {}).get("form") == places.form
        if not is_of_form:
            normalizer = self._normalizer
        views = Views()
        if "views" in state and is_of_form:
            views = Views.from_json(state["views"])
            for learned in views.parked:
                self._parts_of(learned)
        still = self._still
        outputs = self._outputs
        if still.is_used and "still" in state:
            still = still.restored(state["still"])
            outputs = {
                int(part): StepOutput.from_json(one, items)
                for part, one in state["outputs"].items()
            }
        self._still = still
        self._outputs = outputs
        self._items = items
        self._normalizer = normalizer
        self._rollback = rollback
        self._local = local
        self._zones.restored(local)
        self._rotation = rotation
        self._carried = carried
        self._places = places
        self._views = views

    def load_places(self, state: dict[str, Any]) -> bool:
        """Take the memory of places alone from `state_dict`'s result of any network.

        Returns False where either has none. Raises ValueError, KeyError or TypeError where it is
        broken, and then changes nothing.
        """
        if self._places is None or "places" not in state:
            return False
        self._places = self._places.restored(state["places"])
        return True

    def _unpack_items(self, text: str) -> Tensor:
        """Return the items (M, D) on the trained ones' device. Raises ValueError for a misfit."""
        numbers = np.frombuffer(base64.b64decode(text, validate=True), "<f4")
        trained = self._trained_items
        if numbers.size != trained.numel() or not np.isfinite(numbers).all():
            raise ValueError("the memory is not this model's")
        return from_numpy(numbers.reshape(tuple(trained.shape)).copy()).to(trained.device)
