"""The process of a self-test: `python -m lookout.service.replay.self_test FOLDER`.

Anomalies are made into a copy of the camera's recent frames, one after the other, and a copy of its
line and alert policy scores them, until one opens an alert.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import torch

from lookout.models.arrays import Pixels
from lookout.models.data.synthetic_anomalies import draw, with_anomaly
from lookout.models.errors import DataError
from lookout.models.media.atomic_file import write_bytes
from lookout.models.media.clip_reader import read_clip, read_info
from lookout.service.core.messages import Frame
from lookout.service.core.replay import ReplayOptions
from lookout.service.core.self_test import DAY_S, SelfTest
from lookout.service.core.settings import Settings
from lookout.service.learning.reports import ShouldStop, TrainingReport, run_task
from lookout.service.replay.recording import RecordedFrame
from lookout.service.replay.replay import Replay, task_scorer
from lookout.service.storage.replay_files import ReplayFiles, ReplayTask

KINDS = ("patch", "box", "patch", "runner")
"""In their order: what anybody would notice comes first."""


def noticed(task: ReplayTask, stop: ShouldStop, now: float) -> SelfTest | None:
    """Return the result for the frames of the task's clip; None once `stop` says so.

    now: s, UTC; its day decides what is made. Raises one of EXPLAINED where it cannot be made.
    """
    copy = task.camera_copy()
    scorer = task_scorer(task)
    path = Path(task.path)
    clip = read_clip(path, scorer.checkpoint.preprocess)
    spec = scorer.input_spec
    if len(clip) < 3 * spec.frames:
        raise DataError(f"{len(clip)} recent frames are too few")
    fps = read_info(path).fps or copy.fps or 10.0
    result = SelfTest(now, copy.record().revision)
    for number, kind in enumerate(KINDS):
        key = (int(now // DAY_S), number)
        anomaly = draw(kind, clip, spec.frames, spec.scored, key)
        changed = with_anomaly(clip, anomaly, range(len(clip)))
        run = Replay(copy, ReplayOptions(), copy.apply_settings(Settings()), scorer)
        is_noticed = False
        for step in run.steps_of(frames_of(run, changed, fps)):
            if stop():
                return None
            if step.score.value is None:
                raise DataError("the camera is still learning")
            is_made = step.score.seq in anomaly.abnormal
            opened = [event for event in step.events if event.event == "new"]
            if opened and step.score.seq < anomaly.abnormal.start:
                raise DataError("its frames hold an anomaly of their own")
            is_noticed |= bool(opened)
            if is_made:
                result = replace(result, peak=max(result.peak, step.score.value))
        result = replace(
            result,
            made=number + 1,
            noticed=int(is_noticed),
            threshold=run.policies.rule.threshold,
        )
        if is_noticed:
            break
    return result


def frames_of(run: Replay, clip: Pixels, fps: float) -> Iterator[RecordedFrame]:
    """Yield the frames of a clip, (N, H, W, 3) uint8 RGB, as a session of the camera."""
    camera = run.camera
    for seq, pixels in enumerate(clip):
        frame = Frame(
            camera.id,
            run.least_session,
            seq,
            run.began_s + seq / fps,
            pixels,
            camera.revision,
        )
        yield RecordedFrame(frame, pixels)


def main(folder: Path) -> int:
    """Test for the task of a folder; return the exit code: 0 for a result that is the last."""
    files = ReplayFiles(folder)
    torch.set_num_threads(1)

    def work(stop: ShouldStop) -> TrainingReport | None:
        task = files.task()
        if task is None:
            raise DataError("the files of the test are gone")
        found = noticed(task, stop, time.time())
        if found is None:
            return None
        write_bytes(files.result, msgspec.json.encode(found))
        return TrainingReport(progress=1.0)

    def finish(last: TrainingReport) -> None:
        if last.error:
            failed = SelfTest(time.time(), 0, reason=last.error)
            write_bytes(files.result, msgspec.json.encode(failed))

    return run_task(files.lock, work, finish)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
