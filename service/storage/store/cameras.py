"""The cameras that Lookout watches."""

from __future__ import annotations

import logging
from typing import cast

import redis

from lookout.service.core.camera import Camera
from lookout.service.core.errors import BrokenMessageError, ConflictError, NotFoundError
from lookout.service.core.throttle import OnceLog
from lookout.service.storage.redis import codec, keys, scripts
from lookout.service.storage.redis.connect import Server

log = logging.getLogger(__name__)


class Cameras(Server):
    """One hash of all cameras. A camera that cannot be read is logged once and left out."""

    def __init__(self, client: redis.Redis) -> None:
        super().__init__(client)
        self._logged_cameras = OnceLog()

    def cameras(self) -> dict[str, Camera]:
        """Return every camera by its id."""
        texts = cast(dict[bytes, bytes], self._redis.hgetall(keys.CAMERAS))
        cameras = {}
        for key, text in sorted(texts.items()):
            name = key.decode()
            try:
                cameras[name] = codec.read_camera(text)
            except BrokenMessageError as error:
                if self._logged_cameras.is_new(name):
                    log.warning("camera %r is left out: %s", name, error)
        return cameras

    def camera(self, camera: str) -> Camera:
        """Return one camera. Raises NotFoundError, BrokenMessageError."""
        text = cast(bytes | None, self._redis.hget(keys.CAMERAS, camera))
        if text is None:
            raise NotFoundError(f"there is no camera {camera!r}")
        return codec.read_camera(text)

    def add_camera(self, camera: Camera) -> None:
        """Add a camera. Raises ConflictError where its id is taken."""
        if not self._redis.hsetnx(keys.CAMERAS, camera.id, camera.model_dump_json()):
            raise ConflictError(f"there is a camera {camera.id!r} already")
        # A late event of a removed camera of the same name is not this camera's.
        self._redis.delete(keys.events(camera.id))

    def replace_camera(self, camera: Camera, before: Camera) -> None:
        """Write a camera in the place of `before`.

        Raises ConflictError where the stored revision or alert settings are not those of `before`.
        """
        expected = (str(before.revision), before.alert.model_dump_json())
        words = (camera.id, camera.model_dump_json(), *expected)
        if not self._redis.eval(scripts.REPLACE_CAMERA, 1, keys.CAMERAS, *words):
            raise ConflictError(f"camera {camera.id!r} was changed or removed meanwhile; try again")

    def drop_camera(self, camera: str) -> None:
        """Remove the camera's record alone. Raises NotFoundError."""
        if not self._redis.hdel(keys.CAMERAS, camera):
            raise NotFoundError(f"there is no camera {camera!r}")
