"""The short form of `make load`: it runs, and prints every line that the long form prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import load


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.timeout(300)
def test_every_line_is_printed(tmp_path: Path) -> None:
    texts = list(
        load.report(
            tmp_path, seconds=2, most=1, fast_files=(1,), fast_s=3, threads=1, published=False
        )
    )
    words = (
        "bare engine",
        "again",
        "1 files at full pace",
        "CPU, ms a frame",
        "1 cameras",
        "memory",
        "cameras held",
    )
    assert len(texts) == len(words)
    assert [word for word, text in zip(words, texts, strict=True) if word not in text] == []
