"""A hash of jobs for each camera, whatever their kind: at most one of a camera is active."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar, cast

import redis

from lookout.service.core.errors import ConflictError
from lookout.service.storage.redis import codec, scripts


class StoredJob(Protocol):
    """The part of a job that a table reads."""

    @property
    def camera(self) -> str: ...
    @property
    def number(self) -> int: ...
    @property
    def state(self) -> str: ...
    @property
    def is_active(self) -> bool: ...


J = TypeVar("J", bound=StoredJob)


class JobTable(Generic[J]):
    """The jobs of one kind."""

    def __init__(
        self,
        client: redis.Redis,
        key: Callable[[str], str],
        read: Callable[[str, bytes, bytes | None], J | None],
    ) -> None:
        """key: of a camera's hash.

        read: returns the job of a field and its text; None for another field, or where it cannot be
        read.
        """
        self._redis = client
        self._key = key
        self._read = read

    def add(self, job: J, kept: int) -> int:
        """Add a job and return its number; kept: finished ones of a camera.

        Raises ConflictError where the camera has an active one.
        """
        words = (codec.dump(job), str(kept))
        number = cast(int, self._redis.eval(scripts.ADD_JOB, 1, self._key(job.camera), *words))
        if number < 0:
            raise ConflictError(
                f"job {job.camera}:{-number} of this camera is not over yet", code="job_active"
            )
        return number

    def save(self, before: J, job: J) -> bool:
        """Write a job in the place of `before`; return False where that one changed its state."""
        words = (str(job.number), codec.dump(job), before.state, str(int(job.is_active)))
        return bool(self._redis.eval(scripts.SAVE_JOB, 1, self._key(job.camera), *words))

    def one(self, camera: str, number: str) -> J | None:
        """Return a job by its number; None where there is none."""
        if not (number.isascii() and number.isdigit()):
            return None
        text = cast(bytes | None, self._redis.hget(self._key(camera), number))
        return self._read(camera, number.encode(), text)

    def all(self, cameras: Iterable[str]) -> list[J]:
        """Return the jobs of cameras, in no order."""
        pipe = self._redis.pipeline(transaction=False)
        names = list(cameras)
        for camera in names:
            pipe.hgetall(self._key(camera))
        answers = cast(list[dict[bytes, bytes]], pipe.execute())
        found = [
            self._read(camera, number, text)
            for camera, rows in zip(names, answers, strict=True)
            for number, text in rows.items()
        ]
        return [job for job in found if job is not None]

    def active(
        self, cameras: Iterable[str], on_unreadable: Callable[[str, str], None]
    ) -> dict[str, J]:
        """Return the job of each camera that has one which is not over, in two round trips.

        on_unreadable: is given a camera, and what is wrong with its active job, which is over then.
        """
        names = list(cameras)
        pipe = self._redis.pipeline(transaction=False)
        for camera in names:
            pipe.hget(self._key(camera), "active")
        numbers = cast(list[bytes | None], pipe.execute())
        active = [(name, number) for name, number in zip(names, numbers, strict=True) if number]
        for camera, number in active:
            pipe.hget(self._key(camera), cast(str, number))
        texts = cast(list[bytes | None], pipe.execute())
        jobs = {}
        for (camera, number), text in zip(active, texts, strict=True):
            job = self._read(camera, number, text)
            if job is not None:
                jobs[camera] = job
            else:  # else no other could ever begin
                on_unreadable(camera, f"its active job {number!r} cannot be read, and is over")
                self._redis.hdel(self._key(camera), "active")
        return jobs

    def forget(self, camera: str) -> None:
        """Drop the jobs of a removed camera; the number of the last one stays, never to repeat."""
        names = cast(list[bytes], self._redis.hkeys(self._key(camera)))
        gone = [name for name in names if name != b"last"]
        if gone:
            self._redis.hdel(self._key(camera), *gone)
