"""The inference worker: follows the cameras in the store, scores their frames, says how each of them does."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Sequence
from typing import Literal

import torch

from models.bounds import Bounds, Learner
from models.errors import CheckpointError
from models.scorer import Precision, best_precision
from service.bus import UNAVAILABLE, Bus
from service.connections import open_bus, open_store, wait_until_up
from service.errors import SettingsError
from service.inference.line import CameraLine
from service.inference.scorers import Scorers
from service.inference.step import Ready, Result, batches, score_batch
from service.messages import Camera, FrameId, InferReport
from service.settings import Settings
from service.store import Store

log = logging.getLogger(__name__)

FOLLOW_EVERY_S = 0.5
IDLE_S = 0.005
FETCH = 8  # frames of a camera in one go


def run(settings: Settings, stop: threading.Event) -> None:
    """Score until `stop`. Raises SettingsError where the device is not there."""
    device = choose_device(settings.device)
    precision: Precision = best_precision(device) if settings.precision == "auto" else settings.precision
    if settings.threads:
        torch.set_num_threads(settings.threads)
    worker = Worker(settings, open_bus(settings), open_store(settings), device, precision)
    log.info("inference on %s in %s, batches of up to %d", device, precision, worker.max_batch)
    if wait_until_up(worker.bus, worker.store, stop):
        worker.work(stop)


def choose_device(wanted: str) -> str:
    """`auto` is the first GPU where there is one. Raises SettingsError for a GPU that is not there."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise SettingsError("LOOKOUT_DEVICE asks for a GPU, and torch sees none (drivers? a CPU build of torch?)")
    return wanted


