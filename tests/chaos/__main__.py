"""`make chaos`: break a running service on purpose, and report the cost.

Fail on a double, an unexplained gap, a lost alert, or where the service does not recover.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos import disk
from tests.chaos.arena import ServiceEndedError
from tests.chaos.faults import KINDS
from tests.chaos.record import disagreements, record
from tests.chaos.report import lines
from tests.chaos.run import Options, run, settings
from tests.chaos.verdicts import judge


def main(words: list[str]) -> int:
    disk.enter_own_namespace("tests.chaos", words)
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit("terminated")
    )  # the service is ended on the way out
    asked = _asked([word for word in words if word != disk.INSIDE])
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True)

    options = Options(
        asked.seed, asked.minutes, tuple(asked.only or KINDS), may_mount=disk.INSIDE in words
    )
    say(f"seed {options.seed}")
    with tempfile.TemporaryDirectory(prefix="lookout-chaos-") as folder:
        try:
            evidence = run(options, Path(folder), say)
        except (ServiceEndedError, TimeoutError) as error:
            say(f"FAILED: {type(error).__name__}: {error}")
            return 1
        used = settings(Path(folder))
    verdict = judge(evidence)
    used = {name: value for name, value in used.items() if not isinstance(value, Path)}
    report = record(evidence, verdict, used | {"seed": options.seed, "minutes": options.minutes})
    verdict.complaints += disagreements(report)  # the report's own list
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(report, separators=(",", ":")))
    for line in lines(evidence, verdict):
        print(line)
    say(f"what was done and seen is in {asked.out}")
    if asked.log:
        asked.log.write_text("\n".join(evidence.log))
    return 1 if verdict.complaints else 0


def _asked(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="of the order of the faults and who is hit"
    )
    parser.add_argument(
        "--minutes", type=float, default=None, help="go on for so long; else every fault once"
    )
    parser.add_argument("--only", nargs="+", choices=list(KINDS), help="these kinds of faults")
    parser.add_argument("--out", type=Path, default=Path("build/chaos.json"))
    parser.add_argument("--log", type=Path, default=None, help="also write the service's log here")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
