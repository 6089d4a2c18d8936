"""Options of `lookout train`, by subject: the run, the network, what it is measured on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from lookout.service.cli.options import finite

# The run
EpochsOption = Annotated[int, typer.Option(help="over all windows", min=1)]
BatchOption = Annotated[int, typer.Option(help="windows a step", min=1)]
LearningRateOption = Annotated[
    float, typer.Option(help="of Adam at the beginning; it falls to 0", min=1e-9, callback=finite)
]
MinutesOption = Annotated[
    float,
    typer.Option(
        help="end after so many of training, wherever it stands; 0: no limit",
        min=0,
        callback=finite,
    ),
]
SeedsOption = Annotated[
    int, typer.Option(help="so many runs, NAME-seedK each, with mean and deviation", min=1)
]
DeterministicOption = Annotated[
    bool, typer.Option("--deterministic", help="the same bits on the same machine")
]
CompileOption = Annotated[bool, typer.Option("--compile", help="torch.compile: meant for a GPU")]

# The network
ModelOption = Annotated[str, typer.Option(help="what to train")]
WidthOption = Annotated[
    int | None, typer.Option(help="channels of the first stage  [default: as published]", min=1)
]
DimOption = Annotated[
    int | None,
    typer.Option(help="D, length of an item or code  [default: in proportion to the width]", min=1),
]
ItemsOption = Annotated[
    int | None,
    typer.Option(help="M, items of the memory, or clusters  [default: as published]", min=2),
]
BlocksOption = Annotated[
    int | None,
    typer.Option(
        help="residual or transformer blocks in a row  [default: as published]",
        min=1,
    ),
]
SizeOption = Annotated[int, typer.Option(help="side of the square input, px", min=8)]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="another number than the published one, for instance loss_separate=0",
        metavar="NAME=X",
    ),
]
TeacherOption = Annotated[
    Path | None,
    typer.Option(help="a wide checkpoint of MNAD, whose queries a narrow one is to learn too"),
]

# Measurements
HeldOutOption = Annotated[
    float,
    typer.Option(
        help="share of the normal clips to measure on and not to train on",
        min=0,
        max=0.9,
        callback=finite,
    ),
]
ValidateOption = Annotated[Path | None, typer.Option(help="other normal clips to measure on")]
ValidateEveryOption = Annotated[int, typer.Option(help="steps; 0: an epoch", min=0)]
BestByOption = Annotated[
    Literal["psnr", "auc"],
    typer.Option(help="PSNR of held-out clips, or AUC of generated anomalies"),
]
PatienceOption = Annotated[
    int,
    typer.Option(
        help="end after so many measurements without a new best; 0: never before the last epoch",
        min=0,
    ),
]
