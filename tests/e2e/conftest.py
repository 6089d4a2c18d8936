"""The first test clip of Ped2, evaluated once for every test that holds something against it.

Imports stand in the fixtures: the process that hands out tests reads this file too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lookout.models.checkpoint.file import Checkpoint
    from lookout.models.evaluation.evaluate import Evaluation


@pytest.fixture(scope="session")
def half_gated() -> Checkpoint:
    """The authors' checkpoint, calibrated, with HALF_GATE."""
    from tests.e2e.ped2_clip import half_gated_checkpoint

    return half_gated_checkpoint()


@pytest.fixture(scope="session")
def first_clip(half_gated: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    """In float32, from the trained memory."""
    from tests.e2e.ped2_clip import evaluate_clip

    return evaluate_clip(half_gated, "fp32", tmp_path_factory.mktemp("first"))
