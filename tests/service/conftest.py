"""Passwords that cost little; a small set for the command line, and a model trained on it.

Imports stand in the fixtures: the process that hands out tests reads this file too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module", autouse=True)
def cheap_passwords() -> Iterator[None]:
    """Argon2 at the least cost: a hash takes a tenth of a second else, and tests make hundreds.

    tests/unit/test_guesses.py holds the cost that users get.
    """
    from pwdlib import PasswordHash
    from pwdlib.hashers.argon2 import Argon2Hasher

    cheap = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PasswordHash, "recommended", lambda: cheap)
        yield


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
