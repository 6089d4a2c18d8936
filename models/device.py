"""Where a model runs, and in which precision."""

from __future__ import annotations

from typing import Literal

import torch

from lookout.models.errors import DeviceError

Precision = Literal["fp32", "bf16"]


def choose_device(wanted: str) -> str:
    """`auto` is the first GPU where there is one, else the CPU; cpu, cuda and cuda:N are taken at their word.

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
    """`auto` is bf16 where the device computes in it natively."""
    if wanted != "auto":
        return wanted
    if device.startswith("cuda"):
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() else "fp32"
