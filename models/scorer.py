"""One scored frame: predict, measure, ask the gate, update the memory.

The live line and `evaluate` both run this. Weights per pixel, of zones and masks, enter here and
nowhere else: `weigh`, `weigh_distance`, `counted_queries`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  torch's own convention
from torch import Tensor

from lookout.models import memory_update as guard
from lookout.models.arrays import Pixels
from lookout.models.base import Output, measure
from lookout.models.checkpoint.file import Checkpoint
from lookout.models.device import Precision, autocast
from lookout.models.folding import folded
from lookout.models.input_spec import InputSpec
from lookout.models.memory_update import Rules, UpdateRule
from lookout.models.scoring.camera_state import StepOutput
from lookout.models.scoring.metrics import gate_error, psnr_db, sum_each
from lookout.models.vision.tensors import as_levels, heatmap, to_clips


@dataclass(frozen=True, slots=True)
class Scored:
    """The result of one step, one entry a sample; on the scorer's device."""

    psnr_db: Tensor  # (B,) float32, dB
    distance: Tensor  # (B,) float32
    gate_error: Tensor  # (B,) float32; nan without a memory that adapts
    memory_updated: Tensor  # (B,) bool
    items: (
        Tensor  # (B, M, D) float32, after the gated update; (B, 0, 0) without a memory that adapts
    )
    drift: Tensor  # (B,) float32, of those items from the trained ones: the largest 1 - cosine
    heat: Tensor  # (B, 64, 64) float32 in [0, 1]
    turns: int = 1  # frames that a score is the mean of, as in `Output`
    carried: Sequence[Tensor] | None = None  # B states for the next frame, as in `Output`

    def samples(self) -> list[StepOutput]:
        """Return each sample's output, moved to the host in two transfers."""
        columns = (
            self.psnr_db,
            self.distance,
            self.gate_error,
            self.memory_updated.float(),
            self.drift,
        )
        cells = as_levels(self.heat)
        carried: Sequence[Tensor | None] = self.carried or [None] * len(cells)
        return [
            StepOutput(
                psnr_db,
                distance,
                gate_error,
                bool(updated),
                drift,
                self.items[i],
                cells[i],
                self.turns,
                carried[i],
            )
            for i, (psnr_db, distance, gate_error, updated, drift) in enumerate(
                torch.stack(columns, dim=1).tolist()
            )
        ]


class Followed(NamedTuple):
    """The memories after a step; the fields are those of `Scored`."""

    gate_error: Tensor
    updated: Tensor
    items: Tensor
    drift: Tensor


class Scorer:
    """A checkpoint on a device, in a precision, with a gate. Keeps no state between steps.

    `network` is the checkpoint's model as it runs: on the device, its batch norms folded.

    In bf16 the convolutions run under autocast, and what is read of the memory; queries, the
    memory's update, distances and errors stay float32.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str = "cpu",
        precision: Precision = "fp32",
        gamma: float | None = None,
    ) -> None:
        self.checkpoint = checkpoint
        self.device = torch.device(device)
        self.precision = precision
        self.gamma = self.input_spec.gate if gamma is None else gamma
        if precision == "fp32":
            torch.backends.cudnn.allow_tf32 = (
                False  # its default: 10 bits of mantissa, far from the authors' numbers
            )
        self.network = folded(checkpoint.model).to(self.device)
        # torch's stubs lack this overload.
        self.network.to(memory_format=self.network.layout)  # type: ignore[call-overload]
        self._items = checkpoint.items.to(self.device)

    @property
    def input_spec(self) -> InputSpec:
        """Frames of a clip, the scored one, and the memory that the model takes."""
        return self.checkpoint.config.input_spec

    @property
    def t_length(self) -> int:
        """T: frames of a clip."""
        return self.input_spec.frames

    def fresh_items(self) -> Tensor:
        """The trained memory, for one camera: (M, D)."""
        return self._items.clone()

    @torch.inference_mode()
    def step(
        self,
        clips: Sequence[Pixels],
        items: Tensor,
        rules: Sequence[UpdateRule] | None = None,
        weights: Tensor | None = None,
        numbers: Sequence[int] | None = None,
        carried: Sequence[Tensor | None] | None = None,
    ) -> Scored:
        """Score one frame of each clip, the one that `input_spec` names.

        clips: B arrays (T, H, W, 3) uint8 RGB, oldest first, at the checkpoint's size.
        items: (B, M, D) float32, each sample's own memory.
        rules: how each sample's memory is updated; None: all as published, with the gate γ.
        weights: of each pixel, see `weigh`; None: all count alike.
        numbers: of the scored frames, for a model's live form; None: exact, see `measure`.
        carried: what the live form gave for each camera's last frame; None: they begin.
        """
        return self.step_normalised(self.normalise(clips), items, rules, weights, numbers, carried)

    def normalise(self, clips: Sequence[Pixels] | Tensor) -> Tensor:
        """Return clips as the weights expect them: (B, C T, H, W) float32.

        clips: (B, T, H, W, 3) uint8 RGB, as arrays or a tensor.
        """
        order = self.checkpoint.preprocess.channel_order
        return to_clips(
            clips, self.device, order, gray=self.input_spec.gray, black=self.input_spec.black
        )

    @torch.inference_mode()
    def step_normalised(
        self,
        clips: Tensor,
        items: Tensor,
        rules: Sequence[UpdateRule] | None = None,
        weights: Tensor | None = None,
        numbers: Sequence[int] | None = None,
        carried: Sequence[Tensor | None] | None = None,
    ) -> Scored:
        """Score clips that `normalise` gave; the rest as in `step`."""
        with autocast(self.device, self.precision):
            output = measure(self.network, clips, items, numbers, carried)
        psnr_error = output.map  # (B, C, H, W)
        shown = output.shown  # (B, C or 1, H, W)
        distance = output.distance
        counted = None
        if weights is not None:
            shown, _ = weigh(shown, weights)
            weighted, mean_weight = weigh(output.map, weights)
            distance = weigh_distance(output, weights)
            counted = counted_queries(output, weights)
            output = replace(output, map=weighted)
            psnr_error = weighted / mean_weight
        followed = self._follow(
            output, items, rules or [UpdateRule.paper(self.gamma)] * len(clips), counted
        )
        return Scored(
            psnr_db=psnr_db(psnr_error),
            distance=distance,
            gate_error=followed.gate_error,
            memory_updated=followed.updated,
            items=followed.items,
            drift=followed.drift,
            heat=heatmap(shown),
            turns=output.turns,
            carried=output.carried,
        )

    def _follow(
        self,
        output: Output,
        items: Tensor,
        rules: Sequence[UpdateRule],
        counted: Tensor | None = None,
    ) -> Followed:
        """The gated update of each sample's memory; counted: (B, K) queries that move it."""
        error = output.map  # (B, C, H, W)
        q = output.queries  # (B, K, D)
        if q is None:
            none = torch.zeros(len(error), device=self.device)  # (B,)
            return Followed(none + torch.nan, none.bool(), items, none)
        given = Rules.of(rules, self.device)
        gate = gate_error(error)
        updated = gate < given.gate
        if counted is not None:
            updated &= counted.any(dim=1)
        moved = torch.where(
            updated[:, None, None], guard.update(q, items, self._items, given, counted), items
        )
        return Followed(gate, updated, moved, guard.drift(moved, self._items))


