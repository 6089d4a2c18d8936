"""One pass scores many cameras; a camera's numbers do not depend on the rest of the batch.

On a CPU they are the same bit for bit.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lookout.models.checkpoint.file import Checkpoint
from lookout.models.checkpoint.import_mnad import convert
from lookout.models.device import Precision
from lookout.models.scorer import Scored, Scorer
from lookout.service.core.messages import Frame
from lookout.service.inference.batch import groups, score_batch
from lookout.service.inference.camera_line import CameraLine
from lookout.service.storage.bus.outcomes import ScoredFrame
from tests import reference
from tests.tiny import street, tiny_checkpoint
from tests.unit.test_inference_line import camera, fresh_state


def random_clips(
    count: int, side_px: int, seed: int = 0
) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (5, side_px, side_px, 3), dtype=np.uint8) for _ in range(count)]


def assert_row(together: Scored, row: int, alone: Scored) -> None:
    for name in ("psnr_db", "distance", "gate_error", "memory_updated", "items", "heat"):
        assert torch.equal(getattr(together, name)[row], getattr(alone, name)[0]), name


def check_all_batch_sizes(
    checkpoint: Checkpoint, precision: Precision, sizes: list[int], side_px: int
) -> None:
    # The gate is the median over random pictures: some samples update their memory, some do not.
    scorer = Scorer(checkpoint, precision=precision)
    clips = random_clips(max(sizes), side_px)
    items = torch.stack([scorer.fresh_items()] * len(clips))
    scorer.gamma = scorer.step(clips, items).gate_error.median().item()
    alone = [scorer.step([clip], items[:1]) for clip in clips]
    for size in sizes:
        together = scorer.step(clips[:size], items[:size])
        for row in range(size):
            assert_row(together, row, alone[row])


LONG = [pytest.mark.long, pytest.mark.timeout(900)]


@pytest.mark.parametrize(
    ("precision", "most"),
    [
        ("fp32", 3),
        pytest.param("fp32", 8, marks=LONG),
        pytest.param("bf16", 8, marks=LONG),
    ],
)
def test_a_small_model_in_batches_of_1_to_8(precision: Precision, most: int) -> None:
    # Width and size as shipped: where channels are no multiple of 8, or a layer holds fewer than
    # 20,480 numbers, torch takes another convolution for other batches, and the last bits differ.
    check_all_batch_sizes(
        tiny_checkpoint(width=16, dim=128, side_px=256), precision, list(range(1, most + 1)), 256
    )


@pytest.mark.footage
@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_full_network_in_batches_of_1_to_3(precision: Precision) -> None:
    """In float32 with one thread, as in `make test`: ADR 60 says what two do on some CPUs."""
    if precision == "fp32":
        torch.set_num_threads(1)
    tensors = reference.filled_weights(reference.figures("mnad_pred"))
    checkpoint = convert({**tensors, "m_items": reference.filled_items(10, 512)}, "reference", {})
    check_all_batch_sizes(checkpoint, precision, [2, 3], 256)


def ready(name: str, scorer: Scorer, seed: int) -> tuple[CameraLine, Frame]:
    line = CameraLine(camera(name), scorer, fresh_state(scorer), None)
    line.frames.offer(Frame(name, 7, seq, seq / 10, street(seq + 9 * seed)) for seq in range(5))
    frame = line.next_frame()
    assert frame is not None
    return line, frame


def outcome(line: CameraLine) -> ScoredFrame:
    last = line.outbox.unsent[-1]
    assert isinstance(last, ScoredFrame)
    return last


def test_each_camera_keeps_its_own_memory_and_gets_scores_under_its_frames_ids() -> None:
    scorer = Scorer(tiny_checkpoint(gamma=1e9))
    batch = [ready("a", scorer, 1), ready("b", scorer, 2)]
    score_batch(batch, now=lambda: 99.0)
    score_a, heat_a = outcome(batch[0][0]).score, outcome(batch[0][0]).heat
    score_b = outcome(batch[1][0]).score
    assert (score_a.camera, score_a.session, score_a.seq, score_a.scored_at) == ("a", 7, 4, 99.0)
    assert score_b.camera == "b"
    assert heat_a.cells.shape == (64, 64)
    assert heat_a.cells.dtype == np.uint16
    assert score_a.memory_updated
    assert score_a.value is not None
    assert 0 < score_a.value < 1
    assert not torch.equal(batch[0][0].state.items, batch[1][0].state.items)


def test_batches_are_per_checkpoint_and_bounded() -> None:
    one, other = Scorer(tiny_checkpoint()), Scorer(tiny_checkpoint(seed=1))
    scorers = [one, other, one, one, other, one]
    waiting = [ready(name, scorer, 0)[0] for name, scorer in zip("abcdef", scorers, strict=True)]
    names = [[line.camera.id for line in group] for group in groups(waiting, 3)]
    assert names == [["a", "c", "d"], ["f"], ["b", "e"]]


def test_a_number_that_is_not_finite_never_reaches_a_score() -> None:
    scorer = Scorer(tiny_checkpoint())
    line, frame = ready("a", scorer, 1)
    line.state._items = torch.full_like(line.state.items, torch.nan)
    score_batch([(line, frame)])
    score = outcome(line).score
    assert score.value is None
    assert score.distance is None


def test_a_score_that_fails_for_one_camera_costs_no_other_its_score(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scorer = Scorer(tiny_checkpoint())
    batch = [ready("a", scorer, 1), ready("b", scorer, 2)]

    def broken(*_: object) -> None:
        raise ValueError("no such thing")

    monkeypatch.setattr(batch[0][0].state, "update", broken)
    ((line, error),) = score_batch(batch)
    assert line is batch[0][0]
    assert str(error) == "no such thing"
    assert outcome(batch[1][0]).score.camera == "b"


def test_a_camera_with_a_zone_shares_a_batch_with_one_without() -> None:
    scorer = Scorer(tiny_checkpoint(width=16, dim=128, side_px=256, gamma=1e9))
    clips = random_clips(2, 256)
    items = torch.stack([scorer.fresh_items()] * 2)
    weights = torch.ones(2, 256, 256)
    weights[0, 40:170, 30:140] = 0
    together = scorer.step(clips, items, None, weights)
    assert_row(together, 0, scorer.step(clips[:1], items[:1], None, weights[0]))
    assert_row(together, 1, scorer.step(clips[1:], items[1:]))
