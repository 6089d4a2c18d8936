"""The short form of `python -m tests.bench.fused`: one scene, a minute and a third."""

from __future__ import annotations

import pytest

from tests.bench import fused


@pytest.mark.long
@pytest.mark.timeout(600)
def test_every_score_is_printed_beside_a_copy_of_the_last_frame() -> None:
    lines = list(fused.report("machine", 400, fused.START))
    assert "bounds of the last 150, 400 scored" in lines[0]
    assert [words.split("frame AUC")[0].strip() for words in lines[1:]] == [
        "copy of the last frame",
        *fused.SCHEMES,
    ]
    assert all("events noticed" in words for words in lines[2:])


@pytest.mark.parametrize(
    ("normal", "settled"), [(300, 150), (599, 150), (600, 300), (1200, 600), (3000, 1200)]
)
def test_bounds_settle_before_the_normal_footage_ends(normal: int, settled: int) -> None:
    assert fused.settled_frames(normal) == settled
