"""A wide MNAD as the teacher of a narrow one: the queries it asks, in as many dimensions as the narrow one has.

The distance of the published score is how far queries lie from their items. A narrow network that is trained alone
asks other queries than a wide one, and its distance tells less; given the wide one's queries to reproduce (a "hint",
A. Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015) and its items for a memory, it measures what the wide
one measures.

The teacher's queries are unit vectors of D_t dimensions. D directions of them are kept that tell nearly all of the
distance: the span of the items, and the principal directions of q - m over the footage, altered and not.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812  torch's own convention
from torch import Tensor

from lookout.models import memory
from lookout.models.checkpoint.file import Checkpoint
from lookout.models.data.clips import Footage, memory_bytes
from lookout.models.data.synthetic_anomalies import KINDS, draw, with_anomaly
from lookout.models.errors import DataError
from lookout.models.media.preprocess import Pixels
from lookout.models.mnad import Mnad, MnadConfig
from lookout.models.training.trainer import TrainOptions
from lookout.models.vision.tensors import to_clips

SAMPLE = 24
"""Windows, as they are and altered each, from which the directions are taken."""

FAR = 2.0
"""Times the median length of q - m: a longer one, of a query between two items, counts as one of that length."""

ROOM = 0.25
"""Of the machine's memory that the answers may take; where they need more, the teacher is asked anew each epoch."""

Numbers = npt.NDArray[np.int64]
"""(B,): of windows."""


class Altered:
    """The windows of footage in which the network would see something abnormal, had each clip one anomaly of a kind."""

    def __init__(self, footage: Footage, config: MnadConfig, seed: int) -> None:
        self.footage = footage
        self._made = [
            (
                clip,
                draw(
                    kind, pixels, footage.t_length, config.input_spec.scored, (seed, clip, of_kind)
                ),
            )
            for clip, pixels in enumerate(footage.clips)
            for of_kind, kind in enumerate(KINDS)
        ]
        windows = [
            (number, first)
            for number, (clip, made) in enumerate(self._made)
            for first in range(len(footage.clips[clip]) - footage.t_length + 1)
            if any(frame in made.abnormal for frame in range(first, first + config.frames_in))
        ]
        self.windows = np.array(windows, np.int64).reshape(
            -1, 2
        )  # (windows, 2): of what is made, first frame

    def window(self, index: int) -> Pixels:
        """(T, H, W, 3) uint8 RGB."""
        number, first = self.windows[index]
        clip, made = self._made[number]
        return with_anomaly(
            self.footage.clips[clip], made, range(first, first + self.footage.t_length)
        )


class Directions(NamedTuple):
    """Of the D_t dimensions, those that the pupil has."""

    basis: Tensor  # (D_t, D) float32, orthonormal columns
    items: Tensor  # (M, D), of unit length: the teacher's, seen in the basis
    usual: Tensor  # scalar: mean squared length of q - m, long ones shortened


