"""One list names the stages: commands, settings, heartbeats and metric labels agree with it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest
import typer

from lookout.service.cli.main import app
from lookout.service.core import metrics
from lookout.service.core.errors import SettingsError
from lookout.service.core.settings import RENAMED, Settings, load_settings, variable_name
from lookout.service.core.stages import (
    NAMES,
    RENAMED_COMMANDS,
    REPORTING_NAMES,
    REQUIRED_NAMES,
    STAGES,
    Stage,
)
from lookout.service.supervisor.supervisor import stages
from tests.conftest import with_long_forms

OLD, NEW = "LOOKOUT_INFER_WORKERS", "LOOKOUT_INFERENCE_WORKERS"


def test_the_names_are_the_words_of_the_docs() -> None:
    assert NAMES == ("ingest", "inference", "alerting", "learning", "api")
    assert REPORTING_NAMES == ("ingest", "inference", "alerting", "learning")
    assert REQUIRED_NAMES == ("ingest", "inference", "alerting")


@pytest.mark.parametrize("stage", STAGES, ids=NAMES)
def test_a_stage_has_a_module_a_command_and_a_setting(stage: Stage) -> None:
    assert importlib.util.find_spec(stage.module) is not None
    command = typer.main.get_command(app).commands[stage.name]  # type: ignore[attr-defined]
    assert stage.summary in command.help
    assert not command.hidden
    assert stage.workers_setting is None or stage.workers_setting in Settings.model_fields


def test_every_setting_of_workers_is_a_stages() -> None:
    named = {name for name in Settings.model_fields if name.endswith("_workers")}
    assert named == {stage.workers_setting for stage in STAGES if stage.workers_setting}


def test_serve_starts_as_many_workers_as_are_set() -> None:
    full = Settings(ingest_workers=2, inference_workers=3)
    assert stages(full) == [*["ingest"] * 2, *["inference"] * 3, "alerting", "learning", "api"]
    assert "learning" not in stages(Settings(learning_workers=0))


def test_metric_labels_are_the_stages_that_report() -> None:
    assert metrics.LABELS["stage"] == "ingest, inference, alerting, learning"


@pytest.mark.parametrize(
    ("old", "stage"), with_long_forms(RENAMED_COMMANDS.items(), {"alert"}), ids=RENAMED_COMMANDS
)
def test_an_old_command_runs_the_stage_and_names_the_new_one(old: str, stage: Stage) -> None:
    command = [sys.executable, "-P", "-m", "lookout", old]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    notice, *others = done.stderr.splitlines()
    assert f"`lookout {old}` is now `lookout {stage.name}`" in notice
    assert done.returncode == 2
    assert "LOOKOUT_BUS_URL" in others[-1]  # as the stage itself says


def test_an_old_variable_still_sets_and_names_the_new_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(OLD, "3")
    assert load_settings().inference_workers == 3
    (notice,) = capsys.readouterr().err.splitlines()
    assert f"{OLD} is now {NEW}" in notice
    monkeypatch.setenv(OLD, "0")
    with pytest.raises(SettingsError, match=NEW):
        load_settings()


def test_an_old_and_a_new_variable_together_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OLD, "3")
    monkeypatch.setenv(NEW, "3")
    with pytest.raises(SettingsError, match=f"{OLD} and {NEW} are both set"):
        load_settings()


def test_without_old_variables_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    load_settings()
    assert capsys.readouterr().err == ""


def test_every_renamed_setting_has_a_new_name_that_exists() -> None:
    assert not RENAMED.keys() & Settings.model_fields.keys()
    assert set(RENAMED.values()) <= Settings.model_fields.keys()
    assert variable_name("inference_workers") == NEW
