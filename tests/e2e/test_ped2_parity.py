"""`lookout evaluate` on the authors' checkpoint against the authors' code (ped2_mnad_pred).

The long form scores the first clip, where the memory starts as trained: to its end with the gate
that half of the frames pass, 90 frames of it with the published one and in bf16. With `--slow` all
twelve clips are scored to their ends, with AUC.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lookout.models.checkpoint.file import Checkpoint
from lookout.models.checkpoint.import_mnad import import_mnad
from lookout.models.device import Precision
from lookout.models.evaluation.clip_scores import ClipScores, score_clips
from lookout.models.evaluation.evaluate import Evaluation, evaluate
from lookout.models.media.clip_reader import read_clip
from lookout.models.scorer import Scorer
from tests.conftest import SHARED
from tests.e2e.conftest import HALF_GATE, PED2

pytestmark = [pytest.mark.footage, pytest.mark.timeout(1800), pytest.mark.long]

REFERENCE = SHARED / "reference" / "ped2_mnad_pred"
KEPT_CLIPS = ("01", "02", "04", "07")
BEGINNING = 90  # frames of the first clip, a third of them with the cyclist


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


@pytest.fixture
def beginning(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Evaluate the first clip, of which only BEGINNING is read."""
    monkeypatch.setattr(
        "lookout.models.data.clips.read_clip", lambda *given: read_clip(*given)[:BEGINNING]
    )
    return PED2 / "test" / "01.mp4"


def test_the_first_clip_frame_by_frame(checkpoint: Checkpoint, beginning: Path) -> None:
    (found,) = score_clips(Scorer(checkpoint), [beginning], carry_memory=True)
    assert_clip(found, 0.01, BEGINNING)


def test_with_a_gate_that_half_of_the_frames_pass(first_clip: Evaluation) -> None:
    assert_clip(first_clip.clips[0], HALF_GATE)


def test_bf16_stays_close(checkpoint: Checkpoint, beginning: Path) -> None:
    (found,) = score_clips(Scorer(checkpoint, precision="bf16"), [beginning], carry_memory=True)
    with np.load(REFERENCE / "expected.npz") as expected:
        assert np.abs(found.psnr_db - expected["0.01/01/psnr_db"][: BEGINNING - 4]).max() < 0.03


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
