"""Held-out clips and the anomalies made into them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from lookout.models.arrays import Pixels
from lookout.models.data.footage import Footage
from lookout.models.data.synthetic_anomalies import KINDS, Anomaly, Moving, Played, Running
from lookout.models.errors import DataError, TrainingError
from lookout.models.training import validation
from lookout.models.training.validation import Validation, split
from tests.tiny import TINY, street

T = TINY.t_length


def clip_of(frames: int, first: int = 0) -> Pixels:
    """(N, 32, 32, 3); the number of each frame stands in its corner."""
    clip = np.stack([street(number) for number in range(first, first + frames)])
    clip[:, 0, 0, 0] = range(first, first + frames)
    return clip


def footage_of(*lengths: int) -> Footage:
    return Footage.of({f"{i}.mp4": clip_of(length, 25 * i) for i, length in enumerate(lengths)}, T)


def drawn(kind: str, clip: Pixels, scored: range, seed: int) -> tuple[Anomaly, Pixels]:
    anomaly = KINDS[kind](clip, scored, np.random.default_rng(seed))
    return anomaly, np.stack([anomaly.frame(clip, index) for index in range(len(clip))])


@pytest.mark.parametrize("kind", KINDS)
def test_an_anomaly_changes_a_third_of_the_scored_frames_and_no_others(kind: str) -> None:
    for frames, first, seed in product((5, 6, 9, 30), (0, 2, 4), range(5)):
        clip = clip_of(frames)
        scored = range(first, first + frames - 4)
        before = clip.copy()
        anomaly, made = drawn(kind, clip, scored, seed)
        assert np.array_equal(clip, before)
        third = max(1, len(scored) // 3)
        assert len(anomaly.abnormal) == (third - 1 if kind == "speed" else third)
        changed = [index for index in range(frames) if not np.array_equal(made[index], clip[index])]
        if kind == "runner":  # it may come by the very place that it was cut from
            assert len(changed) >= len(anomaly.abnormal) - 2
        else:
            assert changed == list(anomaly.abnormal)
        assert set(changed) <= set(anomaly.abnormal) <= set(scored)


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides_the_anomaly(kind: str) -> None:
    clip = clip_of(40)
    made = [drawn(kind, clip, range(4, 40), seed)[1] for seed in (1, 1, 2)]
    assert np.array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])


def test_what_is_pasted_moves() -> None:
    clip = np.zeros((90, 32, 48, 3), np.uint8)
    anomaly, made = drawn("box", clip, range(90), 3)
    assert isinstance(anomaly, Moving)
    corners = [tuple(np.argwhere(made[index].any(axis=2))[0]) for index in anomaly.abnormal]
    assert len(set(corners)) > 20
    assert {int(made[index].any(axis=2).sum()) for index in anomaly.abnormal} == {
        (32 // 6) * (48 // 6)
    }


def walker_clip(frames: int = 90) -> Pixels:
    """(N, 64, 96, 3): on gray, a bright thing of 10 x 5 px goes right by one pixel a frame."""
    clip = np.full((frames, 64, 96, 3), 100, np.uint8)
    for index in range(frames):
        clip[index, 20:30, index % 80 : index % 80 + 5] = 220
    return clip


def test_a_runner_is_cut_out_of_what_moves_and_goes_to_and_fro() -> None:
    clip = walker_clip()
    anomaly, made = drawn("runner", clip, range(90), 3)
    assert isinstance(anomaly, Running)
    assert anomaly.alpha.shape == (14, 9)  # the walker and a margin of 2 px
    assert 96 / 160 <= abs(anomaly.step_px) <= 96 / 80
    seen = [made[index].astype(int) - clip[index] for index in anomaly.abnormal]
    bright = [int((change > 60).all(axis=2).sum()) for change in seen]
    assert 20 < max(bright) <= 50  # its double, which may lie over the walker, with soft edges


def test_where_nothing_moves_a_runner_is_any_piece_of_the_picture() -> None:
    still = np.broadcast_to(street(3), (30, 32, 32, 3))
    anomaly, made = drawn("runner", still, range(30), 1)
    assert isinstance(anomaly, Running)
    assert anomaly.alpha.shape == (3, 3)
    assert not np.array_equal(made[anomaly.abnormal[0]], still[0])


def test_time_runs_otherwise_without_a_jump_at_its_beginning() -> None:
    rates = set()
    for seed in range(10):
        anomaly, made = drawn("speed", clip_of(40), range(4, 40), seed)
        assert isinstance(anomaly, Played)
        begins = anomaly.abnormal.start - 1
        numbers = made[begins : anomaly.abnormal.stop, 0, 0, 0].astype(int)
        assert set(np.diff(numbers)) == {anomaly.rate}
        rates.add(anomaly.rate)
    assert rates == {3, -1}


def test_clips_are_held_out_by_share_and_seed() -> None:
    footage = footage_of(*[9] * 10)
    kept, held = split(footage, 0.3, seed=1)
    assert len(held.clips) == 3
    assert sorted(kept.names + held.names) == sorted(footage.names)
    assert split(footage, 0.3, seed=1)[1].names == held.names
    assert {split(footage, 0.1, seed=seed)[1].names for seed in range(9)} != {held.names}
    assert len(split(footage, 0.01, seed=1)[1].clips) == 1
    assert len(split(footage_of(9, 9), 0.9, seed=1)[0].clips) == 1


def test_of_a_single_recording_the_end_is_held_out() -> None:
    footage = footage_of(50)
    kept, held = split(footage, 0.2, seed=1)
    assert np.array_equal(np.concatenate([kept.clips[0], held.clips[0]]), footage.clips[0])
    assert len(held.clips[0]) == 10
    assert len(split(footage, 0.01, seed=1)[1].clips[0]) == T
    with pytest.raises(DataError, match=r"0\.mp4 has 9 frames: too few"):
        split(footage_of(9), 0.2, seed=1)


def knowing(footage: Footage, psnr_of_anomalies_db: float) -> validation.ScoreClips:
    """Return a score function that knows every normal window."""
    known = {footage.window(i).tobytes() for i in range(len(footage.windows))}

    def score(clips: Tensor) -> tuple[Tensor, Tensor]:
        psnr = [30.0 if clip.numpy().tobytes() in known else psnr_of_anomalies_db for clip in clips]
        return torch.tensor(psnr), torch.zeros(len(clips))

    return score


@pytest.mark.parametrize(("psnr_db", "auc"), [(20.0, 100.0), (30.0, 50.0), (40.0, 0.0)])
def test_psnr_is_of_normal_frames_and_auc_tells_the_anomalies_from_them(
    psnr_db: float, auc: float
) -> None:
    footage = footage_of(30, 24)
    measured = Validation(footage, TINY, seed=1).measure(knowing(footage, psnr_db))
    assert measured.psnr_db == 30.0
    assert measured.auc_percent == auc
    assert measured.auc_percent_of == dict.fromkeys(KINDS, auc)


def test_clips_too_short_for_a_kind_have_no_auc_of_it() -> None:
    footage = footage_of(6)
    measured = Validation(footage, TINY, seed=1).measure(knowing(footage, 20.0))
    assert measured.auc_percent == 100.0
    assert measured.auc_percent_of["speed"] is None


def test_there_is_a_bound_on_the_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "MAX_WINDOWS", 10)
    found = Validation(footage_of(30, 24), TINY, seed=1)
    assert 5 < len(found.normal) <= 10
    assert all(0 < len(windows) <= 10 for windows in found.abnormal.values())


def test_scores_that_are_no_numbers_end_the_training() -> None:
    footage = footage_of(9)
    with pytest.raises(TrainingError, match="no numbers"):
        Validation(footage, TINY, seed=1).measure(knowing(footage, np.nan))
