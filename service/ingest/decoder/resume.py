"""Where a file goes on when its decoder starts again: behind the last frame that it added, or not at all."""

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
"""Kept behind the frame up to which scores are saved: more than a window, for an owner that starts from there."""

NAP_S = 0.2


@dataclass(frozen=True, slots=True)
class Position:
    session: Session
    seq: int  # the next frame's
    behind: FrameId | None  # the newest frame on the bus; None where the bus has lost them
    over: bool  # nothing is left to do

    @property
    def index(self) -> int:
        """Which of the file's kept frames comes next."""
        return self.session.first + self.seq


def position(camera: Camera, bus: Bus, store: Store) -> Position | None:
    """None: the file is played from its beginning. Raises one of UNAVAILABLE."""
    session = store.session(camera.id)
    if session is None or session.revision != camera.revision:
        return None
    newest = bus.newest_frame_id(camera.id)
    behind = newest if newest is not None and newest.session == session.number else None
    if session.frames is not None and (
        camera.live or _scored_to_the_end(camera, session, bus, store)
    ):
        return Position(session, session.frames, behind, over=True)
    if behind is not None:
        return Position(session, behind.seq + 1, behind, over=False)
    return Position(session, _from_the_snapshot(camera, session, store), None, over=False)


def _scored_to_the_end(camera: Camera, session: Session, bus: Bus, store: Store) -> bool:
    last = FrameId(session.number, (session.frames or 0) - 1)
    snapshot = store.snapshot(camera.id)
    done = [snapshot.cursor if snapshot else None, bus.cursor(camera.id)]
    return any(cursor is not None and cursor >= last for cursor in done)


def _from_the_snapshot(camera: Camera, session: Session, store: Store) -> int:
    """The bus has lost the frames: those that the next owner needs are added again."""
    snapshot = store.snapshot(camera.id)
    if snapshot is None or snapshot.cursor.session != session.number:
        return 0
    return max(0, snapshot.cursor.seq + 1 - REPLAY_FRAMES)


def patiently(ask: Callable[[], T], alive: Callable[[], None]) -> T:
    """The answer, as soon as Redis gives one."""
    while True:
        try:
            return ask()
        except UNAVAILABLE:
            alive()
            time.sleep(NAP_S)
