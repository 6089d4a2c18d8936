"""evaluate: every metric is in the JSON, and every error is one line."""

from __future__ import annotations

import json
import re
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from tests.cli import evaluated, lookout
from tests.clips import write_clip
from tests.conftest import with_long_forms
from tests.sets import FIRST, FRAMES, avenue, ped2, shanghaitech
from tests.tiny import write_overflowing, write_tiny

DOCUMENTED = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A labelled folder.

    In the second half of a clip, the left half of the picture is anomalous.
    """
    folder = tmp_path / "data"
    (folder / "test").mkdir(parents=True)
    write_clip(folder / "test" / "01.mp4", [*range(15), *range(700, 715)], size_px=(96, 72))
    write_clip(folder / "test" / "02.mp4", range(20), size_px=(96, 72))
    labels = {
        "01": {"frames": 30, "anomalous_first_last_0based_inclusive": [[15, 29]]},
        "02": {"frames": 20, "anomalous_first_last_0based_inclusive": []},
    }
    (folder / "labels.json").write_text(json.dumps({"test": labels}))
    return folder


def write_masks(data: Path, frames: int = 30) -> None:
    for name, length in (("01", frames), ("02", 20)):
        mask = np.zeros((length, 72, 96), np.uint8)
        mask[15:, :, :48] = name == "01"
        np.savez(
            data / "test" / f"{name}_mask.npz",
            mask=np.packbits(mask, axis=-1),
            shape=np.array(mask.shape),
        )


def test_evaluate_tells_macro_auc_ap_events_and_false_alarms(data: Path, tmp_path: Path) -> None:
    checkpoint = write_tiny(tmp_path)  # calibrated: every frame has a causal value
    summary, scores = evaluated(checkpoint, data, tmp_path, "--threshold", 0.3)
    truth = np.concatenate([scores["01/label"], scores["02/label"]])
    for way, column in (
        ("per_video_minmax", "value_minmax"),
        ("causal", "value"),
        ("fused", "value_fused"),
    ):
        found = summary["frame_metrics"][way]
        values = np.concatenate([scores[f"01/{column}"], scores[f"02/{column}"]])
        assert found["auc_micro_percent"] == summary["auc"][way]
        assert found["ap_micro_percent"] == pytest.approx(
            100 * average_precision_score(truth, values)
        )
        only = 100 * roc_auc_score(scores["01/label"], scores[f"01/{column}"])
        assert found["auc_of_video_percent"] == {"01": pytest.approx(only), "02": None}
        assert found["auc_macro_percent"] == pytest.approx(only)
        assert found["auc_macro_left_out"] == ["02"]
    events = summary["event_metrics"]
    assert (events["rule"]["threshold"], events["rule"]["hysteresis"]) == (0.3, 0.1)
    (event,) = events["each_event"]
    assert (event["clip"], event["first"], event["last"]) == ("01", 15, 29)
    assert events["normal_hours"] == pytest.approx((11 + 16) / 10 / 3600)
    assert len(events["each_alarm"]) >= events["false_alarms"]
    assert events["at_thresholds"][0]["threshold"] == 0.15
    assert not {
        key
        for key in (*summary["frame_metrics"]["causal"], *events)
        if f"`{key}`" not in DOCUMENTED
    }
    assert summary["region_metrics"] is None


def test_a_budget_stands_in_place_of_a_threshold(data: Path, tmp_path: Path) -> None:
    checkpoint = write_tiny(tmp_path)
    asked = ("--alarm-budget", '{"per_day": 24}')
    report = tmp_path / "report.html"
    began = ("--began", "2026-07-01T22:30")
    summary, _ = evaluated(checkpoint, data, tmp_path, *asked, *began, "--report", report)
    assert "<h3>Alarm budget</h3>" in report.read_text()
    assert "By hour of the day" in report.read_text()
    events = summary["event_metrics"]
    assert events["budget_course"][-1]["seen"] == events["budget"]["seen"]
    assert events["budget"]["per_day"] == 24
    assert "a budget of 24 a day cannot be checked yet" in events["budget"]["sentence"]
    assert events["rule"]["threshold"] == events["budget"]["threshold"]
    command = ("evaluate", "--checkpoint", checkpoint, "--data", data)
    said = lookout(*command, *asked, "--threshold", 0.3, expect=1)
    assert "give one of them" in said.one_line()
    assert [one["hour"] for one in events["budget_hours"]] == [22]
    assert "--alarm-budget" in lookout(*command, *began, expect=1).one_line()
    for text, reason in (('{"per_day": 0}', "greater than 0"), ("1 a day", "such as")):
        said = lookout(*command, "--alarm-budget", text, expect=2)
        assert reason in " ".join(said.err.split())


def test_what_is_lost_by_not_looking_ahead_is_one_number_a_way(data: Path, tmp_path: Path) -> None:
    calibrated, out = tmp_path / "local.safetensors", tmp_path / "out.json"
    lookout(
        "calibrate",
        "--checkpoint",
        write_tiny(tmp_path),
        "--data",
        data / "test",
        "--out",
        calibrated,
    )
    said = lookout("evaluate", "--checkpoint", calibrated, "--data", data, "--json", out).out
    summary = json.loads(out.read_text())
    auc, gaps = summary["auc"], summary["auc_against_per_video_minmax"]
    assert gaps == {way: auc[way] - auc["per_video_minmax"] for way in ("causal", "local")}
    line = f"causal {gaps['causal']:+.2f}, local {gaps['local']:+.2f} against per-video min-max"
    assert f"without looking ahead: {line}" in said.splitlines()
    assert "`auc_against_per_video_minmax`" in DOCUMENTED


def test_without_labels_or_bounds_nothing_is_said_to_be_lost(data: Path, tmp_path: Path) -> None:
    learning = (
        "evaluate",
        "--checkpoint",
        write_tiny(tmp_path, calibrated=False),
        "--json",
        tmp_path / "out.json",
    )
    said = lookout(*learning, "--data", data).out
    assert (
        "without looking ahead: causal none, local none against per-video min-max"
        in said.splitlines()
    )
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["auc_against_per_video_minmax"] == {"causal": None, "local": None}
    assert "without looking ahead" not in lookout(*learning, "--data", data / "test").out
    assert json.loads((tmp_path / "out.json").read_text())["auc_against_per_video_minmax"] is None


@pytest.mark.long
def test_alarms_may_be_those_of_the_local_score(data: Path, tmp_path: Path) -> None:
    lookout(
        "calibrate",
        "--checkpoint",
        write_tiny(tmp_path),
        "--data",
        data / "test",
        "--out",
        tmp_path / "local.safetensors",
    )
    summary, scores = evaluated(
        tmp_path / "local.safetensors", data, tmp_path, "--score", "local", "--threshold", 0.2
    )
    assert (summary["alarms_by"], summary["local_bounds"]) == ("local", "model")
    assert (
        evaluated(write_tiny(tmp_path), data, tmp_path)[0]["local_bounds"] == "learn"
    )  # calibrated without it
    alarms = summary["event_metrics"]["each_alarm"]
    assert alarms
    assert all(
        scores[f"{alarm['clip']}/value_local"][alarm["opened"] - 4] >= 0.2 for alarm in alarms
    )
    assert (
        np.argsort(scores["01/value_local"]).tolist() == np.argsort(scores["01/local_db"]).tolist()
    )


@pytest.mark.parametrize(
    ("score", "way"),
    with_long_forms([("places", "places"), ("fused", "fused_causal")], {"fused"}),
)
def test_a_memory_of_places_is_learned_from_normal_clips(
    data: Path, tmp_path: Path, score: str, way: str
) -> None:
    (tmp_path / "normal").mkdir()
    write_clip(tmp_path / "normal" / "01.mp4", range(40), size_px=(96, 72))
    checkpoint = write_tiny(tmp_path)
    options = ("--score", score, "--threshold", 0.5)
    summary, scores = evaluated(
        checkpoint, data, tmp_path, *options, "--normal", tmp_path / "normal"
    )
    assert summary["alarms_by"] == score
    assert np.isfinite(scores["01/place_db"]).all()
    values, truth = scores[f"01/value_{way}"], scores["01/label"]
    assert np.isfinite(values).all()
    if score == "places":
        assert values[truth == 1].max() > values[truth == 0].max(), "the strange half stands out"
    both = [
        np.concatenate([scores[f"{clip}/{name}"] for clip in ("01", "02")])
        for name in ("label", f"value_{way}")
    ]
    assert summary["auc"][way] == pytest.approx(100 * roc_auc_score(*both))
    assert f"`{way}`" in DOCUMENTED
    assert summary["auc"].keys() >= {"places", "fused_causal"}
    assert np.isfinite(scores["01/value_places"]).all()
    assert np.isfinite(scores["01/value_fused_causal"]).all()
    learning, unknown = evaluated(checkpoint, data, tmp_path, *options)
    assert learning["auc"][way] is None, "it learns from the first 300 frames scored"
    assert np.isnan(unknown["01/place_db"]).all()


def test_normal_clips_without_a_memory_of_places_are_refused(data: Path, tmp_path: Path) -> None:
    said = lookout(
        "evaluate", "--checkpoint", write_tiny(tmp_path), "--data", data, "--normal", data, expect=1
    ).err
    assert "--normal is for --score places and --score fused alone" in said


def test_masks_bring_the_region_metrics(data: Path, tmp_path: Path) -> None:
    write_masks(data)
    found = evaluated(write_tiny(tmp_path), data, tmp_path)[0]["region_metrics"]
    assert (found["regions"], found["tracks"]) == (15, 1)
    assert len(found["curve"]) > 10
    assert 0 <= found["rbdc_percent"] <= found["tbdc_percent"] <= 100
    assert 0 < found["pixel_auc_percent"] < 100
    assert not {key for key in found if f"`{key}`" not in DOCUMENTED}


@pytest.mark.long
def test_masks_change_no_score(data: Path, tmp_path: Path) -> None:
    checkpoint = write_tiny(tmp_path)
    _, without = evaluated(checkpoint, data, tmp_path)
    write_masks(data)
    _, with_masks = evaluated(checkpoint, data, tmp_path)
    for name, column in without.items():
        assert np.array_equal(column, with_masks[name], equal_nan=True)


def test_a_mask_of_another_length_leaves_no_file(data: Path, tmp_path: Path) -> None:
    write_masks(data, frames=29)
    out = tmp_path / "out.json"
    said = lookout(
        "evaluate", "--checkpoint", write_tiny(tmp_path), "--data", data, "--json", out, expect=1
    )
    assert "01_mask.npz is a mask of (29, 72, 96)" in said.one_line()
    assert not out.exists()


def test_the_report_is_one_file_of_the_whole_run(data: Path, tmp_path: Path) -> None:
    write_masks(data)
    out = tmp_path / "report.html"
    lookout("evaluate", "--checkpoint", write_tiny(tmp_path), "--data", data, "--report", out)
    html = out.read_text()
    for word in (
        "RBDC",
        "AUC (macro)",
        "false alarms an hour",
        "tiny.safetensors",
        "data:image/jpeg;base64,",
    ):
        assert word in html
    assert "alarms at 0.5" in html
    assert [path.name for path in tmp_path.glob("*.html")] == ["report.html"]


@pytest.mark.parametrize("write", with_long_forms([ped2, avenue, shanghaitech], {avenue}))
def test_folders_of_images_are_calibrated_on_and_evaluated(
    write: Callable[[Path], Path], tmp_path: Path
) -> None:
    data, calibrated = write(tmp_path / "data"), tmp_path / "calibrated.safetensors"
    lookout("calibrate", "--checkpoint", write_tiny(tmp_path), "--data", data, "--out", calibrated)
    report = tmp_path / "report.html"
    summary, scores = evaluated(calibrated, data, tmp_path, "--fps", 25, "--report", report)
    (clip,) = summary["clips"]
    assert scores[f"{clip}/label"].tolist() == [int(frame >= FIRST) for frame in range(4, FRAMES)]
    events = summary["event_metrics"]
    assert [(event["first"], event["last"]) for event in events["each_event"]] == [
        (FIRST, FRAMES - 1)
    ]
    assert events["normal_hours"] == pytest.approx((FIRST - 4) / 25 / 3600)
    assert summary["region_metrics"]["regions"] == FRAMES - FIRST
    assert report.read_text().count("data:image/jpeg;base64,") >= 2
    without = lookout("evaluate", "--checkpoint", calibrated, "--data", data).out
    assert "alarms: left out, a clip does not say its frame rate (--fps)" in without


def test_folders_of_images_that_cannot_be_evaluated_are_one_line(tmp_path: Path) -> None:
    checkpoint, data, out = write_tiny(tmp_path), ped2(tmp_path / "data"), tmp_path / "out.json"

    def refused() -> str:
        said = lookout(
            "evaluate", "--checkpoint", checkpoint, "--data", data, "--json", out, expect=1
        )
        assert not out.exists()
        return said.one_line()

    entry = {"frames": FRAMES - 1, "anomalous_first_last_0based_inclusive": []}
    (data / "labels.json").write_text(json.dumps({"test": {"Test001": entry}}))
    assert f"clip Test001 has {FRAMES - 1} frames; it has {FRAMES}" in refused()
    (data / "labels.json").unlink()
    for folder in ("Test001", "Test001_gt"):
        for image in sorted((data / "Test" / folder).iterdir())[4:]:
            image.unlink()
    assert "Test001 has 4 frames; the model needs 5" in refused()
    for image in (data / "Test" / "Test001").iterdir():
        image.unlink()
    assert "holds no video clip" in refused()


def test_a_report_that_is_no_page_is_one_line(data: Path, tmp_path: Path) -> None:
    common = ("evaluate", "--checkpoint", write_tiny(tmp_path), "--data", data, "--report")
    assert "the name must end in .html" in lookout(*common, "report.pdf", expect=1).one_line()


@pytest.fixture
def short(tmp_path: Path) -> Path:
    """A folder with a clip of two scored frames."""
    (tmp_path / "short").mkdir()
    write_clip(tmp_path / "short" / "01.mp4", range(6), size_px=(96, 72))
    return tmp_path / "short"


@contextmanager
def room_for(bytes_a_file: int) -> Iterator[None]:
    """The kernel refuses to make a file longer in the midst of a write, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (bytes_a_file, before[1])
    )  # Python ignores the signal: it is an error
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


