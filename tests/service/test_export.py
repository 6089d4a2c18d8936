"""`lookout export`: ONNX Runtime gives PyTorch's numbers, and a hub's folder the same bits."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import yaml

from lookout.models.checkpoint.file import load_checkpoint, save_checkpoint
from lookout.models.checkpoint.hub import CARD, CONFIG, WEIGHTS
from lookout.models.media.preprocess import Preprocess
from lookout.models.onnx_file import NOT_EXPORTED, TOLERANCES
from lookout.models.registry import MODELS
from lookout.models.scorer import Scorer
from lookout.service.cli.predict import checkpoint_file
from lookout.service.core.settings import Settings
from tests.cli import evaluated, lookout
from tests.clips import write_clip
from tests.conftest import with_long_forms
from tests.tiny import (
    EASY_BOUNDS,
    TINY_OF,
    street,
    tiny_checkpoint,
    untrained,
    write_tiny,
)

EXPORTED = sorted(MODELS.keys() - NOT_EXPORTED.keys())
QUICK = {"mnad-pred", "ae"}
"""Some seconds of CPU each; the others take up to a minute."""


def exported(folder: Path, checkpoint: Path) -> onnxruntime.InferenceSession:
    """Export as a user does, and open the file with nothing of Lookout's."""
    said = lookout("export", "--checkpoint", checkpoint, "--onnx", folder / "tiny.onnx").out
    assert "largest difference of ONNX Runtime from PyTorch" in said
    return onnxruntime.InferenceSession(
        str(folder / "tiny.onnx"), providers=["CPUExecutionProvider"]
    )


