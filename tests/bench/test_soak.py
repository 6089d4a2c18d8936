"""The short form of `make soak`: it runs, and prints a line for every process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import soak


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.timeout(300)
def test_every_process_is_printed(tmp_path: Path) -> None:
    title, *lines = soak.report(tmp_path, seconds=5, warm_up_s=2)
    assert "4 cameras" in title
    roles = sorted(line[:14].strip() for line in lines)
    decoders = ["decoder"] * soak.CAMERAS
    assert roles == [
        "alerting",
        "api",
        *decoders,
        "fork server",
        "inference",
        "ingest",
        "learning",
        "redis (bus)",
        "redis (store)",
        "serve",
    ]
