"""`auto` picks the device and the precision."""

from __future__ import annotations

import pytest
import torch

from lookout.models.device import choose_device, choose_precision
from lookout.models.errors import DeviceError


@pytest.mark.parametrize(("native", "chosen"), [(True, "bf16"), (False, "fp32")])
def test_auto_is_bf16_where_the_device_computes_in_it(
    native: bool, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: not native)
    assert choose_precision("auto", "cpu") == chosen
    assert choose_precision("auto", "cuda:1") != chosen
    assert [choose_precision(named, "cpu") for named in ("fp32", "bf16")] == ["fp32", "bf16"]


@pytest.mark.parametrize(("has_gpu", "chosen"), [(True, "cuda"), (False, "cpu")])
def test_auto_is_the_gpu_where_there_is_one(
    has_gpu: bool, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    assert choose_device("auto") == chosen


def test_a_device_that_torch_cannot_use_is_named_in_one_line() -> None:
    assert choose_device("cpu") == "cpu"
    for wanted in ("cuda:99", "toaster"):
        with pytest.raises(
            DeviceError, match=f"cannot use the device '{wanted}' here: .+"
        ) as refused:
            choose_device(wanted)
        assert "\n" not in str(refused.value)
