"""Every model of the family through the same seam: checkpoint, training, scoring, batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lookout.models.base import MemoryModel, measure
from lookout.models.checkpoint.file import load_checkpoint, save_checkpoint
from lookout.models.data.clips import train_clips
from lookout.models.data.footage import Footage
from lookout.models.device import Precision, choose_precision
from lookout.models.errors import CheckpointError, TrainingError
from lookout.models.evaluation.clip_scores import score_clips
from lookout.models.evaluation.evaluate import guarded_rule
from lookout.models.media.preprocess import Preprocess
from lookout.models.registry import MODELS, changed, make_config, make_model, sized, stored_options
from lookout.models.scorer import Scorer
from lookout.models.training.loop import train
from lookout.models.training.options import TrainOptions
from lookout.models.training.trainer import StoppedError, Trainer
from tests.clips import write_clip
from tests.conftest import with_long_forms
from tests.tiny import EASY_BOUNDS, TINY_OF, TRAINED, untrained

FRAMES = 24
OPTIONS = TrainOptions(epochs=3, batch=4, learning_rate=1e-3, seed=7)

OWN_HEAT = {"riad", "intra", "scadn", "smai"}
"""Models whose heatmap is a map of their own, not their error."""

every_model = pytest.mark.parametrize("name", sorted(MODELS))
every_trained_model = pytest.mark.parametrize("name", TRAINED)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    return [
        write_clip(folder / f"{name}.mp4", range(FRAMES), size_px=(64, 48)) for name in ("a", "b")
    ]


def footage_for(name: str, clips: list[Path]) -> Footage:
    return Footage.load(
        train_clips(clips[0].parent), Preprocess(32, 32), TINY_OF[name].input_spec.frames
    )


def test_what_each_model_needs() -> None:
    spec = {name: make_config(name, {}).input_spec for name in MODELS}
    assert {name: (one.frames, one.scored, one.memory) for name, one in spec.items()} == {
        "mnad-pred": (5, 4, "adapts"),
        "mnad-recon": (1, 0, "adapts"),
        "memae": (16, 8, "fixed"),
        "memae-image": (1, 0, "fixed"),
        "std": (5, 4, "fixed"),
        "ae": (1, 0, "none"),
        "vae": (1, 0, "none"),
        "riad": (1, 0, "none"),
        "intra": (1, 0, "none"),
        "scadn": (1, 0, "none"),
        "smai": (1, 0, "none"),
        "places": (2, 1, "none"),
    }
    for name, one in spec.items():
        model = make_model(name, TINY_OF[name])
        assert (one.memory == "adapts") == isinstance(model, MemoryModel)
        assert (one.memory == "adapts") == (one.items != (0, 0)) == (one.gate > 0)


def test_a_model_without_weights_is_not_trained(clips: list[Path]) -> None:
    with pytest.raises(TrainingError, match="`places` has no weights to train"):
        Trainer(TINY_OF["places"], OPTIONS, footage_for("places", clips))


def test_other_sizes_keep_the_published_proportions() -> None:
    assert sized("mnad-pred", width=16) == make_config("mnad-pred", {"width": 16, "dim": 128})
    assert sized("memae", width=24) == make_config("memae", {"width": 24, "dim": 64})
    assert sized("std", width=8, dim=None) == make_config("std", {"width": 8})
    with pytest.raises(CheckpointError, match=r"^ae has no --items$"):
        sized("ae", items=4)
    with pytest.raises(CheckpointError, match=r"^std has no --dim$"):  # it follows from the width
        sized("std", dim=4)


def test_other_numbers_than_the_published_ones() -> None:
    published = make_config("mnad-pred", {})
    assert changed(published, {}) == published
    assert changed(published, {"loss_separate": "0", "gamma": "2e-2"}) == make_config(
        "mnad-pred", {"loss_separate": 0.0, "gamma": 0.02}
    )
    windows = changed(make_config("intra", {}), {"patch_px": "8", "window": "5"})
    assert windows == make_config("intra", {"patch_px": 8, "window": 5})


def test_lambda_goes_by_its_field_and_by_the_name_that_checkpoints_hold() -> None:
    published = make_config("mnad-pred", {})
    other = make_config("mnad-pred", {"fusion_weight": 0.5})
    assert make_config("mnad-pred", {"lambda_": 0.5}) == other
    assert changed(published, {"lambda_": "0.5"}) == other
    assert changed(published, {"fusion_weight": "0.5"}) == other
    assert stored_options(other)["lambda_"] == 0.5
    assert make_config("mnad-pred", stored_options(other)) == other


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("mnad-pred", {"loss_apart": "0"}, "mnad-pred has no number 'loss_apart'.*loss_separate"),
        ("mnad-pred", {"width": "8"}, "has no number 'width'"),
        ("mnad-pred", {"gamma": "-1"}, "gamma must be a number from 0 on, not '-1'"),
        ("mnad-pred", {"gamma": "nan"}, "gamma must be a number"),
        ("mnad-pred", {"gamma": "1e999"}, "gamma must be a number"),
        ("mnad-pred", {"gamma": "little"}, "gamma must be a number"),
        ("smai", {"step_px": "16.5"}, "step_px must be a whole number, not '16.5'"),
        ("smai", {"step_px": "1e9"}, "smai cannot be configured so"),
        ("std", {"clusters_from": "1"}, "std cannot be configured so"),
    ],
)
def test_a_number_that_cannot_be_is_named(name: str, values: dict[str, str], reason: str) -> None:
    with pytest.raises(CheckpointError, match=reason):
        changed(make_config(name, {}), values)


@every_model
def test_what_is_saved_comes_back(name: str, tmp_path: Path) -> None:
    original = untrained(TINY_OF[name], calibration=EASY_BOUNDS)
    save_checkpoint(tmp_path / "tiny.safetensors", original)
    loaded = load_checkpoint(tmp_path / "tiny.safetensors")
    assert (loaded.name, loaded.config, loaded.calibration) == (name, original.config, EASY_BOUNDS)
    assert torch.equal(loaded.items, original.items)
    for key, tensor in original.model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[key], tensor), key


@pytest.mark.parametrize("name", with_long_forms(TRAINED, {"mnad-pred", "memae", "std"}))
def test_training_lowers_the_loss(name: str, clips: list[Path], tmp_path: Path) -> None:
    losses: list[float] = []
    trainer = Trainer(TINY_OF[name], OPTIONS, footage_for(name, clips))
    train(trainer, tmp_path / "state", on_progress=lambda now: losses.append(now.loss))
    epoch = trainer.footage.batches_per_epoch(OPTIONS.batch)
    losses.pop(0)  # nan, as the run begins
    assert np.mean(losses[-epoch:]) < np.mean(losses[:epoch])


@pytest.mark.parametrize("name", with_long_forms(TRAINED, {"memae"}))
def test_a_run_resumed_twice_equals_an_undisturbed_one(
    name: str, clips: list[Path], tmp_path: Path
) -> None:
    """Stopped in the middle of an epoch, and again between two."""
    footage = footage_for(name, clips)
    whole = Trainer(TINY_OF[name], OPTIONS, footage)
    train(whole, tmp_path / "other")
    state, epoch = tmp_path / "state", footage.batches_per_epoch(OPTIONS.batch)
    resumed = Trainer(TINY_OF[name], OPTIONS, footage)
    for steps in (epoch // 2, epoch):
        with pytest.raises(StoppedError):
            train(resumed, state, should_stop=lambda: resumed.steps_done >= steps)  # noqa: B023
        resumed = Trainer(TINY_OF[name], OPTIONS, footage)
        resumed.resume(state)
    train(resumed, state)
    for key, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[key]), key
    assert torch.equal(whole.items, resumed.items)


def test_a_state_of_another_model_is_refused(clips: list[Path], tmp_path: Path) -> None:
    state = tmp_path / "model.resume"
    Trainer(TINY_OF["ae"], OPTIONS, footage_for("ae", clips)).save(state)
    with pytest.raises(CheckpointError, match="other options"):
        Trainer(TINY_OF["vae"], OPTIONS, footage_for("vae", clips)).resume(state)


@every_trained_model
def test_a_loss_that_is_no_number_ends_the_training(
    name: str, clips: list[Path], tmp_path: Path
) -> None:
    trainer = Trainer(TINY_OF[name], OPTIONS, footage_for(name, clips))
    for parameter in trainer.model.parameters():
        parameter.data.fill_(torch.nan)
    with pytest.raises(TrainingError, match="learning rate"):
        train(trainer, tmp_path / "state")
    assert not list(tmp_path.iterdir())


@every_trained_model
def test_the_clusters_of_std_alone_start_in_the_middle_of_a_training(
    name: str, clips: list[Path]
) -> None:
    trainer = Trainer(TINY_OF[name], OPTIONS, footage_for(name, clips))
    changed = []
    for trainer.epoch in range(OPTIONS.epochs):
        before = {key: tensor.clone() for key, tensor in trainer.model.state_dict().items()}
        trainer.begin_epoch()
        changed.append(
            [
                key
                for key, tensor in trainer.model.state_dict().items()
                if not torch.equal(tensor, before[key])
            ]
        )
    assert changed == [[], ["cluster.cluster_center"] if name == "std" else [], []]
    assert trainer.model.training


@every_model
def test_a_clip_has_scores_for_the_frames_that_the_model_says(name: str, clips: list[Path]) -> None:
    scorer = Scorer(untrained(TINY_OF[name]))
    spec = scorer.input_spec
    (found,) = score_clips(scorer, clips[:1], carry_memory=True)
    assert found.first == spec.scored
    assert len(found.psnr_db) == FRAMES - spec.frames + 1
    assert np.isfinite(found.psnr_db).all()
    assert np.isfinite(found.distance).all()
    assert np.isfinite(found.gate_error).all() == (spec.memory == "adapts")


@every_model
def test_the_heatmap_and_psnr_are_those_of_the_scored_frame(name: str) -> None:
    scorer = Scorer(untrained(TINY_OF[name]))
    spec = scorer.input_spec
    clip = np.random.default_rng(0).integers(0, 256, (spec.frames, 32, 32, 3), dtype=np.uint8)
    prepared = scorer.normalise([clip])
    scored = scorer.step_normalised(prepared, scorer.fresh_items()[None])
    channels = 1 if spec.gray else 3
    frame = prepared[:, channels * spec.scored : channels * (spec.scored + 1)]
    measured = measure(scorer.network, prepared, scorer.fresh_items()[None])
    assert (measured.queries is not None) == (spec.memory == "adapts")
    assert ("distance" in measured.parts) == spec.distance
    assert measured.map.shape == frame.shape
    assert (measured.heat is not None) == (name in OWN_HEAT)
    shown = measured.map if measured.heat is None else measured.heat.square()
    assert scored.heat.square().mean().item() == pytest.approx(shown.mean().item(), rel=1e-5)
    assert scored.psnr_db.item() == pytest.approx(
        -10 * np.log10(measured.map.mean().item()), rel=1e-5
    )


@pytest.mark.parametrize(
    "name", [name for name, config in TINY_OF.items() if config.input_spec.memory != "adapts"]
)
def test_a_model_without_a_memory_that_adapts_carries_none_and_guards_none(name: str) -> None:
    checkpoint = untrained(TINY_OF[name], calibration=EASY_BOUNDS)
    scorer = Scorer(checkpoint)
    clips = np.zeros((2, scorer.t_length, 32, 32, 3), np.uint8)
    scored = scorer.step(list(clips), torch.stack([scorer.fresh_items()] * 2))
    assert scored.items.shape == (2, 0, 0)
    assert not scored.memory_updated.any()
    assert not scored.drift.any()
    assert scored.gate_error.isnan().all()
    with pytest.raises(CheckpointError, match="nothing to guard"):
        guarded_rule(checkpoint)


SIZES: dict[str, dict[str, int]] = {
    "mnad-recon": {"width": 16, "items": 4},
    "memae": {},  # narrower ones take other convolutions for other batches
    "std": {"width": 8, "items": 8},
    "ae": {"width": 16},
    "vae": {"width": 16},
    "riad": {"width": 16},
    "intra": {"width": 32, "blocks": 3},
    "scadn": {"width": 16, "blocks": 1},
    "smai": {"width": 16, "step_px": 128},
}
SLOW = {"memae", "riad", "intra", "scadn", "smai"}
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
SHORT = {(name, "fp32") for name in SIZES if name not in SLOW}
"""What `make test` runs of them: MemAE, the inpainting models and bf16 take minutes."""
SIZES_AND_PRECISIONS = [
    pytest.param(
        name,
        precision,
        marks=[] if (name, precision) in SHORT else [pytest.mark.long, pytest.mark.timeout(900)],
    )
    for name in SIZES
    for precision in PRECISIONS
]
SMALL_PX = 64
"""Side of MemAE's pictures in bf16 on a CPU that emulates it: a 3D convolution takes 16 times as
long at 256 px, a quarter of an hour in all.
"""


@pytest.mark.parametrize(("name", "precision"), SIZES_AND_PRECISIONS)
def test_a_batch_gives_what_each_clip_gives_alone(name: str, precision: Precision) -> None:
    """The same bit for bit on a CPU, at sizes for which torch takes the same convolutions.

    See test_inference_step.
    """
    scorer = Scorer(untrained(sized(name, **SIZES[name])), precision=precision)
    emulated = precision == "bf16" and choose_precision("auto", "cpu") == "fp32"
    side_px = SMALL_PX if name == "memae" and emulated else 256
    shape = (2, scorer.t_length, side_px, side_px, 3)
    clips = list(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    items = torch.stack([scorer.fresh_items()] * 2)
    together = scorer.step(clips, items)
    for row, clip in enumerate(clips):
        alone = scorer.step([clip], items[:1])
        for part in ("psnr_db", "distance", "memory_updated", "items", "heat"):
            assert torch.equal(getattr(together, part)[row], getattr(alone, part)[0]), part
