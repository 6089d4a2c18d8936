"""`make bench`: speed as one table and as bench.json. Nothing is judged by it.

Compare ratios of one run; the machine's own noise is large. `python -m tests.bench line decode`
runs these parts alone.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench import decode, decoder_starts, engine, line, many_cameras, messages, still
from tests.bench.table import HEAD, Row, write

PARTS: dict[str, Callable[[Path], Iterator[Row]]] = {
    "decode": decode.report,
    "decoder_starts": decoder_starts.report,
    "engine": engine.report,
    "messages": messages.report,
    "line": line.report,
    "many_cameras": many_cameras.report,
    "still": still.report,
}

ELSEWHERE = (
    Row("cameras at 10 fps, none dropped, p99 under 1 s", None, "make load", None, 8.0, "higher"),
    Row("CPU a scored frame, 16 cameras beside 1", None, "make load", None, 1.15),
    Row("mnad-pred on a GPU (frames/s)", None, "python -m tests.bench.gpu", None, 4000.0, "higher"),
    Row(
        "cameras at 25 fps on a GPU, p99 under 100 ms",
        None,
        "python -m tests.bench.gpu",
        None,
        160.0,
        "higher",
    ),
)
"""Figures of commands of their own, which take longer or another machine."""


def main() -> None:
    """Run the parts, print each row as it comes, and write all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], metavar="PART")
    parser.add_argument("--out", type=Path, default=Path("bench.json"))
    asked = parser.parse_args()
    rows: list[Row] = []
    print(HEAD)
    for name in asked.parts or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            for row in PARTS[name](Path(folder)):
                print(row.line(), flush=True)
                rows.append(row)
    if not asked.parts:
        for row in ELSEWHERE:
            print(f"{row.line()}: {row.command}")
        rows += ELSEWHERE
    write(asked.out, rows)


if __name__ == "__main__":
    main()
