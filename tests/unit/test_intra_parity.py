"""InTra against every figure of ../shared/reference/intra.json, from a public re-implementation.

Its long residuals and its windows are off by one from the paper, and from us: here both are put in
the place of ours, and must then give its figures. What it gives with the paper's pairs is ours.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  torch's own convention
from torch import Tensor

from lookout.models import intra
from lookout.models.intra import (
    MEAN_FILTER_PX,
    SCALES,
    InTra,
    InTraConfig,
    as_pictures,
    by_channel,
    difference,
    partner,
    patches_of,
    window_starts,
    windows,
)
from lookout.models.scoring.similarity import GMS_C, SSIM_WINDOW_PX, msgms_loss, ssim_loss
from tests import reference

pytestmark = pytest.mark.footage  # for the reference beside it

SMALL = InTraConfig(width=64, blocks=5, heads=4, patch_px=8, window=5, height_px=64, width_px=64)
PUBLISHED = InTraConfig(height_px=128, width_px=128)
UNUSED = ("self_attn.", "feed_forward.", "encoder_layer.", "pos_embedding_loc")


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    return reference.figures("intra")


@pytest.fixture(autouse=True)
def off_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the code's pairs and windows in the place of the paper's."""
    monkeypatch.setattr(intra, "partner", code_partner)
    monkeypatch.setattr(intra, "window_starts", code_starts)


def code_partner(block: int, blocks: int) -> int | None:
    return blocks - block if block > blocks / 2 else None