class Worker:
    """All cameras of one worker. A camera's trouble becomes its own report and harms no other."""

    def __init__(self, settings: Settings, bus: Bus, store: Store, device: str, precision: Precision) -> None:
        self.settings = settings
        self.bus = bus
        self.store = store
        self.max_batch = settings.max_batch or (32 if device.startswith("cuda") else 1)
        self.lines: dict[str, CameraLine] = {}
        self.failed: dict[str, tuple[Camera, str]] = {}
        self._scorers = Scorers(settings.models_dir, device, precision)
        self._followed_at = 0.0
        self._unsaved: set[str] = set()  # cameras whose bounds the store does not hold yet

    def work(self, stop: threading.Event) -> None:
        """Until `stop`: follow, fetch, score, write. While Redis is away: wait."""
        while not stop.is_set():
            try:
                if not self.turn(stop):
                    stop.wait(IDLE_S)
            except UNAVAILABLE as error:
                log.warning("Redis does not answer (%s); waiting", type(error).__name__)
                stop.wait(1.0)

    def turn(self, stop: threading.Event) -> bool:
        """One round: at most one frame of each camera. False where there was nothing to do."""
        self._follow_when_due()
        ready = self._ready()
        for batch in batches(ready, self.max_batch):
            results = self._score(batch)
            self._write(results, stop)
        return bool(ready)

    # Following the cameras

    def _follow_when_due(self) -> None:
        if time.monotonic() - self._followed_at < FOLLOW_EVERY_S:
            return
        self.bus.beat("inference")
        try:
            self._follow(self.store.cameras())
            self._save_bounds()
        except UNAVAILABLE as error:  # without the store, scoring goes on
            log.warning("the store does not answer (%s); scoring goes on", type(error).__name__)
        self._report()
        self._followed_at = time.monotonic()

    def _follow(self, cameras: dict[str, Camera]) -> None:
        wanted = {name: camera for name, camera in cameras.items() if camera.enabled}
        for name in self.lines.keys() - wanted.keys():
            del self.lines[name]
        for name in self.failed.keys() - wanted.keys():
            del self.failed[name]
        for name, camera in wanted.items():
            line = self.lines.get(name)
            if line is None or line.camera.revision != camera.revision:
                self._start(camera)
        self._scorers.keep_only({camera.model for camera in wanted.values()})

    def _start(self, camera: Camera) -> None:
        """Make the camera's line, or note why that cannot be; a failed one is tried again with each round."""
        self.lines.pop(camera.id, None)
        try:
            scorer = self._scorers.get(camera.model)
            learner = self._learner(camera, scorer.checkpoint.calibration)
        except CheckpointError as error:
            if self.failed.get(camera.id) != (camera, str(error)):
                log.error("camera %s: %s", camera.id, error)
            self.failed[camera.id] = (camera, str(error))
            return
        self.failed.pop(camera.id, None)
        start = self._one_window_before(self.bus.cursor(camera.id), scorer.t_length)
        self.lines[camera.id] = CameraLine(camera, scorer, scorer.fresh_items(), learner, start)

    def _one_window_before(self, cursor: FrameId | None, t_length: int) -> FrameId | None:
        """Where to read from, so that the frame after the cursor is the first with a whole window again."""
        if cursor is None or cursor.seq < t_length - 1:
            return None if cursor is None else FrameId(cursor.session - 1, 2**63)
        return FrameId(cursor.session, cursor.seq - t_length + 1)

    def _learner(self, camera: Camera, calibration: Bounds | None) -> Learner:
        if camera.calibration == "model":
            if calibration is None:
                raise CheckpointError(f"model {camera.model!r} holds no calibration: run `lookout calibrate`")
            return Learner(calibration, self.settings.learn_frames)
        saved = self.store.bounds(camera.id)
        known = Bounds(**saved["bounds"]) if saved and saved["model"] == camera.model else None
        return Learner(known, self.settings.learn_frames)

    # Scoring

    def _ready(self) -> list[Ready]:
        hungry = {name: line.cursor for name, line in self.lines.items() if not line.fetched}
        for name, frames in self.bus.frames_after(hungry, FETCH).items():
            self.lines[name].offer(frames)
        ready = []
        for line in self.lines.values():
            clip = line.next_clip()
            if clip is not None:
                ready.append((line, clip))
            elif line.handled is not None and line.handled != line.told:
                self.bus.set_cursor(line.camera.id, line.handled)
            line.told = line.handled  # of a scored frame the bus hears with its score
        return ready

    def _score(self, batch: Sequence[Ready]) -> list[Result]:
        """One forward pass; where it fails, each camera alone, so that one cannot take the others along."""
        learning = {line.camera.id for line, _ in batch if line.learner.bounds is None}
        try:
            results = score_batch(batch)
        except RuntimeError as error:
            if len(batch) == 1:
                self._fail(batch[0][0], f"the model cannot score this camera: {str(error).splitlines()[0]}")
                return []
            return [result for item in batch for result in self._score([item])]
        self._unsaved |= {line.camera.id for line, _ in batch if line.camera.id in learning and line.learner.bounds}
        return results

    def _fail(self, line: CameraLine, reason: str) -> None:
        log.error("camera %s: %s", line.camera.id, reason)
        del self.lines[line.camera.id]
        self.failed[line.camera.id] = (line.camera, reason)

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
                return

    # Saying how it goes

    def _report(self) -> None:
        now = time.time()
        for name, line in self.lines.items():
            state: Literal["online", "learning"] = "online" if line.learner.bounds else "learning"
            learned, needed = line.learner.learned, line.learner.needed
            self.bus.report_infer(name, InferReport(state, now, line.camera.revision, None, learned, needed))
            for reason, frames in line.dropped.items():
                self.bus.count(name, f"dropped_{reason}", frames)
            line.dropped.clear()
        for name, (camera, reason) in self.failed.items():
            self.bus.report_infer(name, InferReport("failed", now, camera.revision, reason))

    def _save_bounds(self) -> None:
        for name in list(self._unsaved):
            line = self.lines.get(name)
            if line is not None and line.learner.bounds is not None:
                bounds = dataclasses.asdict(line.learner.bounds)
                self.store.save_bounds(name, {"model": line.camera.model, "bounds": bounds})
            self._unsaved.discard(name)
