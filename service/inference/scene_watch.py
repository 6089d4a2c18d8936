"""Watches the scene of one camera: which frames may be scored, and the events for the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lookout.models.vision.scene_change import SceneChange, SceneChangeDetector
from lookout.service.core.messages import CameraEvent, Frame, FrameId


@dataclass(frozen=True, slots=True)
class Verdict:
    """Decision about one frame."""

    settled: bool  # False: do not score it; the window begins again behind it
    change: SceneChange | None  # once each, at the unsettled frame at which it is sure
    events: list[CameraEvent]


class SceneWatch:
    """Runs one camera's `SceneChangeDetector` on its frames, in order."""

    def __init__(self) -> None:
        self._detector = SceneChangeDetector()
        self._newest_id: FrameId | None = None
        self._last_unsettled_id: FrameId | None = None

    @property
    def tampered(self) -> bool:
        """The picture has been dark, empty or blurred ever since a scene change."""
        return self._detector.tampered

    @property
    def last_unsettled_id(self) -> FrameId | None:
        """No window may reach back to this frame, not even a replayed one."""
        return self._last_unsettled_id

    def observe(self, frame: Frame) -> Verdict:
        """Judge the next frame. One that is read again was settled: it waits for its score."""
        if self._newest_id is not None and frame.id <= self._newest_id:
            return Verdict(settled=True, change=None, events=[])
        self._newest_id = frame.id
        verdict = self._detector.observe(frame.pixels, frame.captured_at)
        if not verdict.settled:
            self._last_unsettled_id = frame.id
        events = [
            CameraEvent(kind, frame.camera, *frame.id, frame.captured_at, detail)
            for kind, detail in verdict.events
        ]
        return Verdict(verdict.settled, verdict.change, events)

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON-able values, below 4 KB; `from_json` continues exactly."""
        return {
            **self._detector.to_json(),
            "held": self._last_unsettled_id,
            "seen": self._newest_id,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SceneWatch:
        """Return the watch that `to_json` saved.

        Raises KeyError, TypeError or ValueError on anything that `to_json` did not make.
        """
        watch = cls()
        watch._detector = SceneChangeDetector.from_json(data)
        if data["held"]:
            watch._last_unsettled_id = FrameId(*data["held"])
        if data.get("seen"):  # not in snapshots of older versions
            watch._newest_id = FrameId(*data["seen"])
        return watch
