"""Jobs of learning, and the models that each camera had before."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import cast

from lookout.service.core.errors import BrokenMessageError, NotFoundError
from lookout.service.core.jobs import FormerModel, LearningJob
from lookout.service.storage.redis import codec, keys
from lookout.service.storage.store.job_table import JobTable
from lookout.service.storage.store.mending import SettingAside

JOBS_KEPT = 20  # of a camera, finished ones
FORMER_KEPT = 3
"""Models that a camera can go back to."""


class Jobs(SettingAside):
    """The jobs of each camera; one at most is active. Every write names the state before it."""

    @property
    def _jobs(self) -> JobTable[LearningJob]:
        return JobTable(self._redis, keys.jobs, read_job)

    def add_job(self, job: LearningJob) -> LearningJob:
        """Add a job and return it with its number.

        Raises ConflictError, which names the camera's active job, where there is one.
        """
        return replace(job, number=self._jobs.add(job, JOBS_KEPT))

    def save_job(self, before: LearningJob, job: LearningJob) -> LearningJob | None:
        """Write a job in the place of `before`, and return it with the time of its state.

        None where `before` is not in its state any more.
        """
        if job.state != before.state:
            job = replace(job, changed_at=time.time())
        return job if self._jobs.save(before, job) else None

    def job(self, job_id: str) -> LearningJob:
        """Return a job by its id. Raises NotFoundError."""
        camera, _, number = job_id.rpartition(":")
        job = self._jobs.one(camera, number)
        if job is None:
            raise NotFoundError(f"there is no job {job_id!r}", code="no_job")
        return job

    def jobs(self, cameras: Iterable[str]) -> list[LearningJob]:
        """Return the jobs of cameras, newest first."""
        jobs = self._jobs.all(cameras)
        return sorted(jobs, key=lambda job: (job.created_at, job.id), reverse=True)

    def active_jobs(self, cameras: Iterable[str]) -> dict[str, LearningJob]:
        """Return the job of each camera that has one which is not over, in two round trips."""
        return self._jobs.active(cameras, self.mark)

    def newest_job(self, camera: str) -> LearningJob | None:
        """Return the camera's last job, over or not; None where it has none."""
        number = cast(bytes | None, self._redis.hget(keys.jobs(camera), "last"))
        if number is None:
            return None
        field = number.decode(errors="replace")  # whatever somebody wrote there
        text = cast(bytes | None, self._redis.hget(keys.jobs(camera), field))
        return read_job(camera, number, text)

    def push_former_model(self, camera: str, former: FormerModel) -> None:
        """Keep the model that a camera had, unless it is the newest kept one already."""
        if self.former_models(camera)[:1] == [former]:
            return
        pipe = self._redis.pipeline(transaction=True)
        pipe.lpush(keys.former_models(camera), codec.dump(former))
        pipe.ltrim(keys.former_models(camera), 0, FORMER_KEPT - 1)
        pipe.execute()

    def former_models(self, camera: str) -> list[FormerModel]:
        """Return the models that a camera can go back to, the newest first."""
        texts = cast(list[bytes], self._redis.lrange(keys.former_models(camera), 0, -1))
        formers = []
        for text in texts:
            try:
                formers.append(codec.load(FormerModel, text))
            except BrokenMessageError as error:
                self.mark(camera, f"a model that it had cannot be read: {error}")
        return formers

    def drop_former_model(self, camera: str, former: FormerModel) -> None:
        """Forget a model that the camera has gone back to, and those after it."""
        kept = self.former_models(camera)
        if former in kept:
            self._redis.ltrim(keys.former_models(camera), kept.index(former) + 1, -1)

    def forget_jobs(self, camera: str) -> None:
        """Drop the jobs of a removed camera; the number of the last one stays, never to repeat."""
        self._jobs.forget(camera)
        self._redis.delete(keys.former_models(camera))


def read_job(camera: str, number: bytes, text: bytes | None) -> LearningJob | None:
    """Return a job of its hash's field; None for another field, or where it cannot be read."""
    if text is None or not number.isdigit():
        return None
    try:
        job = replace(codec.load(LearningJob, text), number=int(number))
        numbers = (job.created_at, job.changed_at, job.footage_s, job.limit_s, job.progress)
        for one in (*numbers, job.shadow_s, job.recorded_s, job.left_s or 0.0):
            codec.finite(one)
    except (BrokenMessageError, ValueError):
        return None
    if job.camera != camera:
        return None
    return job