OUTPUTS = [
    ("--json", "out.json"),
    ("--scores", "out.npz"),
    ("--scores", "out.csv"),
    ("--report", "out.html"),
    ("--plots", "."),
]


@pytest.mark.parametrize(("option", "name"), OUTPUTS)
def test_a_disk_that_is_full_is_one_line_and_leaves_what_was_there(
    short: Path, tmp_path: Path, option: str, name: str
) -> None:
    folder, command = (
        tmp_path / "out",
        ("evaluate", "--checkpoint", write_tiny(tmp_path), "--data", short, option),
    )
    path = folder / ("01.png" if name == "." else name)
    folder.mkdir()
    path.write_text("before")
    with room_for(100):
        said = lookout(*command, folder / name, expect=1).one_line()
    assert said == f"lookout: {path}: File too large"
    assert list(folder.iterdir()) == [path]
    assert path.read_text() == "before"


@pytest.mark.parametrize(("option", "name"), OUTPUTS)
def test_a_place_that_cannot_be_written_is_one_line(
    short: Path, tmp_path: Path, option: str, name: str
) -> None:
    checkpoint = write_tiny(tmp_path)
    for place in ("/proc", checkpoint):  # no folder can be made there; it is no folder
        said = lookout(
            "evaluate",
            "--checkpoint",
            checkpoint,
            "--data",
            short,
            option,
            f"{place}/x/{name}",
            expect=1,
        )
        assert str(place) in said.one_line()
    assert {path.name for path in tmp_path.iterdir()} == {"short", "tiny.safetensors"}


