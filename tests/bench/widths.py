"""Measure a forward pass of `mnad-pred` at different widths.

    python -m tests.bench.widths 16 24 32 64

In float32 and bf16, with batch norm folded into the convolutions before it, and by OpenVINO where
that is installed. One clip at a time, median milliseconds; all in one run, since the speed of the
cores changes from hour to hour.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import warnings
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lookout.models.base import AnyModel, initial_items, measure
from lookout.models.registry import make_model, sized
from tests.bench.footage import median_s

REPEATS = 15


def report(width: int, size_px: int = 256, repeats: int = REPEATS) -> dict[str, float]:
    """Return the milliseconds of a pass by form of the model."""
    config = sized("mnad-pred", width=width, height_px=size_px, width_px=size_px)
    model = make_model("mnad-pred", config).eval().requires_grad_(False)
    model.to(memory_format=model.layout)  # type: ignore[call-overload]  # missing in torch's stubs
    items = initial_items(model)[None]  # (1, M, D)
    clips = torch.rand(1, 3 * config.input_spec.frames, size_px, size_px) * 2 - 1

    def once(precision: torch.dtype) -> None:
        with (
            torch.inference_mode(),
            torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16),
        ):
            measure(model, clips, items)

    found = {"fp32": 1000 * median_s(lambda: once(torch.float32), repeats)}
    found["bf16"] = 1000 * median_s(lambda: once(torch.bfloat16), repeats)
    _fold(model)
    found["bf16, folded"] = 1000 * median_s(lambda: once(torch.bfloat16), repeats)
    found |= dict(_openvino(model, clips, items, repeats))
    return found


def _fold(model: AnyModel) -> None:
    """Fold each batch normalisation into the convolution before it, in place."""
    for stage in [module for module in model.modules() if isinstance(module, nn.Sequential)]:
        for (first, conv), (second, norm) in itertools.pairwise(list(stage.named_children())):
            if isinstance(norm, nn.BatchNorm2d) and isinstance(
                conv, nn.Conv2d | nn.ConvTranspose2d
            ):
                up = isinstance(conv, nn.ConvTranspose2d)
                setattr(stage, first, fuse_conv_bn_eval(conv, norm, transpose=up))
                setattr(stage, second, nn.Identity())


class _Plain(nn.Module):
    """Tensors in, tensors out."""

    def __init__(self, model: AnyModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, clips: Tensor, items: Tensor) -> tuple[Tensor, ...]:
        output = measure(self.model, clips, items)
        assert output.queries is not None
        return output.map, output.distance, output.queries


def _openvino(
    model: AnyModel, clips: Tensor, items: Tensor, repeats: int
) -> Iterator[tuple[str, float]]:
    """Yield nothing where OpenVINO is not installed."""
    if importlib.util.find_spec("openvino") is None:
        return
    import openvino

    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # the tracer's: loops over a batch are unrolled, which is right for one clip
        converted = openvino.convert_model(_Plain(model), example_input=(clips, items))
    for name, precision in (("OpenVINO fp32", "f32"), ("OpenVINO bf16", "bf16")):
        hints = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
        request = openvino.Core().compile_model(converted, "CPU", hints).create_infer_request()
        work = partial(request.infer, [clips.numpy(), items.numpy()])
        yield name, 1000 * median_s(work, repeats)


def main() -> None:
    """Print the time of a forward pass for each width."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.widths")
    parser.add_argument("widths", type=int, nargs="+")
    for width in parser.parse_args().widths:
        found = report(width)
        print(
            f"width {width}: " + ", ".join(f"{way} {ms:.1f} ms" for way, ms in found.items()),
            flush=True,
        )


if __name__ == "__main__":
    main()
