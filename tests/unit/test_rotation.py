"""Scores in turns: the mean over the newest of each part, and what RIAD's live form changes."""

from __future__ import annotations

import json
from math import nan

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lookout.models.riad import KS, RIAD
from lookout.models.scorer import Scorer
from lookout.models.scoring.camera_state import CameraState, FrameScore
from lookout.models.scoring.normalizer import Normalizer
from lookout.models.scoring.rotation import Rotation
from tests.tiny import EASY_BOUNDS, TINY_OF, at_dusk, street, untrained

TURNS = len(KS)
numbers = st.floats(-100, 100)


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer(untrained(TINY_OF["riad"]))


@given(st.lists(st.tuples(st.integers(0, 1), numbers, numbers), max_size=20))
def test_the_mean_is_that_of_the_newest_score_of_each_part(
    frames: list[tuple[int, float, float]],
) -> None:
    """Frames may be missing; a snapshot after any frame continues bit for bit."""
    rotation = Rotation()
    newest: dict[int, tuple[float, float]] = {}
    number = -1
    for gap, psnr_db, distance in frames:
        number += 1 + gap
        newest[number % TURNS] = (psnr_db, distance)
        found = rotation.mean((1, number), TURNS, psnr_db, distance)
        assert found == pytest.approx(np.mean(list(newest.values()), axis=0))
        rotation = Rotation.from_json(json.loads(json.dumps(rotation.to_json())))


def test_a_new_session_starts_again_and_scores_without_turns_come_back_as_they_are() -> None:
    rotation = Rotation()
    assert rotation.mean((1, 0), TURNS, 10.0, 1.0) == (10.0, 1.0)
    assert rotation.mean((1, 1), TURNS, 20.0, 3.0) == (15.0, 2.0)
    assert rotation.mean((2, 1), TURNS, 30.0, 5.0) == (30.0, 5.0)
    assert rotation.mean((2, 2), 1, 7.0, 9.0) == (7.0, 9.0)
    assert rotation.turns == 1
    assert rotation.mean((2, 3), TURNS, 1.0, 2.0) == (1.0, 2.0)


def test_a_score_that_is_no_number_passes_with_its_part() -> None:
    rotation = Rotation()
    rotation.mean((1, 0), TURNS, nan, nan)
    rotation = Rotation.from_json(json.loads(json.dumps(rotation.to_json(), allow_nan=False)))
    found = [rotation.mean((1, number), TURNS, 10.0, 1.0) for number in range(1, 5)]
    assert np.isnan(found[:3]).all()
    assert found[3] == (10.0, 1.0)


@pytest.mark.parametrize(
    "state", [{}, {"session": 1, "turns": 4, "newest": [[0]]}, {"session": {}}]
)
def test_a_broken_state_is_refused(state: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        Rotation.from_json(state)


def test_over_a_rotation_of_a_still_picture_the_live_maps_have_the_exact_one_as_their_mean(
    scorer: Scorer,
) -> None:
    """The live score is a mean of maxima, so it is no less than the maximum of the mean."""
    model = scorer.checkpoint.model
    assert isinstance(model, RIAD)
    clips = scorer.normalise([street(0)[None]] * TURNS)
    with torch.no_grad():
        exact = model.measure(clips[:1])
        live = model.measure_turn(clips, torch.arange(TURNS))
    assert exact.heat is not None
    assert live.heat is not None
    assert (exact.turns, live.turns) == (1, TURNS)
    assert torch.allclose(live.heat.mean(dim=0, keepdim=True), exact.heat, atol=1e-6)
    assert torch.allclose(live.map.mean(dim=0, keepdim=True), exact.map, atol=1e-6)
    assert live.distance.mean() >= exact.distance[0]
    assert live.distance.std() > 0  # the k differ in level


def test_cameras_at_other_turns_share_a_batch_bit_for_bit(scorer: Scorer) -> None:
    clips = [street(seq)[None] for seq in range(6)]
    items = torch.stack([scorer.fresh_items()] * 6)
    turns = [5, 2, 8, 3, 0, 1]
    together = scorer.step(clips, items, numbers=turns)
    for row, (clip, number) in enumerate(zip(clips, turns, strict=True)):
        alone = scorer.step([clip], items[:1], numbers=[number])
        for part in ("psnr_db", "distance", "heat"):
            assert torch.equal(getattr(together, part)[row], getattr(alone, part)[0]), part


def test_a_live_frame_takes_a_quarter_of_the_passes(
    scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []
    forward = RIAD.forward

    def counted(self: RIAD, x: torch.Tensor) -> torch.Tensor:
        passes.append(len(x))
        return forward(self, x)

    monkeypatch.setattr(RIAD, "forward", counted)
    scorer.step([street(0)[None]], scorer.fresh_items()[None], numbers=[0])
    assert passes == [3]
    scorer.step([street(0)[None]], scorer.fresh_items()[None])
    assert passes == [3] + [3] * TURNS


def live(scorer: Scorer, state: CameraState, frames: range) -> list[FrameScore]:
    scores = []
    for number in frames:
        step = scorer.step(
            [street(number)[None]], state.items[None], [state.rule], numbers=[number]
        )
        scores.append(state.update(step.samples()[0], (1, number)))
    return scores


def numbers_of(score: FrameScore) -> tuple[float | None, ...]:
    return score.psnr_db, score.distance, score.value, score.local_db


def fresh(scorer: Scorer) -> CameraState:
    return CameraState(
        scorer.fresh_items(), Normalizer(EASY_BOUNDS, 20, "paper", 0.0), gamma=0.0, rule=None
    )


@pytest.mark.parametrize("cut", range(1, 9))
def test_a_restart_at_any_frame_continues_the_series_bit_for_bit(scorer: Scorer, cut: int) -> None:
    expected = live(scorer, fresh(scorer), range(10))
    first = fresh(scorer)
    before = live(scorer, first, range(cut))
    second = fresh(scorer)
    second.load_state_dict(json.loads(json.dumps(first.state_dict(), allow_nan=False)))
    found = before + live(scorer, second, range(cut, 10))
    assert [numbers_of(score) for score in found] == [numbers_of(score) for score in expected]


def test_without_a_snapshot_the_series_is_the_same_after_one_rotation(scorer: Scorer) -> None:
    """The k follows from the frame's number."""
    expected = live(scorer, fresh(scorer), range(12))
    restarted = live(scorer, fresh(scorer), range(5, 12))
    found, wanted = ([score.distance for score in scores] for scores in (restarted, expected))
    assert found[TURNS - 1 :] == wanted[5 + TURNS - 1 :]


def test_a_scene_change_forgets_the_turns(scorer: Scorer) -> None:
    state = fresh(scorer)
    live(scorer, state, range(3))
    state.switch_view(*at_dusk())
    (alone,) = live(scorer, fresh(scorer), range(3, 4))
    assert live(scorer, state, range(3, 4))[0].distance == alone.distance
