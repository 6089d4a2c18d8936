"""Schemathesis: what the OpenAPI document allows and forbids is what a real API does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lookout.models.scoring.calibration import Bounds
from lookout.service.api.auth import guesses, token
from lookout.service.storage.bus.bus import Bus
from lookout.service.storage.store.store import Store
from tests.conftest import Urls
from tests.service.api_server import (
    BEARER,
    TOKEN,
    running_api,
    settings_for,
    show,
    watch,
    write_checkpoint,
)

REPOSITORY = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).parent / "schemathesis"
BOUNDS = Bounds(20.0, 40.0, 0.0, 1.0, 100, local_db=(10.0, 30.0))
SEED = "16"  # the same requests in every run: a failure can be looked at


def keeps_its_word(urls: Urls, folder: Path, examples: int, timeout_s: float, *more: str) -> None:
    """Assert that no check of schemathesis fails, with `examples` requests an operation.

    more: further words of its command line.
    """
    settings = settings_for(urls, folder, token=TOKEN)
    write_checkpoint(settings, "square", bounds=BOUNDS)
    with pytest.MonkeyPatch.context() as patched, running_api(settings) as api:
        patched.setattr(guesses, "AT_ONCE", 10_000)  # it tries more wrong tokens than one may
        patched.setattr(token, "WRONG_TOKEN_DELAY_S", 0.02)
        words = [str(PROGRAM), "run", f"http://127.0.0.1:{api.port}/api/v1/openapi.json"]
        words += ["--checks", "all", "--max-examples", str(examples), "--seed", SEED]
        words += ["--header", f"Authorization: {BEARER['Authorization']}"]
        words += ["--no-color", "--warnings", "off", *more]
        ended = subprocess.run(
            words,
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            cwd=folder,
            env=os.environ
            | {"SCHEMATHESIS_HOOKS": "tests.service.schema_hooks", "PYTHONPATH": str(REPOSITORY)},
        )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.fixture
def gate(bus: Bus, store: Store) -> None:
    """A camera with a score and a frame."""
    watch(store, bus, "gate")
    show(bus, "gate", 0)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("gate")
def test_what_the_document_says_holds(urls: Urls, tmp_path: Path) -> None:
    """The long form tries the bounds of each field too, which takes a minute by itself."""
    keeps_its_word(urls, tmp_path, 2, 240, "--phases", "examples,fuzzing,stateful")


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("gate")
def test_what_the_document_says_holds_for_many_requests(urls: Urls, tmp_path: Path) -> None:
    keeps_its_word(urls, tmp_path, examples=100, timeout_s=800)
