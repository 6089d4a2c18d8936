"""One forward pass for many cameras: windows in, scores and heatmaps out, each camera's memory its own."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import torch

from lookout.models.scorer import Scored, Scorer
from lookout.models.scoring.normalizer import Scores
from lookout.models.vision.heatmap import as_levels
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
    items = torch.stack([line.items for line, _ in batch])
    scored = scorer.step_normalised(clips, items, [line.rule for line, _ in batch])
    _deal_out(batch, scored, now())


def _deal_out(batch: Sequence[Ready], scored: Scored, scored_at: float) -> None:
    # One transfer a step: everything that leaves the device, (B, 5) and (B, 64, 64).
    numbers = torch.stack(
        (
            scored.psnr_db,
            scored.distance,
            scored.gate_error,
            scored.memory_updated.float(),
            scored.drift,
        ),
        dim=1,
    ).tolist()
    cells = as_levels(scored.heat)
    for i, (line, frame) in enumerate(batch):
        score = _score(line, frame, numbers[i][:4], cells[i], scored_at)
        outcome = ScoredFrame(score, _heat(frame, cells[i]), line.camera.live)
        line.scored(outcome, scored.items[i], drift=numbers[i][4])


def _score(
    line: CameraLine, frame: Frame, numbers: list[float], cells: HeatMap, scored_at: float
) -> Score:
    psnr, distance, gate, updated = numbers
    local_db = line.local.see(frame.id, cells)
    scores = Scores(psnr, distance, gate, local_db)
    value = line.learner.value(scores, line.scorer.checkpoint.config.fusion_weight)
    spec = line.scorer.input_spec
    return Score(
        camera=frame.camera,
        session=frame.session,
        seq=frame.seq,
        captured_at=frame.captured_at,
        scored_at=scored_at,
        model=line.camera.model,
        psnr_db=_finite(psnr),
        distance=_finite(distance) if spec.distance else None,
        gate_error=_finite(gate),
        memory_updated=bool(updated) if spec.memory == "adapts" else None,
        value=None if value is None else _finite(value),
        local_db=local_db,
    )


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _heat(frame: Frame, cells: HeatMap) -> Heat:
    return Heat(frame.camera, frame.session, frame.seq, cells)
