"""`lookout evaluate` on the authors' checkpoint against the authors' code (ped2_mnad_pred).

The long form scores the first clip, where the memory starts as trained: to its end with the gate
that half of the frames pass, 90 frames of it with the published one, and two parts of those in
bf16, for which many a CPU takes ten seconds a frame. With `--slow` all twelve clips are scored to
their ends, with AUC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from torch import Tensor

from lookout.models.arrays import Pixels
from lookout.models.checkpoint.file import Checkpoint
from lookout.models.checkpoint.import_mnad import import_mnad
from lookout.models.device import Precision
from lookout.models.evaluation.clip_scores import ClipScores, score_clips
from lookout.models.evaluation.evaluate import Evaluation, evaluate
from lookout.models.media.clip_reader import read_clip
from lookout.models.memory_update import UpdateRule
from lookout.models.scorer import Scored, Scorer
from tests.conftest import SHARED
from tests.e2e.ped2_clip import HALF_GATE, PED2

pytestmark = [pytest.mark.footage, pytest.mark.timeout(1800), pytest.mark.long, pytest.mark.alone]

REFERENCE = SHARED / "reference" / "ped2_mnad_pred"
KEPT_CLIPS = ("01", "02", "04", "07")
BEGINNING = 90  # frames of the first clip, a third of them with the cyclist
IN_BF16 = 10  # scored frames of a part


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return import_mnad(REFERENCE / "authors.safetensors")


def assert_clip(found: ClipScores, gate: float, frames: int | None = None) -> None:
    """frames: how many of the clip were read; None: all."""
    scored = None if frames is None else frames - 4
    with np.load(REFERENCE / "expected.npz") as expected:
        of_clip = {
            name: expected[f"{gate}/{found.name}/{name}"][:scored]
            for name in ("psnr_db", "distance", "gate_error", "memory_updated")
        }
    assert np.abs(found.psnr_db - of_clip["psnr_db"]).max() < 0.02
    assert found.distance == pytest.approx(of_clip["distance"], rel=1e-3)
    assert found.gate_error == pytest.approx(of_clip["gate_error"], rel=1e-3)
    undecided = (
        np.abs(of_clip["gate_error"] - gate) < 1e-6 * gate
    )  # within float rounding of the gate
    assert np.array_equal(
        found.memory_updated[~undecided], of_clip["memory_updated"].astype(bool)[~undecided]
    )


def score_part(scorer: Scorer, first: int, last: int) -> ClipScores:
    """Score the frames from `first` to before `last` of the first clip."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "lookout.models.data.clips.read_clip", lambda *given: read_clip(*given)[first:last]
        )
        (found,) = score_clips(scorer, [PED2 / "test" / "01.mp4"], carry_memory=True)
    return found


class RememberingScorer(Scorer):
    """Keeps the memory, (M, D), with which each frame was scored."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        self.memories: list[Tensor] = []

    def step(
        self,
        clips: Sequence[Pixels],
        items: Tensor,
        rules: Sequence[UpdateRule] | None = None,
        weights: Tensor | None = None,
        numbers: Sequence[int] | None = None,
        carried: Sequence[Tensor | None] | None = None,
    ) -> Scored:
        self.memories.append(items[0])
        return super().step(clips, items, rules, weights, numbers, carried)


@dataclass(frozen=True)
class Beginning:
    scores: ClipScores
    memories: list[Tensor]


@pytest.fixture(scope="module")
def beginning(checkpoint: Checkpoint) -> Beginning:
    """The first frames in float32, with the published gate."""
    scorer = RememberingScorer(checkpoint)
    return Beginning(score_part(scorer, 0, BEGINNING), scorer.memories)


def test_the_first_clip_frame_by_frame(beginning: Beginning) -> None:
    assert_clip(beginning.scores, 0.01, BEGINNING)


def test_with_a_gate_that_half_of_the_frames_pass(first_clip: Evaluation) -> None:
    assert_clip(first_clip.clips[0], HALF_GATE)


@pytest.mark.parametrize("first", [0, 60], ids=["from_the_start", "with_the_cyclist"])
def test_bf16_stays_close(checkpoint: Checkpoint, beginning: Beginning, first: int) -> None:
    """Two parts, in each of which frames pass the gate, so that bf16 also moves the memory."""
    scorer = Scorer(replace(checkpoint, items=beginning.memories[first]), precision="bf16")
    found = score_part(scorer, first, first + IN_BF16 + 4)
    assert found.memory_updated.any()
    with np.load(REFERENCE / "expected.npz") as expected:
        authors = expected["0.01/01/psnr_db"][first : first + IN_BF16]
    assert np.abs(found.psnr_db - authors).max() < 0.03


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gate", "precision", "auc_tolerance"),
    [(0.01, "fp32", 0.1), (HALF_GATE, "fp32", 0.1), (0.01, "bf16", 0.2)],
)
def test_all_clips_and_the_auc(
    checkpoint: Checkpoint, gate: float, precision: Precision, auc_tolerance: float
) -> None:
    found = evaluate(Scorer(checkpoint, precision=precision, gamma=gate), PED2)
    with np.load(REFERENCE / "expected.npz") as expected:
        assert found.auc_percent["per_video_minmax"] == pytest.approx(
            float(expected[f"{gate}/auc"]), abs=auc_tolerance
        )
    for clip in found.clips:
        if precision == "fp32" and clip.name in KEPT_CLIPS:
            assert_clip(clip, gate)
