"""train: its checkpoint, progress, ends, several seeds, a teacher; errors are one line."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from lookout.models.checkpoint.file import load_checkpoint
from lookout.models.checkpoint.header import digest, read_header
from lookout.models.data import clips as footage
from lookout.models.training.loader import Batch
from lookout.models.training.trainer import Trainer
from tests.cli import TRAIN, evaluated, lookout
from tests.clips import damage, write_clip
from tests.conftest import with_wide_forms
from tests.sets import write_images

GROUPS = {"bf": "0", "g": "10", "sc_threshold": "0"}
"""A keyframe every ten frames."""


def test_train_records_where_the_checkpoint_came_from(trained: Path) -> None:
    header = read_header(trained)
    assert header.calibration is None
    assert header.provenance["train"]["seed"] == 3
    assert len(header.provenance["footage"]["sha256"]) == 16
    assert "/" not in header.provenance["command"]
    assert not list(trained.parent.glob("*.resume"))


@pytest.mark.long
def test_a_signal_stops_a_training_which_no_other_may_go_on_with(
    data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model.safetensors"
    command = ["train", "--data", data, "--out", out, *TRAIN]
    slow = [*command[:-4], "--epochs", "4000", "--seed", "3"]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "lookout", *map(str, slow)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert "52 windows of 2 clips" in process.stdout.readline()  # it has begun
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "goes on from" in said
    assert (tmp_path / "model.safetensors.resume").exists()
    assert not out.exists()
    other = lookout(*command, expect=1)  # two epochs are not the run that was stopped
    assert "other options" in other.one_line()


@pytest.mark.long  # make test resumes runs in tests/unit/test_run.py
def test_training_goes_on_after_a_signal(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signal in the middle of an epoch, of 4 with 6 steps each."""
    step = Trainer.step

    def step_and_signal(trainer: Trainer, batch: Batch) -> tuple[float, float]:
        if trainer.steps_done == 13:
            signal.raise_signal(signal.SIGINT)
        return step(trainer, batch)

    options = ("--data", data, *TRAIN, "--epochs", 4, "--held-out", 0.1, "--validate-every", 10)
    undisturbed, out = (
        tmp_path / "one" / "gate.safetensors",
        tmp_path / "other" / "gate.safetensors",
    )
    lookout("train", "--out", undisturbed, *options)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", step_and_signal)
        stopped = lookout("train", "--out", out, *options, expect=130).out
    assert f"stopped; the same command goes on from {out}.resume" in stopped
    assert not out.exists()
    again = lookout("train", "--out", out, *options).out
    assert f"going on from {out}.resume (epoch 2, step 2)" in again
    for name in ("gate.safetensors", "gate.last.safetensors"):
        assert_same_weights(undisturbed.with_name(name), out.with_name(name))
    assert {path.name for path in out.parent.iterdir()} == {
        path.name for path in undisturbed.parent.iterdir()
    }


def assert_same_weights(one: Path, other: Path) -> None:
    of_one, of_other = load_checkpoint(one), load_checkpoint(other)
    assert torch.equal(of_one.items, of_other.items)
    for name, weights in of_one.model.state_dict().items():
        assert torch.equal(weights, of_other.model.state_dict()[name]), name


