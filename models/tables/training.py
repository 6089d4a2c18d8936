"""Train `memae-table` on the normal rows of a table, and score rows with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from lookout.models.errors import DataError, TrainingError
from lookout.models.memae_table import MemAETable, MemAETableConfig
from lookout.models.tables import kdd
from lookout.models.tables.encoding import TableEncoding, fit_encoding
from lookout.models.tables.reading import Table

ROWS_AT_ONCE = 4096  # of scoring: a table need not fit into memory twice
MOST_NUMBERS = 500_000_000  # of the training rows' inputs: 2 GB


@dataclass(frozen=True, slots=True)
class TableOptions:
    """Options of a training."""

    epochs: int = 200
    batch: int = 64  # rows a step
    learning_rate: float = 1e-4  # of Adam; it falls to 0 by half a cosine
    seed: int = 0  # also of the halves of a table that is to be halved
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class TableModel:
    """A trained network with the encoding of its rows."""

    network: MemAETable  # in eval mode, on the CPU
    encoding: TableEncoding
    mean_row: NDArray[np.float32]  # (inputs,), of the normal rows that it was trained on
    seed: int  # of the training, and of the halves

    def scores(self, table: Table) -> NDArray[np.float64]:
        """Return the score of each row, (R,), at least 0; higher is more abnormal.

        Raises DataError where the table lacks a column.
        """
        found = []
        for first in range(0, len(table), ROWS_AT_ONCE):
            rows = self.encoding.encode(table.take(slice(first, first + ROWS_AT_ONCE)))
            with torch.inference_mode():
                found.append(self.network.score(torch.from_numpy(rows)).double().numpy())
        return np.concatenate(found)

    def distances_from_mean(self, table: Table) -> NDArray[np.float64]:
        """Return the squared distance of each row from the mean row, (R,): what a score must beat.

        Raises DataError where the table lacks a column.
        """
        found = []
        for first in range(0, len(table), ROWS_AT_ONCE):
            rows = self.encoding.encode(table.take(slice(first, first + ROWS_AT_ONCE)))
            found.append(np.square(rows - self.mean_row, dtype=np.float64).sum(axis=1))
        return np.concatenate(found)

    def rows_to_test(self, table: Table) -> Table:
        """Return the rows to test on: all, or the half that the training did not see."""
        if not table.halved:
            return table
        return table.take(kdd.halves(len(table), self.seed).test)


def train_table(
    table: Table,
    config: MemAETableConfig,
    options: TableOptions,
    on_epoch: Callable[[int, float], None] = lambda _epoch, _loss: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> TableModel | None:
    """Train on the normal rows of a table; None where it was stopped.

    config: its number of columns follows from the table. on_epoch gets the epoch, from 1, and the
    mean loss of its rows. On a CPU with the same number of threads the result repeats bit for bit.

    Raises DataError for a table that cannot be trained on, TrainingError for a loss that is no
    number any more.
    """
    if table.halved:
        table = table.take(kdd.halves(len(table), options.seed).train)
    encoding = fit_encoding(table)
    normal = table if table.abnormal is None else table.take(~table.abnormal)
    if len(normal) < config.items:
        raise DataError(
            f"{table.name} has {len(normal)} normal rows to train on; "
            f"a memory of {config.items} items needs as many"
        )
    if len(normal) * encoding.inputs > MOST_NUMBERS:
        raise DataError(f"{table.name} is too large to train on: give a part of it")
    rows = torch.from_numpy(encoding.encode(normal)).to(options.device)
    torch.manual_seed(options.seed)
    network = MemAETable(replace(config, columns=encoding.inputs)).to(options.device)
    optimizer = torch.optim.Adam(network.parameters(), options.learning_rate)
    steps = options.epochs * -(-len(rows) // options.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for epoch in range(1, options.epochs + 1):
        loss_sum = torch.zeros((), device=rows.device)
        for batch in torch.split(torch.randperm(len(rows)).to(rows.device), options.batch):
            if should_stop():
                return None
            loss = network.loss(rows[batch])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
            loss_sum += loss.detach() * len(batch)
        mean_loss = loss_sum.item() / len(rows)
        if not np.isfinite(mean_loss):
            raise TrainingError("the loss is no number any more: a smaller --learning-rate")
        on_epoch(epoch, mean_loss)
    mean_row = rows.mean(dim=0).cpu().numpy()
    return TableModel(network.cpu().eval(), encoding, mean_row, options.seed)
