"""The device and the precision that a model runs in, and whether its bits can be repeated."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from lookout.models.errors import DeviceError

Precision = Literal["fp32", "bf16"]


def choose_device(wanted: str) -> str:
    """Return the torch device for `wanted`: auto, cpu, cuda or cuda:N.

    auto is the first GPU where there is one, else the CPU.

    Raises DeviceError, in one line, for a device that torch cannot use here.
    """
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=wanted)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DeviceError(f"torch cannot use the device {wanted!r} here: {reason}") from None
    return wanted


def choose_precision(wanted: Literal["auto", "fp32", "bf16"], device: str) -> Precision:
    """Return the precision for `wanted`; auto is bf16 where the device computes in it natively."""
    if wanted != "auto":
        return wanted
    if device.startswith("cuda"):
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() else "fp32"


@contextlib.contextmanager
def deterministic(enabled: bool) -> Iterator[None]:
    """Use deterministic algorithms alone: the same bits for the same run on the same machine.

    Enter it before CUDA is used. Within it, an operation without a deterministic form raises
    RuntimeError. With `enabled` false nothing changes.
    """
    if not enabled:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read at cuBLAS's first call
    algorithms = torch.are_deterministic_algorithms_enabled()
    benchmark = torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False  # it would choose algorithms by their speed of the day
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(algorithms)
        torch.backends.cudnn.benchmark = benchmark


@contextlib.contextmanager
def fastest() -> Iterator[None]:
    """Let cuDNN try its algorithms on the first batch of a size and keep the fastest.

    Two runs need not agree in their bits.
    """
    benchmark = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = benchmark


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Return a context in which convolutions run in `precision`."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def in_float32(tensor: Tensor) -> torch.autocast:
    """Return a context without autocast on the tensor's device, for errors and distances."""
    return torch.autocast(tensor.device.type, enabled=False)
