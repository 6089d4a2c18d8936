"""Own a camera in tests that play ingest or inference, and write what its owner would."""

from __future__ import annotations

from collections.abc import Sequence

from lookout.service.core.messages import Frame, FrameId, Heat, Score
from lookout.service.storage.bus.bus import ADDED, Bus
from lookout.service.storage.bus.outcomes import ScoredFrame
from lookout.service.storage.redis import keys

TOKEN = "test"  # noqa: S105


def own(bus: Bus, camera: str, stage: str) -> str:
    """Take the lease of a camera at a stage from whoever has it; return the token to show."""
    bus._redis.set(keys.lease(stage, camera), TOKEN)
    return TOKEN


def add_frames(bus: Bus, *frames: Frame) -> None:
    """Put frames on the bus as their camera's ingest worker. Raise ValueError for a refused one."""
    for frame in frames:
        answer = bus.add_frame(frame, own(bus, frame.camera, "ingest"))
        if answer != ADDED:
            raise ValueError(f"frame {frame.id} was refused: {answer}")


def add_scores(bus: Bus, results: Sequence[tuple[Score, Heat]]) -> list[int]:
    """Put scores on the bus as their camera's inference worker."""
    return bus.add_outcomes(
        [(own(bus, score.camera, "inference"), ScoredFrame(score, heat)) for score, heat in results]
    )


def save(bus: Bus, camera: str, cursor: FrameId) -> None:
    """Report, as inference does, that everything up to `cursor` is scored and saved.

    A file may go on then.
    """
    bus._redis.delete(keys.cursor(camera))
    bus.restore_cursors(camera, own(bus, camera, "inference"), cursor, cursor)
