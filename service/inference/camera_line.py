"""One camera inside the inference worker: the objects that hold its state, joined."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from torch import Tensor, from_numpy

from lookout.models.arrays import HeatMap
from lookout.models.motion import Features
from lookout.models.scorer import Scorer
from lookout.models.scoring.calibration import HIGH
from lookout.models.scoring.camera_state import CameraState, FrameScore, StepOutput
from lookout.models.scoring.views import ViewSwitch
from lookout.models.vision.tensors import Window
from lookout.models.vision.zones import ZoneMask
from lookout.service.core.camera import Camera
from lookout.service.core.messages import CameraEvent, Frame, FrameId, Heat, Score
from lookout.service.inference.frame_accounting import RECONNECT, FrameAccounting, FrameFormat
from lookout.service.inference.outbox import CaptureRate, Outbox, RecentScores
from lookout.service.inference.scene_watch import SceneWatch
from lookout.service.inference.scorers import Signature
from lookout.service.inference.snapshots import SnapshotProgress, snapshot_state
from lookout.service.storage.bus.counters import WINDOW
from lookout.service.storage.bus.outcomes import ScoredFrame
from lookout.service.storage.redis import codec
from lookout.service.storage.store.snapshots import Snapshot

log = logging.getLogger(__name__)


FILLING = (WINDOW, RECONNECT)
"""Reasons of frames that only filled a window."""


class CameraLine:
    """Passes frames from the accounting to the scorer, and what becomes of them to the outbox.

    Each of its parts is the only writer of its own state: `frames` the window, gaps and cursor;
    `state` the memory and bounds; `outbox` what the bus is to be sent; `snapshots` what the store
    has; `watch` the scene.
    """

    def __init__(
        self,
        camera: Camera,
        scorer: Scorer,
        state: CameraState,
        accounted_id: FrameId | None,
        *,
        watch: SceneWatch | None = None,
        epoch: int = 0,
        signature: Signature | None = None,
        identity: str = "",
        view: str = "",
        recorded_id: FrameId | None = None,
        zones: ZoneMask | None = None,
    ) -> None:
        """accounted_id: every frame up to it is accounted for.

        recorded_id: the bus has outcomes of a former owner up to this frame.
        epoch: of this ownership. signature: of the checkpoint's file as it was loaded.
        identity: to which snapshots belong; view: to which a memory of places does.
        zones: of the camera, at the model's size; None: it has none.
        """
        preprocess = scorer.checkpoint.preprocess
        frame_format = FrameFormat(
            camera=camera.id,
            height_px=preprocess.height_px,
            width_px=preprocess.width_px,
            scored=scorer.input_spec.scored,
            revision=camera.revision,
            is_live=camera.live,
        )
        self.camera = camera
        self.scorer = scorer
        self.epoch = epoch
        self.signature = signature
        self.identity = identity
        self.view = view
        self.state = state
        self.weights: Tensor | None = None  # (H, W) on the scorer's device; None: all count alike
        self._zones = zones
        if zones is not None and zones.ignores:
            self.weights = from_numpy(zones.weights).to(scorer.device)
        self.watch = watch or SceneWatch()
        self.frames = FrameAccounting(
            frame_format,
            Window(scorer.t_length, scorer.device),
            accounted_id,
            self.scene_drop_reason,
            self.watch.last_unsettled_id,
        )
        self.outbox = Outbox(accounted_id, recorded_id)
        self.snapshots = SnapshotProgress(accounted_id)
        self.recent = RecentScores(time.monotonic())
        self.rate = CaptureRate()
        self.drop_reason: str | None = None  # of frames left out since the newest score
        self._events: list[CameraEvent] = []

    def offer(self, frames: Iterable[Frame]) -> None:
        """Take the next frames from the bus, in order, with their ignored zones hidden."""
        zones = self._zones
        if zones is not None and zones.ignores:
            frames = [replace(frame, pixels=zones.hide(frame.pixels)) for frame in frames]
        self.frames.offer(frames)

    def next_frame(self) -> Frame | None:
        """Return the next frame to score; see `FrameAccounting.next_frame`."""
        frame = self.frames.next_frame()
        self._move_gaps()
        return frame

    def skip(self, frames: Iterable[FrameId]) -> None:
        """Leave frames out; see `FrameAccounting.skip`."""
        self.frames.skip(frames)
        self._move_gaps()

    def end_session(self) -> None:
        """Count the frames that wait: no later ones will come."""
        self.frames.end_session()
        self._move_gaps()

    def resume_after_bus_restart(self) -> None:
        """Write the newest outcomes again first, and count frames that are missing now as lost."""
        self.frames.resume_after_bus_restart()
        self.outbox.note_new_bus()

    def motion(self, frame: Frame) -> Features | None:
        """Return the motion of `next_frame`'s result; None without a memory of places."""
        if self.state.places is None:
            return None
        scored = self.scorer.input_spec.scored
        pair = self.frames.clip()[scored - 1 : scored + 1].cpu().numpy()  # (2, H, W, 3)
        return self.state.places.features(frame.id, pair[0], pair[1])

    def reuses(self, frame: Frame) -> bool:
        """Judge `next_frame`'s result, once: True where `repeat` stands in place of `record`."""
        if self.camera.still_frames == 1:
            return False
        newest = self.frames.newest_pixels()
        return self.state.reuses(frame.id, newest, self.scorer.t_length)

    def repeat(self, frame: Frame, scored_at: float) -> None:
        """Take the last score for `next_frame`'s result, whose picture is still the same."""
        output, frame_score = self.state.reuse(frame.id)
        self._send(frame, output, frame_score, scored_at, None)

    def record(
        self,
        frame: Frame,
        output: StepOutput,
        scored_at: float,
        motion: Features | None = None,
    ) -> None:
        """Take the scorer's output for `next_frame`'s result, and its motion."""
        frame_score = self.state.update(output, frame.id, motion)
        self._send(frame, output, frame_score, scored_at, motion)
        if frame_score.rolled_back:
            log.warning(
                "camera %s: its memory was held at its bound for long; back to the trained one",
                frame.camera,
                extra={"camera": frame.camera, "session": frame.session, "seq": frame.seq},
            )

    def _send(
        self,
        frame: Frame,
        output: StepOutput,
        frame_score: FrameScore,
        scored_at: float,
        motion: Features | None,
    ) -> None:
        score = self.score_message(frame, frame_score, scored_at)
        cells = self.cells(output, frame_score)
        heat = Heat(frame.camera, *frame.id, cells, self.motions(frame_score, motion))
        self.outbox.add(ScoredFrame(score, heat, frame.captured if self.camera.live else None))
        self.recent.add(score.value, time.monotonic())
        self.rate.add(frame.id, frame.captured_at)
        self.drop_reason = None

    def cells(self, output: StepOutput, frame_score: FrameScore) -> HeatMap:
        """Return the heatmap of what the camera's score is made of."""
        places = self.state.places
        if places is None or not math.isfinite(frame_score.place_db):
            return output.cells
        if self.camera.score == "places":
            return places.heat()
        return np.maximum(output.cells, places.heat())

    def motions(self, frame_score: FrameScore, motion: Features | None) -> str:
        """Return as JSON what moves strangely; empty in a frame that is normal.

        motion: of the frame; None without a memory of places.
        """
        places = self.state.places
        if places is None or motion is None or not math.isfinite(frame_score.place_db):
            return ""
        if frame_score.value is None or frame_score.value < HIGH:
            return ""
        return codec.dump(places.motions(motion))

    def take_events(self) -> list[CameraEvent]:
        """Return the events since the last call."""
        events = self._events
        self._events = []
        return events

    def snapshot(self) -> Snapshot | None:
        """Return the state after the last accounted frame.

        None without any frame, or while the bus lacks an outcome.
        """
        accounted_id = self.frames.accounted_id
        if accounted_id is None or self.outbox.unsent:
            return None
        saved = snapshot_state(self.identity, self.view, self.state, self.watch)
        return Snapshot(accounted_id, saved)

    def scene_drop_reason(self, frame: Frame) -> str:
        """Return "scene_change" for a frame of a picture that has just changed, else ""."""
        verdict = self.watch.observe(frame)
        events = verdict.events
        if verdict.change is not None and self.camera.calibration == "learn":
            # The bounds are those of the former scene.
            view = self.state.switch_view(verdict.change.before, verdict.change.now)
            events = [
                replace(event, detail=f"{event.detail}; {view_words(view)}")
                if event.kind == "scene_change"
                else event
                for event in events
            ]
        self._events += events
        return "" if verdict.settled else "scene_change"

    def _move_gaps(self) -> None:
        for gap in self.frames.take_gaps():
            self.outbox.add(gap)
            if gap.reason not in FILLING:
                self.drop_reason = gap.reason

    def score_message(self, frame: Frame, result: FrameScore, scored_at: float) -> Score:
        """Return the message for one score; what the model does not compute is None."""
        spec = self.scorer.input_spec
        return Score(
            camera=frame.camera,
            session=frame.session,
            seq=frame.seq,
            captured_at=frame.captured_at,
            scored_at=scored_at,
            model=self.camera.model,
            psnr_db=finite(result.psnr_db),
            distance=finite(result.distance) if spec.distance else None,
            gate_error=finite(result.gate_error),
            memory_updated=result.memory_updated if spec.memory == "adapts" else None,
            value=finite(result.value),
            local_db=result.local_db,
            place_db=finite(result.place_db),
            zones={name: finite(value) for name, value in result.zones.items()},
            reused=result.reused,
        )


def view_words(view: ViewSwitch) -> str:
    """Return for a person which view of the camera begins, and what is known of it."""
    words = f"view {view.name}, which it knows"
    if view.learned is None:
        words = f"view {view.name}, which it learns"
    if view.dropped is not None:
        words += f" in place of {view.dropped}"
    return words


def finite(number: float | None) -> float | None:
    """Return the number; None for nan and infinity, which JSON does not have."""
    return number if number is not None and math.isfinite(number) else None
