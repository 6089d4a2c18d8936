"""KDD Cup 99 as distributed (`kddcup.data_10_percent.gz`, plain or gzip), and its protocol.

Its rows have no header and end with the kind of the connection and a full stop. In the papers'
protocol the attacks, four fifths of the rows, are the normal class, and the rows `normal.` are the
anomalies. One half of the rows, drawn by chance, is for training; the other is for testing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

TEXTS = (
    "protocol_type",
    "service",
    "flag",
    "land",
    "logged_in",
    "is_host_login",
    "is_guest_login",
)
"""Columns that name a kind, by numbers or by texts."""

NAMES = (
    "duration protocol_type service flag src_bytes dst_bytes land wrong_fragment urgent hot "
    "num_failed_logins logged_in num_compromised root_shell su_attempted num_root "
    "num_file_creations num_shells num_access_files num_outbound_cmds is_host_login "
    "is_guest_login count srv_count serror_rate srv_serror_rate rerror_rate srv_rerror_rate "
    "same_srv_rate diff_srv_rate srv_diff_host_rate dst_host_count dst_host_srv_count "
    "dst_host_same_srv_rate dst_host_diff_srv_rate dst_host_same_src_port_rate "
    "dst_host_srv_diff_host_rate dst_host_serror_rate dst_host_srv_serror_rate "
    "dst_host_rerror_rate dst_host_srv_rerror_rate"
)
COLUMNS = tuple(NAMES.split())
"""In the order of a row; the kind of the connection follows."""

ANOMALY = "normal."


class Halves(NamedTuple):
    """Rows of the two halves of a table, by their index, in the order of the table."""

    train: NDArray[np.intp]
    test: NDArray[np.intp]


def is_line(line: str) -> bool:
    """Return whether the first line of a file is a row of KDD Cup 99."""
    *values, kind = line.strip().split(",")
    return len(values) == len(COLUMNS) and values[0].isdigit() and kind.endswith(".")


def halves(rows: int, seed: int) -> Halves:
    """Return the two halves of a table of so many rows; the same seed draws the same ones."""
    order = np.random.default_rng(seed).permutation(rows)
    return Halves(np.sort(order[: rows // 2]), np.sort(order[rows // 2 :]))
