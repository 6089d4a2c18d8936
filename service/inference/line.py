"""One camera inside the inference worker: its window of frames, its memory, its bounds, its place in the stream."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from torch import Tensor

from models.bounds import Learner
from models.scorer import Scorer
from service.inference.scorers import Signature
from service.messages import Camera, Frame, FrameId


@dataclass(slots=True)
class CameraLine:
    """What belongs to one camera and to nobody else."""

    camera: Camera
    scorer: Scorer
    items: Tensor  # (M, D), this camera's memory as its own frames have changed it
    learner: Learner
    cursor: FrameId | None  # the last frame fetched from the bus
    signature: Signature | None = None  # of the checkpoint's file as it was loaded
    identity: str = ""  # what learned bounds belong to
    window: deque[Frame] = field(default_factory=deque)
    fetched: deque[Frame] = field(default_factory=deque)
    handled: FrameId | None = None  # the last frame dealt with, scored or not
    told: FrameId | None = None  # the last `handled` that the bus knows of
    dropped: dict[str, int] = field(default_factory=dict)  # since the last report to the bus

    def offer(self, frames: Iterable[Frame]) -> None:
        """Take frames fetched from the bus, in order."""
        for frame in frames:
            self.fetched.append(frame)
            self.cursor = frame.id

    def next_clip(self) -> list[Frame] | None:
        """The next T consecutive frames, or None until more have come.

        A gap in seq, a new session or a frame of another size empties the window: a clip never spans a break.
        """
        while self.fetched:
            frame = self.fetched.popleft()
            self.handled = frame.id
            if self._fits(frame):
                self._push(frame)
            if len(self.window) == self.scorer.t_length:
                return list(self.window)
        return None

    def _fits(self, frame: Frame) -> bool:
        preprocess = self.scorer.checkpoint.preprocess
        if frame.pixels.shape == (preprocess.height_px, preprocess.width_px, 3):
            return True
        self.count("size")
        return False

    def _push(self, frame: Frame) -> None:
        last = self.window[-1] if self.window else None
        if last is not None and frame.id != (last.session, last.seq + 1):
            if frame.session == last.session:
                self.count("lag", frame.seq - last.seq - 1)
            self.window.clear()
        self.window.append(frame)
        if len(self.window) > self.scorer.t_length:
            self.window.popleft()

    def count(self, reason: str, frames: int = 1) -> None:
        """Frames that will never be scored, and why."""
        self.dropped[reason] = self.dropped.get(reason, 0) + frames