def weigh(error: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weigh the pixels of an error map; return it with its samples' mean weights, (B, 1, 1, 1).

    PSNR, gate error and heatmap come from the weighted map, and a pixel of weight 0 has no
    influence on any of them. PSNR takes the mean over the weights instead of the pixels, so that
    all three stay on the scale of a calibration without weights. Weights of 1 change no bit.

    error: (B, C, H, W); weights: in [0, 1], (H, W), or (B, H, W) for one set per sample. A sample
    whose weights are all 0 counts as predicted without an error.
    """
    each = weights.to(error).reshape(-1, 1, *error.shape[2:])  # (B or 1, 1, H, W)
    mean = sum_each(each) / each[0].numel()  # (B or 1,)
    mean = mean.clamp_min(torch.finfo(mean.dtype).tiny)
    return error * each, mean[:, None, None, None].expand(len(error), -1, -1, -1)


def weigh_distance(output: Output, weights: Tensor) -> Tensor:
    """Return the distance over the places that count, (B,); weights as in `weigh`.

    A place counts by the mean weight of its pixels. A distance of the picture as a whole, and that
    of a sample whose weights are all 1, comes back as it is, bit for bit.
    """
    if output.distances is None:
        return output.distance
    pixels = weights.to(output.map).reshape(-1, 1, *output.map.shape[2:])  # (B or 1, 1, H, W)
    height, width = output.distances.shape[2:]
    places = F.adaptive_avg_pool2d(pixels, (height, width))  # (B or 1, 1, h, w)
    if output.distance_is_worst:
        found = (output.distances * places).amax(dim=(1, 2, 3))
    else:
        total = sum_each(places).clamp_min(torch.finfo(places.dtype).tiny)
        found = sum_each(output.distances * places) / total
    is_whole = (pixels == 1).flatten(1).all(dim=1)  # (B or 1,)
    return torch.where(is_whole, output.distance, found)


def counted_queries(output: Output, weights: Tensor) -> Tensor | None:
    """Return the queries with a pixel of weight above 0, (B, K) bool; None without a memory.

    weights as in `weigh`. Queries lie row by row, as the places of `Output.distances`.
    """
    if output.queries is None or output.distances is None:
        return None
    pixels = weights.to(output.map).reshape(-1, 1, *output.map.shape[2:])  # (B or 1, 1, H, W)
    height, width = output.distances.shape[2:]
    places = F.adaptive_max_pool2d(pixels, (height, width))  # (B or 1, 1, h, w)
    return (places.flatten(1) > 0).expand(len(output.queries), -1)
