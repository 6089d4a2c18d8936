"""The model without weights: a copy of the last frame, and its shipped file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lookout.models.checkpoint.file import Checkpoint, save_checkpoint
from lookout.models.copy_last import CopyLast, CopyLastConfig
from lookout.models.media.preprocess import Preprocess
from lookout.models.scorer import Scorer
from lookout.models.scoring.local import LEAST
from lookout.service.core.settings import SHIPPED_MODELS
from tests.tiny import TINY_OF, untrained


def test_it_is_wrong_by_all_that_changes() -> None:
    scorer = Scorer(untrained(TINY_OF["places"]))
    clip = np.zeros((2, 32, 32, 3), np.uint8)
    clip[1, :8] = 255  # a quarter of the picture, from black to white
    scored = scorer.step([clip], scorer.fresh_items()[None])
    assert scored.psnr_db.item() == pytest.approx(10 * np.log10(4), abs=1e-5)
    assert scored.heat[0, :16].min() == 1
    assert scored.heat[0, 16:].max() == 0


def test_a_still_picture_is_predicted_perfectly() -> None:
    scorer = Scorer(untrained(TINY_OF["places"]))
    clip = np.full((2, 32, 32, 3), 77, np.uint8)
    scored = scorer.step([clip], scorer.fresh_items()[None])
    assert scored.psnr_db.item() == pytest.approx(-10 * np.log10(LEAST))


def test_the_shipped_file_is_its_configuration_and_nothing_else(tmp_path: Path) -> None:
    config = CopyLastConfig()
    made = Checkpoint(
        "places",
        CopyLast(config),
        torch.empty(0, 0),
        config,
        Preprocess(config.height_px, config.width_px),
        None,
        {},
    )
    save_checkpoint(tmp_path / "places.safetensors", made, torch.float16)
    shipped = SHIPPED_MODELS / "places.safetensors"
    assert (tmp_path / "places.safetensors").read_bytes() == shipped.read_bytes()
