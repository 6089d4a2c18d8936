"""A copy of a camera's line and alert policy over a recording: the same code, the same bits."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from lookout.models.arrays import HeatMap, Pixels
from lookout.models.device import Precision, choose_device, choose_precision
from lookout.models.errors import CheckpointError, DataError
from lookout.models.scorer import Scorer
from lookout.service.alerting.camera_policy import CameraAlerts, FollowedCamera, default_policy
from lookout.service.core.camera import Camera
from lookout.service.core.messages import AlertEvent, CameraEvent, Frame, FrameId, Score
from lookout.service.core.replay import CameraCopy, ReplayOptions
from lookout.service.core.settings import Settings
from lookout.service.inference.batch import repeat_still, score_batch
from lookout.service.inference.camera_line import CameraLine
from lookout.service.inference.camera_lines import first_line
from lookout.service.inference.line_start import line_start
from lookout.service.inference.scorers import Scorers
from lookout.service.replay.recording import RecordedFrame, RecordedFrames, ReplaySource
from lookout.service.storage.bus.outcomes import ScoredFrame
from lookout.service.storage.replay_files import ReplayTask
from lookout.service.storage.store.snapshots import Snapshot


@dataclass(frozen=True, slots=True)
class ReplayStep:
    """One scored frame of a recording."""

    score: Score
    cells: HeatMap  # (64, 64) uint16
    picture: Pixels  # (H, W, 3) uint8 RGB, as decoded
    at_s: float  # of the recording
    events: list[AlertEvent]  # that the score causes


class Replay:
    """Scores one recording with a copy of a camera.

    `left_out`, `events` and `source` grow while `steps` is read.
    """

    def __init__(
        self, copy: CameraCopy, options: ReplayOptions, settings: Settings, scorer: Scorer
    ) -> None:
        """scorer: of the camera's checkpoint.

        Raises ValueError for zones or a copy that cannot be used, CheckpointError where the camera
        cannot be scored with the checkpoint.
        """
        self.camera: Camera = options.apply(copy.record())
        self.scorer = scorer
        self.left_out: Counter[str] = Counter()  # frames by reason
        self.events: list[CameraEvent] = []
        self.source: ReplaySource | None = None
        cursor = None if copy.cursor is None else FrameId.parse(copy.cursor)
        snapshot = None if cursor is None else Snapshot(cursor, dict(copy.state))
        own = copy.apply_settings(settings)
        begun = line_start(
            self.camera,
            scorer,
            snapshot,
            identity=copy.identity,
            view=copy.view,
            learn_frames=own.learn_frames,
        )
        self.goes_on = begun.snapshot is not None and begun.watch is not None
        self.is_dated = options.began_at is not None
        self.began_s = time.time() if options.began_at is None else options.began_at
        self.least_session = 0 if cursor is None else cursor.session + 1
        self.line = CameraLine(
            self.camera,
            scorer,
            begun.state,
            None if begun.snapshot is None else cursor,
            watch=begun.watch,
            zones=begun.zones,
        )
        self.policies = policies(copy, self.camera, own)
        # Those of a window: a frame is scored by then, or never.
        self._pending: deque[RecordedFrame] = deque(maxlen=scorer.t_length + 1)

    def recording(self, path: Path, began_s: float | None = None) -> RecordedFrames:
        """Return a recording as the source of the replay.

        began_s: when it began (s, UTC); None: as the options say.
        """
        size = self.scorer.checkpoint.preprocess
        return RecordedFrames(path, self.camera, size, began_s or self.began_s)

    def steps(self, source: ReplaySource) -> Iterator[ReplayStep]:
        """Yield every scored frame of a source, in order.

        Raises VideoError where it cannot be read, CheckpointError where a frame cannot be scored.
        """
        self.source = source
        yield from self.steps_of(source.frames_after(self.least_session))

    def steps_of(self, frames: Iterable[RecordedFrame]) -> Iterator[ReplayStep]:
        """Yield every scored frame of these, in order; their sessions are `least_session` or later.

        Raises as `steps`.
        """
        for recorded in frames:
            if recorded.frame.skipped:  # numbers of no frame of the replay, which the line counts
                self.left_out[recorded.frame.skipped_for] -= recorded.frame.skipped
            self._pending.append(recorded)
            self.line.offer([recorded.frame])
            while (frame := self.line.next_frame()) is not None:
                self._score(frame)
                yield from self._taken()
            yield from self._taken()
        self.line.end_session()
        yield from self._taken()

    def close(self) -> list[AlertEvent]:
        """Close the open alerts at the last score, as alerting does at the end of a file."""
        return self.policies.close_all()

    def _score(self, frame: Frame) -> None:
        """Score the frame that the line gave."""
        try:
            to_score = repeat_still([(self.line, frame)])
            failed = score_batch(to_score) if to_score else []
        except Exception as error:  # of the model: no line has changed
            failed = [(self.line, error)]
        if failed:
            raise CheckpointError(f"the model cannot score it: {first_line(failed[0][1])}")

    def _taken(self) -> Iterator[ReplayStep]:
        """Yield the scored frames since the last call; count the frames that have no score."""
        self.events += self.line.take_events()
        outcomes = self.line.outbox.unsent
        if not outcomes:
            return
        self.line.outbox.acknowledge()
        for outcome in outcomes:
            if not isinstance(outcome, ScoredFrame):
                self.left_out[outcome.reason] += outcome.frames
                continue
            score = outcome.score
            while self._pending[0].frame.id < score.id:
                self._pending.popleft()
            picture = self._pending.popleft().picture
            at_s = score.captured_at - self.began_s
            yield ReplayStep(score, outcome.heat.cells, picture, at_s, self.policies.step(score))


def task_scorer(task: ReplayTask) -> Scorer:
    """Return the scorer of a task's checkpoint. Raises DataError where it was changed since."""
    copy = task.camera_copy()
    device = choose_device(task.device)
    precision = choose_precision(cast(Precision, task.precision), device)
    model = copy.record().model
    folders = [Path(folder) for folder in task.model_folders]
    scorer, content = Scorers(folders, device, precision).get(model)
    if content != copy.checkpoint:
        raise DataError(f"the checkpoint {model!r} was changed meanwhile: ask again")
    return scorer


def policies(copy: CameraCopy, camera: Camera, settings: Settings) -> FollowedCamera:
    """Return the camera's alert policies without an open alert; budgets go on as they are.

    Raises ValueError where the state of a budget cannot be used.
    """
    followed = FollowedCamera(default_policy(settings), CameraAlerts(), epoch=0, saved=None)
    followed.follow(camera, settings)
    zones = copy.alerting.get("zones")
    try:
        followed.load_budget(copy.alerting.get("budget"))  # type: ignore[arg-type]
        for name, zone in followed.zones.items():
            if isinstance(zones, dict) and isinstance(saved := zones.get(name), dict):
                zone.load_budget(saved.get("budget"))  # type: ignore[arg-type]
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"the camera's alarm budget cannot be read: {error}") from None
    return followed
