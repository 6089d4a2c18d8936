"""InTra: windows, its live form and what that changes, training, and sizes that cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lookout.models.base import TrainingBatch
from lookout.models.intra import (
    LIVE_SHARE,
    REFRESH,
    InTra,
    InTraConfig,
    patches_of,
    pictures_of,
    windows,
)
from lookout.models.scorer import Scorer
from lookout.models.scoring.camera_state import CameraState, FrameScore
from lookout.models.scoring.carried import Carried
from lookout.models.scoring.normalizer import Normalizer
from tests.conftest import examples
from tests.tiny import EASY_BOUNDS, TINY_OF, at_dusk, street, untrained

CONFIG = InTraConfig(width=16, blocks=3, heads=2, patch_px=4, window=3, height_px=32, width_px=24)
PATCHES = 8 * 6


@pytest.fixture
def frames() -> Tensor:
    return torch.rand(2, 3, 32, 24, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def model() -> InTra:
    torch.manual_seed(0)
    return InTra(CONFIG).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer(untrained(TINY_OF["intra"]))


@pytest.fixture
def inpainted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the number of windows of each pass, as they are made."""
    counts: list[int] = []
    forward = InTra.forward

    def counted(self: InTra, patches: Tensor, places: Tensor) -> Tensor:
        counts.append(len(patches))
        return forward(self, patches, places)

    monkeypatch.setattr(InTra, "forward", counted)
    return counts


@examples(20)
@given(st.integers(5, 9), st.integers(5, 9), st.sampled_from([3, 5]))
def test_a_window_holds_the_covered_patch_first_and_its_surroundings(
    rows: int, columns: int, window: int
) -> None:
    members, places = windows((rows, columns), window)
    assert members[:, 0].tolist() == list(range(rows * columns))
    for one, inside in zip(members.numpy(), places.numpy(), strict=True):
        assert sorted(inside) == list(range(window**2))
        across, down = np.divmod(one[np.argsort(inside)], columns)
        assert np.array_equal(across, across[0] + np.arange(window).repeat(window))
        assert np.array_equal(down, down[0] + np.tile(np.arange(window), window))


@examples(20)
@given(st.integers(1, 4), st.integers(1, 4), st.sampled_from([4, 8]))
def test_a_picture_is_its_patches(rows: int, columns: int, k: int) -> None:
    x = torch.rand(2, 3, rows * k, columns * k)
    patches = patches_of(x, k)
    assert patches.shape == (2, rows * columns, 3 * k * k)
    assert torch.equal(pictures_of(patches, (rows, columns), k), x)
    first = x[0, :, :k, :k].permute(1, 2, 0).flatten()  # row, column, channel
    assert torch.equal(patches[0, 0], first)


@pytest.mark.parametrize("local", [0, 1])
def test_a_patch_is_inpainted_without_a_look_at_it(local: int, frames: Tensor) -> None:
    torch.manual_seed(0)
    config = InTraConfig(
        width=16, blocks=3, heads=2, patch_px=4, window=3, local_positions=local,
        height_px=32, width_px=24,
    )  # fmt: skip
    model = InTra(config).eval().requires_grad_(False)
    patches = patches_of(frames, 4)[0]
    other = patches.clone()
    other[16] = 1 - other[16]
    near = torch.tensor([16, 17, 40])
    one, two = (model.inpaint(each, config.grid, near) for each in (patches, other))
    assert torch.equal(one[0], two[0])
    assert not torch.equal(one[1], two[1])
    assert torch.equal(one[2], two[2])


def live(model: InTra, x: Tensor, number: int, state: Tensor | None) -> Tensor:
    carried = model.measure_live(x, [number], [state]).carried
    assert carried is not None
    return carried[0]


def test_the_first_live_frame_is_the_exact_one_rounded_to_8_bits(
    model: InTra, frames: Tensor, inpainted: list[int]
) -> None:
    state = live(model, frames[:1], 7, None)
    assert inpainted == [PATCHES]
    assert state.shape == (6, 32, 24)
    exact = model.inpainted(frames[:1])[0]
    assert torch.equal(state[:3], (exact.clamp(0, 1) * 255).round().to(torch.uint8))
    assert torch.equal(state[3:], (frames[0] * 255).round().to(torch.uint8))


def test_a_still_picture_keeps_its_map_and_refreshes_every_patch_once_in_a_while(
    model: InTra, frames: Tensor, inpainted: list[int]
) -> None:
    state = live(model, frames[:1], 0, None)
    for number in range(1, REFRESH + 1):
        after = live(model, frames[:1], number, state)
        assert torch.equal(after, state)
    assert sum(inpainted[1:]) == PATCHES
    assert max(inpainted[1:]) <= PATCHES // REFRESH


def test_patches_that_change_are_inpainted_at_once_and_the_rest_within_a_rotation(
    model: InTra, frames: Tensor, inpainted: list[int]
) -> None:
    """The neighbours of what changed wait for their turn: all that the live form changes."""
    state = live(model, frames[:1], 0, None)
    moved = frames[:1].clone()
    moved[..., 8:16, 8:12] = 1 - moved[..., 8:16, 8:12]  # patches 14 and 20
    exact = (model.inpainted(moved)[0].clamp(0, 1) * 255).round().to(torch.uint8)
    state = live(model, moved, 1, state)
    assert inpainted[-1] <= 2 + PATCHES // REFRESH
    assert torch.equal(state[:3, 8:16, 8:12], exact[:, 8:16, 8:12])
    for number in range(2, 2 + REFRESH):
        state = live(model, moved, number, state)
    assert torch.equal(state[:3], exact)