def test_scores_that_are_no_numbers_are_one_line_and_no_file(data: Path, tmp_path: Path) -> None:
    checkpoint, out = write_overflowing(tmp_path), tmp_path / "out.json"
    said = lookout("evaluate", "--checkpoint", checkpoint, "--data", data, "--json", out, expect=1)
    assert "clip 01, frame 4: the model gives no finite score (PSNR nan dB" in said.one_line()
    assert not out.exists()


def test_the_page_names_every_option_of_its_commands_and_no_others() -> None:
    commands, _, _ = DOCUMENTED.partition("## Pictures: one class normal")
    told = set(re.findall(r"--[a-z][a-z-]+", commands))
    helps = [lookout(command, "--help").out for command in ("evaluate", "benchmark", "scene")]
    options = set(re.findall(r"--[a-z][a-z-]+", "".join(helps)))
    assert told == options - {"--help"}


def test_while_every_frame_is_learned_from_there_are_no_alarms_to_judge(
    data: Path, tmp_path: Path
) -> None:
    checkpoint = write_tiny(tmp_path, calibrated=False)
    said = lookout("evaluate", "--checkpoint", checkpoint, "--data", data).out
    assert "no frame has a causal value" in said
    assert "macro without 02" in said


def test_a_threshold_below_the_hysteresis_is_one_line(data: Path, tmp_path: Path) -> None:
    said = lookout(
        "evaluate",
        "--checkpoint",
        write_tiny(tmp_path),
        "--data",
        data,
        "--threshold",
        0.05,
        expect=2,
    )
    assert "alert_hysteresis must be smaller" in said.one_line()


