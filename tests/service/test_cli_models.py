"""train, calibrate, evaluate, import-mnad, models: as a person calls them, with what goes wrong in one line."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from sklearn.metrics import roc_auc_score

from models.checkpoint import digest
from models.header import read_header
from models.registry import MODELS
from service.cli import main
from tests.clips import write_clip
from tests.sets import write_images
from tests.tiny import TINY_OF, tiny_checkpoint, write_tiny

SMALL = ["--width", "6", "--size", "32", "--epochs", "2", "--seed", "3"]
TRAIN = ["--width", "4", "--items", "4", "--size", "32", "--epochs", "2", "--seed", "3"]


@dataclass(frozen=True)
class Said:
    out: str
    err: str

    def one_line(self) -> str:
        """The only line on standard error."""
        (line,) = self.err.strip().splitlines()
        assert line.startswith("lookout: ")
        return line


def lookout(*args: object, expect: int = 0) -> Said:
    """The command line in this process: importing torch anew for each call would take longer than the call."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["lookout", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            main()
    assert (ended.value.code or 0) == expect, err.getvalue()
    return Said(out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like Ped2's, with a clip whose second half is another scene."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "train").mkdir()
    (folder / "test").mkdir()
    for name in ("01", "02"):
        write_clip(folder / "train" / f"{name}.mp4", range(30), size_px=(64, 48))
    write_clip(folder / "test" / "01.mp4", [*range(15), *range(700, 715)], size_px=(64, 48))
    write_clip(folder / "test" / "02.mp4", range(20), size_px=(64, 48))
    labels = {
        "01": {"frames": 30, "anomalous_first_last_0based_inclusive": [[15, 29]]},
        "02": {"frames": 20, "anomalous_first_last_0based_inclusive": []},
    }
    (folder / "labels.json").write_text(json.dumps({"test": labels}))
    return folder


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "model.safetensors"
    lookout("train", "--model", "mnad-pred", "--data", data, "--out", out, *TRAIN)
    return out


def evaluated(checkpoint: Path, data: Path, folder: Path, *more: object) -> tuple[dict[str, Any], Any]:
    out, scores = folder / "out.json", folder / "out.npz"
    lookout("evaluate", "--checkpoint", checkpoint, "--data", data, "--json", out, "--scores", scores, *more)
    with np.load(scores) as columns:
        return json.loads(out.read_text()), dict(columns)


def test_train_records_where_the_checkpoint_came_from(trained: Path) -> None:
    header = read_header(trained)
    assert header.calibration is None
    assert header.provenance["train"]["seed"] == 3
    assert len(header.provenance["footage"]["sha256"]) == 16
    assert "/" not in header.provenance["command"]
    assert not list(trained.parent.glob("*.resume"))


def test_calibrate_stores_the_bounds_and_evaluate_uses_them(trained: Path, data: Path, tmp_path: Path) -> None:
    calibrated = tmp_path / "calibrated.safetensors"
    said = lookout("calibrate", "--checkpoint", trained, "--data", data, "--out", calibrated, "--half").out
    bounds = read_header(calibrated).calibration
    assert bounds is not None
    assert bounds.frames == 2 * 26
    assert f"{bounds.psnr_low_db:.2f}" in said
    summary, scores = evaluated(calibrated, data, tmp_path)
    assert summary["causal_bounds"] == "model"
    assert np.isfinite(scores["01/value"]).all()
    assert summary["auc"]["causal"] is not None


def test_evaluate_gives_every_number_and_the_auc_can_be_recounted(trained: Path, data: Path, tmp_path: Path) -> None:
    summary, scores = evaluated(trained, data, tmp_path, "--plots", tmp_path / "plots", "--alpha", 0.5)
    for clip, frames in (("01", 26), ("02", 16)):
        for column in ("psnr_db", "distance", "gate_error", "memory_updated", "value", "value_minmax"):
            assert scores[f"{clip}/{column}"].shape == (frames,)
    truth = np.concatenate([scores["01/label"], scores["02/label"]])
    values = np.concatenate([scores["01/value_minmax"], scores["02/value_minmax"]])
    assert summary["auc"]["per_video_minmax"] == pytest.approx(100 * roc_auc_score(truth, values))
    assert summary["alpha"] == 0.5
    assert summary["causal_bounds"] == "learn"
    assert np.isnan(scores["01/value"]).all()  # 300 frames are learned from; there are 42
    assert summary["auc"]["causal"] is None
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {"01.png", "02.png"}


@pytest.mark.parametrize("model", sorted(MODELS.keys() - {"mnad-pred"}))
def test_every_other_model_goes_the_same_way(model: str, data: Path, tmp_path: Path) -> None:
    needs, out = TINY_OF[model].needs, tmp_path / "model.safetensors"
    lookout("train", "--model", model, "--data", data, "--out", out, *SMALL)
    lookout("calibrate", "--checkpoint", out, "--data", data, "--out", out)
    header = read_header(out)
    assert header.model == model
    assert header.calibration is not None
    assert (header.calibration.gate_error is None) == (needs.memory != "adapts")
    summary, scores = evaluated(out, data, tmp_path)
    for clip, frames in (("01", 30), ("02", 20)):
        assert np.isfinite(scores[f"{clip}/value"]).all()
        assert len(scores[f"{clip}/value"]) == frames - needs.frames + 1
    truth = scores["01/label"]
    assert truth.tolist() == [int(needs.scored + i >= 15) for i in range(len(truth))]
    assert set(summary["auc"]) == {"per_video_minmax", "none", "causal", "local"}
    assert None not in summary["auc"].values()
    lookout("evaluate", "--checkpoint", out, "--data", data, "--scores", tmp_path / "scores.csv")
    with (tmp_path / "scores.csv").open() as file:
        assert next(csv.DictReader(file))["frame"] == str(needs.scored)


def test_the_memory_is_carried_or_reset(data: Path, tmp_path: Path) -> None:
    checkpoint = write_tiny(tmp_path)
    _, carried = evaluated(checkpoint, data, tmp_path, "--gate", 1.0)
    _, reset = evaluated(checkpoint, data, tmp_path, "--gate", 1.0, "--memory", "per-clip")
    assert carried["01/memory_updated"].all()
    assert np.array_equal(carried["01/distance"], reset["01/distance"])
    assert not np.array_equal(carried["02/distance"], reset["02/distance"])


def test_a_guarded_memory_drifts_less_and_needs_a_calibrated_gate(data: Path, tmp_path: Path) -> None:
    checkpoint, calibrated = write_tiny(tmp_path), tmp_path / "calibrated.safetensors"
    said = lookout("evaluate", "--checkpoint", checkpoint, "--data", data, "--update", "guarded", expect=1)
    assert "lookout calibrate" in said.one_line()
    lookout("calibrate", "--checkpoint", checkpoint, "--data", data, "--out", calibrated)
    bounds = read_header(calibrated).calibration
    assert bounds is not None
    summary, _ = evaluated(calibrated, data, tmp_path, "--update", "guarded")
    assert (summary["update"], summary["gate"]) == ("guarded", bounds.gate_error)
    _, guarded = evaluated(calibrated, data, tmp_path, "--update", "guarded", "--gate", 1.0)
    _, paper = evaluated(calibrated, data, tmp_path, "--gate", 1.0)
    assert guarded["01/memory_updated"].all()
    assert 0 < guarded["01/drift"].max() < paper["01/drift"].max()


def test_scores_as_csv(trained: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.csv"
    lookout("evaluate", "--checkpoint", trained, "--data", data, "--scores", out)
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 26 + 16
    assert (rows[0]["clip"], rows[0]["frame"], rows[-1]["frame"]) == ("01", "4", "19")


def test_a_folder_without_labels_has_no_auc(trained: Path, data: Path, tmp_path: Path) -> None:
    summary, scores = evaluated(trained, data / "test", tmp_path)
    assert set(summary["auc"].values()) == {None}
    assert (summary["frame_metrics"], summary["event_metrics"]) == (None, None)
    assert "01/label" not in scores


def test_training_goes_on_after_a_signal(data: Path, tmp_path: Path, trained: Path) -> None:
    out = tmp_path / "model.safetensors"
    command = ["train", "--data", data, "--out", out, *TRAIN]
    slow = [*command[:-4], "--epochs", "4000", "--seed", "3"]
    process = subprocess.Popen(
        [sys.executable, "-m", "service.cli", *map(str, slow)],
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


def test_training_tells_how_it_goes_on_held_out_clips(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "gate.safetensors"
    said = lookout("train", "--data", data, "--out", out, *TRAIN, "--held-out", 0.1, "--deterministic").out
    assert "26 windows of 1 clips, 1 held out" in said
    rows = [json.loads(line) for line in (tmp_path / "gate.log.jsonl").read_text().splitlines()]
    for row in rows:
        (line,) = [
            line for line in said.splitlines() if line.startswith(f"epoch {row['epoch']} of 2, step {row['step']}:")
        ]
        assert f"held out {row['held_out']['psnr_db']:.2f} dB" in line
        assert f"generated AUC {row['held_out']['auc_percent']:.1f} %" in line
        assert "steps/s" in line
        assert ("(best)" in line) == row["best"]
    assert {path.name for path in tmp_path.iterdir()} == {"gate.safetensors", "gate.last.safetensors", "gate.log.jsonl"}
    provenance = read_header(out).provenance
    assert provenance["footage"]["held_out"]["clips"] in (["01.mp4"], ["02.mp4"])
    assert provenance["row"] == [row for row in rows if row["best"]][-1]


def test_other_clips_to_measure_on_and_an_early_end(data: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write_clip(other / "night.mp4", range(600, 630), size_px=(64, 48))
    out = tmp_path / "gate.safetensors"
    watch = ("--validate", other, "--validate-every", 1, "--patience", 1, "--best-by", "auc", "--epochs", 40)
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


def test_several_seeds_have_mean_and_deviation_and_go_on(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "gate.safetensors"
    command = ("train", "--data", data, "--out", out, *TRAIN, "--held-out", 0.1, "--seeds", 2)
    said = lookout(*command).out
    summary = json.loads((tmp_path / "gate.seeds.json").read_text())
    psnr = [run["row"]["held_out"]["psnr_db"] for run in summary["runs"]]
    assert [run["checkpoint"] for run in summary["runs"]] == ["gate-seed3.safetensors", "gate-seed4.safetensors"]
    assert psnr[0] != psnr[1]
    spread = summary["over_seeds"]["psnr_db"]
    assert spread == {"mean": pytest.approx(np.mean(psnr)), "deviation": pytest.approx(np.std(psnr, ddof=1))}
    assert f"psnr_db over 2 seeds: {spread['mean']:.4g}, deviation {spread['deviation']:.2g}" in said
    held = [read_header(tmp_path / run["checkpoint"]).provenance["footage"] for run in summary["runs"]]
    assert held[0] == held[1]
    (tmp_path / "gate-seed4.safetensors").unlink()
    again = lookout(*command).out
    assert "gate-seed3.safetensors is there already" in again
    assert json.loads((tmp_path / "gate.seeds.json").read_text()) == summary


def test_a_narrow_network_is_taught_by_a_wide_one(data: Path, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "narrow.safetensors"
    taught = ("train", "--data", data, "--out", out, *TRAIN, "--width", 2, "--dim", 16, "--teacher", trained)
    lookout(*taught)
    header = read_header(out)
    assert (header.config["dim"], header.config["loss_compact"], header.config["loss_separate"]) == (16, 0, 0)
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
        assert reason in lookout(*taught, "--out", tmp_path / "x" / "x", *options, expect=1).one_line()
        assert not (tmp_path / "x").exists()


def test_folders_of_images_are_trained_on(tmp_path: Path) -> None:
    for name in ("Train001", "Train002"):
        write_images(tmp_path / "Train" / name, [f"{number:03}.tif" for number in range(1, 10)])
    said = lookout("train", "--data", tmp_path, "--out", tmp_path / "gate.safetensors", *TRAIN).out
    assert "10 windows of 2 clips" in said
    (tmp_path / "Train" / "Train002" / "005.tif").unlink()
    wrong = lookout("train", "--data", tmp_path, "--out", tmp_path / "x.safetensors", *TRAIN, expect=1)
    assert "Train002: frame 5 is missing" in wrong.one_line()


def test_a_training_that_cannot_be_is_one_line_and_no_file(data: Path, tmp_path: Path) -> None:
    (tmp_path / "short").mkdir()
    write_clip(tmp_path / "short" / "01.mp4", range(3), size_px=(64, 48))
    (tmp_path / "empty").mkdir()
    folder = tmp_path / "models"
    for options, reason in [
        (("--data", tmp_path / "empty"), "no video clip"),
        (("--data", tmp_path / "short"), "01.mp4 has 3 frames; the model needs 5"),
        (("--data", data, "--validate", tmp_path / "short"), "01.mp4 has 3 frames; the model needs 5"),
        (("--data", data, "--validate", tmp_path / "empty"), "no video clip"),
        (("--data", data, "--held-out", 0.1, "--validate", data), "take one of them"),
        (("--data", data, "--patience", 3), "--held-out 0.1"),
        (("--data", data, "--set", "loss_apart=1"), "mnad-pred has no number 'loss_apart'"),
        (("--data", data, "--set", "loss_separate"), "--set takes NAME=X"),
    ]:
        said = lookout("train", "--out", folder / "x.safetensors", *options, *TRAIN, expect=1)
        assert reason in said.one_line()
        assert not folder.exists()


def test_a_loss_that_is_no_number_is_one_line(data: Path, tmp_path: Path) -> None:
    said = lookout("train", "--data", data, "--out", tmp_path / "x", *TRAIN, "--learning-rate", 1e30, expect=1)
    assert "try a smaller learning rate; remove x.resume to start anew" in said.one_line()
    assert {path.name for path in tmp_path.iterdir()} == {"x.resume"}


def test_the_page_on_training_names_every_option_of_train_and_no_others() -> None:
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
    told = set(re.findall(r"--[a-z][a-z-]+", page))
    options = set(re.findall(r"--[a-z][a-z-]+", lookout("train", "--help").out))
    usual = {"--help", "--epochs", "--batch", "--width", "--dim", "--items", "--size", "--device", "--half"}
    assert options - usual <= told
    assert told - {"--checkpoint"} <= options


def label_file(entry_of_01: str) -> str:
    other = '{"frames": 20, "anomalous_first_last_0based_inclusive": []}'
    return f'{{"test": {{"01": {entry_of_01}, "02": {other}}}}}'


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ("no json", "no label file"),
        ('{"test": {}}', "01"),
        (label_file('{"frames": 9, "anomalous_first_last_0based_inclusive": []}'), "9 frames"),
        (label_file('{"frames": 30, "anomalous_first_last_0based_inclusive": [[5, 30]]}'), "5 to 30"),
        (label_file('{"frames": 30}'), "anomalous_first_last"),
        (label_file('{"frames": 30, "anomalous_first_last_0based_inclusive": 7}'), "no label file"),
        ('{"test": []}', "no label file"),
    ],
)
def test_a_wrong_label_file_is_one_line(data: Path, tmp_path: Path, labels: str, reason: str) -> None:
    (tmp_path / "test").symlink_to(data / "test")
    (tmp_path / "labels.json").write_text(labels)
    done = lookout("evaluate", "--checkpoint", write_tiny(tmp_path), "--data", tmp_path, expect=1)
    assert reason in done.one_line()


def test_what_cannot_be_read_is_one_line(data: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("not a video")
    checkpoint = write_tiny(tmp_path)
    assert "text.mp4" in lookout("evaluate", "--checkpoint", checkpoint, "--data", tmp_path, expect=1).one_line()
    assert "nowhere" in lookout("train", "--data", tmp_path / "nowhere", "--out", tmp_path / "x", expect=1).one_line()
    missing = lookout("evaluate", "--checkpoint", tmp_path / "none.safetensors", "--data", data, expect=1)
    assert "none.safetensors" in missing.one_line()
    suffix = lookout("evaluate", "--checkpoint", checkpoint, "--data", data, "--scores", "out.txt", expect=1)
    assert ".npz or .csv" in suffix.one_line()
    unknown = lookout("train", "--model", "nobody", "--data", data, "--out", tmp_path / "x", expect=1)
    assert "mnad-pred" in unknown.one_line()
    readonly = lookout("calibrate", "--checkpoint", checkpoint, "--data", data, "--out", "/proc/x", expect=1)
    assert "/proc" in readonly.one_line()


@pytest.mark.parametrize("wrong", [("--seed", -1), ("--learning-rate", -1), ("--batch", 0), ("--epochs", 0)])
def test_a_number_that_makes_no_sense_is_refused_at_once(data: Path, tmp_path: Path, wrong: tuple[str, int]) -> None:
    said = lookout("train", "--data", data, "--out", tmp_path / "x", *wrong, expect=2)
    assert wrong[0] in said.err


def test_a_training_that_cannot_go_on_says_what_to_remove(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "model.safetensors"
    out.parent.mkdir()
    said = lookout("train", "--data", data, "--out", out, *TRAIN, "--learning-rate", 1e30, expect=1)
    assert "smaller learning rate" in said.one_line()
    (left,) = out.parent.iterdir()
    assert f"remove {left.name}" in said.one_line()


def test_a_clip_that_is_too_short_is_named(data: Path, tmp_path: Path) -> None:
    checkpoint = write_tiny(tmp_path)
    short = tmp_path / "clips"
    short.mkdir()
    write_clip(short / "long.mp4", range(20))
    write_clip(short / "short.mp4", range(15))
    said = lookout("train", "--model", "memae", "--data", short, "--out", tmp_path / "x", *SMALL, expect=1)
    assert "short.mp4 has 15 frames; the model needs 16" in said.one_line()
    write_clip(short / "short.mp4", range(4))
    said = lookout("evaluate", "--checkpoint", checkpoint, "--data", short, expect=1)
    assert "short.mp4 has 4 frames; the model needs 5" in said.one_line()
    assert not (tmp_path / "x").exists()


def test_a_checkpoint_of_another_model_is_one_line(data: Path, tmp_path: Path) -> None:
    path = write_tiny(tmp_path)
    other = json.loads(read_header(path).metadata()["lookout"]) | {"model": "ae", "config": {"width": 4}}
    save_file(load_file(path), path, metadata={"lookout": json.dumps(other)})
    assert "tiny.safetensors" in lookout("evaluate", "--checkpoint", path, "--data", data, expect=1).one_line()
    said = lookout("train", "--model", "ae", "--items", 4, "--data", data, "--out", tmp_path / "x", expect=1)
    assert "ae cannot be configured so" in said.one_line()


def test_a_device_that_is_not_there_is_one_line(data: Path, tmp_path: Path) -> None:
    said = lookout("train", "--data", data, "--out", tmp_path / "x", "--device", "cuda:77", expect=1)
    assert "cuda:77" in said.one_line()


def test_import_and_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = tiny_checkpoint()
    save_file({**tiny.model.state_dict(), "m_items": tiny.items}, tmp_path / "authors.st")
    folder = tmp_path / "models"
    lookout("import-mnad", tmp_path / "authors.st", "--out", folder / "ped2.safetensors")
    (folder / "broken.safetensors").write_text("no")
    monkeypatch.setenv("LOOKOUT_MODELS_DIR", str(folder))
    listed = lookout("models").out
    assert "ped2" in listed
    assert "256x256" in listed
    assert "cannot be used" in listed
    assert "5 frames, the score is that of index 4; a memory that adapts" in listed
    for name in MODELS:
        assert f"\n{name} " in listed
