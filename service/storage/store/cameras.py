"""The cameras that Lookout watches."""

from __future__ import annotations

import contextlib
import logging
from typing import cast

import redis

from lookout.service.core.camera import UNREVISED, Camera
from lookout.service.core.errors import (
    BrokenMessageError,
    ConflictError,
    NotFoundError,
    RequestError,
)
from lookout.service.storage.redis import keys, scripts
from lookout.service.storage.store.camera_secrets import CameraSecrets
from lookout.service.storage.store.mending import SettingAside

log = logging.getLogger(__name__)

TOO_MANY = -1


class Cameras(SettingAside):
    """One hash of all cameras. A camera that cannot be read is logged once and left out."""

    def __init__(self, client: redis.Redis) -> None:
        super().__init__(client)
        self._read: dict[bytes, tuple[bytes, Camera]] = {}  # field → its text and what it says
        self._secrets = CameraSecrets()

    def cameras(self) -> dict[str, Camera]:
        """Return every camera that can be read by its id, in the order of their ids.

        A record whose text has not changed since the last call is not parsed again.
        """
        cameras, _ = self.cameras_and_unreadable()
        return cameras

    def cameras_and_unreadable(self) -> tuple[dict[str, Camera], dict[str, str]]:
        """Return as `cameras`, and for each record that cannot be read the reason."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.hgetall(keys.CAMERAS)
        pipe.hgetall(keys.MARKS)
        texts, marks = cast(list[dict[bytes, bytes]], pipe.execute())
        former = self._read
        read: dict[bytes, tuple[bytes, Camera]] = {}
        unreadable: dict[str, str] = {}
        for key, text in sorted(texts.items()):
            known = former.get(key)
            if known is not None and known[0] == text:
                read[key] = known
                continue
            try:
                read[key] = (text, self.read_record(key, text))
            except BrokenMessageError as error:
                name = key.decode(errors="replace")
                unreadable[name] = str(error)
                if self._logged_marks.is_new(f"record of {name}"):
                    log.warning("camera %r is left out: %s", name, error)
        self._read = read
        cameras = {key.decode(): camera for key, (_, camera) in read.items()}
        for key, mark in marks.items():
            name = key.decode(errors="replace")
            if name in cameras:
                shown = mark.decode(errors="replace")
                cameras[name] = cameras[name].model_copy(update={"mark": shown})
        return cameras, unreadable

    def read_record(self, key: bytes, text: bytes) -> Camera:
        """Return the camera of a record. Raises BrokenMessageError, also for another's id."""
        camera = self._secrets.load(text)
        if camera.id.encode() != key:
            raise BrokenMessageError(f"camera cannot be read: it is the record of {camera.id!r}")
        return camera

    def camera(self, camera: str) -> Camera:
        """Return one camera. Raises NotFoundError, BrokenMessageError."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.hget(keys.CAMERAS, camera)
        pipe.hget(keys.MARKS, camera)
        text, mark = cast(list[bytes | None], pipe.execute())
        if text is None:
            raise NotFoundError(f"there is no camera {camera!r}", code="no_camera", camera=camera)
        found = self.read_record(camera.encode(), text)
        if mark is None:
            return found
        return found.model_copy(update={"mark": mark.decode(errors="replace")})

    def add_camera(self, camera: Camera, most: int | None = None) -> None:
        """Add a camera; most: how many there may be.

        Raises ConflictError where its id is taken, or there are that many.
        """
        words = (camera.id, self._secrets.dump(camera), "" if most is None else str(most))
        added = self._redis.eval(scripts.ADD_CAMERA, 1, keys.CAMERAS, *words)
        if added == 0:
            raise ConflictError(
                f"there is a camera {camera.id!r} already", code="camera_exists", camera=camera.id
            )
        if added == TOO_MANY:
            raise ConflictError(
                f"there are {most} cameras, and no more are taken (LOOKOUT_MAX_CAMERAS)",
                code="too_many_cameras",
                most=most or 0,
            )
        # A late event of a removed camera of the same name is not this camera's.
        self._redis.delete(keys.events(camera.id))

    def replace_camera(self, camera: Camera, before: Camera) -> None:
        """Write a camera in the place of `before`.

        Raises ConflictError where the stored revision or alert times are not those of `before`,
        and RequestError for one without its password, which would be lost.
        """
        if camera.unreadable is not None:
            raise RequestError(
                f"the password of camera {camera.id!r} cannot be read: {camera.unreadable}; give "
                "its url anew",
                code="password_unreadable",
                camera=camera.id,
            )
        expected = (str(before.revision), before.model_dump_json(include=UNREVISED))
        words = (camera.id, self._secrets.dump(camera), *expected)
        if not self._redis.eval(scripts.REPLACE_CAMERA, 1, keys.CAMERAS, *words):
            raise ConflictError(
                f"camera {camera.id!r} was changed or removed meanwhile; try again",
                code="changed_meanwhile",
            )
        self._redis.hdel(keys.MARKS, camera.id)

    def seal_cameras(self) -> int:
        """Encrypt the records that are plain, or of an older key; return how many there were.

        A record that changes meanwhile is left to the next start.
        """
        count = 0
        texts = cast(dict[bytes, bytes], self._redis.hgetall(keys.CAMERAS))
        for name, text in texts.items():
            with contextlib.suppress(BrokenMessageError):  # left out, and logged, elsewhere
                if (sealed := self._secrets.resealed(text)) is not None:
                    words = (name, text, sealed)
                    count += int(
                        cast(int, self._redis.eval(scripts.RESEAL_CAMERA, 1, keys.CAMERAS, *words))
                    )
        if count:
            with contextlib.suppress(redis.RedisError):  # what was plain leaves the file with it
                self._redis.bgrewriteaof()
        return count

    @property
    def has_secret_key(self) -> bool:
        """Whether the addresses of cameras are encrypted."""
        return self._secrets.has_key

    def drop_camera(self, camera: str) -> None:
        """Remove the camera's record alone. Raises NotFoundError."""
        if not self._redis.hdel(keys.CAMERAS, camera):
            raise NotFoundError(f"there is no camera {camera!r}", code="no_camera", camera=camera)