def test_an_ignored_zone_is_no_part_of_an_evaluation(data: Path, tmp_path: Path) -> None:
    """Two clips that differ in their left halves alone have the same scores."""
    checkpoint = write_tiny(tmp_path)
    clips = data / "test"
    for clip in clips.iterdir():
        clip.unlink()
    (data / "labels.json").unlink()
    for number, name in enumerate(("01", "02")):
        (clips / name).mkdir()
        for frame in range(12):
            picture = np.random.default_rng(frame).integers(0, 256, (72, 96, 3), dtype=np.uint8)
            picture[:, :48] = 80 * number + frame
            assert cv2.imwrite(str(clips / name / f"{frame:03}.png"), picture)
    zones = tmp_path / "zones.json"
    half = {"name": "half", "kind": "ignore", "points": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]}
    zones.write_text(json.dumps([half]))
    asked = ("--memory", "per-clip", "--zones", zones)
    summary, scores = evaluated(checkpoint, data, tmp_path, *asked)
    assert summary["zones"] == [half]
    for name in ("psnr_db", "distance", "gate_error", "local_db"):
        assert (scores[f"01/{name}"] == scores[f"02/{name}"]).all()
    _, plain = evaluated(checkpoint, data, tmp_path, "--memory", "per-clip")
    assert (plain["01/psnr_db"] != plain["02/psnr_db"]).all()
    half["points"] = [[0, 0], [1, 1], [1, 0], [0, 1]]
    zones.write_text(json.dumps([half]))
    refused = lookout("evaluate", "--checkpoint", checkpoint, "--data", data, *asked, expect=1)
    assert "zones.json: zone 'half': the outline crosses" in refused.one_line()