class Malicious:
    """Runs code when a pickle of it is loaded without care."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.made),)


def test_a_state_that_would_run_code_is_one_line_and_runs_none(data: Path, tmp_path: Path) -> None:
    state, made = tmp_path / "gate.safetensors.resume", tmp_path / "made"
    torch.save({"fingerprint": Malicious(made)}, state)
    zipped = state.read_bytes()
    for content in (zipped, pickle.dumps(Malicious(made))):
        state.write_bytes(content)
        said = lookout(
            "train", "--data", data, "--out", tmp_path / "gate.safetensors", *TRAIN, expect=1
        )
        assert (
            "gate.safetensors.resume cannot be resumed from (UnpicklingError); remove it"
            in said.one_line()
        )
        assert {path.name for path in tmp_path.iterdir()} == {"gate.safetensors.resume"}


def test_training_tells_how_it_goes_on_held_out_clips(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "gate.safetensors"
    said = lookout(
        "train", "--data", data, "--out", out, *TRAIN, "--held-out", 0.1, "--deterministic"
    ).out
    assert "26 windows of 1 clips, 1 held out" in said
    rows = [json.loads(line) for line in (tmp_path / "gate.log.jsonl").read_text().splitlines()]
    for row in rows:
        (line,) = [
            line
            for line in said.splitlines()
            if line.startswith(f"epoch {row['epoch']} of 2, step {row['step']}:")
        ]
        assert f"held out {row['held_out']['psnr_db']:.2f} dB" in line
        assert f"generated AUC {row['held_out']['auc_percent']:.1f} %" in line
        assert "steps/s" in line
        assert ("(best)" in line) == row["best"]
    assert {path.name for path in tmp_path.iterdir()} == {
        "gate.safetensors",
        "gate.last.safetensors",
        "gate.log.jsonl",
    }
    provenance = read_header(out).provenance
    assert provenance["footage"]["held_out"]["clips"] in (["01.mp4"], ["02.mp4"])
    assert provenance["row"] == [row for row in rows if row["best"]][-1]


@pytest.mark.long
def test_other_clips_to_measure_on_and_an_early_end(data: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write_clip(other / "night.mp4", range(600, 630), size_px=(64, 48))
    out = tmp_path / "gate.safetensors"
    watch = (
        "--validate",
        other,
        "--validate-every",
        1,
        "--patience",
        1,
        "--best-by",
        "auc",
        "--epochs",
        40,
    )
    lookout("train", "--data", data, "--out", out, *TRAIN, *watch)
    rows = [json.loads(line) for line in (tmp_path / "gate.log.jsonl").read_text().splitlines()]
    assert [row["best"] for row in rows] == [True] * (len(rows) - 1) + [False]
    assert len(rows) < 40 * 13


def test_the_clock_ends_a_training_with_a_whole_checkpoint(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "gate.safetensors"
    short = ("--epochs", 10_000, "--minutes", 1 / 600, "--validate-every", 10**9)
    lookout("train", "--data", data, "--out", out, *TRAIN, *short)
    (row,) = [json.loads(line) for line in (tmp_path / "gate.log.jsonl").read_text().splitlines()]
    assert 1 <= row["step"] < 10_000  # of 130,000
    provenance = read_header(out).provenance
    assert provenance["train"]["most_s"] == pytest.approx(0.1)
    assert provenance["row"]["step"] == row["step"]
    assert not (tmp_path / "gate.safetensors.resume").exists()


@pytest.mark.long  # make test has tests/unit/test_run_files.py
def test_several_seeds_have_mean_and_deviation_and_go_on(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "gate.safetensors"
    command = ("train", "--data", data, "--out", out, *TRAIN, "--held-out", 0.1, "--seeds", 2)
    said = lookout(*command).out
    summary = json.loads((tmp_path / "gate.seeds.json").read_text())
    psnr = [run["row"]["held_out"]["psnr_db"] for run in summary["runs"]]
    assert [run["checkpoint"] for run in summary["runs"]] == [
        "gate-seed3.safetensors",
        "gate-seed4.safetensors",
    ]
    assert psnr[0] != psnr[1]
    spread = summary["over_seeds"]["psnr_db"]
    assert spread == {
        "mean": pytest.approx(np.mean(psnr)),
        "deviation": pytest.approx(np.std(psnr, ddof=1)),
    }
    assert (
        f"psnr_db over 2 seeds: {spread['mean']:.4g}, deviation {spread['deviation']:.2g}" in said
    )
    held = [
        read_header(tmp_path / run["checkpoint"]).provenance["footage"] for run in summary["runs"]
    ]
    assert held[0] == held[1]
    (tmp_path / "gate-seed4.safetensors").unlink()
    again = lookout(*command).out
    assert "gate-seed3.safetensors is finished" in again
    assert json.loads((tmp_path / "gate.seeds.json").read_text()) == summary


@pytest.mark.long
def test_a_narrow_network_is_taught_by_a_wide_one(
    data: Path, trained: Path, tmp_path: Path
) -> None:
    out = tmp_path / "narrow.safetensors"
    taught = (
        "train",
        "--data",
        data,
        "--out",
        out,
        *TRAIN,
        "--width",
        2,
        "--dim",
        16,
        "--teacher",
        trained,
    )
    lookout(*taught)
    header = read_header(out)
    assert (
        header.config["dim"],
        header.config["loss_compact"],
        header.config["loss_separate"],
    ) == (16, 0, 0)
    assert header.provenance["footage"]["teacher"] == digest(trained)
    assert set(evaluated(out, data, tmp_path)[1]) >= {"01/distance", "02/distance"}
    for options, reason in [
        (("--teacher", tmp_path / "none.safetensors"), "none.safetensors"),
        (("--compile",), "--teacher and --compile: take one of them"),
        (("--model", "memae", "--width", 6), "--teacher is for mnad-pred and mnad-recon"),
        (("--model", "mnad-recon"), "cannot teach another model than itself"),
        (("--size", 64), "32x32 px, 5 frames, 4 items for the teacher, 64x64 px"),
        (("--dim", 64), "no more than its teacher has (32)"),
        (("--set", "loss_separate=0"), "has no loss of its own"),
        (("--teacher", data / "train" / "01.mp4"), "01.mp4"),
    ]:
        assert (
            reason
            in lookout(
                *taught, "--out", tmp_path / "x" / "x.safetensors", *options, expect=1
            ).one_line()
        )
        assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("frames", "rate"), with_wide_forms([(100, ()), (40, ("--sample-fps", 10))], {40})
)
def test_one_recording_is_trained_and_calibrated_on_at_a_cameras_rate(
    tmp_path: Path, frames: int, rate: tuple[str | int, ...]
) -> None:
    recording = write_clip(tmp_path / "camera.mkv", range(100), fps=25, size_px=(64, 48))
    out = tmp_path / "gate.safetensors"
    said = lookout(
        "train", "--data", recording, "--out", out, *TRAIN, "--held-out", 0.25, *rate
    ).out
    assert f"{frames * 3 // 4 - 4} windows of 1 clips, 1 held out" in said
    lookout("calibrate", "--checkpoint", out, "--data", recording, "--out", out, *rate)
    header = read_header(out)
    assert header.calibration is not None
    assert header.calibration.frames == frames - 4
    noted = (
        header.provenance.get("sample_fps"),
        header.provenance["calibration"].get("sample_fps"),
    )
    assert noted == ((10, 10) if rate else (None, None))
    assert header.fps == (10 if rate else 25)
    assert header.provenance["footage"]["held_out"]["clips"] == ["camera.mkv"]


def test_several_seeds_at_a_cameras_rate_go_on_too(tmp_path: Path) -> None:
    recording = write_clip(tmp_path / "camera.mkv", range(50), fps=25, size_px=(64, 48))
    out = tmp_path / "gate.safetensors"
    command = (
        "train",
        "--data",
        recording,
        "--out",
        out,
        *TRAIN,
        "--epochs",
        1,
        "--seeds",
        2,
        "--sample-fps",
        10,
    )
    lookout(*command)
    assert lookout(*command).out.count("is finished") == 2


def test_done_again_it_says_how_the_weights_are_stored(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "gate.safetensors"
    command = ("train", "--data", data, "--out", out, *TRAIN, "--epochs", 1)
    lookout(*command, "--half")
    before = out.read_bytes()
    for half in ((), ("--half",)):
        assert (
            "trained with these options, stored in float16; remove it"
            in lookout(*command, *half).out
        )
    assert out.read_bytes() == before
    lookout("calibrate", "--checkpoint", out, "--data", data, "--out", out)
    assert (
        "trained with these options, stored in float32; remove it"
        in lookout(*command, "--half").out
    )


def test_a_damaged_recording_is_used_and_the_damage_told(tmp_path: Path) -> None:
    recording = write_clip(tmp_path / "camera.mkv", range(40), size_px=(64, 48), options=GROUPS)
    out, told = (
        tmp_path / "gate.safetensors",
        "camera.mkv: 8 frames passed over for damage; 32 used, in 2 pieces",
    )
    damage(recording, [12])
    said = lookout("train", "--data", recording, "--out", out, *TRAIN).out
    assert told in said.splitlines()
    assert "24 windows of 1 clips" in said
    assert told in lookout("calibrate", "--checkpoint", out, "--data", recording, "--out", out).out
    refused = lookout("evaluate", "--checkpoint", out, "--data", recording, expect=1).one_line()
    assert "of its packets or pictures are damaged" in refused


def test_what_is_trained_and_measured_on_shares_the_memory(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings = [
        write_clip(tmp_path / f"{name}.mkv", range(30), size_px=(64, 48))
        for name in ("day", "night")
    ]
    monkeypatch.setattr(footage, "memory_bytes", lambda: 2 * 59 * 32 * 32 * 3)
    alone = ("train", "--data", recordings[0], *TRAIN)
    lookout(*alone, "--out", tmp_path / "gate.safetensors")
    both = lookout(
        *alone, "--validate", recordings[1], "--out", tmp_path / "x" / "gate.safetensors", expect=1
    )
    assert "about 60 frames of 32x32" in both.one_line()
    assert not (tmp_path / "x").exists()


def test_folders_of_images_are_trained_on(tmp_path: Path) -> None:
    for name in ("Train001", "Train002"):
        write_images(tmp_path / "Train" / name, [f"{number:03}.tif" for number in range(1, 10)])
    said = lookout("train", "--data", tmp_path, "--out", tmp_path / "gate.safetensors", *TRAIN).out
    assert "10 windows of 2 clips" in said
    (tmp_path / "Train" / "Train002" / "005.tif").unlink()
    sampled = (
        "train",
        "--data",
        tmp_path,
        "--out",
        tmp_path / "x.safetensors",
        *TRAIN,
        "--sample-fps",
        10,
    )
    assert "Train001: images do not say how fast" in lookout(*sampled, expect=1).one_line()
    wrong = lookout(
        "train", "--data", tmp_path, "--out", tmp_path / "x.safetensors", *TRAIN, expect=1
    )
    assert "Train002: frame 5 is missing" in wrong.one_line()


def test_a_training_that_cannot_be_is_one_line_and_no_file(data: Path, tmp_path: Path) -> None:
    (tmp_path / "short").mkdir()
    write_clip(tmp_path / "short" / "01.mp4", range(3), size_px=(64, 48))
    (tmp_path / "empty").mkdir()
    folder = tmp_path / "models"
    for options, reason in [
        (("--data", tmp_path / "empty"), "no video clip"),
        (("--data", tmp_path / "short"), "01.mp4 has 3 frames; the model needs 5"),
        (
            ("--data", data, "--validate", tmp_path / "short"),
            "01.mp4 has 3 frames; the model needs 5",
        ),
        (("--data", data, "--validate", tmp_path / "empty"), "no video clip"),
        (("--data", data, "--held-out", 0.1, "--validate", data), "take one of them"),
        (("--data", data, "--patience", 3), "--patience needs clips to measure on: --held-out 0.1"),
        (
            ("--data", data, "--best-by", "auc"),
            "--best-by auc needs clips to measure on: --held-out 0.1",
        ),
        (("--data", data, "--set", "loss_apart=1"), "mnad-pred has no number 'loss_apart'"),
        (("--data", data, "--set", "loss_separate"), "--set takes NAME=X"),
    ]:
        said = lookout("train", "--out", folder / "x.safetensors", *options, *TRAIN, expect=1)
        assert reason in said.one_line()
        assert not folder.exists()


def test_where_the_checkpoint_goes_is_known_to_be_right_before_the_training(
    data: Path, tmp_path: Path
) -> None:
    (tmp_path / "folder.safetensors").mkdir()
    for name, reason in [
        ("folder.safetensors", "is a folder"),
        ("gate", "must end in .safetensors"),
    ]:
        said = lookout("train", "--data", data, "--out", tmp_path / name, *TRAIN, expect=1)
        assert f"--out {name}" in said.one_line()
        assert reason in said.one_line()
    assert [path.name for path in tmp_path.iterdir()] == ["folder.safetensors"]


@pytest.mark.long  # make test has tests/unit/test_run.py
def test_a_training_that_came_to_its_end_is_not_done_again(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "gate.safetensors"
    command = ("train", f"--data={data}", f"--out={out}", *TRAIN, "--held-out", 0.1)
    lookout(*command)
    assert (
        f"lookout train --data={data.name} --out=gate.safetensors"
        in read_header(out).provenance["command"]
    )
    there = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert (
        "is finished, trained with these options, stored in float32; remove it to train again"
        in lookout(*command).out
    )
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == there
    assert "epoch 2" in lookout(*command, "--learning-rate", 1e-3).out


def test_the_help_says_what_holds_where_nothing_is_given() -> None:
    for command, default in [
        ("train", "as published"),
        ("evaluate", "the checkpoint's"),
    ]:
        words = " ".join(lookout(command, "--help").out.split())
        assert f"[default: {default}]" in words


def test_a_loss_that_is_no_number_is_one_line(data: Path, tmp_path: Path) -> None:
    said = lookout(
        "train",
        "--data",
        data,
        "--out",
        tmp_path / "x.safetensors",
        *TRAIN,
        "--learning-rate",
        1e30,
        expect=1,
    )
    assert (
        "try a smaller learning rate; remove x.safetensors.resume to start again" in said.one_line()
    )
    assert {path.name for path in tmp_path.iterdir()} == {"x.safetensors.resume"}


def test_the_page_on_training_names_every_option_of_train_and_no_others() -> None:
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
    told = set(re.findall(r"--[a-z][a-z-]+", page))
    options = set(re.findall(r"--[a-z][a-z-]+", lookout("train", "--help").out))
    usual = {
        "--help",
        "--epochs",
        "--batch",
        "--width",
        "--dim",
        "--items",
        "--size",
        "--device",
        "--half",
    }
    assert options - usual <= told
    of_evaluate = {"--checkpoint", "--scores", "--json"}  # of rows of numbers
    of_export = set(re.findall(r"--[a-z][a-z-]+", lookout("export", "--help").out))
    assert told - of_evaluate - of_export <= options
    assert of_export - usual <= told


@pytest.mark.parametrize(
    "wrong",
    [
        ("--seed", -1),
        ("--seed", 10**20),
        ("--learning-rate", -1),
        ("--batch", 0),
        ("--epochs", 0),
        ("--sample-fps", "nan"),
    ],
)
def test_a_number_that_makes_no_sense_is_refused_at_once(
    data: Path, tmp_path: Path, wrong: tuple[str, object]
) -> None:
    said = lookout("train", "--data", data, "--out", tmp_path / "x.safetensors", *wrong, expect=2)
    assert wrong[0] in said.err
