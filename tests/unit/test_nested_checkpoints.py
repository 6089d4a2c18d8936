"""Checkpoints in subfolders of a models folder: listed, given by name, never chosen unasked."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lookout.models.checkpoint.header import find_checkpoints
from lookout.service.api.checkpoints import choose_model
from lookout.service.cli.models import list_models
from lookout.service.core.errors import RequestError
from lookout.service.core.settings import SHIPPED_MODELS
from lookout.service.inference.scorers import Scorers
from lookout.service.learning.checkpoints import start_checkpoints
from tests.tiny import write_tiny


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a models folder with `tiny`, and in subfolders `tiny`, `research` and a hidden one."""
    top = write_tiny(tmp_path)
    for subfolder, name in (("ped2", "research"), ("ped2", "tiny"), (".trash", "gone")):
        (tmp_path / subfolder).mkdir(exist_ok=True)
        shutil.copy(top, tmp_path / subfolder / f"{name}.safetensors")
    return tmp_path


def test_a_subfolder_is_searched_after_every_folder(folder: Path, tmp_path: Path) -> None:
    found = find_checkpoints(folder)
    assert found == {
        "research": folder / "ped2" / "research.safetensors",
        "tiny": folder / "tiny.safetensors",
    }
    assert find_checkpoints(tmp_path / "none", folder) == found
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(found["tiny"], other / "research.safetensors")
    assert find_checkpoints(folder, other)["research"] == other / "research.safetensors"


def test_one_is_given_by_its_name_and_never_chosen(folder: Path) -> None:
    assert choose_model([folder], "research", "learn", None) == "research"
    assert choose_model([folder], None, "learn", None) == "tiny"
    (folder / "tiny.safetensors").unlink()
    shutil.rmtree(folder / "ped2" / "tiny.safetensors", ignore_errors=True)
    with pytest.raises(RequestError, match="name a model; available: research"):
        choose_model([folder], None, "learn", None)


def test_it_is_loaded_for_a_camera(folder: Path) -> None:
    scorers = Scorers([folder], "cpu", "fp32")
    nested, digest = scorers.get("research")
    assert nested.checkpoint.name == "mnad-pred"
    assert digest == scorers.get("tiny")[1]
    assert scorers.signature("research") == scorers.signature("research")


def test_no_training_starts_from_one_unless_it_is_the_camera_s_own(folder: Path) -> None:
    assert list(start_checkpoints([folder], "tiny")) == ["tiny"]
    assert list(start_checkpoints([folder], "research")) == ["research", "tiny"]


def test_the_shipped_ones_are_listed_with_their_subfolder_s(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOKOUT_MODELS_DIR", str(SHIPPED_MODELS))
    list_models()
    lines = capsys.readouterr().out.splitlines()
    first_words = {line.split()[0] for line in lines if line}
    assert {"square", "general", "places", "compact", "std"} <= first_words
