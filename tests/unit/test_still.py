"""Frames of a still picture take the score of an earlier one, live as in evaluation."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest

from lookout.models.arrays import Pixels
from lookout.models.evaluation.clip_scores import ClipScorer, ClipScores
from lookout.models.memory_update import UpdateRule
from lookout.models.scorer import Scorer
from lookout.models.scoring.camera_state import CameraState
from lookout.models.scoring.local import LocalScore
from lookout.models.scoring.normalizer import Normalizer
from lookout.models.scoring.place_state import PlaceState
from lookout.models.scoring.still import STILL_LEVELS, StillPicture
from lookout.service.core.camera import Camera
from lookout.service.core.messages import Frame, FrameId, Score
from lookout.service.inference.batch import repeat_still, score_batch
from lookout.service.inference.camera_line import CameraLine
from lookout.service.storage.bus.outcomes import ScoredFrame
from tests.tiny import EASY_BOUNDS, TINY_OF, street, untrained

WALL = np.full((64, 64, 3), 100, np.uint8)
EVERY = 6
CLIP = np.stack([street(min(seq, 10) if seq < 34 else seq) for seq in range(40)])
"""Something moves up to frame 10, stands still up to 33, and moves on."""


def reused(pictures: list[Pixels], every: int = 100, frames: int = 3, turns: int = 1) -> list[int]:
    """Return the frames of one session that take the last score."""
    still = StillPicture(every)
    return [
        seq
        for seq, picture in enumerate(pictures)
        if still.may_reuse((1, seq), picture, frames, turns, learns=False)
    ]


def test_a_frame_is_scored_until_the_whole_window_is_still() -> None:
    assert reused([WALL] * 6) == [3, 4, 5]
    assert reused([WALL + 50, WALL, *[WALL + 50] * 5]) == [5, 6]


def test_scores_in_turns_are_reused_once_there_is_one_of_each_turn() -> None:
    assert reused([WALL] * 8, every=4, frames=1, turns=3) == [3, 4, 5]
    assert reused([WALL] * 14, every=4, frames=1, turns=3) == [3, 4, 5, 9, 10, 11]


def test_one_frame_in_so_many_is_scored_however_still() -> None:
    assert reused([WALL] * 12, every=4) == [3, 4, 5, 7, 8, 9, 11]
    assert reused([WALL] * 12, every=1) == []


def test_slow_drift_adds_up_to_a_change() -> None:
    """Each frame is one level brighter than the one before: the sixth is five above the scored."""
    brighter = [*[WALL] * 3, *(WALL + level for level in range(1, 20))]
    first_scored = 3 + STILL_LEVELS
    assert reused(brighter)[:STILL_LEVELS] == list(range(3, first_scored))
    assert first_scored not in reused(brighter)


def test_something_small_is_a_change() -> None:
    walker = WALL.copy()
    walker[20:22, 20:22] = 160
    assert reused([*[WALL] * 5, walker]) == [3, 4]


def test_a_frame_that_does_not_follow_begins_anew() -> None:
    still = StillPicture(100)
    ids = [(1, 0), (1, 1), (1, 2), (1, 4), (1, 5), (2, 6), (2, 7), (2, 8)]
    judged = [still.may_reuse(one, WALL, 2, 1, learns=False) for one in ids]
    assert judged == [False, False, True, False, False, False, False, True]


def test_no_frame_is_reused_while_the_camera_learns() -> None:
    still = StillPicture(100)
    judged = [still.may_reuse((1, seq), WALL, 2, 1, learns=seq < 8) for seq in range(10)]
    assert judged == [False] * 8 + [True, True]


def camera() -> Camera:
    return Camera(
        id="a", url="rtsp://x", model="tiny", created_at=0, revision=1, still_frames=EVERY
    )


def line_of(scorer: Scorer, places: PlaceState | None, done: FrameId | None = None) -> CameraLine:
    state = CameraState(
        scorer.fresh_items(),
        normalizer(scorer, places),
        gamma=scorer.gamma,
        rule=UpdateRule.paper(scorer.gamma),
        places=places,
        still_frames=EVERY,
    )
    return CameraLine(camera(), scorer, state, done)


def normalizer(scorer: Scorer, places: PlaceState | None) -> Normalizer:
    if places is not None:
        return Normalizer(None, 5, "fused", settled_frames=5)
    return Normalizer(EASY_BOUNDS, 5, "paper", scorer.checkpoint.config.fusion_weight)


def scores_of(line: CameraLine, clip: Pixels, first: int = 0) -> list[Score]:
    line.offer(Frame("a", 1, seq, seq / 10, clip[seq]) for seq in range(first, len(clip)))
    while (frame := line.next_frame()) is not None:
        to_score = repeat_still([(line, frame)])
        assert not to_score or score_batch(to_score) == []
    return [one.score for one in line.outbox.unsent if isinstance(one, ScoredFrame)]


def evaluated(scorer: Scorer, places: PlaceState | None, every: int) -> ClipScores:
    scoring = ClipScorer(
        scorer, normalizer=normalizer(scorer, places), places=places, still_frames=every
    )
    return scoring.score("street", CLIP)


@pytest.mark.parametrize("has_places", [False, True])
@pytest.mark.parametrize("name", ["mnad-pred", "memae", "riad"])
def test_a_live_series_is_that_of_an_evaluation(name: str, has_places: bool) -> None:
    scorer = Scorer(untrained(TINY_OF[name]))
    if has_places and scorer.input_spec.scored == 0:
        pytest.skip("a model of one frame has no motion")
    expected = evaluated(scorer, PlaceState(4) if has_places else None, EVERY)
    live = scores_of(line_of(scorer, PlaceState(4) if has_places else None), CLIP)
    assert [score.psnr_db for score in live] == expected.psnr_db.tolist()
    assert [score.reused for score in live] == expected.reused.tolist()
    values = [np.nan if score.value is None else score.value for score in live]
    np.testing.assert_array_equal(values, expected.value)
    assert 3 <= expected.reused.sum() <= 20
    assert not any(score.reused for score in live if score.seq < 10 or score.seq >= 34)


def test_a_reused_score_is_the_last_one_and_moves_no_memory() -> None:
    scorer = Scorer(untrained(TINY_OF["mnad-pred"]), gamma=1e9)
    scores = scores_of(line_of(scorer, None), CLIP)
    pairs = [(before, now) for before, now in pairwise(scores) if now.reused]
    assert pairs
    for before, now in pairs:
        assert (now.psnr_db, now.distance) == (before.psnr_db, before.distance)
        assert now.memory_updated is False
    assert all(score.memory_updated for score in scores if not score.reused)


def test_scores_around_the_still_part_are_those_of_a_camera_that_scores_every_frame() -> None:
    scorer = Scorer(untrained(TINY_OF["mnad-pred"]), gamma=0)  # whose memory stays
    every = evaluated(scorer, None, 1)
    some = evaluated(scorer, None, EVERY)
    assert not every.reused.any()
    np.testing.assert_array_equal(every.psnr_db[~some.reused], some.psnr_db[~some.reused])
    np.testing.assert_allclose(every.psnr_db, some.psnr_db)
    np.testing.assert_allclose(every.value, some.value)


def test_the_local_score_of_a_still_picture_is_the_least_error_over_its_noise() -> None:
    """As that of a picture that is scored frame by frame, and not that of its last frame."""
    local = LocalScore()
    noisy = [np.full((64, 64), level, np.uint16) for level in (900, 700, 800, 900, 850)]
    last_db = [local.update((1, seq), cells) for seq, cells in enumerate(noisy)][-1]
    assert [local.repeat((1, seq)) for seq in range(5, 15)] == [last_db] * 10
    resumed = LocalScore.from_json(json.loads(json.dumps(local.to_json())))
    assert resumed.repeat((1, 15)) == local.repeat((1, 15)) == last_db


@pytest.mark.parametrize("cut", [14, 21, 26])
def test_a_new_owner_reuses_as_the_old_one_would_have(cut: int) -> None:
    scorer = Scorer(untrained(TINY_OF["mnad-pred"]))
    undisturbed = scores_of(line_of(scorer, PlaceState(4)), CLIP)
    first = line_of(scorer, PlaceState(4))
    early = scores_of(first, CLIP[:cut])
    saved = json.loads(json.dumps(first.state.state_dict()))
    heir = line_of(scorer, PlaceState(4), FrameId(1, cut - 1))
    heir.state.load_state_dict(saved)
    late = scores_of(heir, CLIP, first=cut - 4)
    assert [(one.id, one.value, one.reused) for one in early + late] == [
        (one.id, one.value, one.reused) for one in undisturbed
    ]
    assert any(one.reused for one in late)
