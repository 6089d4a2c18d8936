"""Bit for bit the same on the same machine, with deterministic algorithms; or as fast as can be. On request, both."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch

CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


@contextlib.contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Within, an operation that has no deterministic form raises RuntimeError. To be entered before CUDA is used."""
    if not wanted:
        yield
        return
    os.environ.setdefault(CUBLAS, ":4096:8")  # cuBLAS reads it when it is first called
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False  # it would choose algorithms by their speed of the day
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]


@contextlib.contextmanager
def fastest() -> Iterator[None]:
    """Within, cuDNN tries its algorithms on the first batch of a size and keeps the fastest; no two runs need agree."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
