"""The guarded update against a slow loop: its bound holds, and rollbacks work.

The published update stays unchanged by it.
"""

from __future__ import annotations

import json
import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lookout.models import memory
from lookout.models import memory_update as guard
from lookout.models.memory_update import (
    RATE,
    ROLLBACK_AFTER,
    ROLLBACK_SHARE,
    Rollback,
    Rules,
    UpdateRule,
)
from lookout.models.scorer import Scored, Scorer
from lookout.models.scoring.calibration import Bounds
from tests.conftest import examples
from tests.tiny import tiny_checkpoint

B, K, M, D = 3, 40, 5, 16
CPU = torch.device("cpu")


def unit(*shape: int, seed: int = 0) -> Tensor:
    """Random vectors of unit length."""
    return torch.nn.functional.normalize(
        torch.randn(shape, generator=torch.Generator().manual_seed(seed)), dim=-1
    )


def random_clips(count: int, side_px: int) -> list[npt.NDArray[np.uint8]]:
    """Noise: (T, H, W, 3) uint8."""
    return list(
        np.random.default_rng(0).integers(0, 256, (count, 5, side_px, side_px, 3), dtype=np.uint8)
    )


def slow_cap(item: Tensor, trained: Tensor, drift_most: float) -> Tensor:
    """Turn `item` towards `trained`, in their plane, until the angle between them is the bound's.

    (D,) float64.
    """
    angle, bound = math.acos(float(item @ trained)), math.acos(1 - drift_most)
    if angle <= bound:
        return item
    across = item - float(item @ trained) * trained
    edge: Tensor = math.cos(bound) * trained + math.sin(bound) * across / across.norm()
    return edge


def slow_update(q: Tensor, items: Tensor, trained: Tensor, rule: UpdateRule) -> Tensor:
    """One sample, item by item, in float64: (K, D), (M, D), (M, D) → (M, D)."""
    found = []
    for item, published, origin in zip(
        items, memory.update(q[None], items[None])[0], trained, strict=True
    ):
        stepped = (1 - rule.rate) * item.double() + rule.rate * published.double()
        stepped = stepped / stepped.norm()
        found.append(
            stepped
            if rule.drift_most is None
            else slow_cap(stepped, origin.double(), rule.drift_most)
        )
    return torch.stack(found).float()


RULES = [UpdateRule(1.0, 0.3, 0.05), UpdateRule(1.0, 0.5, 0.5), UpdateRule(1.0, 0.1, None)]


def test_a_step_of_the_rate_and_back_to_the_bound() -> None:
    q, trained = unit(B, K, D), unit(M, D, seed=1)
    items = torch.nn.functional.normalize(trained + 0.3 * unit(B, M, D, seed=2), dim=2)
    found = guard.update(q, items, trained, Rules.of(RULES, CPU))
    for b, rule in enumerate(RULES):
        torch.testing.assert_close(
            found[b], slow_update(q[b], items[b], trained, rule), rtol=1e-5, atol=1e-6
        )


def test_the_paper_rule_is_the_published_update_bit_for_bit_beside_guarded_cameras() -> None:
    q, trained, items = unit(B, K, D), unit(M, D, seed=1), unit(B, M, D, seed=2)
    rules = [RULES[0], UpdateRule.paper(1.0), RULES[1]]
    found = guard.update(q, items, trained, Rules.of(rules, CPU))
    assert torch.equal(found[1], memory.update(q, items)[1])
    assert not torch.equal(found[0], memory.update(q, items)[0])


@examples(50)
@given(
    rate=st.floats(0, 1),
    drift_most=st.floats(1e-5, 2),
    seed=st.integers(0, 1000),
    frames=st.integers(1, 5),
)
def test_no_frame_takes_an_item_over_the_bound(
    rate: float, drift_most: float, seed: int, frames: int
) -> None:
    trained = unit(M, D, seed=seed)
    items, rules = trained[None], Rules.of([UpdateRule(1.0, rate, drift_most)], CPU)
    for frame in range(frames):
        items = guard.update(unit(1, K, D, seed=seed + frame + 1), items, trained, rules)
    assert guard.drift(items, trained).item() <= drift_most * (1 + 1e-4) + 1e-6
    torch.testing.assert_close(items.norm(dim=2), torch.ones(1, M))


