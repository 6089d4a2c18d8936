"""Jobs that replay recordings."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

from lookout.service.core.errors import BrokenMessageError, NotFoundError
from lookout.service.core.replay import REPLAY, ReplayJob
from lookout.service.storage.redis import codec, keys
from lookout.service.storage.store.job_table import JobTable
from lookout.service.storage.store.mending import SettingAside

REPLAYS_KEPT = 10  # of a camera, finished ones


class Replays(SettingAside):
    """The replays of each camera; one at most is active. Every write names the state before it."""

    @property
    def _replays(self) -> JobTable[ReplayJob]:
        return JobTable(self._redis, keys.replays, read_replay)

    def add_replay(self, job: ReplayJob) -> ReplayJob:
        """Add a replay and return it with its number.

        Raises ConflictError, which names the camera's active one, where there is one.
        """
        return replace(job, number=self._replays.add(job, REPLAYS_KEPT))

    def save_replay(self, before: ReplayJob, job: ReplayJob) -> ReplayJob | None:
        """Write a replay in the place of `before`, and return it with the time of its state.

        None where `before` is not in its state any more.
        """
        if job.state != before.state:
            job = replace(job, changed_at=time.time())
        return job if self._replays.save(before, job) else None

    def replay(self, job_id: str) -> ReplayJob:
        """Return a replay by its id. Raises NotFoundError."""
        camera, _, name = job_id.rpartition(":")
        found = None
        if name.startswith(REPLAY):
            found = self._replays.one(camera, name.removeprefix(REPLAY))
        if found is None:
            raise NotFoundError(f"there is no job {job_id!r}", code="no_job")
        return found

    def replays(self, cameras: Iterable[str]) -> list[ReplayJob]:
        """Return the replays of cameras, newest first."""
        jobs = self._replays.all(cameras)
        return sorted(jobs, key=lambda job: (job.created_at, job.number), reverse=True)

    def active_replays(self, cameras: Iterable[str]) -> dict[str, ReplayJob]:
        """Return the replay of each camera that has one which is not over."""
        return self._replays.active(cameras, self.mark)

    def forget_replays(self, camera: str) -> None:
        """Drop the replays of a removed camera."""
        self._replays.forget(camera)


def read_replay(camera: str, number: bytes, text: bytes | None) -> ReplayJob | None:
    """Return a replay of its hash's field; None for another field, or where it cannot be read."""
    if text is None or not number.isdigit():
        return None
    try:
        job = replace(codec.load(ReplayJob, text), number=int(number))
        for one in (job.created_at, job.changed_at, job.progress, job.until or 0.0):
            codec.finite(one)
    except (BrokenMessageError, ValueError):
        return None
    if job.camera != camera:
        return None
    return job
