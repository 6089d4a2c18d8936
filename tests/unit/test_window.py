"""A camera's last T frames on the device; each frame is uploaded once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lookout.models.scorer import Scorer
from lookout.models.vision.tensors import Window
from tests.tiny import street, tiny_checkpoint

CPU = torch.device("cpu")


@given(st.lists(st.integers(0, 255) | st.just("cut"), max_size=40))
def test_it_holds_the_last_t_frames_since_the_last_cut(steps: list[int | str]) -> None:
    window, since = Window(5, CPU), list[int]()
    for step in steps:
        if isinstance(step, str):
            window.clear()
            since.clear()
        else:
            window.push(np.full((2, 3, 3), step, np.uint8))
            since.append(step)
        assert window.full == (len(since) >= 5)
        if window.full:
            assert window.clip()[:, 0, 0, 0].tolist() == since[-5:]


def test_a_clip_scores_bit_for_bit_as_the_frames_it_was_made_of() -> None:
    scorer = Scorer(tiny_checkpoint())
    frames = np.stack([street(seq) for seq in range(9)])
    window, items = Window(5, CPU), scorer.fresh_items()[None]
    for end, frame in enumerate(frames, 1):
        window.push(frame)
        if window.full:
            ring = scorer.step_normalised(scorer.normalise(window.clip()[None]), items)
            plain = scorer.step([frames[end - 5 : end]], items)
            assert all(
                torch.equal(a, b) for a, b in zip(vars_of(ring), vars_of(plain), strict=True)
            )


def vars_of(scored: object) -> list[torch.Tensor]:
    return [
        getattr(scored, name)
        for name in ("psnr_db", "distance", "gate_error", "items", "heat", "drift")
    ]


def test_frames_of_another_size_need_a_cut_first() -> None:
    window = Window(2, CPU)
    window.push(np.zeros((4, 4, 3), np.uint8))
    window.clear()
    for value in (1, 2):
        window.push(np.full((8, 8, 3), value, np.uint8))
    assert window.clip().shape == (2, 8, 8, 3)


def test_there_is_no_clip_before_the_first_frame() -> None:
    with pytest.raises(AssertionError):
        Window(2, CPU).clip()
