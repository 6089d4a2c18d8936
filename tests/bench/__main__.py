"""`make bench`: speed, printed, never judged.

Compare ratios of one run; the machine's own noise is large.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.bench import decode, engine, line, many_cameras, messages


def main() -> None:
    """Print every line of the short benches."""
    with tempfile.TemporaryDirectory() as folder:
        for report in (
            decode.report,
            engine.report,
            messages.report,
            line.report,
            many_cameras.report,
        ):
            for text in report(Path(folder)):
                print(text, flush=True)


if __name__ == "__main__":
    main()
