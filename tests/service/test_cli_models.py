"""calibrate, evaluate, import-mnad and models on the command line; errors are one line."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from sklearn.metrics import roc_auc_score

from lookout.models.checkpoint.file import load_checkpoint, save_checkpoint
from lookout.models.checkpoint.header import read_header
from lookout.models.data.clips import whole_clip
from lookout.models.registry import MODELS
from lookout.models.scorer import Scorer
from tests.cli import evaluated, lookout
from tests.clips import write_clip
from tests.conftest import with_long_forms
from tests.tiny import (
    EASY_BOUNDS,
    TINY_OF,
    tiny_checkpoint,
    untrained,
    write_overflowing,
    write_tiny,
)

SMALL = ["--width", "6", "--size", "32", "--epochs", "1", "--seed", "3"]
SIZES = {"intra": ["--width", "16", "--blocks", "1", "--size", "112"], "scadn": ["--blocks", "1"]}
"""Options of a model in the place of those, or beside them."""


def test_calibrate_stores_the_bounds_and_evaluate_uses_them(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    calibrated = tmp_path / "calibrated.safetensors"
    said = lookout(
        "calibrate", "--checkpoint", trained, "--data", data, "--out", calibrated, "--half"
    ).out
    bounds = read_header(calibrated).calibration
    assert bounds is not None
    assert bounds.frames == 2 * 26
    assert f"{bounds.psnr_low_db:.2f}" in said
    summary, scores = evaluated(calibrated, data, tmp_path)
    assert summary["causal_bounds"] == "model"
    assert np.isfinite(scores["01/value"]).all()
    assert summary["auc"]["causal"] is not None


def test_evaluate_gives_every_number_and_the_auc_can_be_recounted(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    summary, scores = evaluated(
        trained, data, tmp_path, "--plots", tmp_path / "plots", "--alpha", 0.5
    )
    for clip, frames in (("01", 26), ("02", 16)):
        for column in (
            "psnr_db",
            "distance",
            "gate_error",
            "memory_updated",
            "value",
            "value_minmax",
        ):
            assert scores[f"{clip}/{column}"].shape == (frames,)
    truth = np.concatenate([scores["01/label"], scores["02/label"]])
    values = np.concatenate([scores["01/value_minmax"], scores["02/value_minmax"]])
    assert summary["auc"]["per_video_minmax"] == pytest.approx(100 * roc_auc_score(truth, values))
    assert summary["alpha"] == 0.5
    assert (summary["causal_bounds"], summary["learn_frames"]) == ("learn", 300)
    assert np.isnan(scores["01/value"]).all()  # 300 frames are learned from; there are 42
    assert summary["auc"]["causal"] is None
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {"01.png", "02.png"}


@pytest.mark.parametrize(
    "model", with_long_forms(sorted(MODELS.keys() - {"mnad-pred", "places"}), {"memae"})
)
def test_every_other_model_goes_the_same_way(model: str, data: Path, tmp_path: Path) -> None:
    spec, out = TINY_OF[model].input_spec, tmp_path / "model.safetensors"
    lookout("train", "--model", model, "--data", data, "--out", out, *SMALL, *SIZES.get(model, []))
    lookout("calibrate", "--checkpoint", out, "--data", data, "--out", out)
    header = read_header(out)
    assert header.model == model
    assert header.calibration is not None
    assert (header.calibration.gate_error is None) == (spec.memory != "adapts")
    summary, scores = evaluated(out, data, tmp_path)
    for clip, frames in (("01", 30), ("02", 20)):
        assert np.isfinite(scores[f"{clip}/value"]).all()
        assert len(scores[f"{clip}/value"]) == frames - spec.frames + 1
    truth = scores["01/label"]
    assert truth.tolist() == [int(spec.scored + i >= 15) for i in range(len(truth))]
    assert set(summary["auc"]) == {"per_video_minmax", "none", "causal", "local", "fused"}
    assert None not in summary["auc"].values()
    lookout("evaluate", "--checkpoint", out, "--data", data, "--scores", tmp_path / "scores.csv")
    with (tmp_path / "scores.csv").open() as file:
        assert next(csv.DictReader(file))["frame"] == str(spec.scored)


@pytest.mark.long
def test_a_score_in_turns_is_exact_where_it_is_asked_for(data: Path, tmp_path: Path) -> None:
    """All parts of each frame; and calibrated bounds, which are those of turns, are not taken."""
    path = tmp_path / "riad.safetensors"
    save_checkpoint(path, untrained(TINY_OF["riad"], calibration=EASY_BOUNDS))
    turns, live = evaluated(path, data, tmp_path)
    summary, exact = evaluated(path, data, tmp_path, "--exact")
    assert (turns["exact"], summary["exact"]) == (False, True)
    assert (turns["causal_bounds"], summary["causal_bounds"]) == ("model", "learn")
    scorer = Scorer(load_checkpoint(path))
    frames = whole_clip(data / "test" / "01.mp4", scorer.checkpoint.preprocess, 1)
    single = scorer.step([frames[9:10]], scorer.fresh_items()[None])
    assert exact["01/distance"][9] == single.distance.item()
    parts = [
        scorer.step([frames[i : i + 1]], scorer.fresh_items()[None], numbers=[i]).distance.item()
        for i in range(6, 10)
    ]
    assert live["01/distance"][9] == pytest.approx(np.mean(parts))
    said = lookout(
        "evaluate", "--checkpoint", write_tiny(tmp_path), "--data", data, "--exact", expect=1
    )
    assert "mnad-pred has one form alone, which is exact" in said.one_line()


def test_the_memory_is_carried_or_reset(data: Path, tmp_path: Path) -> None:
    checkpoint = write_tiny(tmp_path)
    _, carried = evaluated(checkpoint, data, tmp_path, "--gate", 1.0)
    _, reset = evaluated(checkpoint, data, tmp_path, "--gate", 1.0, "--memory", "per-clip")
    assert carried["01/memory_updated"].all()
    assert np.array_equal(carried["01/distance"], reset["01/distance"])
    assert not np.array_equal(carried["02/distance"], reset["02/distance"])


@pytest.mark.long
def test_a_guarded_memory_drifts_less_and_needs_a_calibrated_gate(
    data: Path, tmp_path: Path
) -> None:
    checkpoint, calibrated = write_tiny(tmp_path), tmp_path / "calibrated.safetensors"
    said = lookout(
        "evaluate", "--checkpoint", checkpoint, "--data", data, "--update", "guarded", expect=1
    )
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


def label_file(entry_of_01: str) -> str:
    other = '{"frames": 20, "anomalous_first_last_0based_inclusive": []}'
    return f'{{"test": {{"01": {entry_of_01}, "02": {other}}}}}'


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ("no json", "no label file"),
        ('{"test": {}}', "01"),
        (label_file('{"frames": 9, "anomalous_first_last_0based_inclusive": []}'), "9 frames"),
        (
            label_file('{"frames": 30, "anomalous_first_last_0based_inclusive": [[5, 30]]}'),
            "5 to 30",
        ),
        (label_file('{"frames": 30}'), "anomalous_first_last"),
        (label_file('{"frames": 30, "anomalous_first_last_0based_inclusive": 7}'), "no label file"),
        ('{"test": []}', "no label file"),
    ],
)
def test_a_wrong_label_file_is_one_line(
    data: Path, tmp_path: Path, labels: str, reason: str
) -> None:
    (tmp_path / "test").symlink_to(data / "test")
    (tmp_path / "labels.json").write_text(labels)
    done = lookout("evaluate", "--checkpoint", write_tiny(tmp_path), "--data", tmp_path, expect=1)
    assert reason in done.one_line()


def test_what_cannot_be_read_is_one_line(data: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("not a video")
    checkpoint = write_tiny(tmp_path)
    assert (
        "text.mp4"
        in lookout("evaluate", "--checkpoint", checkpoint, "--data", tmp_path, expect=1).one_line()
    )
    assert (
        "nowhere"
        in lookout(
            "train", "--data", tmp_path / "nowhere", "--out", tmp_path / "x.safetensors", expect=1
        ).one_line()
    )
    missing = lookout(
        "evaluate", "--checkpoint", tmp_path / "none.safetensors", "--data", data, expect=1
    )
    assert "none.safetensors" in missing.one_line()
    suffix = lookout(
        "evaluate", "--checkpoint", checkpoint, "--data", data, "--scores", "out.txt", expect=1
    )
    assert ".npz or .csv" in suffix.one_line()
    unknown = lookout(
        "train", "--model", "nobody", "--data", data, "--out", tmp_path / "x.safetensors", expect=1
    )
    assert "mnad-pred" in unknown.one_line()
    wrong_name = lookout(
        "calibrate", "--checkpoint", checkpoint, "--data", data, "--out", tmp_path / "x", expect=1
    )
    assert "--out x: the name of a checkpoint must end in .safetensors" in wrong_name.one_line()
    readonly = lookout(
        "calibrate",
        "--checkpoint",
        checkpoint,
        "--data",
        data,
        "--out",
        "/proc/x.safetensors",
        expect=1,
    )
    assert "/proc" in readonly.one_line()


def test_a_clip_that_is_too_short_is_named(data: Path, tmp_path: Path) -> None:
    checkpoint = write_tiny(tmp_path)
    short = tmp_path / "clips"
    short.mkdir()
    write_clip(short / "long.mp4", range(20))
    write_clip(short / "short.mp4", range(15))
    said = lookout(
        "train",
        "--model",
        "memae",
        "--data",
        short,
        "--out",
        tmp_path / "x.safetensors",
        *SMALL,
        expect=1,
    )
    assert "short.mp4 has 15 frames; the model needs 16" in said.one_line()
    write_clip(short / "short.mp4", range(4))
    said = lookout("evaluate", "--checkpoint", checkpoint, "--data", short, expect=1)
    assert "short.mp4 has 4 frames; the model needs 5" in said.one_line()
    assert not (tmp_path / "x.safetensors").exists()


def test_a_checkpoint_of_another_model_is_one_line(data: Path, tmp_path: Path) -> None:
    path = write_tiny(tmp_path)
    other = json.loads(read_header(path).metadata()["lookout"]) | {
        "model": "ae",
        "config": {"width": 4},
    }
    save_file(load_file(path), path, metadata={"lookout": json.dumps(other)})
    assert (
        "tiny.safetensors"
        in lookout("evaluate", "--checkpoint", path, "--data", data, expect=1).one_line()
    )
    said = lookout(
        "train",
        "--model",
        "ae",
        "--items",
        4,
        "--data",
        data,
        "--out",
        tmp_path / "x.safetensors",
        expect=1,
    )
    assert "ae has no --items" in said.one_line()


def test_a_device_that_is_not_there_is_one_line(data: Path, tmp_path: Path) -> None:
    said = lookout(
        "train",
        "--data",
        data,
        "--out",
        tmp_path / "x.safetensors",
        "--device",
        "cuda:77",
        expect=1,
    )
    assert "cuda:77" in said.one_line()


def test_what_cannot_be_calibrated_is_one_line_and_no_file(data: Path, tmp_path: Path) -> None:
    checkpoint, out, clips = (
        write_tiny(tmp_path),
        tmp_path / "out" / "out.safetensors",
        tmp_path / "clips",
    )

    def refused(checkpoint: Path, data: Path) -> str:
        said = lookout(
            "calibrate", "--checkpoint", checkpoint, "--data", data, "--out", out, expect=1
        )
        assert not out.parent.exists()
        return said.one_line()

    clips.mkdir()
    assert "clips holds no video clip" in refused(checkpoint, clips)
    write_clip(clips / "short.mp4", range(4))
    assert "short.mp4 has 4 frames; the model needs 5" in refused(checkpoint, clips)
    scores = "PSNR nan dB"
    assert f"clip 01, frame 4: the model gives no finite score ({scores}" in refused(
        write_overflowing(tmp_path), data
    )
    whole, damaged = checkpoint.read_bytes(), tmp_path / "damaged.safetensors"
    for wrong in (whole[: len(whole) // 2], b"no weights", b""):
        damaged.write_bytes(wrong)
        assert "damaged.safetensors" in refused(damaged, data)
    other = json.loads(read_header(checkpoint).metadata()["lookout"]) | {
        "model": "ae",
        "config": {"width": 4},
    }
    save_file(load_file(checkpoint), checkpoint, metadata={"lookout": json.dumps(other)})
    assert "tiny.safetensors does not hold the weights it names" in refused(checkpoint, data)


def test_weights_that_half_precision_cannot_hold_are_refused_and_the_file_stays(
    data: Path, tmp_path: Path
) -> None:
    checkpoint, tiny = tmp_path / "large.safetensors", tiny_checkpoint()
    name, weights = next(iter(tiny.model.named_parameters()))
    weights.view(-1)[0] = 65_600
    save_checkpoint(checkpoint, tiny)
    before = checkpoint.read_bytes()
    command = ("calibrate", "--checkpoint", checkpoint, "--data", data, "--out", checkpoint)
    said = lookout(*command, "--half", expect=1)
    assert (
        f"is not written: {name} has numbers that are not finite in torch.float16"
        in said.one_line()
    )
    assert checkpoint.read_bytes() == before
    lookout(*command)
    assert load_checkpoint(checkpoint).calibration is not None


def test_import_and_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = tiny_checkpoint()
    save_file({**tiny.model.state_dict(), "m_items": tiny.items}, tmp_path / "authors.st")
    folder = tmp_path / "models"
    lookout("import-mnad", tmp_path / "authors.st", "--out", folder / "ped2.safetensors")
    save_checkpoint(folder / "ten.safetensors", replace(tiny, fps=10.0))
    (folder / "broken.safetensors").write_text("no")
    monkeypatch.setenv("LOOKOUT_MODELS_DIR", str(folder))
    listed = lookout("models").out
    assert "ped2" in listed
    assert "256x256" in listed
    assert "any fps" in listed
    assert "10 fps" in listed
    assert "cannot be used" in listed
    assert "5 frames, the score is that of index 4; a memory that adapts" in listed
    for name in MODELS:
        assert f"\n{name} " in listed


def test_a_models_folder_that_is_missing_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "modles"
    monkeypatch.setenv("LOOKOUT_MODELS_DIR", str(missing))
    said = lookout("models")
    assert said.err == f"LOOKOUT_MODELS_DIR: there is no folder {missing}\n"
    assert "mnad-pred" in said.out
    missing.mkdir()
    assert lookout("models").err == ""
