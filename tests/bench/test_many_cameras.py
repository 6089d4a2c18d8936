"""The short form of `python -m tests.bench.many_cameras`: every figure is printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import many_cameras


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.timeout(300)
def test_every_line_is_printed(tmp_path: Path) -> None:
    rows = list(many_cameras.report(tmp_path, cameras=5, dead=5, settle_s=1.0, seconds=1.0))
    texts = [row.what for row in rows]
    words = (
        "without",
        *(
            path
            for path in ("/cameras", "/cameras?limit", "/models", "/metrics", "/readyz", "/ ")
            for _ in ("median", "CPU")
        ),
        "dead cameras, the first",
        "dead cameras, later",
        "refusing cameras, the first",
        "refusing cameras, later",
    )
    assert len(texts) == len(words)
    assert [word for word, text in zip(words, texts, strict=True) if word not in text] == []
