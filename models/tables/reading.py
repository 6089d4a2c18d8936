"""Read a table: CSV with a header, plain or gzip, or KDD Cup 99 as distributed."""

from __future__ import annotations

import csv
import gzip
import math
import reprlib
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from lookout.models.errors import DataError
from lookout.models.tables import kdd

LABEL = "label"
"""Name of the column that says of each row whether it is abnormal: 0 or 1."""

MISSING = {"", "nan", "na", "n/a", "null", "?"}
"""Values, in lower case, that stand for none."""

GZIP_MAGIC = b"\x1f\x8b"
MOST_CHARACTERS = 2**20  # of a line
MOST_VALUES = 50_000_000  # rows times columns: 400 MB as float64
MOST_COLUMNS = 10_000
MOST_TEXTS = 200  # different ones in a column
LARGEST = 1e30
"""Of a number: sums of squares beyond it leave float64."""


@dataclass(frozen=True, slots=True)
class TableColumn:
    """One column: numbers, or texts by their index."""

    name: str
    values: NDArray[np.float64]  # (R,): numbers, or indices into `texts`
    texts: tuple[str, ...] = ()  # in the order of their first row; empty: a column of numbers


@dataclass(frozen=True, slots=True)
class Table:
    """Rows without their labels."""

    name: str  # of the file
    columns: tuple[TableColumn, ...]
    abnormal: NDArray[np.bool_] | None = None  # (R,), None: the table has no labels
    halved: bool = False  # one half of the rows is to train on, the other to test on

    def __len__(self) -> int:
        return len(self.columns[0].values)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Table:
        """Return the table of these rows alone."""
        columns = tuple(replace(column, values=column.values[rows]) for column in self.columns)
        abnormal = None if self.abnormal is None else self.abnormal[rows]
        return replace(self, columns=columns, abnormal=abnormal)


@dataclass(slots=True)
class ColumnReader:
    """A column while its rows are read; the first of them decides whether it holds texts."""

    name: str
    holds_texts: bool | None = None  # None: before the first row
    values: array[float] = field(default_factory=lambda: array("d"))
    texts: dict[str, int] = field(default_factory=dict)

    def add(self, text: str) -> None:
        """Add a value. Raises ValueError, which says what is wrong with it."""
        if text.lower() in MISSING:
            raise ValueError("no value")
        number = number_of(text)
        if self.holds_texts is None:
            self.holds_texts = number is None
        if self.holds_texts:
            self.values.append(self.texts.setdefault(text, len(self.texts)))
            if len(self.texts) > MOST_TEXTS:
                raise ValueError(f"over {MOST_TEXTS} different texts: leave the column out")
        elif number is None:
            raise ValueError(f"{reprlib.repr(text)} is no number, as the rows before have")
        elif not abs(number) <= LARGEST:
            raise ValueError(f"{reprlib.repr(text)} is no number to work with")
        else:
            self.values.append(number)

    def column(self) -> TableColumn:
        """Return what was read."""
        return TableColumn(self.name, np.array(self.values, np.float64), tuple(self.texts))


def read_table(path: Path) -> Table:
    """Read a table, of which KDD Cup 99 is known by its first line.

    Raises DataError, which names the line and the column, where a value is missing or no number;
    also for a table without rows, of too many, or a damaged file. Raises OSError.
    """
    with opened_lines(path) as lines:
        first = next(lines, "")
        if kdd.is_line(first):
            return read_kdd(path.name, first, lines)
        names = header(path.name, first)
        readers = [ColumnReader(name) for name in names]
        read_rows(path.name, readers, lines, line_before=1)
    columns = [reader.column() for reader in readers if reader.name != LABEL]
    abnormal = None
    for reader in readers:
        if reader.name == LABEL:
            abnormal = labels(path.name, reader.column())
    if not columns:
        raise DataError(f"{path.name} has no column but {LABEL}")
    return Table(path.name, tuple(columns), abnormal)


