"""A narrow network learns the queries of a wide one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  torch's own convention

from lookout.models import memory
from lookout.models.checkpoint.file import Checkpoint
from lookout.models.data.footage import Footage
from lookout.models.data.synthetic_anomalies import KINDS
from lookout.models.errors import DataError
from lookout.models.mnad import Mnad, MnadConfig, MnadReconConfig
from lookout.models.registry import make_model
from lookout.models.training.distill import teacher as teaching
from lookout.models.training.distill.student import (
    QUERY_WEIGHT,
    Student,
    distillation_step,
    query_error,
)
from lookout.models.training.distill.teacher import AlteredFootage, Directions, Teacher, directions
from lookout.models.training.loop import train
from lookout.models.training.options import TrainOptions
from lookout.models.training.trainer import StoppedError
from lookout.models.vision.tensors import to_clips
from tests.tiny import TINY, street, untrained

WIDE = replace(TINY, width=8, dim=40)
FOOTAGE = Footage.of(
    {
        name: np.stack([street(first + seq) for seq in range(20)])
        for name, first in (("a", 0), ("b", 40), ("c", 80))
    },
    TINY.t_length,
)
OPTIONS = TrainOptions(epochs=2, batch=4, learning_rate=2e-3)


@pytest.fixture
def wide() -> Checkpoint:
    return untrained(WIDE, seed=5)


@pytest.fixture
def teacher(wide: Checkpoint) -> Teacher:
    return Teacher(wide, "5eed", TINY, FOOTAGE, OPTIONS)


def unit(*shape: int) -> torch.Tensor:
    return F.normalize(torch.randn(shape), dim=-1)


@pytest.mark.parametrize("dim", [5, 6, 40])
def test_queries_near_their_items_are_as_far_from_them_in_fewer_dimensions(dim: int) -> None:
    """These queries have five of forty directions: three of items, two of their differences."""
    torch.manual_seed(1)
    m, ways = unit(3, 40), unit(2, 40)
    q = F.normalize(m[torch.arange(200) % 3] + 0.02 * torch.randn(200, 2) @ ways, dim=1)[
        None
    ]  # (1, 200, 40)
    seen = directions(q, m, dim)
    assert seen.basis.T @ seen.basis == pytest.approx(torch.eye(dim), abs=1e-5)
    assert seen.items.norm(dim=1) == pytest.approx(torch.ones(3), abs=1e-5)
    wide = 40 * memory.distance(q, m[None])
    narrow = dim * memory.distance(F.normalize(q @ seen.basis, dim=2), seen.items[None])
    assert narrow == pytest.approx(wide, rel=1e-3)


def test_a_query_between_two_items_does_not_decide_the_directions() -> None:
    torch.manual_seed(2)
    m = unit(2, 30)
    near, far = unit(1, 30), unit(1, 30)
    q = m[torch.arange(100) % 2] + 0.01 * torch.randn(100, 1) @ near
    q[::50] += 0.7 * far  # two of a hundred
    basis = directions(F.normalize(q, dim=1)[None], m, dim=3).basis
    rest = near - near @ m.T @ torch.linalg.inv(m @ m.T) @ m  # of it, what the items do not span
    assert (F.normalize(rest, dim=1) @ basis).norm() > 0.9


def test_altered_windows_are_those_that_look_abnormal_to_the_network() -> None:
    """A third of 16 scored frames is abnormal; a window is while one of its four frames is."""
    found = AlteredFootage(FOOTAGE, TINY, seed=0)
    assert len(found.windows) >= 3 * len(KINDS) * 4
    for number in range(len(found.windows)):
        window = found.window(number)
        clips = [clip[first : first + 5] for clip in FOOTAGE.clips for first in range(16)]
        assert window.shape == (5, 32, 32, 3)
        assert not any(np.array_equal(window[:4], clip[:4]) for clip in clips)


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_what_the_teacher_says_is_its_queries_in_the_pupils_directions(
    wide: Checkpoint, order: Any
) -> None:
    wide = replace(wide, preprocess=replace(wide.preprocess, channel_order=order))
    teacher = Teacher(wide, "5eed", TINY, FOOTAGE, OPTIONS)
    said = teacher.queries(np.array([7, 0]))
    clips = to_clips([FOOTAGE.window(7), FOOTAGE.window(0)], torch.device("cpu"), order)
    with torch.no_grad():
        q = wide.model(clips[:, :12], wide.items[None]).queries
    assert said == pytest.approx(F.normalize(q @ teacher.directions.basis, dim=2), abs=2e-3)
    assert said.shape == (2, 16, TINY.dim)


def test_an_answer_is_kept_where_there_is_room_and_the_same_where_not(
    teacher: Teacher, wide: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = np.array([1, 4])
    first = teacher.queries(numbers), teacher.queries(numbers, altered=True)
    monkeypatch.setattr(teaching, "MEMORY_SHARE", 0.0)
    forgetful = Teacher(wide, "5eed", TINY, FOOTAGE, OPTIONS)
    again = (
        forgetful.queries(numbers[::-1].copy()).flip(0),
        forgetful.queries(numbers, altered=True),
    )
    assert not forgetful.keeps
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    monkeypatch.setattr(Teacher, "wide_queries", lambda *_: pytest.fail("it was asked again"))
    assert torch.equal(teacher.queries(numbers), first[0])


def test_misses_are_measured_in_what_is_told_by_the_queries() -> None:
    """The slow form: query by query."""
    torch.manual_seed(3)
    of = Directions(torch.empty(0), unit(3, 8), torch.tensor(0.5))
    q, wanted = unit(2, 6, 8), unit(2, 6, 8)
    found = []
    for one, other in zip(q.flatten(0, 1), wanted.flatten(0, 1), strict=True):
        own = min(float((other - item).square().sum()) for item in of.items)
        scale = min(max(own, 0.2 * 0.5), 5.0 * 0.5)
        found.append((float((one - other).square().sum()) / scale + 1e-3) ** 0.5)
    assert query_error(q, wanted, of).item() == pytest.approx(np.mean(found), rel=1e-5)


def test_of_altered_windows_the_queries_are_learned_and_not_the_frame(teacher: Teacher) -> None:
    """The slow form: each part alone; in eval mode, where no sample sees the others."""
    model = make_model("mnad-pred", TINY).eval()
    assert isinstance(model, Mnad)
    seen, numbers = teacher.directions, np.array([0, 3])
    clips = to_clips([FOOTAGE.window(number) for number in numbers], torch.device("cpu"))
    others = to_clips([teacher.altered.window(1)], torch.device("cpu"))
    wanted = torch.cat((teacher.queries(numbers), teacher.queries(numbers[:1] + 1, altered=True)))
    found = distillation_step(model, clips, others, wanted, seen)
    own, other = (model(batch[:, :12], seen.items[None]) for batch in (clips, others))
    mse = (own.frame - clips[:, 12:]).square().mean()
    missed = torch.stack(
        [
            query_error(q, w, seen)
            for q, w in ((own.queries, wanted[:2]), (other.queries, wanted[2:]))
        ]
    )
    assert found.loss.item() == pytest.approx(
        (mse + QUERY_WEIGHT * (2 * missed[0] + missed[1]) / 3).item(), rel=1e-5
    )
    assert found.mse.item() == pytest.approx(mse.item() / 4, rel=1e-5)
    others[:, 12:] = -1
    assert distillation_step(model, clips, others, wanted, seen).loss.item() == found.loss.item()


@pytest.mark.long
def test_a_pupil_comes_to_measure_what_its_teacher_measures(
    teacher: Teacher, tmp_path: Path
) -> None:
    apprentice = Student(TINY, replace(OPTIONS, epochs=6), FOOTAGE, teacher)
    items = apprentice.items.clone()
    windows = {
        False: [FOOTAGE.window(number) for number in range(24)],
        True: [teacher.altered.window(number) for number in range(24)],
    }

    def missed(*, altered: bool) -> float:
        batch = to_clips(windows[altered], torch.device("cpu"))
        wanted = teacher.queries(np.arange(24), altered=altered)
        with torch.no_grad():
            q = apprentice.model(batch[:, :12], apprentice.items[None]).queries
        return query_error(q, wanted, teacher.directions).item()

    at_first = missed(altered=False), missed(altered=True)
    train(apprentice, tmp_path / "state")
    assert missed(altered=False) < 0.5 * at_first[0]
    assert missed(altered=True) < 0.5 * at_first[1]
    assert torch.equal(apprentice.items, items)
    assert torch.equal(apprentice.items, teacher.directions.items)
    assert apprentice.log[-1].psnr_db > apprentice.log[0].psnr_db


@pytest.mark.long
def test_in_bf16_the_answers_are_those_that_are_given_outside_of_a_training(
    wide: Checkpoint, tmp_path: Path
) -> None:
    options = replace(OPTIONS, precision="bf16")
    apprentice = Student(TINY, options, FOOTAGE, Teacher(wide, "5eed", TINY, FOOTAGE, options))
    train(apprentice, tmp_path / "state")
    assert apprentice.log[-1].loss < apprentice.log[0].loss
    alone = Teacher(wide, "5eed", TINY, FOOTAGE, options)
    assert torch.equal(apprentice.teacher.queries(np.array([3])), alone.queries(np.array([3])))


@pytest.mark.long
def test_stopped_it_goes_on_to_the_same_bits(
    teacher: Teacher, wide: Checkpoint, tmp_path: Path
) -> None:
    whole = Student(TINY, OPTIONS, FOOTAGE, teacher)
    train(whole, tmp_path / "whole")
    cut, steps = (
        Student(TINY, OPTIONS, FOOTAGE, Teacher(wide, "5eed", TINY, FOOTAGE, OPTIONS)),
        iter(range(100)),
    )
    with pytest.raises(StoppedError):
        train(cut, tmp_path / "cut", should_stop=lambda: next(steps) == 15)
    turned = Teacher(wide, "5eed", TINY, FOOTAGE, OPTIONS)
    turned.directions = turned.directions._replace(
        basis=-turned.directions.basis
    )  # as another machine may find them
    resumed = Student(TINY, OPTIONS, FOOTAGE, turned)
    resumed.resume(tmp_path / "cut")
    train(resumed, tmp_path / "cut")
    for name, weights in whole.model.state_dict().items():
        assert torch.equal(weights, resumed.model.state_dict()[name]), name


def test_another_teacher_is_another_run(teacher: Teacher, wide: Checkpoint) -> None:
    one = Student(TINY, OPTIONS, FOOTAGE, teacher)
    other = Student(TINY, OPTIONS, FOOTAGE, Teacher(wide, "other", TINY, FOOTAGE, OPTIONS))
    assert one.fingerprint() != other.fingerprint()
    assert one.fingerprint()["footage"]["teacher"] == "5eed"


@pytest.mark.parametrize(
    ("teaches", "student", "why"),
    [
        (
            replace(WIDE, height_px=64, width_px=64),
            TINY,
            "64x64 px, 5 frames, 4 items for the teacher, 32x32 px",
        ),
        (replace(WIDE, items=5), TINY, "5 items for the teacher"),
        (replace(WIDE, dim=8), TINY, "no more than its teacher has (8)"),
        (WIDE, replace(TINY, dim=4), "more dimensions than items (4)"),
        (
            MnadReconConfig(width=8, items=4, dim=40, height_px=32, width_px=32),
            TINY,
            "cannot teach another model",
        ),
    ],
)
def test_who_cannot_teach_whom(teaches: MnadConfig, student: MnadConfig, why: str) -> None:
    with pytest.raises(DataError) as raised:
        Teacher(untrained(teaches), "x", student, FOOTAGE, OPTIONS)
    assert why in str(raised.value)
