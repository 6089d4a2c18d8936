"""The short form of `make bench`: it runs, and prints every line that the long form prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from lookout.models.registry import MODELS
from tests.bench import decode, engine, line, messages


@pytest.mark.long
@pytest.mark.timeout(300)
def test_every_line_is_printed(tmp_path: Path) -> None:
    (decoding,) = decode.report(tmp_path, seconds=2, repeats=1)
    assert "bare PyAV decode" in decoding
    steps = list(engine.report(tmp_path, repeats=1, batches=(1,)))
    assert [text.split(",")[0] for text in steps] == [
        "square (width 16)",
        "full (width 64)",
        *(f"{name} as published" for name in MODELS),
        "riad live (width 16)",
        "scadn live (width 8 blocks 4)",
    ]
    (writing,) = messages.report(tmp_path, times=10)
    assert "score" in writing
    throughput, latency = line.report(tmp_path, seconds=3, live_s=3)
    assert "bare engine" in throughput
    assert "p99" in latency
