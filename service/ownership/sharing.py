"""Which free cameras a worker takes and which of its own it gives up, so that all carry about the same load. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from lookout.service.core.camera import Camera

USUAL_FPS = 10.0
FAST_FPS = 25.0  # a file at full pace takes what it can get


def load_of(camera: Camera) -> float:
    """About how many frames a second a camera brings. From its record alone: measured rates would flap."""
    if camera.fps is not None:
        return camera.fps
    return USUAL_FPS if camera.live else FAST_FPS


def to_take(
    mine: Mapping[str, float], free: Mapping[str, float], others: Mapping[str, float], total: float
) -> list[str]:
    """Free cameras to take now: until this worker carries its fair share, the heaviest first.

    mine, free: camera → load; others: worker → load, this one left out; total: of all cameras. Whatever is free, some
    worker is below its share, so nothing stays free; none gets more than one camera above it.
    """
    load, fair = sum(mine.values()), _share(total, others)
    taken = []
    for camera in sorted(free, key=lambda name: (-free[name], name)):
        if load < fair:
            taken.append(camera)
            load += free[camera]
    return taken


def to_give(mine: Mapping[str, float], others: Mapping[str, float], total: float) -> str | None:
    """One camera to give up: where this worker keeps its fair share without it, and another is below its own."""
    load, fair = sum(mine.values()), _share(total, others)
    if not any(other < fair for other in others.values()):
        return None
    able = [camera for camera, weight in mine.items() if load - weight >= fair]
    return min(able, key=lambda name: (mine[name], name)) if able else None


def _share(total: float, others: Mapping[str, float]) -> float:
    return total / (1 + len(others))
