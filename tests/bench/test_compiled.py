"""The bench itself, without a compiler: its own time and both kinds of steps are told."""

from __future__ import annotations

import pytest
import torch

from tests.bench import compiled


@pytest.mark.long
@pytest.mark.alone
def test_it_tells_of_steps_with_and_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function: function)
    (line,) = compiled.report("mnad-pred", width=4, size_px=32, steps=3, device="cpu")
    assert line.startswith("mnad-pred, width 4, 32 px")
    assert "ratio" in line