def test_a_frame_that_changes_everywhere_takes_a_quarter_of_the_passes(
    model: InTra, frames: Tensor, inpainted: list[int]
) -> None:
    state = live(model, frames[:1], 0, None)
    live(model, 1 - frames[:1], 1, state)
    assert inpainted == [PATCHES, PATCHES // LIVE_SHARE]


def fresh(scorer: Scorer) -> CameraState:
    return CameraState(
        scorer.fresh_items(), Normalizer(EASY_BOUNDS, 20, "paper", 0.0), gamma=0.0, rule=None
    )


def scores(scorer: Scorer, state: CameraState, frames: range, session: int = 1) -> list[FrameScore]:
    found = []
    for number in frames:
        step = scorer.step(
            [street(number)[None]],
            state.items[None],
            numbers=[number],
            carried=[state.carried(session)],
        )
        found.append(state.update(step.samples()[0], (session, number)))
    return found


@pytest.mark.parametrize("cut", [1, 4, 9])
def test_a_restart_at_any_frame_continues_the_series_bit_for_bit(scorer: Scorer, cut: int) -> None:
    expected = scores(scorer, fresh(scorer), range(10))
    first = fresh(scorer)
    before = scores(scorer, first, range(cut))
    heir = fresh(scorer)
    heir.load_state_dict(json.loads(json.dumps(first.state_dict(), allow_nan=False)))
    found = before + scores(scorer, heir, range(cut, 10))
    assert [one.distance for one in found] == [one.distance for one in expected]
    assert [one.local_db for one in found] == [one.local_db for one in expected]


def test_a_new_session_and_a_scene_change_begin_with_all_patches(
    scorer: Scorer, inpainted: list[int]
) -> None:
    state = fresh(scorer)
    scores(scorer, state, range(2))
    scores(scorer, state, range(2, 3), session=2)
    state.switch_view(*at_dusk())
    scores(scorer, state, range(3, 4), session=2)
    assert [count == 16 for count in inpainted] == [True, False, True, True]


def test_cameras_share_a_batch_bit_for_bit(scorer: Scorer) -> None:
    clips = [street(seq)[None] for seq in range(3)]
    items = torch.stack([scorer.fresh_items()] * 3)
    together = scorer.step(clips, items, numbers=[4, 5, 6])
    for row, clip in enumerate(clips):
        alone = scorer.step([clip], items[:1], numbers=[4 + row])
        assert torch.equal(together.distance[row], alone.distance[0])
        assert torch.equal(together.heat[row], alone.heat[0])


def shorten(state: dict[str, object]) -> None:
    state["shape"] = [6, 32, 31]


def widen(state: dict[str, object]) -> None:
    state["shape"] = [1 << 20, 1 << 20]


def scramble(state: dict[str, object]) -> None:
    state["numbers"] = "AAAA"


def empty(state: dict[str, object]) -> None:
    state.clear()


@pytest.mark.parametrize("damage", [shorten, widen, scramble, empty])
def test_a_broken_state_is_refused(damage: Callable[[dict[str, object]], None]) -> None:
    state = Carried(1, torch.zeros(6, 32, 32, dtype=torch.uint8)).to_json()
    assert Carried.from_json(state).session == 1
    damage(state)
    with pytest.raises((ValueError, TypeError, KeyError)):
        Carried.from_json(state)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_a_constant_picture_trains_and_scores_with_finite_numbers(level: float) -> None:
    torch.manual_seed(0)
    model = InTra(CONFIG).train()
    constant = torch.full((2, 3, 32, 24), level)
    step = model.training_step(TrainingBatch(constant))
    step.loss.backward()  # type: ignore[no-untyped-call]
    assert step.loss.isfinite()
    for parameter in model.parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all()
    model.eval()
    measured = model.measure(constant)
    assert measured.map.isfinite().all()
    assert measured.distance.isfinite().all()


def test_normal_pictures_lower_their_own_score(model: InTra, frames: Tensor) -> None:
    before = model.measure(frames[:1]).distance.item()
    model.learn_normal([frames[:1]])
    assert model.measure(frames[:1]).distance.item() == pytest.approx(0, abs=1e-9)
    assert before > 0
    assert "normal_difference" in model.state_dict()


def test_a_part_of_a_picture_trains_with_the_places_of_the_grid(model: InTra) -> None:
    """Fine-tuning takes squares."""
    step = model.train().training_step(TrainingBatch(torch.rand(1, 3, 16, 12)))
    assert step.loss.isfinite()


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ({"height_px": 120}, "multiples of 16"),
        ({"width_px": 96}, "windows are 112 px wide: height and width must be that or more"),
        ({"width": 100}, "a multiple of 2 heads"),
        ({"blocks": 0}, "blocks >= 1"),
        ({"window": 4}, "odd number of patches"),
        ({"patch_px": 6}, "multiple of 4"),
        ({"local_positions": 2}, "0 or 1"),
    ],
)
def test_a_size_that_cannot_be_is_one_line(sizes: dict[str, int], reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as raised:
        InTraConfig(**sizes)
    assert "\n" not in str(raised.value)
