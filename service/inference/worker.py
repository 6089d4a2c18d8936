"""The inference worker: follows the cameras in the store, scores their frames, says how each of them does."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import threading
import time
from collections.abc import Sequence
from typing import Any, Literal

import torch

from models.bounds import Bounds, Learner
from models.device import Precision, choose_device, choose_precision
from models.errors import CheckpointError, DeviceError
from service.bus import UNAVAILABLE, Bus
from service.connections import open_bus, open_store, wait_until_up
from service.errors import SettingsError
from service.inference.follower import Followed, StoreFollower
from service.inference.line import CameraLine
from service.inference.scorers import Scorers, Signature
from service.inference.step import Ready, Result, batches, score_batch
from service.messages import Camera, FrameId, InferReport
from service.settings import Settings

log = logging.getLogger(__name__)

ROUND_EVERY_S = 0.5  # of following and reporting
RETRY_FAILED_EVERY_S = 30.0
IDLE_S = 0.005
FETCH = 8  # frames of a camera in one go


def run(settings: Settings, stop: threading.Event) -> None:
    """Score until `stop`. Raises SettingsError where the device is not there."""
    try:
        device = choose_device(settings.device)
    except DeviceError as error:
        raise SettingsError(f"LOOKOUT_DEVICE: {error}") from None
    precision = choose_precision(settings.precision, device)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    bus, store = open_bus(settings), open_store(settings)
    if wait_until_up(bus, store, stop):
        with StoreFollower(store) as follower:
            worker = Worker(settings, bus, follower, device, precision)
            log.info("inference on %s in %s, batches of up to %d", device, precision, worker.max_batch)
            worker.work(stop)


@dataclasses.dataclass(frozen=True, slots=True)
class Failed:
    """A camera that cannot be scored: why, and when that is tried again."""

    camera: Camera
    reason: str
    signature: Signature | None  # of the checkpoint: another file is tried at once
    retry_at: float


class Worker:
    """All cameras of one worker. A camera's trouble becomes its own report and harms no other."""

    def __init__(
        self, settings: Settings, bus: Bus, follower: StoreFollower, device: str, precision: Precision
    ) -> None:
        self.settings = settings
        self.bus = bus
        self.follower = follower
        self.max_batch = settings.max_batch or (32 if device.startswith("cuda") else 1)
        self.lines: dict[str, CameraLine] = {}
        self.failed: dict[str, Failed] = {}
        self._scorers = Scorers(settings.models_dir, device, precision)
        self._next_round = 0.0

    def work(self, stop: threading.Event) -> None:
        """Until `stop`: follow, fetch, score, write. While the bus is away: wait."""
        while not stop.is_set():
            try:
                if not self.turn(stop):
                    stop.wait(IDLE_S)
            except UNAVAILABLE as error:
                log.warning("the bus does not answer (%s); waiting", type(error).__name__)
                stop.wait(1.0)

    def turn(self, stop: threading.Event) -> bool:
        """One round: at most one frame of each camera. False where there was nothing to do."""
        if time.monotonic() >= self._next_round:
            self._follow()
            self._report()
            self._next_round = time.monotonic() + ROUND_EVERY_S
        ready = self._ready()
        for batch in batches(ready, self.max_batch):
            self._write(self._score(batch), stop)
        self._tell_cursors()
        return bool(ready)

    # Following the cameras

    def _follow(self) -> None:
        cameras = self.follower.cameras()
        if cameras is None:
            return
        for name in (self.lines.keys() | self.failed.keys()) - cameras.keys():
            self._let_go(name)
            self.bus.forget(name)  # what this worker wrote after the removal
        for name, followed in cameras.items():
            if followed.camera.enabled:
                self._keep(followed)
            else:
                self._let_go(name)
        self._scorers.keep_only({followed.camera.model for followed in cameras.values()})

    def _let_go(self, name: str) -> None:
        self.lines.pop(name, None)
        self.failed.pop(name, None)

    def _keep(self, followed: Followed) -> None:
        """Start the camera's line, or start it anew where the camera or its checkpoint is another."""
        camera, signature = followed.camera, self._signature(followed.camera.model)
        line, failed = self.lines.get(camera.id), self.failed.get(camera.id)
        if line is not None and (line.camera, line.signature) == (camera, signature):
            return
        known = failed is not None and (failed.camera, failed.signature) == (camera, signature)
        if failed is None or not known or time.monotonic() >= failed.retry_at:
            self._start(followed, signature)

    def _signature(self, model: str) -> Signature | None:
        try:
            return self._scorers.signature(model)
        except CheckpointError:
            return None

    def _start(self, followed: Followed, signature: Signature | None) -> None:
        camera = followed.camera
        before = self.lines.pop(camera.id, None)
        try:
            scorer, checkpoint_digest = self._scorers.get(camera.model)
            learner = self._learner(followed, scorer.checkpoint.calibration, identity(camera, checkpoint_digest))
        except CheckpointError as error:
            self._fail(camera, signature, str(error))
            return
        if before is None:
            start = self._one_window_before(self.bus.cursor(camera.id), scorer.t_length)
        else:
            start = before.handled or before.cursor
        self.failed.pop(camera.id, None)
        self.lines[camera.id] = CameraLine(
            camera, scorer, scorer.fresh_items(), learner, start, signature, identity(camera, checkpoint_digest)
        )

    def _fail(self, camera: Camera, signature: Signature | None, reason: str) -> None:
        known = self.failed.get(camera.id)
        if known is None or (known.camera, known.reason) != (camera, reason):
            log.error("camera %s: %s", camera.id, reason)
        self.lines.pop(camera.id, None)
        self.failed[camera.id] = Failed(camera, reason, signature, time.monotonic() + RETRY_FAILED_EVERY_S)

    def _one_window_before(self, cursor: FrameId | None, t_length: int) -> FrameId | None:
        """Where to read from, so that the frame after the cursor is the first with a whole window again."""
        if cursor is None:
            return None
        if cursor.seq < t_length - 1:
            return FrameId(cursor.session - 1, 2**63)  # from the session's first frame
        return FrameId(cursor.session, cursor.seq - t_length + 1)

    def _learner(self, followed: Followed, calibration: Bounds | None, of: str) -> Learner:
        """Bounds from the checkpoint, from the store where they belong to this very camera and checkpoint, or none."""
        if followed.camera.calibration == "model":
            if calibration is None:
                reason = f"model {followed.camera.model!r} holds no calibration: run `lookout calibrate`"
                raise CheckpointError(reason)
            return Learner(calibration, self.settings.learn_frames)
        saved = followed.saved
        known = Bounds(**saved["bounds"]) if saved and saved["of"] == of else None
        return Learner(known, self.settings.learn_frames)

    # Scoring

    def _ready(self) -> list[Ready]:
        hungry = {name: line.cursor for name, line in self.lines.items() if not line.fetched}
        for name, frames in self.bus.frames_after(hungry, FETCH).items():
            self.lines[name].offer(frames)
        clips = ((line, line.next_clip()) for line in self.lines.values())
        return [(line, clip) for line, clip in clips if clip is not None]

    def _score(self, batch: Sequence[Ready]) -> list[Result]:
        """One forward pass; where it fails, each camera alone, so that one cannot take the others along."""
        learning = [line for line, _ in batch if line.learner.bounds is None]
        try:
            results = score_batch(batch)
        except RuntimeError as error:
            if len(batch) > 1:
                return [result for item in batch for result in self._score([item])]
            line = batch[0][0]
            self._fail(line.camera, line.signature, f"the model cannot score it: {str(error).splitlines()[0]}")
            return []
        for line in learning:
            self._save_if_learned(line)
        return results

    def _save_if_learned(self, line: CameraLine) -> None:
        if line.learner.bounds is not None:
            bounds: dict[str, Any] = dataclasses.asdict(line.learner.bounds)
            self.follower.save_bounds(line.camera, {"of": line.identity, "bounds": bounds})

    def _write(self, results: Sequence[Result], stop: threading.Event) -> None:
        """The memory has moved on already: these results are written, however long the bus is away."""
        while results:
            try:
                self.bus.add_scores(results)
            except UNAVAILABLE as error:
                log.warning("the bus does not answer (%s); waiting", type(error).__name__)
                if stop.wait(1.0):
                    return
            else:
                for score, _ in results:
                    self.lines[score.camera].told = score.id
                return

    def _tell_cursors(self) -> None:
        """Of frames that have no score (a window's first, a wrong size) the bus hears here."""
        for name, line in self.lines.items():
            if line.handled is not None and line.handled != line.told:
                self.bus.set_cursor(name, line.handled)
                line.told = line.handled

    # Saying how it goes

    def _report(self) -> None:
        now = time.time()
        self.bus.beat("inference")
        for name, line in self.lines.items():
            state: Literal["online", "learning"] = "online" if line.learner.bounds else "learning"
            learned, needed = line.learner.learned, line.learner.needed
            self.bus.report_infer(name, InferReport(state, now, line.camera.revision, None, learned, needed))
            if line.handled is not None:
                self.bus.set_cursor(name, line.handled)  # again: the bus may have lost it
            for reason, frames in line.dropped.items():
                self.bus.count(name, f"dropped_{reason}", frames)
            line.dropped.clear()
        for name, failed in self.failed.items():
            self.bus.report_infer(name, InferReport("failed", now, failed.camera.revision, failed.reason))


def identity(camera: Camera, checkpoint_digest: str) -> str:
    """What learned bounds belong to: this camera, looking there, through these weights. Holds no password."""
    text = f"{camera.id} {camera.created_at!r} {camera.url} {checkpoint_digest}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]