class Teacher:
    """A trained MNAD, and what it says of the windows of some footage and of their altered forms."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        sha256: str,
        pupil: MnadConfig,
        footage: Footage,
        options: TrainOptions,
    ) -> None:
        """sha256: names the checkpoint; options: of the pupil's training.

        Raises DataError where the one cannot teach the other.
        """
        model = _checked(checkpoint, pupil)
        self.sha256, self.device, self._precision = (
            sha256,
            torch.device(options.device),
            options.precision,
        )
        self._model = model.to(self.device)
        self._model.to(memory_format=self._model.layout)  # type: ignore[call-overload]  # missing in torch's stubs
        self._channel_order = checkpoint.preprocess.channel_order
        self.normal, self.altered = footage, Altered(footage, pupil, options.seed)
        sources: tuple[Footage | Altered, ...] = self.normal, self.altered
        samples = [
            self._ask(source, number)
            for source in sources
            for number in _sample(len(source.windows))
        ]
        self.directions = directions(
            torch.stack(samples), checkpoint.items.to(self.device), pupil.dim
        )
        answer_bytes = 2 * len(samples[0]) * pupil.dim
        self.keeps = (
            sum(len(source.windows) for source in sources) * answer_bytes <= ROOM * memory_bytes()
        )
        self._said: dict[tuple[bool, int], Tensor] = {}  # whether altered, and the window's number

    def queries(self, numbers: Numbers, *, altered: bool = False) -> Tensor:
        """Of these windows, (B,), the queries that the pupil should ask: (B, K, D) float32, of unit length."""
        answers = torch.stack([self._answer(int(number), altered) for number in numbers])
        return F.normalize(answers.to(self.device).float(), dim=2)

    def _answer(self, number: int, altered: bool) -> Tensor:
        """(K, D) float16 on the CPU: what is kept, and so no other number where it is not."""
        said = self._said.get((altered, number))
        if said is None:
            asked = self._ask(self.altered if altered else self.normal, number)
            said = (asked @ self.directions.basis).half().cpu()
            if self.keeps:
                self._said[altered, number] = said
        return said

    @torch.no_grad()
    def _ask(self, source: Footage | Altered, number: int) -> Tensor:
        """(K, D_t) float32, the convolutions in the precision of the training.

        One window at a time: the answer must not depend, in its last bits, on its company.
        """
        frames, _ = self._model.split(
            to_clips([source.window(number)], self.device, self._channel_order)
        )
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._precision == "bf16"):
            features, *_ = self._model.encoder(frames)
        return memory.queries_of(features)[0]


def directions(q: Tensor, m: Tensor, dim: int) -> Directions:
    """Of queries (B, K, D_t) and items (M, D_t), the `dim` directions that tell most of their distance.

    Raises DataError for queries that are no numbers.
    """
    if not torch.isfinite(q).all():
        raise DataError("the teacher's queries are no numbers")
    away = (q - m[(q @ m.T).argmax(dim=2)]).flatten(0, 1)  # q - m, (B K, D_t)
    length = away.norm(dim=1, keepdim=True)
    away = away * (FAR * length.median() / length.clamp_min(1e-12)).clamp_max(1)
    whole, _ = torch.linalg.qr(m.T, mode="complete")  # (D_t, D_t): the span of the items first
    span, free = whole[:, : len(m)], whole[:, len(m) :]
    rest = (away @ free).double()
    _, vectors = torch.linalg.eigh(rest.T @ rest)  # ascending
    basis = torch.cat((span, free @ vectors.flip(1)[:, : dim - len(m)].float()), dim=1)
    return Directions(basis, F.normalize(m @ basis, dim=1), away.square().sum(dim=1).mean())


def _sample(windows: int) -> list[int]:
    """Some numbers of windows, evenly spread."""
    return [
        int(number)
        for number in np.unique(np.linspace(0, windows - 1, min(SAMPLE, windows)).astype(int))
    ]


def _checked(checkpoint: Checkpoint, pupil: MnadConfig) -> Mnad:
    """The network that teaches. Raises DataError."""
    config, model = checkpoint.config, checkpoint.model
    if (
        type(config) is not type(pupil)
        or not isinstance(config, MnadConfig)
        or not isinstance(model, Mnad)
    ):
        raise DataError(f"a {checkpoint.name} cannot teach another model than itself")
    shapes = [(it.height_px, it.width_px, it.t_length, it.items) for it in (config, pupil)]
    if shapes[0] != shapes[1]:
        raise DataError(
            "teacher and pupil must take pictures of one size, as many of them, and have as many items: "
            "{}x{} px, {} frames, {} items for the teacher, {}x{} px, {} frames, {} items for the pupil".format(
                *shapes[0], *shapes[1]
            )
        )
    if not pupil.items < pupil.dim <= config.dim:
        raise DataError(
            f"--dim {pupil.dim}: a pupil needs more dimensions than items ({pupil.items}), and no more "
            f"than its teacher has ({config.dim})"
        )
    return model
