"""One forward pass for many cameras: windows in, scores and heatmaps out, each camera's memory its own."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import torch

from lookout.models.scorer import Scorer
from lookout.models.scoring.camera_state import FrameScore
from lookout.service.core.messages import Frame, Heat, HeatMap, Score
from lookout.service.inference.camera_line import CameraLine
from lookout.service.storage.bus.outcomes import ScoredFrame

Ready = tuple[CameraLine, Frame]  # the frame to be scored, and a whole window around it in its line


def groups(lines: Sequence[CameraLine], most: int) -> list[list[CameraLine]]:
    """Who may share a forward pass: cameras of one checkpoint, at most `most`, in the given order."""
    alike: dict[int, list[CameraLine]] = {}
    for line in lines:
        alike.setdefault(id(line.scorer), []).append(line)
    return [group[i : i + most] for group in alike.values() for i in range(0, len(group), most)]


def score_batch(batch: Sequence[Ready], now: Callable[[], float] = time.time) -> None:
    """Score one clip of each camera (all of one checkpoint); each line then has its outcome, memory and bounds."""
    scorer: Scorer = batch[0][0].scorer
    clips = scorer.normalise(torch.stack([line.window.clip() for line, _ in batch]))
    items = torch.stack([line.state.items for line, _ in batch])
    step = scorer.step_normalised(clips, items, [line.state.rule for line, _ in batch])
    scored_at = now()
    for (line, frame), output in zip(batch, step.samples(), strict=True):
        found = line.state.update(output, frame.id)
        outcome = ScoredFrame(
            _score(line, frame, found, scored_at), _heat(frame, output.cells), line.camera.live
        )
        line.scored(outcome, rolled_back=found.rolled_back)


def _score(line: CameraLine, frame: Frame, found: FrameScore, scored_at: float) -> Score:
    spec = line.scorer.input_spec
    return Score(
        camera=frame.camera,
        session=frame.session,
        seq=frame.seq,
        captured_at=frame.captured_at,
        scored_at=scored_at,
        model=line.camera.model,
        psnr_db=_finite(found.psnr_db),
        distance=_finite(found.distance) if spec.distance else None,
        gate_error=_finite(found.gate_error),
        memory_updated=found.memory_updated if spec.memory == "adapts" else None,
        value=None if found.value is None else _finite(found.value),
        local_db=found.local_db,
    )


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _heat(frame: Frame, cells: HeatMap) -> Heat:
    return Heat(frame.camera, frame.session, frame.seq, cells)
