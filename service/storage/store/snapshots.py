"""Snapshots of what each camera has learned, fenced by an epoch of ownership."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, cast

from lookout.models.media.preprocess import Preprocess
from lookout.service.core.camera import Camera
from lookout.service.core.errors import BrokenMessageError
from lookout.service.core.messages import FrameId
from lookout.service.storage.redis import codec, keys, scripts
from lookout.service.storage.store.mending import SettingAside

PLACES = ("places", "view")
"""Parts of a state that hold a camera's memory of places, and the view that it is of."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A camera's learned state when all frames up to `cursor` were scored or dropped."""

    cursor: FrameId
    state: dict[str, Any]


class Snapshots(SettingAside):
    """One snapshot a camera. Only the last owner, by its epoch, can save one."""

    def begin_ownership(self, camera: str) -> tuple[int, Snapshot | None]:
        """Begin a new epoch, in which former owners' snapshots are refused.

        Returns the epoch and what the former owners saved.
        """
        epoch = self._redis.hincrby(keys.snapshot(camera), "epoch", 1)
        return epoch, self.snapshot(camera)

    def save_snapshot(self, camera: str, epoch: int, snapshot: Snapshot) -> bool:
        """Save; return False where a later epoch has begun or a later frame is saved already."""
        state = json.dumps(snapshot.state, separators=(",", ":"))
        words = (str(epoch), str(snapshot.cursor), state)
        return bool(self._redis.eval(scripts.SAVE_SNAPSHOT, 1, keys.snapshot(camera), *words))

    def snapshot(self, camera: str) -> Snapshot | None:
        """Return the snapshot; None where there is none that can be read.

        Without one the camera starts from its trained memory.
        """
        cursor, state = cast(
            list[bytes | None], self._redis.hmget(keys.snapshot(camera), ["cursor", "state"])
        )
        if cursor is None or state is None:
            return None
        try:
            return Snapshot(FrameId.parse(cursor.decode()), codec.load(dict, state))
        except (ValueError, BrokenMessageError) as error:
            self.mark(camera, f"its snapshot cannot be read, and it learns anew: {error}")
            return None

    def keep_places(self, camera: str) -> None:
        """Drop all of the snapshot but the memory of places, and begin a new epoch."""
        epoch, snapshot = self.begin_ownership(camera)
        kept = {}
        if snapshot is not None:
            kept = {name: part for name, part in snapshot.state.items() if name in PLACES}
        if snapshot is not None and "places" in kept:
            self.save_snapshot(camera, epoch, Snapshot(snapshot.cursor, kept))
        else:
            self.forget_snapshot(camera)

    def forget_snapshot(self, camera: str) -> None:
        """Drop the snapshot and begin a new epoch, in which its owner cannot save it again."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.hincrby(keys.snapshot(camera), "epoch", 1)
        pipe.hdel(keys.snapshot(camera), "state", "cursor")
        pipe.execute()


def camera_identity(camera: Camera, checkpoint_digest: str) -> str:
    """Return a digest of the camera, its view and its weights, to which a snapshot belongs.

    Ignored zones are part of it: bounds and memory are of what counts. It holds no password.
    """
    text = (
        f"{camera.id} {camera.created_at!r} {camera.url} {camera.calibration} {camera.memory} "
        f"{checkpoint_digest}"
    )
    ignored = [zone.points for zone in camera.zones if zone.kind == "ignore"]
    if ignored:
        text += f" {ignored}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def view_identity(camera: Camera, size: Preprocess) -> str:
    """Return a digest of the camera, its view and the size of its frames.

    A memory of places belongs to it, whatever network scores the camera. It holds no password.
    """
    text = f"{camera.id} {camera.created_at!r} {camera.url} {size.width_px}x{size.height_px}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]
