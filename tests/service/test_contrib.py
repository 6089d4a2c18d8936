"""The recipe, shortened for a CPU: resumes after a kill, prints its table, cuts its checkpoint."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contrib import recipe
from contrib.__main__ import main
from lookout.models.checkpoint.file import load_checkpoint
from lookout.models.checkpoint.header import digest
from lookout.models.training import loop
from lookout.models.training.loader import Batch
from lookout.models.training.trainer import Trainer
from tests.cli import Said, call
from tests.clips import damage, write_clip
from tests.killed import KilledError
from tests.sets import FRAMES, ped2, write_images


def contrib(*args: object, expect: int = 0) -> Said:
    """`python -m contrib` in this process."""
    return call(main, *args, expect=expect)


SMALL = ("--width", 4, "--size", 32, "--epochs", 2, "--device", "cpu", "--minutes", 60)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ped2(tmp_path_factory.mktemp("ped2"))


@pytest.fixture(scope="module", autouse=True)
def short_probes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe, "WARM_UP_STEPS", 1)
        patch.setattr(recipe, "MAX_PROBE_STEPS", 2)
        patch.setattr(recipe, "SCORING_PROBE_S", 0.1)
        yield


@pytest.fixture(scope="module")
def made(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Said]:
    """Kill a run in its third step, run it again, and return its folder and the second output."""
    out, steps = tmp_path_factory.mktemp("out"), iter(range(10**6))
    trained = Trainer.step

    def step(trainer: Trainer, batch: Batch) -> tuple[float, float]:
        if (out / "mnad-pred-seed0.safetensors.resume").exists() and next(steps) == 2:
            raise KilledError
        return trained(trainer, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "SAVE_EVERY_S", 0)
        patch.setattr(Trainer, "step", step)
        with pytest.raises(KilledError):
            contrib("recipe", "--data", data, "--out", out, *SMALL)
    assert not (out / "mnad-pred-seed0.safetensors").exists()
    return out, contrib("recipe", "--data", data, "--out", out, *SMALL)


def result(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "mnad-pred-seed0.result.json").read_text())
    return found


@pytest.mark.long
def test_a_killed_recipe_goes_on_to_the_end_of_its_schedule(made: tuple[Path, Said]) -> None:
    out, said = made
    assert "going on from" in said.out
    found = result(out)
    assert (found["epochs"], found["epochs_planned"], found["epochs_wanted"]) == (2, 2, 2)
    assert found["steps"] == 2 * ((FRAMES - 4) // 4)
    assert 0 < found["training_min"] < 60


def test_the_table_tells_what_was_done_and_what_came_of_it(made: tuple[Path, Said]) -> None:
    out, said = made
    found, checkpoint = result(out), out / "mnad-pred-seed0.safetensors"
    (row,) = [line for line in said.out.splitlines() if line.startswith("| mnad-pred")]
    assert "| mnad-pred, width 4, 32 px | 0 | 2 of 2 | 4 | 0.0002 |" in row
    assert f"| {digest(checkpoint)} | `python -m contrib recipe --data" in row
    for auc in found["auc"].values():
        assert f"| {auc:.2f} % |" in row
    assert found["causal_bounds"] == "model"
    assert found["scoring_frames_per_s"]["1"] > 0
    assert load_checkpoint(checkpoint).calibration is not None
    assert str(out) not in (out / "mnad-pred-seed0.result.json").read_text()


def test_the_weights_are_half_and_their_parts_make_the_file(
    made: tuple[Path, Said], tmp_path: Path
) -> None:
    out, _ = made
    checkpoint, joined = out / "mnad-pred-seed0.safetensors", tmp_path / "joined.safetensors"
    parameters = sum(
        tensor.numel() for tensor in load_checkpoint(checkpoint).model.state_dict().values()
    )
    assert checkpoint.stat().st_size < 3 * parameters
    contrib("join", out / "mnad-pred-seed0.safetensors.parts.json", "--out", joined)
    assert joined.read_bytes() == checkpoint.read_bytes()


def test_done_again_it_trains_nothing_and_another_schedule_is_refused(
    made: tuple[Path, Said], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, _ = made
    monkeypatch.setattr(Trainer, "step", None)
    before = result(out)
    (out / "former-seed0.result.json").write_text('{"model": "mnad-pred"}')
    said = contrib("recipe", "--data", data, "--out", out, *SMALL).out
    assert "former-seed0.result.json is left out: it holds no result of this version" in said
    assert "| mnad-pred, width 4, 32 px | 0 |" in said
    assert result(out)["checkpoint_sha256"] == before["checkpoint_sha256"]
    other = contrib("recipe", "--data", data, "--out", out, *SMALL, "--epochs", 3, expect=1)
    assert "mnad-pred-seed0.plan.json is of a training with other options" in other.one_line()


def test_what_cannot_be_is_one_line_and_no_file(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr(
        recipe, "throughput", lambda _: recipe.Throughput(steps_per_s=1e-6, row_s=0)
    )
    assert (
        "one epoch takes"
        in contrib("recipe", "--data", data, "--out", out, *SMALL, expect=1).one_line()
    )
    said = contrib("recipe", "--data", data / "Test", "--out", out, *SMALL, expect=1)
    assert "Test has one normal clip" in said.one_line()
    short = tmp_path / "short"
    for name in ("01", "02"):
        write_images(
            short / "train" / name, [f"{number}.png" for number in range(4 if name == "02" else 9)]
        )
    (short / "test").symlink_to(short / "train")
    said = contrib("recipe", "--data", short, "--out", out, *SMALL, expect=1)
    assert "02 has 4 frames; the model needs 5" in said.one_line()
    damaged = tmp_path / "damaged"
    (damaged / "train").mkdir(parents=True)
    for name in ("01", "02"):
        damage(write_clip(damaged / "train" / f"{name}.mp4", range(12), size_px=(64, 48)), [5])
    (damaged / "test").symlink_to(damaged / "train")
    said = contrib("recipe", "--data", damaged, "--out", out, *SMALL, expect=1)
    assert "01.mp4: " in said.one_line()
    assert "are damaged" in said.one_line()
    assert not out.exists()


def test_what_it_is_to_be_measured_on_is_looked_at_before_the_training(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "__init__", None)
    out, partial = tmp_path / "out", tmp_path / "partial"
    partial.mkdir()
    (partial / "Train").symlink_to(data / "Train")
    said = contrib("recipe", "--data", partial, "--out", out, *SMALL, expect=1)
    assert "partial holds no video clip" in said.one_line()
    (partial / "test").mkdir()
    (partial / "test" / "01.mp4").write_text("no video")
    assert (
        "01.mp4 cannot be opened"
        in contrib("recipe", "--data", partial, "--out", out, *SMALL, expect=1).one_line()
    )
    write_clip(partial / "test" / "01.mp4", range(9))
    labels = {"test": {"01": {"frames": 8, "anomalous_first_last_0based_inclusive": [[2, 4]]}}}
    (partial / "labels.json").write_text(json.dumps(labels))
    said = contrib("recipe", "--data", partial, "--out", out, *SMALL, expect=1)
    assert "labels.json says that clip 01 has 8 frames; it has 9" in said.one_line()
    assert not out.exists()


def test_the_page_on_gpus_names_the_options_of_the_recipe_and_shows_its_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "gpu.md").read_text()
    assert recipe.table([]) in page
    told = set(re.findall(r"--[a-z][a-z-]+", page))
    options = set(re.findall(r"--[a-z][a-z-]+", contrib("recipe", "--help").out))
    assert options - {"--help"} == told
