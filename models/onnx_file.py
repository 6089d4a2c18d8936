"""A checkpoint as an ONNX file: frames and memory in, the numbers of one scored frame out.

The file holds `Scorer.step` for one clip in float32: scaling and the order of channels, the network
with its batch norms folded, errors, heatmap, and the gated update of the memory. The caller keeps
the last T frames and, for a memory that adapts, the items. Values and alerts follow from the
numbers and the camera's history, and are not in it.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lookout.models.arrays import Floats
from lookout.models.checkpoint.file import Checkpoint, first_line
from lookout.models.errors import CheckpointError
from lookout.models.media.atomic_file import replacing
from lookout.models.registry import stored_options
from lookout.models.scorer import Scorer

OPSET = 20
METADATA_KEY = "lookout"
NOT_EXPORTED = {
    "places": "it has no weights, and its score is that of the memory that each camera learns",
    "std": "ONNX has no operation for its distances to the memory (cdist)",
    "smai": "its superpixels are computed outside the network",
}
"""Models that have no ONNX form, with the reason."""

TOLERANCES = {
    "psnr_db": 1e-4,
    "distance": 1e-5,
    "gate_error": 1e-5,
    "heat": 1e-4,
    "items_after": 1e-4,
}
"""Largest difference from PyTorch that a file is written with, by output: see `differences`."""


class Step(nn.Module):
    """One step of a scorer, in the form that torch exports; batches of one clip.

    frames: (1, T, H, W, 3) uint8 RGB, oldest first. items: (1, M, D) float32, unit length.
    """

    def __init__(self, scorer: Scorer) -> None:
        super().__init__()
        self.scorer = scorer
        self.network = scorer.network  # registered, so that its weights are the module's
        self.adapts = scorer.input_spec.memory == "adapts"

    @property
    def outputs(self) -> list[str]:
        """Names of what `forward` returns."""
        memory = ["gate_error", "items_after"] if self.adapts else []
        return ["psnr_db", "distance", "heat", *memory]

    def forward(self, frames: Tensor, items: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return PSNR (1,) dB, distance (1,) and heatmap (1, 64, 64) in [0, 1].

        With a memory also the gate error (1,) and the items after the update (1, M, D).
        """
        given = self.scorer.fresh_items()[None] if items is None else items
        scored = self.scorer.step(frames, given)  # type: ignore[arg-type]  # a tensor of clips
        found = (scored.psnr_db, scored.distance, scored.heat)
        return (*found, scored.gate_error, scored.items) if self.adapts else found

    def example(self, seed: int) -> tuple[Tensor, ...]:
        """Return random frames, the same for the same seed, and the trained items if any."""
        config = self.scorer.checkpoint.config
        shape = (1, self.scorer.t_length, config.height_px, config.width_px, 3)
        generator = torch.Generator().manual_seed(seed)
        frames = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        return (frames, self.scorer.fresh_items()[None]) if self.adapts else (frames,)


def write_onnx(path: Path, checkpoint: Checkpoint) -> dict[str, float]:
    """Write a checkpoint as ONNX, atomically; return the largest difference of each output.

    The differences are those of ONNX Runtime from PyTorch, both on the CPU, over three clips of
    random frames. Raises CheckpointError, in one line, for a model that has no ONNX form and for a
    difference beyond `TOLERANCES`; nothing is written then.
    """
    if reason := NOT_EXPORTED.get(checkpoint.name):
        raise CheckpointError(f"{checkpoint.name} cannot be exported to ONNX: {reason}")
    step = Step(Scorer(checkpoint)).eval()
    content = export(step, checkpoint)
    found = differences(content, step)
    for name, difference in found.items():
        if not difference <= TOLERANCES[name]:
            raise CheckpointError(
                f"{path.name} is not written: {name} differs from PyTorch's by {difference:.3g}"
            )
    with replacing(path) as temporary:
        temporary.write_bytes(content)
        temporary.chmod(0o644)
    return found


def export(step: Step, checkpoint: Checkpoint) -> bytes:
    """Return the ONNX file of a step. Raises CheckpointError where torch cannot export it."""
    import onnx  # noqa: PLC0415  an extra
    import onnxscript  # noqa: F401, PLC0415  torch's exporter needs it

    example = step.example(seed=0)
    try:
        with quiet():
            program = torch.onnx.export(
                step,
                example,
                input_names=["frames", "items"][: len(example)],
                output_names=step.outputs,
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        reason = first_line(Exception(cause))
        raise CheckpointError(f"{checkpoint.name} cannot be exported to ONNX: {reason}") from None
    assert program is not None  # noqa: S101  only None where a file is named
    model = program.model_proto
    onnx.helper.set_model_props(model, {METADATA_KEY: description(checkpoint)})
    return bytes(model.SerializeToString())


def description(checkpoint: Checkpoint) -> str:
    """Return what a caller has to know beside the graph, as JSON."""
    bounds = checkpoint.calibration
    told = {
        "model": checkpoint.name,
        "config": stored_options(checkpoint.config),
        "input_spec": asdict(checkpoint.config.input_spec),
        "calibration": None if bounds is None else asdict(bounds),
        "fps": checkpoint.fps,
    }
    return json.dumps(told, sort_keys=True)


def differences(content: bytes, step: Step, clips: int = 3) -> dict[str, float]:
    """Return the largest difference of ONNX Runtime from PyTorch, by output, over random clips.

    Differences are of the number where it is beyond 1, else absolute. The memory of each follows
    its own outputs from clip to clip.
    """
    import onnxruntime  # noqa: PLC0415  an extra

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    largest = dict.fromkeys(step.outputs, 0.0)
    items = {"onnx": step.scorer.fresh_items()[None], "torch": step.scorer.fresh_items()[None]}
    for seed in range(clips):
        frames, *memory = step.example(seed)
        feed = {"frames": frames.numpy()}
        if memory:
            feed["items"] = items["onnx"].numpy()
        ran: Mapping[str, Floats] = dict(
            zip(step.outputs, session.run(step.outputs, feed), strict=True)
        )
        given = (frames, items["torch"]) if memory else (frames,)
        wanted = dict(zip(step.outputs, step(*given), strict=True))
        for name in step.outputs:
            expected = wanted[name].numpy()
            difference = (np.abs(ran[name] - expected) / np.abs(expected).clip(1)).max()
            largest[name] = float(np.maximum(largest[name], difference))  # keeps nan
        if memory:
            items = {"onnx": torch.from_numpy(ran["items_after"]), "torch": wanted["items_after"]}
    return largest


@contextmanager
def quiet() -> Iterator[None]:
    """Keep back the exporter's warnings: about torchvision, and about its own insides."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
