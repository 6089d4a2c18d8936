"""The bench of a GPU, run on a CPU: its rows are there, and what needs a GPU is null."""

from __future__ import annotations

import json
from pathlib import Path

from tests.bench import gpu


def test_every_row_is_told() -> None:
    bench = gpu.Bench("cpu", size_px=32, seconds=0.02)
    table = list(
        gpu.rows(
            bench,
            [gpu.Subject("small", "mnad-pred", 4)],
            batches=(1, 2),
            compiled_batches=(1,),
            cameras=(1,),
            matrix_side=64,
        )
    )
    rows = {row.what: row for row in table}
    assert rows["small, fp32, batch 2, end to end"].measured
    assert rows["small, bf16, batch 1, network, eager"].ratio
    for way in ("graph", "compiled"):
        assert rows[f"small, bf16, batch 1, network, {way}"].measured is None
    assert rows["small, bf16, cameras at 25 fps, p99 age under 100 ms"].measured is not None
    assert all(row.reached is None for row in table)  # the aims are of a GPU


def test_a_batch_beyond_the_memory_is_a_row_that_says_so() -> None:
    def too_large() -> float:
        raise RuntimeError("CUDA out of memory. Tried to allocate 9 GiB\nmore lines")

    row = gpu.rated("a step", too_large, limit=None)
    assert row.measured is None
    assert row.line() == "a step: not run (CUDA out of memory. Tried to allocate 9 GiB)"


def test_the_command_writes_the_table(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    table = [gpu.Row("a step", 12.34, "frames/s", limit=24.68, ratio=0.5)]
    gpu.write(out, table)
    (row,) = json.loads(out.read_text())["rows"]
    assert row["measured"] == 12.34
    assert row["reached"] is None
