"""Compare the update rules of the memory: never, behind each gate, guarded; without a label.

    python -m tests.bench.updates --checkpoint C [--checkpoint D]
        --data ped2/ --held-out 03,12 [--test]

The columns are those of `tests.bench.offline`: whole held-out normal clips with a synthetic
anomaly, and with `--test` the labelled clips, which have no part in the choice. Checkpoints must be
calibrated: the guarded rule asks for it.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from lookout.models.checkpoint.file import load_checkpoint
from lookout.models.data.clips import train_clips
from lookout.models.evaluation.evaluate import guarded_rule
from lookout.models.memory_update import UpdateRule
from lookout.models.scorer import Scorer
from lookout.models.scoring.metrics import AROUND
from tests.bench.offline import Ensemble, Smoothing, Video, Way, of_kinds

GATES = 0.5, 0.75, 1.0, 1.5  # times γ


RULES = (
    *(f"published, gate {times:g} γ" for times in GATES),
    "guarded",
    "never",
    "published, no gate",
)


def rules_of(scorer: Scorer) -> dict[str, UpdateRule]:
    """Return the rules by name.

    The last two are extremes: no frame passes the gate, and every frame does.
    """
    gates = [UpdateRule.paper(times * scorer.gamma) for times in GATES]
    ends = UpdateRule.fixed(), UpdateRule.paper(math.inf)
    return dict(zip(RULES, [*gates, guarded_rule(scorer.checkpoint), *ends], strict=True))


def scores_of(name: str) -> tuple[Way, Way]:
    """Return the paper's score and `fused`."""
    paper, local = f"{name} paper", f"{name} local"
    return Way((paper,), Smoothing()), Way((paper, local), Smoothing(AROUND, AROUND))


def row(name: str, made: list[Video], test: list[Video] | None) -> str:
    """Return a row of the table: the AUC of each way on made and on labelled clips."""
    ways = scores_of(name)
    found = [of_kinds(way, made) for way in ways] + [way.auc_percent(test) for way in ways if test]
    return " | ".join([f"| {name}", *(f"{auc:.2f}" for auc in found)]) + " |"


def main() -> None:
    """Print the table for the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.updates", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--checkpoint", type=Path, action="append", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--held-out", required=True, help="names of normal clips, with commas")
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--only", choices=RULES, help="one rule")
    parser.add_argument(
        "--test", action="store_true", help="the frame AUC over the labelled clips as well"
    )
    given = parser.parse_args()
    paths = {path.stem: path for path in train_clips(given.data)}
    columns = ["paper, made", "fused, made"] + ["paper, labelled", "fused, labelled"] * given.test
    print("| checkpoint, update | " + " | ".join(columns) + " |\n|---|" + "---|" * len(columns))
    for path in given.checkpoint:
        scorer = Scorer(load_checkpoint(path), "cpu", "bf16")
        for rule_name, rule in rules_of(scorer).items():
            if given.only not in (None, rule_name):
                continue
            name = f"{path.stem}, {rule_name}"
            one = Ensemble({name: scorer}, {name: rule})
            made = [
                video
                for held in given.held_out.split(",")
                for video in one.made(paths[held], given.draws)
            ]
            print(
                row(name, made, list(one.labelled(given.data)) if given.test else None), flush=True
            )


if __name__ == "__main__":
    main()