@pytest.mark.wide
@pytest.mark.parametrize("name", with_long_forms(EXPORTED, QUICK))
def test_onnx_gives_the_numbers_of_pytorch(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.safetensors"
    save_checkpoint(path, untrained(TINY_OF[name], seed=1, calibration=EASY_BOUNDS))
    session = exported(tmp_path, path)
    outputs = [output.name for output in session.get_outputs()]
    scorer = Scorer(load_checkpoint(path))
    clip = np.stack([street(seq) for seq in range(scorer.t_length)])
    feed = {"frames": clip[None]}
    if len(session.get_inputs()) == 2:
        feed["items"] = scorer.fresh_items()[None].numpy()
    wanted = scorer.step([clip], scorer.fresh_items()[None])
    numbers = {"items_after": wanted.items} | {
        name: getattr(wanted, name) for name in ("psnr_db", "distance", "gate_error", "heat")
    }
    for output, got in zip(outputs, session.run(outputs, feed), strict=True):
        most = TOLERANCES[output]
        np.testing.assert_allclose(got, numbers[output].numpy(), atol=most, rtol=most)
    told = json.loads(session.get_modelmeta().custom_metadata_map["lookout"])
    assert told["model"] == name
    assert told["calibration"]["psnr_high_db"] == EASY_BOUNDS.psnr_high_db


@pytest.mark.wide
def test_the_memory_of_an_onnx_file_follows_the_camera_as_here(tmp_path: Path) -> None:
    """Each frame passes the gate; the weights take B, G, R, and the file R, G, B."""
    path = tmp_path / "follows.safetensors"
    bgr = Preprocess(32, 32, "bgr")
    save_checkpoint(path, replace(tiny_checkpoint(gamma=1e9), preprocess=bgr))
    session = exported(tmp_path, path)
    scorer = Scorer(load_checkpoint(path))
    here = scorer.fresh_items()[None]
    there = here.numpy()
    for first in range(4):
        clip = np.stack([street(first + seq) for seq in range(5)])
        scored = scorer.step([clip], here)
        assert bool(scored.memory_updated)
        here = scored.items
        psnr_db, there = session.run(
            ["psnr_db", "items_after"], {"frames": clip[None], "items": there}
        )
        np.testing.assert_allclose(there, here.numpy(), atol=1e-4)
        np.testing.assert_allclose(psnr_db, scored.psnr_db.numpy(), atol=1e-3)
    assert not torch.allclose(here[0], scorer.fresh_items(), atol=1e-2)
    turned = {"frames": np.ascontiguousarray(clip[None, ..., ::-1]), "items": there}
    assert abs(session.run(["psnr_db"], turned)[0] - psnr_db) > 1e-2


@pytest.mark.parametrize("name", sorted(NOT_EXPORTED))
def test_a_model_without_an_onnx_form_is_one_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.safetensors"
    save_checkpoint(path, untrained(TINY_OF[name]))
    out = tmp_path / "out.onnx"
    line = lookout("export", "--checkpoint", path, "--onnx", out, expect=1).one_line()
    assert line == f"lookout: {name} cannot be exported to ONNX: {NOT_EXPORTED[name]}"
    assert not out.exists()


def test_a_hub_folder_is_read_back_with_the_same_bits(tmp_path: Path) -> None:
    path = write_tiny(tmp_path)
    hub = tmp_path / "gate"
    lookout("export", "--checkpoint", path, "--hub", hub, "--license", "apache-2.0")
    assert sorted(file.name for file in hub.iterdir()) == [CARD, CONFIG, WEIGHTS]
    assert (hub / WEIGHTS).read_bytes() == path.read_bytes()
    config = json.loads((hub / CONFIG).read_text())
    assert (config["library_name"], config["model_type"]) == ("lookout", "mnad-pred")
    assert config["config"]["width"] == 4
    _, front, text = (hub / CARD).read_text().split("---\n", 2)
    told = yaml.safe_load(front)
    assert (told["license"], told["library_name"]) == ("apache-2.0", "lookout")
    assert text.startswith("\n# gate\n")


@pytest.mark.wide
def test_commands_score_a_hub_folder_as_the_file(tmp_path: Path) -> None:
    path = write_tiny(tmp_path)
    hub = tmp_path / "gate"
    lookout("export", "--checkpoint", path, "--hub", hub)
    clips = tmp_path / "test"
    clips.mkdir()
    write_clip(clips / "01.mp4", range(12), size_px=(32, 32))
    found = [evaluated(one, clips, tmp_path)[1] for one in (path, hub)]
    np.testing.assert_array_equal(found[0]["01/psnr_db"], found[1]["01/psnr_db"])
    assert checkpoint_file(str(hub), Settings()) == hub / WEIGHTS  # that of `lookout predict`


def test_a_hub_folder_that_is_not_as_it_was_written_is_one_line(tmp_path: Path) -> None:
    hub = tmp_path / "gate"
    lookout("export", "--checkpoint", write_tiny(tmp_path), "--hub", hub)
    config = json.loads((hub / CONFIG).read_text())
    config["config"]["width"] = 8
    (hub / CONFIG).write_text(json.dumps(config))
    words = ("export", "--checkpoint", hub, "--hub", tmp_path / "again")
    assert "does not describe model.safetensors" in lookout(*words, expect=1).one_line()
    (hub / CONFIG).write_text("{")
    assert "config.json cannot be read" in lookout(*words, expect=1).one_line()
    (hub / CONFIG).unlink()
    assert "is a folder without" in lookout(*words, expect=1).one_line()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "nothing to export"),
        (["--onnx", "gate.pt"], "must end in .onnx"),
        (["--onnx", "gate.onnx", "--license", "mit"], "goes with --hub"),
        (["--hub", "gate", "--license", "mit\nfoo: bar"], "takes a name such as apache-2.0"),
    ],
)
def test_wrong_options_are_one_line(options: list[str], said: str, tmp_path: Path) -> None:
    path = write_tiny(tmp_path)
    with contextlib.chdir(tmp_path):
        assert said in lookout("export", "--checkpoint", path, *options, expect=1).one_line()
    assert sorted(tmp_path.iterdir()) == [path]
