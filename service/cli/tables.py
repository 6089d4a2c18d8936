"""`lookout train --model memae-table` and `lookout evaluate` of such a checkpoint: rows of numbers.

Both take few of their command's options. One of the others is refused, never ignored.
"""

from __future__ import annotations

import csv
import io
import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from lookout.models.checkpoint.header import TABLE_MODEL
from lookout.models.errors import CheckpointError, DataError
from lookout.service.cli.options import next_command, parse_changes, provenance
from lookout.service.core.lifecycle import stop_on_signals

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lookout.models.memae_table import MemAETableConfig
    from lookout.models.tables.measures import TableMeasures
    from lookout.models.tables.reading import Table

TRAINING = ("epochs", "batch", "learning_rate", "seed")
SIZES = ("width", "dim", "items")
TRAIN_TAKES = {"data", "out", "model", "values", "device", *TRAINING, *SIZES}
EVALUATE_TAKES = {"checkpoint", "data", "json_out", "scores"}


def train_on_rows(context: typer.Context) -> None:
    """Train memae-table as `lookout train` was asked to; options of its own defaults.

    Raises DataError for an option or a table that it cannot take, and Exit after a signal.
    """
    from lookout.models.checkpoint.file import describe_file  # noqa: PLC0415
    from lookout.models.device import choose_device  # noqa: PLC0415
    from lookout.models.tables.file import save_table_model  # noqa: PLC0415
    from lookout.models.tables.reading import read_table  # noqa: PLC0415
    from lookout.models.tables.training import TableOptions, train_table  # noqa: PLC0415

    given = given_options(context, TRAIN_TAKES)
    data: Path = context.params["data"]
    out: Path = context.params["out"]
    options = TableOptions(
        device=choose_device(context.params["device"]),
        **{name: given[name] for name in TRAINING if name in given},
    )
    config = table_config(given)
    table = read_table(data)

    def say(epoch: int, loss: float) -> None:
        if epoch % max(1, options.epochs // 10) == 0:
            typer.echo(f"epoch {epoch} of {options.epochs}: mean loss {loss:.6f}")

    with stop_on_signals() as stop:
        model = train_table(table, config, options, say, stop.is_set)
    if model is None:
        typer.echo("stopped; nothing is written")
        raise typer.Exit(130)
    if model.encoding.left_out:
        names = ", ".join(model.encoding.left_out)
        typer.echo(f"left out, since all training rows have the same value: {names}")
    facts = {"data": data.name, "rows": len(table), "options": asdict(options)}
    save_table_model(out, model, facts | provenance())
    typer.echo(f"wrote {describe_file(out)}")
    next_command(f"lookout evaluate --checkpoint {shlex.quote(str(out))} --data LABELLED-ROWS.csv")


def table_config(given: dict[str, Any]) -> MemAETableConfig:
    """Return the configuration of the options given. Raises CheckpointError for an unfit one."""
    from lookout.models.memae_table import MemAETableConfig  # noqa: PLC0415
    from lookout.models.registry import parse_number  # noqa: PLC0415

    published = MemAETableConfig()
    numbers: dict[str, Any] = {
        "shrinkage": published.shrinkage,
        "loss_entropy": published.loss_entropy,
    }
    changes = parse_changes(given.get("values") or [])
    for name in changes:
        if name not in numbers:
            known = ", ".join(sorted(numbers))
            raise CheckpointError(f"{TABLE_MODEL} has no number {name!r} (known: {known})")
    if "items" in given:
        numbers["shrinkage"] = 1 / given["items"]
    for name, text in changes.items():
        numbers[name] = parse_number(name, text, numbers[name])
    try:
        return MemAETableConfig(**{name: given[name] for name in SIZES if name in given}, **numbers)
    except ValueError as error:
        raise CheckpointError(str(error)) from None


def evaluate_rows(context: typer.Context) -> None:
    """Score the rows of a table as `lookout evaluate` was asked to, and measure them by labels.

    Raises DataError for an option or a table that it cannot take, CheckpointError and OSError.
    """
    from lookout.models.checkpoint.header import digest  # noqa: PLC0415
    from lookout.models.media.atomic_file import write_text  # noqa: PLC0415
    from lookout.models.tables.file import load_table_model  # noqa: PLC0415
    from lookout.models.tables.measures import measure_rows  # noqa: PLC0415
    from lookout.models.tables.reading import read_table  # noqa: PLC0415

    given = given_options(context, EVALUATE_TAKES)
    scores_file: Path | None = given.get("scores")
    if scores_file is not None and scores_file.suffix != ".csv":
        raise DataError(f"--scores {scores_file.name}: the name of a table must end in .csv")
    checkpoint: Path = given["checkpoint"]
    model = load_table_model(checkpoint)
    table = model.rows_to_test(read_table(given["data"]))
    scores = model.scores(table)
    facts: dict[str, object] = {
        "checkpoint": checkpoint.name,
        "checkpoint_sha256": digest(checkpoint),
        "data": table.name,
        "rows": len(table),
    }
    typer.echo(f"{table.name}: {len(table)} rows")
    if table.abnormal is None:
        typer.echo(f"{table.name} has no column `label`: scores alone")
    else:
        found = {
            TABLE_MODEL: measure_rows(scores, table.abnormal),
            "distance from the mean row": measure_rows(
                model.distances_from_mean(table), table.abnormal
            ),
        }
        facts["abnormal"] = int(table.abnormal.sum())
        facts["measures"] = {name: as_numbers(measures) for name, measures in found.items()}
        typer.echo(as_table(found, table.abnormal))
    if scores_file is not None:
        write_text(scores_file, as_csv(table, scores))
    if (json_file := given.get("json_out")) is not None:
        write_text(json_file, json.dumps(facts | provenance(), indent=1) + "\n")


def given_options(context: typer.Context, taken: set[str]) -> dict[str, Any]:
    """Return the options that were given, by name. Raises DataError for one that is not taken."""
    given = {}
    for name, value in context.params.items():
        source = context.get_parameter_source(name)
        if source is not None and source.name.startswith("DEFAULT"):
            continue
        if name not in taken:
            options = {option.name: option.opts[0] for option in context.command.params}
            raise DataError(f"{TABLE_MODEL} takes no {options[name]}: that is for footage")
        given[name] = value
    return given


def as_numbers(measures: TableMeasures) -> dict[str, float]:
    """Return the measures by name, for JSON; shares in [0, 1]."""
    at_share = measures.at_known_share
    return {
        "precision": at_share.precision,
        "recall": at_share.recall,
        "f1": at_share.f1,
        "accuracy": at_share.accuracy,
        "threshold": at_share.threshold,
        "auc": measures.auc,
        "average_precision": measures.average_precision,
    }


def as_table(found: dict[str, TableMeasures], abnormal: NDArray[np.bool_]) -> str:
    """Return the lines to print, in percent."""
    lines = [
        f"{int(abnormal.sum())} of them abnormal; as many are flagged, by the highest scores",
        f"{'percent':28} {'precision':>9} {'recall':>9} {'F1':>9} {'AUC':>9} {'AP':>9}",
    ]
    for name, measures in found.items():
        at_share = measures.at_known_share
        shares = (at_share.precision, at_share.recall, at_share.f1)
        values = (*shares, measures.auc, measures.average_precision)
        lines.append(f"{name:28} " + " ".join(f"{100 * value:9.2f}" for value in values))
    return "\n".join(lines)


def as_csv(table: Table, scores: NDArray[np.float64]) -> str:
    """Return number, score and, where the table has it, label of each row, in its order."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    has_labels = table.abnormal is not None
    writer.writerow(["row", "score", *(["label"] if has_labels else [])])
    for number, score in enumerate(scores.tolist()):
        row: list[object] = [number, score]
        if table.abnormal is not None:
            row.append(int(table.abnormal[number]))
        writer.writerow(row)
    return file.getvalue()
