"""The short form of `python -m tests.bench.poisoned`: one scene, some minutes."""

from __future__ import annotations

import pytest

from tests.bench.poisoned import measure


@pytest.mark.long
@pytest.mark.timeout(900)
def test_five_per_cent_of_abnormal_footage_cost_little(capsys: pytest.CaptureFixture[str]) -> None:
    frames = 6 * 60 * 5
    clean, poisoned = (measure("street", 3, frames, share) for share in (0.0, 0.05))
    with capsys.disabled():
        print(clean.line(), poisoned.line(), sep="\n")
    assert 4.0 <= poisoned.abnormal_percent <= 5.0
    assert poisoned.recall_percent >= clean.recall_percent - 5.0
