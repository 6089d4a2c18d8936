"""The comparison of widths, shortened: it prints what it says."""

from __future__ import annotations

from tests.bench.widths import report


def test_every_way_is_measured() -> None:
    found = report(4, size_px=32, repeats=2)
    assert {"fp32", "bf16", "bf16, folded"} <= found.keys()
    assert all(ms > 0 for ms in found.values())
