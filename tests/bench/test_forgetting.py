"""The short form of `python -m tests.bench.forgetting`.

One second of the event shows a difference.
"""

from __future__ import annotations

import pytest

from lookout.models.checkpoint.file import load_checkpoint
from tests.bench import forgetting
from tests.bench.footage import MODEL


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_published_memory_forgets_and_a_guarded_one_does_not() -> None:
    checkpoint = load_checkpoint(MODEL)
    seen, held_out = (forgetting.square(seed, checkpoint.preprocess) for seed in (7, 99))
    lines = list(forgetting.report(checkpoint, seen, held_out, frames=30, period=30))
    auc = {line[:17].strip(): float(line.split()[-1]) for line in lines[2:]}  # of the value
    assert auc["as trained"] > 0.9
    assert auc["paper"] < 0.7
    assert auc["guarded, γ"] > 0.9
    assert auc["guarded"] > 0.9
