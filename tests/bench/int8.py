"""Compare a checkpoint of MNAD whose convolutions run in int8 (OpenVINO) with bf16 in torch.

    pip install openvino==2026.4.1 nncf==3.4.0
    python -m tests.bench.int8 --checkpoint C --data ped2/

NNCF quantises after the training and takes the ranges from normal clips; queries, memory and errors
stay in float32. Two forms: all convolutions in int8, and all but the last one, which draws the
frame that PSNR is measured on. Printed for each: milliseconds a frame, one camera at a time, all in
one run; and, over the labelled clips, what `lookout evaluate --score local` would print.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from lookout.models.arrays import Pixels
from lookout.models.checkpoint.file import Checkpoint, load_checkpoint
from lookout.models.data.clips import train_clips, whole_clip
from lookout.models.evaluation.evaluate import evaluate
from lookout.models.mnad import Mnad
from lookout.models.scorer import Scorer
from tests.bench.footage import median_s

WINDOWS = 64
"""Normal windows that the ranges are taken from: spread over all clips."""

REPEATS = 30


class Compiled(nn.Module):
    """A network of OpenVINO's in a network of torch's place; it answers for one clip at a time."""

    def __init__(self, compiled: Any, several: bool) -> None:
        super().__init__()
        self.request, self.several = compiled.create_infer_request(), several

    def __deepcopy__(self, _: Any) -> Compiled:
        """Return itself: a `Scorer` copies its network, and OpenVINO's cannot be copied."""
        return self

    def forward(self, *inputs: Any) -> Any:
        answers = self.request.infer(
            [tensor.float().contiguous().numpy() for tensor in _flat(inputs)]
        )
        tensors = [torch.from_numpy(answer.copy()) for answer in answers.values()]
        return tuple(tensors) if self.several else tensors[0]


class Flat(nn.Module):
    """The decoder with its skips one by one, as a tracer wants them."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, x: Tensor, *skips: Tensor) -> Tensor:
        return cast(Tensor, self.decoder(x, skips or None))


def _flat(inputs: Any) -> Iterator[Tensor]:
    """Yield the tensors of arguments that may be tensors, lists of them or None."""
    for one in inputs:
        if isinstance(one, Tensor):
            yield one
        elif one is not None:
            yield from one


def quantised(checkpoint: Checkpoint, windows: list[Pixels], *, last_in_float: bool) -> Checkpoint:
    """Return the checkpoint with encoder and decoder in int8.

    The ranges come from windows (T, H, W, 3), uint8 RGB.
    """
    model = deepcopy(checkpoint.model)
    assert isinstance(model, Mnad)
    seen = _seen(checkpoint, windows)
    encoder, decoder = [inputs for inputs, _ in seen], [inputs for _, inputs in seen]
    model.encoder = cast(Any, Compiled(_int8(model.encoder, encoder, ignored=()), several=True))
    last = _last_convolution(model.decoder) if last_in_float else ()
    model.decoder = cast(
        Any, Compiled(_int8(Flat(model.decoder), decoder, ignored=last), several=False)
    )
    return replace(checkpoint, model=model)


def _seen(
    checkpoint: Checkpoint, windows: list[Pixels]
) -> list[tuple[tuple[Tensor, ...], tuple[Tensor, ...]]]:
    """Return the inputs of encoder and decoder at each window."""
    model = checkpoint.model
    assert isinstance(model, Mnad)
    seen: dict[str, tuple[Tensor, ...]] = {}
    hooks = [
        getattr(model, name).register_forward_pre_hook(
            lambda _, inputs, name=name: seen.__setitem__(name, tuple(_flat(inputs)))
        )
        for name in ("encoder", "decoder")
    ]
    scorer, found = Scorer(checkpoint), []
    for window in windows:
        scorer.step([window], scorer.fresh_items()[None])
        found.append((seen["encoder"], seen["decoder"]))
    for hook in hooks:
        hook.remove()
    return found


def _last_convolution(decoder: nn.Module) -> tuple[str, ...]:
    """Return the place of the last convolution as OpenVINO names it, by the module it was traced
    from.
    """
    names = [name for name, module in decoder.named_modules() if isinstance(module, nn.Conv2d)]
    return (names[-1],)


def _int8(network: nn.Module, inputs: list[tuple[Tensor, ...]], ignored: tuple[str, ...]) -> Any:
    """Return a network compiled with int8 convolutions, except in the parts named `ignored`."""
    import nncf
    import openvino

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's and NNCF's own
        plain = openvino.convert_model(network, example_input=inputs[0])
        shapes = {
            port: list(tensor.shape) for port, tensor in zip(plain.inputs, inputs[0], strict=True)
        }
        plain.reshape(shapes)
        scope = nncf.IgnoredScope(patterns=[rf".*{name}/.*[Cc]onvolution.*" for name in ignored])
        samples = nncf.Dataset([[tensor.numpy() for tensor in tensors] for tensors in inputs])
        done = nncf.quantize(plain, samples, subset_size=len(inputs), ignored_scope=scope)
    return openvino.Core().compile_model(done, "CPU", {"PERFORMANCE_HINT": "LATENCY"})


@dataclass(frozen=True)
class Form:
    """A form of a checkpoint, and the scorer that runs it."""

    name: str
    scorer: Scorer


def forms(path: Path, windows: list[Pixels]) -> Iterator[Form]:
    """Yield each form of a checkpoint; windows: normal clips to quantise on."""
    yield Form("torch, bf16", Scorer(load_checkpoint(path), precision="bf16"))
    yield Form("int8", Scorer(quantised(load_checkpoint(path), windows, last_in_float=False)))
    yield Form(
        "int8 but for the last",
        Scorer(quantised(load_checkpoint(path), windows, last_in_float=True)),
    )


def normal_windows(checkpoint: Checkpoint, data: Path, count: int = WINDOWS) -> list[Pixels]:
    """Windows (T, H, W, 3) uint8 RGB at even distances over the normal clips."""
    length = checkpoint.config.input_spec.frames
    clips = [whole_clip(path, checkpoint.preprocess, length) for path in train_clips(data)]
    places = [(clip, end) for clip in clips for end in range(length, len(clip) + 1)]
    return [
        clip[end - length : end] for clip, end in places[:: max(1, len(places) // count)][:count]
    ]


def main() -> None:
    """Print time and AUC of each form."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.int8")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    given = parser.parse_args()
    windows = normal_windows(load_checkpoint(given.checkpoint), given.data)
    for form in forms(given.checkpoint, windows):
        ms = 1000 * median_s(
            partial(form.scorer.step, windows[:1], form.scorer.fresh_items()[None]), REPEATS
        )
        auc = evaluate(form.scorer, given.data, regions=False).auc_percent
        print(
            f"{form.name}: {ms:.1f} ms a frame; AUC "
            + ", ".join(f"{way} {auc[way]:.2f}" for way in auc),
            flush=True,
        )


if __name__ == "__main__":
    main()