def code_starts(patches: int, window: int) -> list[int]:
    rule = (min(max(0, patch - window // 2 - 1), patches - window) for patch in range(patches))
    return list(rule)


def used(figures: dict[str, Any], network: str) -> dict[str, Tensor]:
    """Return the tensors that the code uses, under our names."""
    return {
        name.replace("pos_embedding_glb", "pos_embedding"): tensor
        for name, tensor in reference.filled_weights(figures, network).items()
        if not name.startswith(UNUSED)
    }


def filled(figures: dict[str, Any], network: str, config: InTraConfig) -> InTra:
    made = InTra(config)
    missing = made.load_state_dict(used(figures, network), strict=False)
    assert missing.missing_keys == ["normal_difference"]
    assert missing.unexpected_keys == []
    return made.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def small(figures: dict[str, Any]) -> InTra:
    return filled(figures, "small", SMALL)


@pytest.fixture(scope="module")
def published(figures: dict[str, Any]) -> InTra:
    return filled(figures, "published_size", PUBLISHED)


def picture(number: int, side_px: int = 64) -> Tensor:
    return torch.from_numpy(reference.picture(number, side_px=side_px))[None]


def defect(side_px: int = 64) -> Tensor:
    damaged = reference.with_defect(reference.picture(0, side_px=side_px))
    return torch.from_numpy(damaged)[None]


def test_hyper_parameters_are_the_reference_s(figures: dict[str, Any]) -> None:
    given = figures["hyper_parameters"]
    config = InTraConfig()
    assert [config.patch_px, config.window, config.width, config.blocks, config.heads] == [
        given[name][0] for name in ("patch_K", "window_L", "width_D", "blocks", "heads")
    ]
    assert (config.loss_msgms, config.loss_ssim) == (0.01, 0.01)
    assert f"{SCALES} scales on a patch, c {GMS_C}" in given["msgms"][0]
    assert f"window {SSIM_WINDOW_PX}" in given["ssim"][0]
    assert f"mean filter {MEAN_FILTER_PX}x{MEAN_FILTER_PX}" in given["map"][0]


@pytest.mark.wide  # make test fills the small one, and none is missing
def test_the_network_has_the_reference_s_tensors(figures: dict[str, Any], published: InTra) -> None:
    tensors = used(figures, "published_size")
    loaded = published.state_dict()
    assert {name: loaded[name].shape for name in tensors} == {
        name: tensor.shape for name, tensor in tensors.items()
    }
    assert sum(p.numel() for p in published.parameters()) == figures["parameters_used"]
    shapes = figures["state_dict_order_and_shapes"]["published_size"].values()
    whole = sum(torch.Size(shape).numel() for shape in shapes)
    assert whole == figures["parameters_in_state_dict"]


def test_windows_are_placed_by_the_paper_s_rule_and_the_code_s_is_known(
    figures: dict[str, Any],
) -> None:
    for name, starts in figures["window_starts"].items():
        patches, window = (int(part.strip("L")) for part in name.split("_patches_"))
        assert window_starts(patches, window) == starts["paper_rule"]
        assert code_starts(patches, window) == starts["code"]


def test_the_first_block_goes_to_the_last() -> None:
    assert [partner(number, 13) for number in range(7, 13)] == [5, 4, 3, 2, 1, 0]
    assert [partner(number, 13) for number in range(7)] == [None] * 7


def check_window(model: InTra, x: Tensor, expected: dict[str, Any], tolerance: float) -> None:
    config = model.config
    rows, columns = config.grid
    members, _ = windows((rows, columns), config.window)
    number = expected["t"] * columns + expected["u"]
    starts = intra.window_starts(rows, config.window)
    assert starts[expected["t"]] == expected["window_start_row"]
    assert starts[expected["u"]] == expected["window_start_column"]
    patches = patches_of(x, config.patch_px)[0]
    tokens = model.tokens(patches[members[number]][None], members[number][None])
    reference.assert_tensor(tokens, expected["sequence_in"])
    reference.assert_tensor(patches[number][None], expected["covered_patch"])
    first = model.encoder.layers[0]
    assert isinstance(first, intra.TransformerBlock)
    normed = first.sublayer[0](tokens)
    reference.assert_tensor(normed, expected["block_0_normed_input"], tolerance)
    queries = first.self_attn.MLP_q(normed)
    reference.assert_tensor(queries, expected["block_0_query_before_heads"], tolerance)
    attention = first.self_attn.weights(normed)
    reference.assert_tensor(attention, expected["block_0_attention"], tolerance)
    outputs: list[Tensor] = []
    hooks = [
        block.register_forward_hook(lambda _, __, out: outputs.append(out))
        for block in model.encoder.layers
    ]
    after = model.encoder(tokens)
    for hook in hooks:
        hook.remove()
    for name, figure in expected.items():
        if name.removeprefix("block_").isdigit():
            reference.assert_tensor(outputs[int(name[6:])], figure, tolerance)
    reference.assert_tensor(after, expected["after_norm"], tolerance)
    reference.assert_tensor(after.mean(dim=1), expected["mean_over_tokens"], tolerance)
    every = torch.tensor([number])
    restored = model.inpaint(patches, config.grid, every)
    reference.assert_tensor(restored, expected["patch_out"], tolerance)
    check_losses(model, restored, patches[every], expected, max(tolerance, 1e-4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intra, "partner", partner)
        paper = model.inpaint(patches, config.grid, every)
    reference.assert_tensor(paper, expected["patch_out_with_paper_pairing"], tolerance)


def check_losses(
    model: InTra, restored: Tensor, covered: Tensor, expected: dict[str, Any], rel: float
) -> None:
    """Check the losses of patches as they are, and as the code reshapes them."""
    k = model.config.patch_px
    forms = {
        "losses_of_the_true_patches": (as_pictures(restored, k), as_pictures(covered, k)),
        "losses_as_the_code_reshapes": (restored.view(-1, 3, k, k), covered.view(-1, 3, k, k)),
    }
    for name, (one, other) in forms.items():
        figure = expected[name]
        parts = structure(other, one)
        l2 = F.mse_loss(one, other)
        assert l2.item() == pytest.approx(figure["l2"], rel=rel)
        assert [part.item() for part in parts] == pytest.approx(
            [figure["msgms_3_scales"], figure["ssim"]], rel=rel
        )
        if "total_paper_weights_0.01" in figure:
            found, similarity = model.losses(one, other)
            total = (found + similarity).item()
            assert total == pytest.approx(figure["total_paper_weights_0.01"], rel=rel)
            whole = (l2 + sum(parts)).item()
            assert whole == pytest.approx(figure["total_code_weights_1_1"], rel=rel)


def structure(x: Tensor, x_hat: Tensor) -> tuple[Tensor, Tensor]:
    """Return the losses of MSGMS and SSIM, not weighed."""
    msgms = msgms_loss(by_channel(x), by_channel(x_hat), SCALES)
    return msgms, ssim_loss(x, x_hat, span=1)


@pytest.mark.parametrize("name", ["window", "corner_window"])
def test_a_window_of_the_small_network_is_the_reference_s_step_by_step(
    name: str, small: InTra, figures: dict[str, Any]
) -> None:
    expected = figures["expected"]["small_network_64x64"][name]
    check_window(small, defect(), expected, 1e-4)


def test_a_window_of_the_published_size_is_the_reference_s_step_by_step(
    published: InTra, figures: dict[str, Any]
) -> None:
    expected = figures["expected"]["published_size_128x128"]["window"]
    check_window(published, defect(128), expected, 1e-3)


def check_picture(
    model: InTra, x: Tensor, expected: dict[str, Any], tolerance: float = 1e-4
) -> Tensor:
    """Check one picture; return its difference as the code filters it, fading at the border."""
    x_hat = model.inpainted(x)
    reference.assert_tensor(x_hat, expected["reconstruction"], tolerance)
    whole = expected["whole_picture"]
    found = [F.mse_loss(x_hat, x), *structure(x, x_hat)]
    assert [one.item() for one in found] == pytest.approx(
        [whole["l2"], whole["msgms_3_scales"], whole["ssim"]], rel=tolerance
    )
    k = model.config.patch_px
    pairs = zip(patches_of(x_hat, k)[0], patches_of(x, k)[0], strict=True)
    losses = []
    for one, other in pairs:  # one patch at a time, as the code reshapes it, with weights of 1
        small_one, small_other = one.view(1, 3, k, k), other.view(1, 3, k, k)
        msgms, ssim = structure(small_other, small_one)
        losses.append(F.mse_loss(small_one, small_other) + msgms + ssim)
    mean = torch.stack(losses).mean().item()
    assert mean == pytest.approx(expected["mean_patch_loss"], rel=tolerance)
    inside = F.avg_pool2d(torch.ones_like(x[:, :1]), MEAN_FILTER_PX, 1, MEAN_FILTER_PX // 2)
    faded = difference(x, x_hat) * inside
    reference.assert_tensor(faded, expected["map_msgms_mean21"], tolerance)
    assert faded.max().item() == pytest.approx(expected["map_max"], rel=tolerance)
    return faded


def test_pictures_maps_and_the_score_of_the_small_network_are_the_reference_s(
    small: InTra, figures: dict[str, Any]
) -> None:
    expected = figures["expected"]["small_network_64x64"]
    names = ("picture_train_1", "picture_train_2", "picture_defect")
    pictures = (picture(1), picture(2), defect())
    faded = [
        check_picture(small, x, expected[name]) for name, x in zip(names, pictures, strict=True)
    ]
    against = (faded[2] - (faded[0] + faded[1]) / 2).square()
    # A difference of close numbers: its own std is a hundredth of theirs.
    reference.assert_tensor(against, expected["map_against_training_mean"], 3e-3)
    assert against.max().item() == pytest.approx(expected["score"], rel=1e-3)
    small.learn_normal(pictures[:2])
    measured = small.measure(pictures[2])
    normal = (difference_of(small, pictures[0]) + difference_of(small, pictures[1])) / 2
    own = (difference_of(small, pictures[2]) - normal).square()
    assert measured.heat is not None
    assert torch.allclose(measured.heat.square(), own, atol=1e-6)
    assert measured.distance.item() == pytest.approx(own.max().item(), rel=1e-4)


def difference_of(model: InTra, x: Tensor) -> Tensor:
    return difference(x, model.inpainted(x))


@pytest.mark.wide  # make test has the small network's picture
def test_a_picture_of_the_published_size_is_the_reference_s(
    published: InTra, figures: dict[str, Any]
) -> None:
    expected = figures["expected"]["published_size_128x128"]["picture_defect"]
    check_picture(published, defect(128), expected, 1e-3)


def test_a_training_batch_is_the_reference_s(small: InTra, figures: dict[str, Any]) -> None:
    expected = figures["expected"]["small_network_training_batch"]
    columns, window = SMALL.grid[1], SMALL.window
    tokens: list[Tensor] = []
    covered: list[Tensor] = []
    outputs: list[Tensor] = []
    for number, ((top, left), inside) in enumerate(
        zip(
            expected["window_start_row_column"],
            expected["covered_index_in_window"],
            strict=True,
        )
    ):
        order = [inside, *(place for place in range(window**2) if place != inside)]
        members = torch.tensor(
            [[(top + place // window) * columns + left + place % window for place in order]]
        )
        patches = patches_of(picture(number), SMALL.patch_px)[0]
        tokens.append(small.tokens(patches[members], members))
        covered.append(patches[members[0, :1]])
        outputs.append(small(patches[members], members))
    reference.assert_tensor(torch.cat(tokens), expected["sequence_in"])
    reference.assert_tensor(torch.cat(outputs), expected["patch_out"])
    check_losses(small, torch.cat(outputs), torch.cat(covered), expected, 1e-4)
