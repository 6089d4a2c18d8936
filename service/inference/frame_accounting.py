"""Accounting for the frames of one camera: window, gaps and cursor. It knows no model and no Redis.

Every frame is accounted for once: it is scored, or it lies in a gap with a reason.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import Tensor

from lookout.models.arrays import Pixels
from lookout.models.vision.tensors import Window
from lookout.service.core.clock import Moment
from lookout.service.core.messages import Frame, FrameId, Gap
from lookout.service.storage.bus.counters import WINDOW

LAG = "lag"
TAKEOVER = "takeover"
RECONNECT = "reconnect"
BUS_RESTART = "bus_restart"
FORMAT_REASONS = ("broken", "changed", "size")


@dataclass(frozen=True, slots=True)
class FrameFormat:
    """The frames of one camera that can be scored, and the window that a score needs."""

    camera: str
    height_px: int
    width_px: int
    scored: int  # 0-based position in the window of the frame whose score it gives
    revision: int  # of the camera
    is_live: bool  # a file waits until its frames are scored, a live camera does not

    def drop_reason(self, frame: Frame) -> str:
        """Return the reason why the frame cannot be scored, one of FORMAT_REASONS, or ""."""
        if not frame.pixels.size:
            return "broken"
        if frame.revision not in (0, self.revision):
            return "changed"  # taken for a former configuration of this camera
        if frame.pixels.shape != (self.height_px, self.width_px, 3):
            return "size"
        return ""


class FrameAccounting:
    """Forms windows of consecutive frames and counts the frames that get no score.

    A gap, a new session or a frame that cannot be used empties the window: a clip never spans a
    break.
    """

    def __init__(
        self,
        frame_format: FrameFormat,
        window: Window,
        accounted_id: FrameId | None,
        drop_reason: Callable[[Frame], str] = lambda _: "",
        last_break_id: FrameId | None = None,
    ) -> None:
        """accounted_id: every frame up to it is accounted for, by a former owner.

        drop_reason: judges each new frame of the right format, in order; "" where it may be scored.
        last_break_id: the last frame that it dropped so far; no window reaches back to it.
        """
        self._format = frame_format
        self._window = window
        self._accounted_id = accounted_id
        self._judge = drop_reason
        self._last_break_id = last_break_id
        self._loss_reason = LAG  # of numbers that are missing now
        self._window_reason = WINDOW  # of frames that are not scored until the window is full
        self._fetched: deque[Frame] = deque()
        self._accounted: tuple[int, float] | None = None  # session and captured_at of a frame
        self._pushed_id: FrameId | None = None  # the newest frame in the window
        self._waiting: deque[Frame] = deque()  # in the window, scored when later frames have come
        self._open_gap: Gap | None = None  # still grows
        self._closed_gaps: list[Gap] = []
        self._cursor: FrameId | None = None
        self.rewind()

    @property
    def accounted_id(self) -> FrameId | None:
        """Every frame up to this one is accounted for, here or by a former owner."""
        return self._accounted_id

    @property
    def accounted_at(self) -> float | None:
        """Captured_at (s, UTC) of the newest frame that came and is accounted for.

        None where none of the session of `accounted_id` has come.
        """
        last = self._accounted_id
        if last is None or self._accounted is None or self._accounted[0] != last.session:
            return None
        return self._accounted[1]

    @property
    def cursor(self) -> FrameId | None:
        """The last frame fetched from the bus."""
        return self._cursor

    @property
    def has_fetched(self) -> bool:
        """Frames were fetched that have not been looked at."""
        return bool(self._fetched)

    @property
    def loss_reason(self) -> str:
        """Reason of the gap in which numbers lie that are missing now."""
        return self._loss_reason

    @property
    def waiting_id(self) -> FrameId | None:
        """The last frame whose score needs frames that have not come; None where none waits."""
        return self._waiting[-1].id if self._waiting and not self._fetched else None

    def clip(self) -> Tensor:
        """Return the window around `next_frame`'s last result: (T, H, W, 3) uint8 RGB."""
        return self._window.clip()

    def newest_pixels(self) -> Pixels:
        """Return the last frame of that window, (H, W, 3) uint8 RGB."""
        return self._window.newest

    def rewind(self) -> None:
        """Read again, from the first frame of the window of the next frame to score."""
        self._cursor = before_window(self._accounted_id, self._format.scored)
        self._fetched.clear()
        self._waiting.clear()

    def resume_after_takeover(self) -> None:
        """Numbers that are missing now were lost when the camera changed hands."""
        self._loss_reason = TAKEOVER
        last = self._accounted_id
        self._window_reason = WINDOW
        if last is not None and last.seq >= self._format.scored:
            self._window_reason = TAKEOVER

    def resume_after_bus_restart(self) -> None:
        """Numbers that are missing now were lost with the bus; frames held here were not."""
        self._loss_reason = BUS_RESTART

    def offer(self, frames: Iterable[Frame]) -> None:
        """Take frames fetched from the bus, in order."""
        for frame in frames:
            self._fetched.append(frame)
            self._cursor = frame.id

    def next_frame(self) -> Frame | None:
        """Return the next frame whose window is whole; `clip` is then its window.

        None until more frames have come. The frame counts as accounted for: it must be scored now.
        """
        while self._fetched:
            frame = self._fetched.popleft()
            if self._accounted_id is not None and frame.id <= self._accounted_id:
                if self._last_break_id is None or frame.id > self._last_break_id:
                    self._push(frame)
            elif self._take(frame) and self._window.full:
                self._close_gap()
                scored = self._waiting.popleft()
                self._accounted_id = scored.id
                self._accounted = (scored.session, scored.captured_at)
                self._loss_reason = LAG
                return scored
        self._close_gap()
        return None

    def take_gaps(self) -> list[Gap]:
        """Return the gaps that closed since the last call, in order."""
        gaps = self._closed_gaps
        self._closed_gaps = []
        return gaps

    def is_stale(self, now: Moment, limit_s: float) -> bool:
        """Return True where a live camera's next frame to score was due over `limit_s` ago."""
        if not self._format.is_live:
            return False
        for frame in self._fetched:
            if self._accounted_id is None or frame.id > self._accounted_id:
                return frame.due.age_s(now) > limit_s
        return False

    def skip(self, frames: Iterable[FrameId]) -> None:
        """Leave these frames out, in order, and those that are missing between them."""
        self._waiting.clear()  # they are among `frames`, or missing
        for frame_id in frames:
            self._count_missing(frame_id)
            self._count(frame_id.session, frame_id.seq, 1, self._loss_reason)
        self._close_gap()
        self._window_reason = self._loss_reason
        self.rewind()

    def end_session(self) -> None:
        """Count the frames that wait: no later ones will come."""
        self._drop_waiting(WINDOW)
        self._close_gap()

    def _take(self, frame: Frame) -> bool:
        """Count what is missing before the frame, then the frame unless it waits for its score."""
        self._count_missing(frame.id, frame.skipped, frame.skipped_for)
        reason = self._format.drop_reason(frame) or self._judge(frame)
        if reason:
            if reason not in FORMAT_REASONS:
                self._last_break_id = frame.id
            self._drop_waiting(reason)
            self._window.clear()
            self._count_frame(frame, reason)
            self._window_reason = reason
            return False
        self._push(frame)
        if self._window.count <= self._format.scored:
            self._count_frame(frame, self._window_reason)
            return False
        self._waiting.append(frame)
        return True

    def _push(self, frame: Frame) -> None:
        last = self._pushed_id
        if last is None or frame.id != (last.session, last.seq + 1):
            self._window.clear()
        if frame.pixels.shape[:2] == (self._format.height_px, self._format.width_px):
            self._window.push(frame.pixels)
            self._pushed_id = frame.id

    def _count_missing(self, frame_id: FrameId, skipped: int = 0, skipped_for: str = "") -> None:
        """Count the numbers before this frame that never came: `skipped` by ingest, others lost."""
        last = self._waiting[-1].id if self._waiting else self._accounted_id
        session = frame_id.session
        if last is None or last.session != session:
            self._drop_waiting(WINDOW)
            self._window_reason = WINDOW
            if last is not None and self._format.is_live:
                self._window_reason = RECONNECT
            last = FrameId(session, -1)
        missing = frame_id.seq - last.seq - 1
        by_ingest = min(skipped, missing)
        if missing - by_ingest:
            self._drop_waiting(self._loss_reason)
            self._count(session, last.seq + 1, missing - by_ingest, self._loss_reason)
            self._window_reason = self._loss_reason
        if by_ingest:
            self._drop_waiting(skipped_for)
            self._count(session, frame_id.seq - by_ingest, by_ingest, skipped_for)
            self._window_reason = skipped_for

    def _drop_waiting(self, reason: str) -> None:
        while self._waiting:
            self._count_frame(self._waiting.popleft(), reason)

    def _count_frame(self, frame: Frame, reason: str) -> None:
        self._count(frame.session, frame.seq, 1, reason)
        self._accounted = (frame.session, frame.captured_at)

    def _count(self, session: int, first_seq: int, frames: int, reason: str) -> None:
        gap = self._open_gap
        key = (session, first_seq, reason)
        if gap is not None and (gap.session, gap.first_seq + gap.frames, gap.reason) == key:
            self._open_gap = Gap(gap.camera, session, gap.first_seq, gap.frames + frames, reason)
        else:
            self._close_gap()
            self._open_gap = Gap(self._format.camera, session, first_seq, frames, reason)
        self._accounted_id = FrameId(session, first_seq + frames - 1)

    def _close_gap(self) -> None:
        if self._open_gap is not None:
            self._closed_gaps.append(self._open_gap)
            self._open_gap = None


def before_window(accounted_id: FrameId | None, scored: int) -> FrameId | None:
    """Return the cursor from which the frame after `accounted_id` gets its whole window.

    scored: 0-based position in the window of the frame whose score it gives.
    """
    if accounted_id is None:
        return None
    if accounted_id.seq < scored:
        return FrameId(accounted_id.session - 1, 2**63)  # from the session's first frame
    return FrameId(accounted_id.session, accounted_id.seq - scored)
