"""The input that a table becomes: numbers between their bounds, one column for each text.

Numbers are scaled so that the least of the training rows is 0 and the largest 1. A column of texts
becomes one column for each text of the training rows, 1 where a row has it and 0 elsewhere. A
column with one value in all training rows says nothing of another row, and is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookout.models.errors import DataError
from lookout.models.tables.reading import Table, TableColumn

FARTHEST = 1e4
"""Of a scaled number from 0: so that no square leaves float32."""

MOST_INPUTS = 10_000


@dataclass(frozen=True, slots=True)
class EncodedColumn:
    """One column's encoding: its bounds, or its texts."""

    name: str
    low: float = 0.0
    high: float = 1.0
    texts: tuple[str, ...] = ()  # sorted; empty: a column of numbers

    @property
    def inputs(self) -> int:
        """Number of the network's inputs that it takes."""
        return len(self.texts) or 1

    def encode(self, column: TableColumn) -> NDArray[np.float64]:
        """Return the inputs of its rows, (R, `inputs`)."""
        if not self.texts:
            scaled = (column.values - self.low) / (self.high - self.low)
            clipped: NDArray[np.float64] = np.clip(scaled, -FARTHEST, FARTHEST)
            return clipped[:, None]
        known = {text: number for number, text in enumerate(self.texts)}
        numbers = np.array([known.get(text, -1) for text in column.texts])
        of_row = numbers[column.values.astype(np.intp)]
        inputs: NDArray[np.float64] = of_row[:, None] == np.arange(len(self.texts))
        return inputs.astype(np.float64)


@dataclass(frozen=True, slots=True)
class TableEncoding:
    """The columns that the network sees, in its order."""

    columns: tuple[EncodedColumn, ...]
    left_out: tuple[str, ...] = ()  # columns with one value in all training rows

    @property
    def inputs(self) -> int:
        """Number of the network's inputs."""
        return sum(column.inputs for column in self.columns)

    def encode(self, table: Table) -> NDArray[np.float32]:
        """Return the inputs of each row, (R, inputs), in [0, 1] for values seen in training.

        A text that no training row has is 0 in all inputs of its column. Further columns of the
        table do not count. Raises DataError where a column is missing or of another kind.
        """
        found = {column.name: column for column in table.columns}
        parts = []
        for column in self.columns:
            if column.name not in found:
                raise DataError(f"{table.name} has no column {column.name!r}, as in training")
            kinds = ["texts" if one.texts else "numbers" for one in (column, found[column.name])]
            if kinds[0] != kinds[1]:
                raise DataError(
                    f"{table.name}: column {column.name!r} holds {kinds[1]}, "
                    f"in training it held {kinds[0]}"
                )
            parts.append(column.encode(found[column.name]).astype(np.float32))
        return np.concatenate(parts, axis=1)


def fit_encoding(table: Table) -> TableEncoding:
    """Return the encoding of a training table; labels play no part in it.

    Raises DataError where all columns have one value, or the texts are too many.
    """
    columns = []
    left_out = []
    for column in table.columns:
        present = np.unique(column.values)
        if len(present) == 1:
            left_out.append(column.name)
        elif column.texts:
            texts = tuple(sorted(column.texts[int(number)] for number in present))
            columns.append(EncodedColumn(column.name, texts=texts))
        else:
            columns.append(EncodedColumn(column.name, float(present[0]), float(present[-1])))
    if not columns:
        raise DataError(f"{table.name}: every column has the same value in all rows")
    encoding = TableEncoding(tuple(columns), tuple(left_out))
    if encoding.inputs > MOST_INPUTS:
        raise DataError(f"{table.name}: its texts make {encoding.inputs} columns: leave some out")
    return encoding


def parse_encoding(columns: Sequence[Mapping[str, Any]], left_out: Sequence[str]) -> TableEncoding:
    """Read an encoding as `dataclasses.asdict` stores it.

    Raises ValueError, KeyError or TypeError for what is none.
    """
    read = []
    for column in columns:
        low, high = float(column["low"]), float(column["high"])
        if not low < high < np.inf or low == -np.inf:
            raise ValueError(f"bounds {low} and {high}")
        texts = tuple(str(text) for text in column["texts"])
        read.append(EncodedColumn(str(column["name"]), low, high, texts))
    return TableEncoding(tuple(read), tuple(str(name) for name in left_out))
