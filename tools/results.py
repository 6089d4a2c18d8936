"""Print what the shipped checkpoints reach on labelled footage: `make results FOOTAGE=…`.

One row a checkpoint: frame AUC in percent over the frames that it scores. "min-max" scales each
video over all its frames, so it looks ahead; "none", "causal" and "local" do not. "local" is
smoothed over the last frames, as the scores of models that take turns are. Beside each stands a
copy of the last frame over the same frames, causal and not scaled. Then come the alarms of the
causal value under the default policy: events noticed, their median delay, false alarms per hour of
normal footage; RBDC and TBDC of the heatmap, where there are masks; and the frames per second of
steps for one camera, each of which waits for the device. FOLDER is a data set as `lookout evaluate`
takes it; without it every figure is "not run".
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from contrib.recipe import device_name, scoring_rate
from lookout.models.checkpoint.file import load_checkpoint
from lookout.models.checkpoint.header import digest, find_checkpoints, read_header
from lookout.models.data.clips import evaluation_clips, whole_clip
from lookout.models.device import choose_device, choose_precision
from lookout.models.errors import ModelsError
from lookout.models.evaluation.evaluate import Evaluation, evaluate, require_clips
from lookout.models.evaluation.events import EventMetrics
from lookout.models.evaluation.regions import RegionMetrics
from lookout.models.scorer import Scorer
from lookout.models.scoring.alert_policy import AlertPolicy
from lookout.models.scoring.local import LASTS

SHIPPED = Path(__file__).resolve().parents[1] / "models" / "checkpoints"
WAYS = {"per_video_minmax": "min-max", "none": "none", "causal": "causal", "local": "local"}
COPIES = {"psnr": "copy, PSNR", "local": "copy, local"}
ALARMS = ("events", "delay, s", "false an hour")
REGIONS = ("RBDC", "TBDC")
HEAD = (
    *("checkpoint", "model", "sha256", "looks ahead"),
    *WAYS.values(),
    *COPIES.values(),
    *ALARMS,
    *REGIONS,
    "frames/s",
)
PROTOCOL = (
    '"min-max" looks at each whole video; "looks ahead" is what a score waits for; the other ways '
    f'are causal; "local" takes of each window the least error of its last {LASTS} frames, and a '
    "model that takes turns the mean of its last turns; nothing else is smoothed; RBDC and TBDC by "
    "regions of the masks, which are not the published annotations"
)
NOT_RUN = "not run"


def rows(folder: Path, data: Path | None, device: str) -> Iterator[tuple[str, ...]]:
    """Yield the cells of each checkpoint's row, in the order of HEAD.

    folder: of the checkpoints, with its subfolders. Raises DataError and VideoError for footage
    that cannot be read, CheckpointError for a checkpoint that cannot be used.
    """
    for name, path in find_checkpoints(folder).items():
        header = read_header(path)
        spec = header.input_spec
        ahead = "" if spec is None else f"{spec.frames - 1 - spec.scored} frames"
        cells = [NOT_RUN] * len(HEAD[4:])
        if data is not None:
            precision = choose_precision("auto", device)
            scorer = Scorer(load_checkpoint(path), device, precision)
            found = evaluate(scorer, data, alarm=AlertPolicy())
            clip = whole_clip(
                evaluation_clips(data)[0], scorer.checkpoint.preprocess, scorer.t_length
            )
            rate = scoring_rate(scorer, [clip[: scorer.t_length]])
            cells = [
                *figures(found),
                *alarm_figures(found.events),
                *region_figures(found.regions),
                f"{rate:.3g}",
            ]
        yield (name, header.model, digest(path), ahead, *cells)


def figures(found: Evaluation) -> list[str]:
    """Return the AUC of each way, then of each copy, as text."""
    copies = found.copy_last or {}
    numbers = [found.auc_percent[way] for way in WAYS]
    numbers += [copies[way].auc_micro if way in copies else None for way in COPIES]
    return ["no AUC" if number is None else f"{number:.2f}" for number in numbers]


def alarm_figures(found: EventMetrics | None) -> list[str]:
    """Return events noticed, median delay and false alarms an hour, as text."""
    if found is None:
        return ["no alarms"] * len(ALARMS)
    delay = f"{np.median(found.delays_s):.1f}" if found.delays_s else "none"
    hourly = found.false_alarms_per_hour
    often = "no normal footage" if hourly is None else f"{hourly:.0f}"
    return [f"{len(found.delays_s)} of {len(found.events)}", delay, often]


def region_figures(found: RegionMetrics | None) -> list[str]:
    """Return RBDC and TBDC in percent, as text."""
    if found is None:
        return ["no masks"] * len(REGIONS)
    areas = (found.rbdc, found.tbdc)
    return ["no regions" if area is None else f"{area:.2f}" for area in areas]


def main(arguments: list[str]) -> int:
    """Print the table; return the exit status."""
    data = Path(arguments[0]) if arguments and arguments[0] else None
    device = choose_device("auto")
    try:
        if data is not None and not require_clips(data):
            print(f"results: {data} has no labels", file=sys.stderr)
            return 1
        footage = NOT_RUN if data is None else data.name
        print(f"Frame AUC in percent; footage: {footage}; device: {device_name(device)}")
        print(PROTOCOL)
        print("| " + " | ".join(HEAD) + " |")
        print("|" + "---|" * len(HEAD))
        for row in rows(SHIPPED, data, device):
            print("| " + " | ".join(row) + " |", flush=True)
    except ModelsError as error:
        print(f"results: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