def test_drift_is_the_largest_1_minus_cosine() -> None:
    trained, items = unit(M, D), unit(B, M, D, seed=1)
    slow = [max(1 - float(items[b, i] @ trained[i]) for i in range(M)) for b in range(B)]
    assert guard.drift(items, trained).tolist() == pytest.approx(slow, rel=1e-5)
    assert guard.drift(trained[None], trained).item() == 0.0


def test_a_guarded_rule_in_the_measures_of_a_camera() -> None:
    """An item may turn half as far as normal queries lie from it.

    At 1 - cosine = 16 · 1e-4 / 2, a quarter of that.
    """
    bounds = Bounds(30.0, 40.0, 1e-5, 1e-4, 100, gate_error=0.02)
    rule = UpdateRule.guarded_by(bounds.gate_error, bounds.distance_high, 16, 0.01)
    assert (rule.gate, rule.rate) == (0.02, RATE)
    assert rule.drift_most == pytest.approx(16 * 1e-4 / 2 / 4)
    assert rule.distance_high == 1e-4
    before = Bounds(30.0, 40.0, 1e-5, 1e-4, 100)  # from a checkpoint without a gate error
    assert UpdateRule.guarded_by(before.gate_error, before.distance_high, 16, 0.01).gate == 0.01
    wide = Bounds(30.0, 40.0, 0.0, 1.0, 100)
    assert (
        UpdateRule.guarded_by(wide.gate_error, wide.distance_high, 512, 0.01).drift_most == 2.0
    )  # more there is not


# In the scorer


def test_without_rules_every_camera_is_as_published() -> None:
    scorer = Scorer(tiny_checkpoint(gamma=1e9))
    clips, items = random_clips(2, 32), torch.stack([scorer.fresh_items()] * 2)
    for found in (
        scorer.step(clips, items),
        scorer.step(clips, items, [UpdateRule.paper(1e9)] * 2),
    ):
        q = scorer.network(scorer.normalise(clips)[:, :-3], items).queries
        assert torch.equal(found.items, memory.update(q, items))
        assert torch.equal(found.drift, guard.drift(found.items, items[0]))


def test_a_fixed_memory_stays_and_a_guarded_one_moves_less_than_a_published_one() -> None:
    scorer = Scorer(tiny_checkpoint())
    rules = [UpdateRule.fixed(), UpdateRule(1e9, RATE, 1e-4), UpdateRule.paper(1e9)]
    found = scorer.step(random_clips(1, 32) * 3, torch.stack([scorer.fresh_items()] * 3), rules)
    assert found.memory_updated.tolist() == [False, True, True]
    fixed, guarded, paper = found.drift.tolist()
    assert fixed == 0.0 < guarded < 1e-4 < paper
    assert torch.equal(found.items[0], scorer.fresh_items())


def test_a_guarded_camera_gets_what_it_gets_alone_bit_for_bit() -> None:
    # Width and size as shipped: see test_inference_step.
    scorer = Scorer(tiny_checkpoint(width=16, dim=128, side_px=256))
    clips = random_clips(6, 256)
    items = torch.nn.functional.normalize(scorer.fresh_items() + 0.1 * unit(6, 4, 128), dim=2)
    rules = [UpdateRule(1e9, RATE, 1e-4), UpdateRule.paper(1e9), UpdateRule(1e9, 0.5, 0.01)] * 2
    together = scorer.step(clips, items, rules)
    for row in range(6):
        alone = scorer.step(clips[row : row + 1], items[row : row + 1], rules[row : row + 1])
        assert differing(together, row, alone) == []


