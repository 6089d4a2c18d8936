"""One camera inside the inference worker: its window, its memory, its place in the stream, and what became of frames.

Every frame is accounted for once: it has a score, or it lies in a gap with a reason.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from lookout.models.scorer import Scorer
from lookout.models.scoring.camera_state import CameraState
from lookout.models.vision.frame_window import Window
from lookout.service.core.camera import Camera
from lookout.service.core.messages import CameraEvent, Frame, FrameId, Gap
from lookout.service.inference.recent_scores import Recent
from lookout.service.inference.scene_watch import SceneWatch
from lookout.service.inference.scorers import Signature
from lookout.service.storage.bus.counters import WINDOW
from lookout.service.storage.bus.outcomes import Outcome, ScoredFrame

log = logging.getLogger(__name__)


@dataclass(slots=True)
class CameraLine:
    """What belongs to one camera and to nobody else."""

    camera: Camera
    scorer: Scorer
    state: CameraState
    done: FrameId | None  # every frame up to here is accounted for, here or by a former owner
    epoch: int = 0  # how often the camera's owner changed before us
    signature: Signature | None = None  # of the checkpoint's file as it was loaded
    identity: str = ""  # what the snapshot belongs to
    loss: str = "lag"  # why numbers that are missing now are missing
    why: str = WINDOW  # why frames are not scored until the window is full
    cursor: FrameId | None = None  # the last frame fetched from the bus
    fetched: deque[Frame] = field(default_factory=deque)
    unsent: deque[Outcome] = field(
        default_factory=deque
    )  # what the bus is still to be told, in order
    watch: SceneWatch = field(default_factory=SceneWatch)
    recent: Recent = field(default_factory=Recent)
    events: list[CameraEvent] = field(default_factory=list)  # still to be told to the store
    told: FrameId | None = None  # up to here the bus knows what became of the frames
    saved: FrameId | None = None  # up to here the store holds what was learned
    saved_or_saving: FrameId | None = None
    saved_at: float = field(default_factory=time.monotonic)
    note: str | None = None  # for the person who looks at the camera
    window: Window = field(init=False)
    _pushed: FrameId | None = None  # the newest frame in the window
    _ahead: deque[Frame] = field(
        default_factory=deque
    )  # in the window, to be scored when later ones have come
    _gap: Gap | None = None  # the one that still grows

    def __post_init__(self) -> None:
        self.window = Window(self.scorer.t_length, self.scorer.device)
        self.told = self.saved = self.saved_or_saving = self.done
        self.rewind()

    def rewind(self) -> None:
        """Read again, from the first frame of the window of the next one that is to be scored."""
        self.cursor = before_window(self.done, self.scorer.input_spec.scored)
        self.fetched.clear()
        self._ahead.clear()

    def offer(self, frames: Iterable[Frame]) -> None:
        """Take frames fetched from the bus, in order."""
        for frame in frames:
            self.fetched.append(frame)
            self.cursor = frame.id

    def next_frame(self) -> Frame | None:
        """The next frame with a whole window around it, which is `window` now, or None until more have come.

        A gap, a new session or a frame that cannot be used empties the window: a clip never spans a break.
        """
        while self.fetched:
            frame = self.fetched.popleft()
            if self.done is not None and frame.id <= self.done:
                self._push_again(frame)
            elif self._take(frame) and self.window.full:
                self._close_gap()
                scored = self._ahead.popleft()
                self.done = scored.id
                return scored
        self._close_gap()
        return None

    def stale(self, now: float, limit_s: float) -> bool:
        """The next frame to be scored is older than `limit_s`, and nothing waits for it."""
        if not self.camera.live:
            return False
        waiting = next(
            (frame for frame in self.fetched if self.done is None or frame.id > self.done), None
        )
        return waiting is not None and now - waiting.captured_at > limit_s

    def skip(self, frames: Iterable[FrameId]) -> None:
        """Leave these frames out, in order, and those that are missing between them."""
        self._ahead.clear()  # they are among `frames`, or missing
        for frame_id in frames:
            self._miss_until(frame_id)
            self._count(frame_id.session, frame_id.seq, 1, self.loss)
        self._close_gap()
        self.why = self.loss
        self.rewind()

    @property
    def waiting_for_later(self) -> FrameId | None:
        """The last frame in the window whose score needs frames that have not come; None where none waits."""
        return self._ahead[-1].id if self._ahead and not self.fetched else None

    def end_session(self) -> None:
        """No later frames will come."""
        self._leave_ahead(WINDOW)
        self._close_gap()

    def bus_was_lost(self) -> None:
        """What was on it is lost, what we hold is not."""
        self.loss = "bus_restart"

    def scored(self, outcome: ScoredFrame, *, rolled_back: bool) -> None:
        """The next frame's score is ready to be sent."""
        self.unsent.append(outcome)
        self.loss = "lag"
        score = outcome.score
        self.recent.see(score)
        if rolled_back:
            about = {"camera": score.camera, "session": score.session, "seq": score.seq}
            reason = "its memory was held at its bound for long; back to the trained one"
            log.warning("camera %s: %s", score.camera, reason, extra=about)

    def sent(self) -> None:
        """The bus has all of it."""
        last = self.unsent[-1]
        self.told = (
            FrameId(last.session, last.first_seq + last.frames - 1)
            if isinstance(last, Gap)
            else last.score.id
        )
        self.unsent.clear()

    def unsaved_frames(self) -> int:
        """How far the snapshot on its way, or saved, is behind; within a session."""
        if self.done is None:
            return 0
        before = self.saved_or_saving
        return self.done.seq - (
            before.seq if before is not None and before.session == self.done.session else -1
        )

    # One frame

    def _take(self, frame: Frame) -> bool:
        """Account for what is missing before the frame, then for the frame itself unless it may be scored: True."""
        self._miss_until(frame.id, frame.skipped, frame.skipped_for)
        refused = self._refused(frame) or self._unsettled(frame)
        if refused:
            self._leave_ahead(refused)
            self.window.clear()
            self._count(frame.session, frame.seq, 1, refused)
            self.why = refused
            return False
        self._push(frame)
        if self.window.count <= self.scorer.input_spec.scored:
            self._count(frame.session, frame.seq, 1, self.why)
            return False
        self._ahead.append(frame)
        return True

    def _refused(self, frame: Frame) -> str:
        preprocess = self.scorer.checkpoint.preprocess
        if not frame.pixels.size:
            return "broken"
        if frame.revision not in (0, self.camera.revision):
            return "changed"  # taken for a former configuration of this camera
        return (
            "" if frame.pixels.shape == (preprocess.height_px, preprocess.width_px, 3) else "size"
        )

    def _unsettled(self, frame: Frame) -> str:
        """The picture has just changed as a whole: no anomaly, and nothing to learn from until it is steady again."""
        verdict = self.watch.see(frame)
        self.events += verdict.events
        if verdict.changed and self.camera.calibration == "learn":
            self.state.reset_normalizer()  # what was usual in the former picture is not in this one
        return "" if verdict.settled else "scene_change"

    def _push_again(self, frame: Frame) -> None:
        """A frame that is dealt with: it only fills the window, unless it lies before a change of the scene."""
        if self.watch.held is None or frame.id > self.watch.held:
            self._push(frame)

    def _push(self, frame: Frame) -> None:
        if self._pushed is None or frame.id != (self._pushed.session, self._pushed.seq + 1):
            self.window.clear()
        if frame.pixels.shape[:2] == (
            self.scorer.checkpoint.preprocess.height_px,
            self.scorer.checkpoint.preprocess.width_px,
        ):
            self.window.push(frame.pixels)
            self._pushed = frame.id

    # What is not scored

    def _miss_until(self, frame_id: FrameId, skipped: int = 0, skipped_for: str = "") -> None:
        """Numbers between the last frame and this one that never came: ingest left out `skipped`, the rest is lost."""
        last, session = self._ahead[-1].id if self._ahead else self.done, frame_id.session
        if last is None or last.session != session:
            self._leave_ahead(WINDOW)
            self.why = "reconnect" if last is not None and self.camera.live else WINDOW
            last = FrameId(session, -1)
        missing = frame_id.seq - last.seq - 1
        by_ingest = min(skipped, missing)
        if missing - by_ingest:
            self._leave_ahead(self.loss)
            self._count(session, last.seq + 1, missing - by_ingest, self.loss)
            self.why = self.loss
        if by_ingest:
            self._leave_ahead(skipped_for)
            self._count(session, frame_id.seq - by_ingest, by_ingest, skipped_for)
            self.why = skipped_for

    def _leave_ahead(self, reason: str) -> None:
        """What the scores of these frames wait for will not come."""
        while self._ahead:
            frame = self._ahead.popleft()
            self._count(frame.session, frame.seq, 1, reason)

    def _count(self, session: int, first_seq: int, frames: int, reason: str) -> None:
        gap = self._gap
        if gap is not None and (gap.session, gap.first_seq + gap.frames, gap.reason) == (
            session,
            first_seq,
            reason,
        ):
            self._gap = Gap(gap.camera, session, gap.first_seq, gap.frames + frames, reason)
        else:
            self._close_gap()
            self._gap = Gap(self.camera.id, session, first_seq, frames, reason)
        self.done = FrameId(session, first_seq + frames - 1)

    def _close_gap(self) -> None:
        if self._gap is not None:
            self.unsent.append(self._gap)
            self._gap = None


def before_window(done: FrameId | None, scored: int) -> FrameId | None:
    """Where to read from, so that the frame after `done` is the first to be scored, at index `scored` of its window."""
    if done is None:
        return None
    if done.seq < scored:
        return FrameId(done.session - 1, 2**63)  # from the session's first frame
    return FrameId(done.session, done.seq - scored)
