"""Follow docs/architecture.md to add a model and a camera field, in a copy of the tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import recipes

MODEL = """
import numpy as np
import torch
from pathlib import Path
from lookout.models.base import TrainingBatch
from lookout.models.checkpoint.file import Checkpoint, load_checkpoint, save_checkpoint
from lookout.models.media.preprocess import Preprocess
from lookout.models.registry import make_model, sized
from lookout.models.scorer import Scorer

config = sized("previous-frame", height_px=32, width_px=32)
torch.manual_seed(0)
model = make_model("previous-frame", config).train()
optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
clips = torch.rand(4, 6, 32, 32) * 2 - 1
clips[:, 3:] = clips[:, :3]
losses = []
for _ in range(20):
    step = model.training_step(TrainingBatch(clips))
    optimizer.zero_grad()
    step.loss.backward()
    optimizer.step()
    losses.append(step.loss.item())
assert losses[-1] < losses[0] / 2, losses

model.eval().requires_grad_(False)
checkpoint = Checkpoint(
    "previous-frame", model, torch.empty(0, 0), config, Preprocess(32, 32), None, {}
)
save_checkpoint(Path("toy.safetensors"), checkpoint)
scorer = Scorer(load_checkpoint(Path("toy.safetensors")), torch.device("cpu"), "fp32")
frames = np.random.default_rng(0).integers(0, 256, (1, 2, 32, 32, 3), dtype=np.uint8)
frames[:, 1] = frames[:, 0]
usual = scorer.step(frames, scorer.fresh_items().expand(1, -1, -1)).psnr_db
frames[:, 1] = 255 - frames[:, 0]
unusual = scorer.step(frames, scorer.fresh_items().expand(1, -1, -1)).psnr_db
assert usual.item() > unusual.item() + 3, (usual, unusual)
"""

LISTED = """
import sys
from lookout.service.cli.main import main

sys.argv = ["lookout", "models"]
main()
"""

FIELD = """
from pydantic import ValidationError
from lookout.service.api.app import create_app
from lookout.service.core.camera import Camera, CameraChange
from lookout.service.core.settings import Settings
from lookout.service.storage.redis import codec
from lookout.service.storage.connections import open_bus, open_store

settings = Settings(bus_url="redis://nowhere", store_url="redis://nowhere")
schemas = create_app(settings, open_bus(settings), open_store(settings)).openapi()["components"]
for name in ("CameraSpec", "CameraChange", "CameraView"):
    assert schemas["schemas"][name]["properties"]["note"]["title"] == "Note", name

stored = {"id": "gate", "url": "/a.mp4", "model": "m", "created_at": 1.0, "revision": 1}
assert Camera(**stored).note is None
changed = Camera(**stored).changed(CameraChange(note="back door"))
assert codec.read_camera(changed.model_dump_json()).note == "back door"
try:
    CameraChange(note="x" * 201)
except ValidationError:
    pass
else:
    raise AssertionError("a note of 201 characters")
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return recipes.copy_tree(tmp_path)


@pytest.mark.wide
def test_a_model_is_added_by_a_file_and_a_line(tree: Path) -> None:
    recipes.follow("Add a model", tree)
    assert "previous-frame" in recipes.run(tree, "-c", MODEL + LISTED)


def test_a_camera_field_is_added_in_one_place(tree: Path) -> None:
    recipes.follow("Add a camera field", tree)
    recipes.run(tree, "-c", FIELD)
    recipes.run(tree, "-m", "deploy")
    assert "| `note` |" in (tree / "docs" / "api.md").read_text()
