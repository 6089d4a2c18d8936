"""Jobs of learning, and the models that each camera had before."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import cast

from lookout.service.core.errors import BrokenMessageError, ConflictError, NotFoundError
from lookout.service.core.jobs import FormerModel, LearningJob
from lookout.service.storage.redis import codec, keys, scripts
from lookout.service.storage.store.mending import SettingAside

JOBS_KEPT = 20  # of a camera, finished ones
FORMER_KEPT = 3
"""Models that a camera can go back to."""


class Jobs(SettingAside):
    """The jobs of each camera; one at most is active. Every write names the state before it."""

    def add_job(self, job: LearningJob) -> LearningJob:
        """Add a job and return it with its number.

        Raises ConflictError, which names the camera's active job, where there is one.
        """
        words = (codec.dump(job), str(JOBS_KEPT))
        number = cast(int, self._redis.eval(scripts.ADD_JOB, 1, keys.jobs(job.camera), *words))
        if number < 0:
            raise ConflictError(f"job {job.camera}:{-number} of this camera is not over yet")
        return replace(job, number=number)

    def save_job(self, before: LearningJob, job: LearningJob) -> bool:
        """Write a job in the place of `before`; return False where that one changed its state."""
        if job.state != before.state:
            job = replace(job, changed_at=time.time())
        words = (str(job.number), codec.dump(job), before.state, str(int(job.is_active)))
        return bool(self._redis.eval(scripts.SAVE_JOB, 1, keys.jobs(job.camera), *words))

    def job(self, job_id: str) -> LearningJob:
        """Return a job by its id. Raises NotFoundError."""
        camera, _, number = job_id.rpartition(":")
        job = None
        if number.isascii() and number.isdigit():
            text = cast(bytes | None, self._redis.hget(keys.jobs(camera), number))
            job = read_job(camera, number.encode(), text)
        if job is None:
            raise NotFoundError(f"there is no job {job_id!r}")
        return job

    def jobs(self, cameras: Iterable[str]) -> list[LearningJob]:
        """Return the jobs of cameras, newest first."""
        pipe = self._redis.pipeline(transaction=False)
        names = list(cameras)
        for camera in names:
            pipe.hgetall(keys.jobs(camera))
        answers = cast(list[dict[bytes, bytes]], pipe.execute())
        found = [
            read_job(camera, number, text)
            for camera, rows in zip(names, answers, strict=True)
            for number, text in rows.items()
        ]
        jobs = [job for job in found if job is not None]
        return sorted(jobs, key=lambda job: (job.created_at, job.id), reverse=True)

    def active_jobs(self, cameras: Iterable[str]) -> dict[str, LearningJob]:
        """Return the job of each camera that has one which is not over, in two round trips."""
        names = list(cameras)
        pipe = self._redis.pipeline(transaction=False)
        for camera in names:
            pipe.hget(keys.jobs(camera), "active")
        numbers = cast(list[bytes | None], pipe.execute())
        active = [(name, number) for name, number in zip(names, numbers, strict=True) if number]
        for camera, number in active:
            pipe.hget(keys.jobs(camera), cast(str, number))
        texts = cast(list[bytes | None], pipe.execute())
        jobs = {}
        for (camera, number), text in zip(active, texts, strict=True):
            job = read_job(camera, number, text)
            if job is not None:
                jobs[camera] = job
            else:  # else no other could ever begin
                self.mark(camera, f"its active job {number!r} cannot be read, and is over")
                self._redis.hdel(keys.jobs(camera), "active")
        return jobs

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
        names = cast(list[bytes], self._redis.hkeys(keys.jobs(camera)))
        gone = [name for name in names if name != b"last"]
        if gone:
            self._redis.hdel(keys.jobs(camera), *gone)
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