def read_kdd(name: str, first: str, lines: Iterator[str]) -> Table:
    """Read the rows of KDD Cup 99: its attacks are the normal class, as in the paper."""
    readers = [
        ColumnReader(column, holds_texts=column in (*kdd.TEXTS, LABEL))
        for column in (*kdd.COLUMNS, LABEL)
    ]
    read_rows(name, readers, chain([first], lines), line_before=0)
    *columns, label = (reader.column() for reader in readers)
    abnormal = np.zeros(len(label.values), np.bool_)
    if kdd.ANOMALY in label.texts:
        abnormal = label.values == label.texts.index(kdd.ANOMALY)
    return Table(name, tuple(columns), abnormal, halved=True)


@contextmanager
def opened_lines(path: Path) -> Iterator[Iterator[str]]:
    """Open a text file, plain or gzip, as its lines of at most MOST_CHARACTERS.

    Raises DataError where it is cut off, damaged or no text, and OSError.
    """
    with path.open("rb") as start:
        is_gzip = start.read(2) == GZIP_MAGIC
    try:
        with (gzip.open if is_gzip else open)(path, "rt", encoding="utf-8-sig", newline="") as file:
            yield short_lines(path.name, file)
    except EOFError:
        raise DataError(f"{path.name} is cut off: its gzip stream has no end") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path.name} is a damaged gzip file: {error}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name} is no text in UTF-8: {error.reason}") from None


def short_lines(name: str, file: IO[str]) -> Iterator[str]:
    """Yield the lines of a file. Raises DataError for one that is too long to be a row."""
    while line := file.readline(MOST_CHARACTERS):
        if len(line) == MOST_CHARACTERS:
            raise DataError(f"{name}: a line of over {MOST_CHARACTERS} characters is no row")
        yield line


def header(name: str, line: str) -> list[str]:
    """Return the names of the columns. Raises DataError for what is no header."""
    names = [column.strip() for column in next(csv.reader([line]), [])]
    if not any(names):
        raise DataError(f"{name} has no header: its first line names the columns")
    if len(names) > MOST_COLUMNS:
        raise DataError(f"{name} has {len(names)} columns; {MOST_COLUMNS} at most")
    for column in names:
        if not column or not column.isprintable():
            raise DataError(f"{name}: a column has no name, or none that can be printed")
        if number_of(column) is not None:
            raise DataError(f"{name} has no header: its first line holds {column}, a number")
        if names.count(column) > 1:
            raise DataError(f"{name} names the column {reprlib.repr(column)} twice")
    if len(names) == 1 and any(mark in line for mark in ";\t"):
        raise DataError(f"{name} has one column alone: values are separated by commas")
    return names


def read_rows(
    name: str, readers: Sequence[ColumnReader], lines: Iterable[str], line_before: int
) -> None:
    """Read the rows into their columns; blank lines do not count. Raises DataError."""
    rows = csv.reader(lines, strict=True)
    try:
        for row in rows:
            if not row:
                continue
            place = f"{name}: line {line_before + rows.line_num}"
            if len(row) != len(readers):
                raise DataError(f"{place} has {len(row)} values for {len(readers)} columns")
            if len(readers[0].values) * len(readers) >= MOST_VALUES:
                raise DataError(f"{name} has over {MOST_VALUES:,} values: give a part of it")
            for reader, text in zip(readers, row, strict=True):
                try:
                    reader.add(text.strip())
                except ValueError as error:
                    column = reprlib.repr(reader.name)
                    raise DataError(f"{place}, column {column}: {error}") from None
    except csv.Error as error:
        raise DataError(f"{name}: line {line_before + rows.line_num}: {error}") from None
    if not readers[0].values:
        raise DataError(f"{name} has no rows")


def labels(name: str, column: TableColumn) -> NDArray[np.bool_]:
    """Return which rows are abnormal, (R,). Raises DataError where one is not 0 or 1."""
    if column.texts or not np.isin(column.values, (0, 1)).all():
        raise DataError(f"{name}: {LABEL} is 0 for a normal row and 1 for an abnormal one")
    abnormal: NDArray[np.bool_] = column.values == 1
    return abnormal


def number_of(text: str) -> float | None:
    """Return the number that a text is, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return None if math.isnan(number) else number
