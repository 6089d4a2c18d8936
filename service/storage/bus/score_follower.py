"""Following the scores of many cameras."""

from __future__ import annotations

from lookout.service.core.messages import FrameId, Score
from lookout.service.storage.bus.bus import Bus


class ScoreFollower:
    """A cursor a camera, moved behind what was handed out."""

    def __init__(self, bus: Bus, count: int = 500) -> None:
        self._bus = bus
        self._count = count
        self.cursors: dict[str, FrameId | None] = {}  # None: from the oldest that is kept

    def poll(self) -> dict[str, list[Score]]:
        """New scores of each camera, ascending, without waiting; only cameras that have some."""
        found = self._bus.scores_after(self.cursors, self._count) if self.cursors else {}
        found = {camera: scores for camera, scores in found.items() if scores}
        for camera, scores in found.items():
            self.cursors[camera] = scores[-1].id
        return found
