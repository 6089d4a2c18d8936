"""Progress without a terminal, the next command, and variables that are no settings."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from lookout.service.cli import status_lines
from lookout.service.cli.status_lines import StatusLines, share_done
from lookout.service.core.settings import warn_of_unknown
from lookout.service.supervisor.supervisor import environment_of
from tests.cli import TRAIN, lookout, write_set


def test_a_line_comes_again_and_again_while_a_step_takes_long() -> None:
    said: list[str] = []
    enough = threading.Event()

    def say(line: str) -> None:
        said.append(line)
        if len(said) == 3:
            enough.set()

    with StatusLines(lambda: share_done("scoring", 3, 12), say, every_s=0.01):
        assert enough.wait(30)
    count = len(said)
    assert said[0] == "scoring: 3 of 12 frames, 25 % (after 0:00 min)"
    assert not any(thread.name == "status" for thread in threading.enumerate())
    assert len(said) == count
    assert status_lines.EVERY_S <= 30


def test_short_work_prints_nothing() -> None:
    said: list[str] = []
    with StatusLines(lambda: "x", said.append):
        pass
    assert said == []


def test_a_total_that_is_unknown() -> None:
    assert share_done("scoring", 3, None) == "scoring: 3 frames"


@pytest.mark.wide
def test_commands_without_a_terminal_print_progress_and_what_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_lines, "EVERY_S", 0.01)
    monkeypatch.setenv("LOOKOUT_DATA_DIR", str(tmp_path / "data"))
    data = write_set(tmp_path)
    out = tmp_path / "data" / "models" / "the gate.safetensors"
    trained = lookout("train", "--data", data, "--out", out, *TRAIN).out
    last = trained.strip().splitlines()[-1]
    assert last.startswith(f"next: lookout calibrate --checkpoint '{out}' --data ")
    assert "the gate.safetensors: step " in trained
    done = lookout("calibrate", "--checkpoint", out, "--data", data, "--out", out)
    assert done.out.endswith('next: lookout serve, and "model": "the gate" in the camera\n')
    assert "calibrating: " in done.err
    assert "calibrating: " not in done.out  # which may go to a file
    other = tmp_path / "other.safetensors"
    elsewhere = lookout("calibrate", "--checkpoint", out, "--data", data, "--out", other).out
    assert f"next: cp {other} {tmp_path}/data/models/; lookout serve" in elsewhere


def test_evaluate_looks_at_labels_and_outputs_before_it_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.tiny import write_tiny

    write_tiny(tmp_path)
    data = write_set(tmp_path)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("it scored")

    monkeypatch.setattr("lookout.models.evaluation.live_scoring.score_clips", never)
    command = ("evaluate", "--checkpoint", tmp_path / "tiny.safetensors", "--data", data)
    line = lookout(*command, "--json", "/proc/nothing/out.json", expect=1).one_line()
    assert "/proc/nothing" in line
    labels = data / "labels.json"
    labels.write_text(labels.read_text().replace('"frames": 30', '"frames": 31'))
    assert "31 frames" in lookout(*command, expect=1).one_line()
    labels.write_text('{"test": {"01": {}}}')
    assert "labels.json" in lookout(*command, expect=1).one_line()


# Variables


def test_a_variable_that_is_no_setting_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    warn_of_unknown(
        {
            "LOOKOUT_INFERENCE_WORKER": "2",
            "lookout_prot": "9",
            "LOOKOUT_COLOUR": "s3cret",
            "LOOKOUT_PORT": "1",
            "LOOKOUT_API_PORT_8000_TCP_ADDR": "10.0.0.1",
            "LOOKOUT_API_SERVICE_HOST": "10.0.0.1",
            "LOOKOUT_DEMO_VIDEO": "",
            "PATH": "",
        }
    )
    said = capsys.readouterr().err
    assert said.splitlines() == [
        "lookout: LOOKOUT_COLOUR is not a setting (docs/configuration.md lists them)",
        "lookout: LOOKOUT_INFERENCE_WORKER is not a setting; did you mean "
        "LOOKOUT_INFERENCE_WORKERS?",
        "lookout: lookout_prot is not a setting; did you mean LOOKOUT_PORT?",
    ]


def test_a_stage_is_told_of_no_variable_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lookout.service.core.settings import load_settings

    monkeypatch.setenv("LOOKOUT_COLOUR", "red")
    settings = load_settings()
    assert "LOOKOUT_COLOUR" in capsys.readouterr().err
    warn_of_unknown(environment_of(settings))
    assert capsys.readouterr().err == ""
