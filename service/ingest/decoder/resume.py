"""Find where a file goes on when its decoder starts again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from lookout.service.core.camera import Camera
from lookout.service.core.messages import FrameId
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.redis.connect import UNAVAILABLE
from lookout.service.storage.store.sessions import Session
from lookout.service.storage.store.store import Store

T = TypeVar("T")

REPLAY_FRAMES = 32
"""Frames kept before the snapshot's cursor: more than a window, for an owner that starts there."""

NAP_S = 0.2


@dataclass(frozen=True, slots=True)
class ResumePosition:
    """The next frame of a session that goes on."""

    session: Session
    seq: int  # the next frame's
    behind: FrameId | None  # the newest frame on the bus; None where the bus has lost them
    over: bool  # nothing is left to do

    @property
    def index(self) -> int:
        """Index of the next frame among the file's kept frames."""
        return self.session.first + self.seq


def find_resume_position(camera: Camera, bus: Bus, store: Store) -> ResumePosition | None:
    """Return where the camera's last session goes on, or None to play the file from its start.

    It goes on behind the newest frame on the bus; where the bus has lost the frames, those that the
    next owner needs are added again. Raises one of UNAVAILABLE.
    """
    session = store.session(camera.id)
    if session is None or session.revision != camera.revision:
        return None
    behind = bus.newest_frame_id(camera.id)
    if behind is not None and behind.session != session.number:
        behind = None
    if session.frames is not None and (camera.live or is_scored(camera, session, bus, store)):
        return ResumePosition(session, session.frames, behind, over=True)
    if behind is not None:
        return ResumePosition(session, behind.seq + 1, behind, over=False)
    snapshot = store.snapshot(camera.id)
    seq = 0
    if snapshot is not None and snapshot.cursor.session == session.number:
        seq = max(0, snapshot.cursor.seq + 1 - REPLAY_FRAMES)
    return ResumePosition(session, seq, None, over=False)


def is_scored(camera: Camera, session: Session, bus: Bus, store: Store) -> bool:
    """Return whether the last frame of a session that was read to its end has been scored."""
    last = FrameId(session.number, (session.frames or 0) - 1)
    snapshot = store.snapshot(camera.id)
    cursors = [bus.cursor(camera.id)]
    if snapshot is not None:
        cursors.append(snapshot.cursor)
    return any(cursor is not None and cursor >= last for cursor in cursors)


def wait_for_redis(ask: Callable[[], T], on_wait: Callable[[], None]) -> T:
    """Return `ask()` as soon as Redis answers it; call `on_wait` while waiting."""
    while True:
        try:
            return ask()
        except UNAVAILABLE:
            on_wait()
            time.sleep(NAP_S)