def differing(together: Scored, row: int, alone: Scored) -> list[str]:
    """Return the fields of that row of a batch that differ from what the camera gets alone."""
    names = ("psnr_db", "distance", "gate_error", "memory_updated", "items", "drift")
    return [
        name
        for name in names
        if not torch.equal(getattr(together, name)[row], getattr(alone, name)[0])
    ]


# The way back

GUARDED = UpdateRule(0.02, RATE, drift_most=1e-3, distance_high=6e-6)
AT_THE_BOUND, NEAR, FAR = 1e-3, 5e-6, 9e-6  # drift; distances of a usual and of an unusual frame

Numbers = tuple[float, float]  # drift, distance
HELD_BACK = (AT_THE_BOUND, FAR)


def rolled_back(
    rollback: Rollback, frames: list[Numbers], rule: UpdateRule = GUARDED, updated: bool = True
) -> int:
    """Return how many of these frames ended with a rollback."""
    return sum(rollback.saw(drift, distance, updated, rule) for drift, distance in frames)


def test_a_pull_that_lasts_sends_the_memory_back_and_again() -> None:
    rollback = Rollback()
    for times in (1, 2):
        assert rolled_back(rollback, [HELD_BACK] * (ROLLBACK_AFTER - 1)) == 0
        assert rollback.saw(*HELD_BACK, True, GUARDED)
        assert rollback.rollbacks == times


def test_the_edge_of_the_bound_is_the_bound() -> None:
    """Float32 puts an item that is held there a little to this side or that."""
    assert (
        rolled_back(Rollback(), [(0.9999e-3, FAR), (1.0001e-3, FAR)] * (ROLLBACK_AFTER // 2)) == 1
    )


@pytest.mark.parametrize("frame", [(0.9e-3, FAR), (AT_THE_BOUND, NEAR)])
def test_within_the_bound_or_near_to_normal_frames_a_memory_may_stay_for_ever(
    frame: Numbers,
) -> None:
    assert rolled_back(Rollback(), [frame] * (3 * ROLLBACK_AFTER)) == 0


def test_an_event_now_and_then_does_not_send_it_back() -> None:
    enough = round(ROLLBACK_SHARE * 100)
    for held_back, rollbacks in ((enough - 1, 0), (enough, 1)):
        frames = [HELD_BACK] * held_back + [(AT_THE_BOUND, NEAR)] * (100 - held_back)
        assert rolled_back(Rollback(), frames * (ROLLBACK_AFTER // 100)) == rollbacks


def test_only_updates_of_a_guarded_memory_count() -> None:
    many = [HELD_BACK] * (2 * ROLLBACK_AFTER)
    assert rolled_back(Rollback(), many, updated=False) == 0
    assert rolled_back(Rollback(), many, UpdateRule.paper(0.01)) == 0
    assert rolled_back(Rollback(), many, UpdateRule.fixed()) == 0


@given(st.lists(st.sampled_from([HELD_BACK, (0.0, NEAR)]), max_size=50), st.integers(0, 50))
def test_a_snapshot_goes_on_exactly(frames: list[Numbers], cut: int) -> None:
    """Restored from its JSON at any frame, it does what it would have done."""
    near_the_end = {
        "rollbacks": 1,
        "updates": ROLLBACK_AFTER - 20,
        "held_back": round(ROLLBACK_SHARE * ROLLBACK_AFTER) - 5,
    }
    whole, first = Rollback(**near_the_end), Rollback(**near_the_end)
    said = [whole.saw(*frame, True, GUARDED) for frame in frames]
    before = [first.saw(*frame, True, GUARDED) for frame in frames[:cut]]
    second = Rollback.of_json(json.loads(json.dumps(first.as_json())))
    assert before + [second.saw(*frame, True, GUARDED) for frame in frames[cut:]] == said
    assert second == whole
