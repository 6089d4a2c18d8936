"""`lookout scene`: draw a set of a scene: normal footage, then footage with labelled anomalies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from lookout.service.cli.options import Seed, finite, next_command

scene_app = typer.Typer()

KindArgument = Annotated[
    Literal["street", "corridor", "car-park", "machine"], typer.Argument(help="of the scene")
]
OutArgument = Annotated[
    Path, typer.Argument(help="folder to write: train/, test/ and labels.json", file_okay=False)
]
SceneMinutes = Annotated[
    float, typer.Option(help="of normal footage, and as many behind it", min=0.1, callback=finite)
]
StartOption = Annotated[
    float, typer.Option(help="hour of the day of its first frame", min=0, max=24, callback=finite)
]
NuisancesOption = Annotated[
    Literal["usual", "other", "none"],
    typer.Option(help="`other`: of other kinds, for a last test on which nothing is tuned"),
]
AnomaliesOption = Annotated[
    float, typer.Option(help="an hour of the test clip", min=0, max=600, callback=finite)
]
HourlyOption = Annotated[
    bool,
    typer.Option(
        "--hourly", help="add what is usual on workdays from 13 to 16 h, and an anomaly at night"
    ),
]


@scene_app.command()
def scene(
    kind: KindArgument,
    out: OutArgument,
    minutes: SceneMinutes = 10.0,
    seed: Seed = 0,
    start_hour: StartOption = 9.0,
    nuisances: NuisancesOption = "usual",
    anomalies: AnomaliesOption = 30.0,
    hourly: HourlyOption = False,
) -> None:
    """Draw a fixed camera's footage with traffic, light, weather, nuisances and anomalies."""
    from lookout.models.data.drawn_scene import FPS, DrawnScene  # noqa: PLC0415
    from lookout.models.media.atomic_file import write_text  # noqa: PLC0415
    from lookout.service.demo.scene import frame_runs, write_clip  # noqa: PLC0415

    normal = DrawnScene(kind, seed, nuisances=nuisances, start_hour=start_hour, is_hourly=hourly)
    tested = DrawnScene(
        kind,
        seed,
        nuisances=nuisances,
        anomalies_per_hour=anomalies,
        start_hour=start_hour + minutes / 60,
        is_hourly=hourly,
    )
    frames = round(minutes * 60 * FPS)
    for part, footage in (("train", normal), ("test", tested)):
        (out / part).mkdir(parents=True, exist_ok=True)
        write_clip(out / part / "01.mp4", footage, minutes * 60)
        typer.echo(f"wrote {part}/01.mp4, {frames} frames")
    abnormal = [index for index in range(frames) if tested.is_abnormal(index)]
    spans = [list(run) for run in frame_runs(abnormal)]
    labels = {
        "fps": FPS,
        "size": list(tested.size),
        "train_frames": {"01": frames},
        "test": {"01": {"frames": frames, "anomalous_first_last_0based_inclusive": spans}},
    }
    write_text(out / "labels.json", json.dumps(labels, indent=1) + "\n")
    typer.echo(f"wrote labels.json, {len(spans)} events")
    next_command(f"lookout benchmark {out}")
