"""The self-tests of the cameras that a worker owns: one niced process at a time."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lookout.models.media.lossless_clip import write_lossless
from lookout.service.core.camera import Camera
from lookout.service.core.errors import BrokenMessageError, LookoutError
from lookout.service.core.messages import Frame, FrameId
from lookout.service.core.self_test import SelfTest
from lookout.service.core.settings import Settings
from lookout.service.learning.training import TrainingProcess
from lookout.service.learning.training_files import read_json
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.camera_copy import copy_camera
from lookout.service.storage.replay_files import ReplayFiles, ReplayTask
from lookout.service.storage.store.store import Store

log = logging.getLogger(__name__)

MODULE = "replay.self_test"
LOOK_EVERY_S = 10.0
AT_ONCE = 2
"""Cameras that are due at once; the others wait for their turn."""

FRAMES = 256
LIMIT_S = 600.0
"""A test that takes longer, pauses not counted, is given up."""


class SelfTests:
    """Follows which camera is due, and its process. Methods may raise one of UNAVAILABLE."""

    def __init__(self, settings: Settings, bus: Bus, store: Store) -> None:
        self.process: TrainingProcess | None = None
        self._settings = settings
        self._bus = bus
        self._store = store
        self._due: set[str] = set()
        self._look_at = 0.0  # monotonic s
        self._camera: Camera | None = None  # whose test is under way
        self._files: ReplayFiles | None = None
        self._ends_at = 0.0  # monotonic s

    @property
    def is_running(self) -> bool:
        """Whether a process is there."""
        return self.process is not None

    def due(self, cameras: Mapping[str, Camera]) -> set[str]:
        """Return the cameras that are to be tested now, and the one that is."""
        every_s = 3600 * self._settings.self_test_every_h
        now_s = time.monotonic()
        if now_s >= self._look_at:
            self._look_at = now_s + LOOK_EVERY_S
            self._due = set()
            if every_s:
                self._due = self.look(cameras, every_s)
        wanted = set(self._due)
        if self._camera is not None:
            wanted.add(self._camera.id)
        return wanted & cameras.keys()

    def look(self, cameras: Mapping[str, Camera], every_s: float) -> set[str]:
        """Read from the store which cameras are due."""
        now = time.time()
        known = self._store.self_tests(cameras)
        # A new camera learns first: it counts as one whose test could not be made.
        last = {
            name: known.get(name) or SelfTest(camera.created_at, camera.revision)
            for name, camera in cameras.items()
            if camera.enabled and camera.live
        }
        late = [
            (test.at, name)
            for name, test in last.items()
            if test.is_due_again(now, every_s, cameras[name].revision)
        ]
        overviews = self._bus.overview([name for _, name in late])
        online = [
            (at, name)
            for at, name in late
            if (report := overviews[name].inference) is not None and report.state == "online"
        ]
        return {name for _, name in sorted(online)[:AT_ONCE]}

    def step(self, owned: Mapping[str, Camera], *, may_start: bool, pause: bool) -> None:
        """Work on the tests of the owned cameras that are due."""
        if self._camera is not None and self._camera.id not in owned:
            self.stop()
        if self.process is not None:
            self.follow(self.process, pause)
        elif may_start:
            name = next((name for name in sorted(owned) if name in self._due), None)
            if name is not None:
                self.begin(owned[name])

    def begin(self, camera: Camera) -> None:
        """Start the test of a camera, or note why that cannot be."""
        settings = self._settings
        self._due.discard(camera.id)
        folder = settings.data_dir / "learning" / camera.id / "self-test"
        files = ReplayFiles(folder)
        try:
            copy = copy_camera(settings, self._bus, self._store, camera.id)
            frames = recent(self.newest_frames(camera.id))
            task = ReplayTask.of(settings, folder / "clip.mkv", copy)
            files.ask(task)
            write_frames(Path(task.path), frames)
        except (LookoutError, ValueError) as error:
            self.note(camera, SelfTest(time.time(), camera.revision, reason=str(error)))
            shutil.rmtree(folder, ignore_errors=True)
            return
        except OSError as error:
            reason = f"{error.filename or folder}: {error.strerror or error}"
            self.note(camera, SelfTest(time.time(), camera.revision, reason=reason))
            return
        self._camera = camera
        self._files = files
        self._ends_at = time.monotonic() + LIMIT_S
        self.process = TrainingProcess(folder, MODULE)

    def newest_frames(self, camera: str) -> list[Frame]:
        """Return the newest frames on the bus, FRAMES at most, ascending."""
        newest = self._bus.newest_frame_id(camera)
        after = None
        if newest is not None and newest.seq >= FRAMES:
            after = FrameId(newest.session, newest.seq - FRAMES)
        return self._bus.frames_after({camera: after}, FRAMES).get(camera, [])

    def follow(self, process: TrainingProcess, pause: bool) -> None:
        """Follow the process to its end."""
        assert self._camera is not None  # noqa: S101
        assert self._files is not None  # noqa: S101
        code = process.exit_code()
        if code is None:
            if pause:
                self._ends_at = max(self._ends_at, time.monotonic() + LIMIT_S)
            process.pause(pause)
            if time.monotonic() < self._ends_at:
                return
        camera = self._camera
        result = read_json(self._files.result, SelfTest)
        if result is None:
            words = process.last_words()
            reason = f"its process ended with code {code}" + f" ({words})" * bool(words)
            if code is None:
                reason = f"it took longer than {LIMIT_S:g} s"
            result = SelfTest(time.time(), camera.revision, reason=reason)
        self.note(camera, replace(result, revision=camera.revision))
        self.stop()

    def note(self, camera: Camera, result: SelfTest) -> None:
        """Store a result, and log it where somebody should know."""
        self._store.save_self_test(camera.id, result)
        about = {"camera": camera.id}
        if result.is_blind:
            log.warning("camera %s: %s", camera.id, result.sentence, extra=about)
        elif result.reason:
            log.info("camera %s: no self-test: %s", camera.id, result.reason, extra=about)

    def stop(self) -> None:
        """End the process, and remove its files."""
        if self.process is not None:
            self.process.stop()
        if self._files is not None:
            shutil.rmtree(self._files.folder, ignore_errors=True)
        self.process = None
        self._camera = None
        self._files = None


def recent(frames: Sequence[Frame]) -> list[Frame]:
    """Return the last frames that follow each other. frames: ascending.

    Raises ValueError where there is none.
    """
    found: list[Frame] = []
    for frame in reversed(frames):
        if not frame.pixels.size:
            break
        if found and (
            frame.id != (found[-1].session, found[-1].seq - 1)
            or frame.pixels.shape != found[-1].pixels.shape
        ):
            break
        found.append(frame)
    if not found:
        raise ValueError("there are no recent frames")
    return found[::-1]


def write_frames(path: Path, frames: Sequence[Frame]) -> None:
    """Write frames that follow each other as a clip that reads back bit for bit.

    Raises OSError, and BrokenMessageError for times that do not ascend.
    """
    seconds = frames[-1].captured_at - frames[0].captured_at
    if len(frames) > 1 and seconds <= 0:
        raise BrokenMessageError("the times of its frames do not ascend")
    fps = (len(frames) - 1) / seconds if seconds > 0 else 1.0
    write_lossless(path, np.stack([frame.pixels for frame in frames]), fps)
