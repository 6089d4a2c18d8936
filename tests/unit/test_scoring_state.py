"""The memory in a camera's scoring state follows its rule; a snapshot continues bit for bit."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
import torch

from lookout.models import memory_update
from lookout.models.memory_update import UpdateRule
from lookout.models.scorer import Scorer
from lookout.models.scoring.calibration import Bounds
from lookout.models.scoring.camera_state import CameraState, FrameScore
from lookout.models.scoring.normalizer import Normalizer
from tests.tiny import TINY_OF, at_dusk, street, tiny_checkpoint, untrained

BOUNDS = Bounds(10.0, 40.0, 0.0, 1e-9, 100, gate_error=1e9, local_db=(-30.0, -20.0))


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer(tiny_checkpoint(gamma=1e9))


def state_of(
    scorer: Scorer, bounds: Bounds | None = BOUNDS, rule: UpdateRule | None = None
) -> CameraState:
    normalizer = Normalizer(bounds, 6, "paper", 0.6)
    return CameraState(scorer.fresh_items(), normalizer, gamma=scorer.gamma, rule=rule)


def score(scorer: Scorer, state: CameraState, numbers: range, session: int = 1) -> list[FrameScore]:
    """Score the frames that end at these numbers of a street."""
    scores = []
    for number in numbers:
        clip = np.stack([street(number + i) for i in range(scorer.t_length)])
        (output,) = scorer.step([clip], state.items[None], [state.rule]).samples()
        scores.append(state.update(output, (session, number)))
    return scores


@pytest.mark.parametrize("cut", [0, 1, 5, 6, 7, 11])
@pytest.mark.parametrize("bounds", [None, BOUNDS])
def test_a_snapshot_continues_bit_for_bit(scorer: Scorer, cut: int, bounds: Bounds | None) -> None:
    whole = state_of(scorer, bounds)
    expected = score(scorer, whole, range(12))
    first = state_of(scorer, bounds)
    before = score(scorer, first, range(cut))
    second = state_of(scorer, bounds)
    second.load_state_dict(json.loads(json.dumps(first.state_dict(), allow_nan=False)))
    assert before + score(scorer, second, range(cut, 12)) == expected
    assert torch.equal(second.items, whole.items)
    assert second.normalizer.bounds == whole.normalizer.bounds


def old_snapshot(items: torch.Tensor) -> dict[str, Any]:
    """A snapshot in the form that version 0.1 wrote, with the watch on the scene left out."""
    bounds = {
        "psnr_low_db": 10.0,
        "psnr_high_db": 40.0,
        "distance_low": 0.0,
        "distance_high": 0.01,
        "frames": 100,
        "gate_error": 0.02,
        "local_db": [-30.0, -20.0],
    }
    cells = base64.b64encode(np.full((64, 64), 6553, "<u2").tobytes()).decode()
    return {
        "of": "0123456789abcdef",
        "items": base64.b64encode(items.numpy().astype("<f4").tobytes()).decode(),
        "learner": {"bounds": bounds, "seen": []},
        "rollback": {"rollbacks": 2, "updates": 17, "held_back": 3},
        "local": {"at": [1, 8], "cells": [cells]},
    }


def test_a_snapshot_of_the_first_version_loads(scorer: Scorer) -> None:
    items = torch.nn.functional.normalize(torch.arange(64.0).reshape(4, 16) + 1)
    state = state_of(scorer, bounds=None)
    state.load_state_dict(old_snapshot(items))
    assert torch.equal(state.items, items)
    assert state.normalizer.bounds == Bounds(
        10.0, 40.0, 0.0, 0.01, 100, gate_error=0.02, local_db=(-30.0, -20.0)
    )
    assert state.rollbacks == 2
    assert json.loads(json.dumps(state.state_dict())) == {
        key: value for key, value in old_snapshot(items).items() if key != "of"
    }
    (following,) = score(scorer, state, range(9, 10))
    (restarted,) = score(scorer, state, range(9, 10), session=2)
    assert following.local_db < restarted.local_db  # the least error of two frames, and of one


def test_a_snapshot_from_before_the_gate_was_measured_loads(scorer: Scorer) -> None:
    state = state_of(scorer, bounds=None)
    saved = old_snapshot(scorer.fresh_items())
    del saved["learner"]["bounds"]["gate_error"]
    del saved["learner"]["bounds"]["local_db"]
    state.load_state_dict(saved)
    assert state.rule.gate == scorer.gamma


@pytest.mark.parametrize(
    "spoiled",
    [
        {"items": "!"},
        {"items": "AAAA"},
        {"items": None},
        {"learner": {"bounds": {"psnr_low_db": 1}, "seen": []}},
        {"rollback": {"unknown": 1}},
        {"local": {"at": 3, "cells": []}},
    ],
)
def test_a_snapshot_that_cannot_be_used_changes_nothing(
    scorer: Scorer, spoiled: dict[str, Any]
) -> None:
    state = state_of(scorer)
    score(scorer, state, range(3))
    before = json.dumps(state.state_dict())
    with pytest.raises((ValueError, KeyError, TypeError)):
        state.load_state_dict(old_snapshot(scorer.fresh_items()) | spoiled)
    assert json.dumps(state.state_dict()) == before


def test_a_guarded_memory_waits_for_the_bounds(scorer: Scorer) -> None:
    state = state_of(scorer, bounds=None)
    assert state.rule == UpdateRule.fixed()
    scores = score(scorer, state, range(8))
    assert [one.memory_updated for one in scores[:6]] == [False] * 6
    bounds = state.normalizer.bounds
    assert bounds is not None
    assert state.rule == UpdateRule.guarded_by(
        bounds.gate_error, bounds.distance_high, 16, scorer.gamma
    )
    state.switch_view(*at_dusk())
    assert state.rule == UpdateRule.fixed()


def test_a_given_rule_holds_whatever_was_learned(scorer: Scorer) -> None:
    paper = UpdateRule.paper(scorer.gamma)
    state = state_of(scorer, bounds=None, rule=paper)
    assert all(one.memory_updated for one in score(scorer, state, range(8)))
    assert state.rule == paper


def test_a_rollback_takes_back_the_trained_items(
    scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_update, "ROLLBACK_AFTER", 4)
    monkeypatch.setattr(memory_update, "RATE", 1.0)
    state = state_of(scorer)
    scores = score(scorer, state, range(3))
    assert state.drift == scores[-1].drift > 0
    assert not torch.equal(state.items, scorer.fresh_items())
    (fourth,) = score(scorer, state, range(3, 4))
    assert fourth.rolled_back
    assert fourth.drift > 0
    assert (state.drift, state.rollbacks) == (0.0, 1)
    assert torch.equal(state.items, scorer.fresh_items())


def test_a_model_without_a_memory_has_no_gate_error() -> None:
    scorer = Scorer(untrained(TINY_OF["memae"]))
    (one,) = score(scorer, state_of(scorer), range(1))
    assert np.isnan(one.gate_error)
    assert not one.memory_updated
