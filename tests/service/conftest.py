"""The fixtures of the command line's tests: a small set, and a model trained on it.

Imports stand in the fixtures: the process that hands out tests reads this file too.
"""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shared set that no test writes into; a file that needs another has a `data` of its own."""
    from tests.cli import write_set

    return write_set(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a model without calibration."""
    from tests.cli import TRAIN, lookout

    out = tmp_path_factory.mktemp("models") / "model.safetensors"
    lookout("train", "--model", "mnad-pred", "--data", data, "--out", out, *TRAIN)
    return out
