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

from models import memory
from models.checkpoint import Checkpoint
from models.device import Precision
from models.errors import DataError
from models.mnad import Mnad, MnadConfig
from models.preprocess import Pixels
from models.tensors import to_clips
from models.training.anomalies import KINDS
from models.training.footage import Footage, memory_bytes

SAMPLE = 24
"""Windows, as they are and altered each, from which the directions are taken."""

FAR = 2.0
"""Times the median length of q - m: a longer one, of a query between two items, counts as one of that length."""

ROOM = 0.25
"""Of the machine's memory that the answers may take; where they need more, the teacher is asked anew each epoch."""

Numbers = npt.NDArray[np.int64]


class Altered:
    """The windows of footage whose scored frame is abnormal, once each clip has an anomaly made into it."""

    def __init__(self, footage: Footage, config: MnadConfig, seed: int) -> None:
        self.footage = footage
        kinds, scored = list(KINDS.values()), config.needs.scored
        self._anomalies = [
            kinds[number % len(kinds)](
                clip, range(scored, scored + len(clip) - footage.t_length + 1), np.random.default_rng((seed, number))
            )
            for number, clip in enumerate(footage.clips)
        ]
        abnormal = [(clip, frame - scored) for clip, made in enumerate(self._anomalies) for frame in made.abnormal]
        self.windows = np.array(abnormal, np.int64).reshape(-1, 2)  # (windows, 2): clip, first frame

    def window(self, index: int) -> Pixels:
        """(T, H, W, 3) uint8 RGB."""
        clip, first = self.windows[index]
        frames = range(first, first + self.footage.t_length)
        return np.stack([self._anomalies[clip].frame(self.footage.clips[clip], frame) for frame in frames])


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
        config: MnadConfig,
        footage: Footage,
        *,
        device: str = "cpu",
        precision: Precision = "fp32",
        seed: int = 0,
    ) -> None:
        """config: the pupil's; sha256 names the checkpoint. Raises DataError where the one cannot teach the other."""
        model = _checked(checkpoint, config)
        self.sha256, self.device, self._precision = sha256, torch.device(device), precision
        self._model = model.to(self.device)
        self._model.to(memory_format=self._model.layout)  # type: ignore[call-overload]  # missing in torch's stubs
        self._channel_order = checkpoint.preprocess.channel_order
        self.normal, self.altered = footage, Altered(footage, config, seed)
        sources: tuple[Footage | Altered, ...] = self.normal, self.altered
        samples = [self._ask(source, number) for source in sources for number in _sample(len(source.windows))]
        self.directions = directions(torch.stack(samples), checkpoint.items.to(self.device), config.dim)
        answer_bytes = 2 * len(samples[0]) * config.dim
        self.keeps = sum(len(source.windows) for source in sources) * answer_bytes <= ROOM * memory_bytes()
        self._said: dict[bool, dict[int, Tensor]] = {False: {}, True: {}}

    def queries(self, numbers: Numbers, *, altered: bool = False) -> Tensor:
        """Of these windows, (B,), the queries that the pupil should ask: (B, K, D) float32, of unit length."""
        return F.normalize(torch.stack([self._answer(int(number), altered) for number in numbers]).float(), dim=2)

    def _answer(self, number: int, altered: bool) -> Tensor:
        """(K, D) float16: what is kept, and so no other number where it is not."""
        said = self._said[altered].get(number)
        if said is None:
            said = (self._ask(self.altered if altered else self.normal, number) @ self.directions.basis).half()
            if self.keeps:
                self._said[altered][number] = said.cpu()
        return said.to(self.device)

    @torch.no_grad()
    def _ask(self, source: Footage | Altered, number: int) -> Tensor:
        """(K, D_t) float32. One window at a time: the answer must not depend, in its last bits, on its company."""
        frames, _ = self._model.split(to_clips([source.window(number)], self.device, self._channel_order))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._precision == "bf16"):
            features, *_ = self._model.encoder(frames)
        return memory.queries_of(features)[0]


def directions(q: Tensor, m: Tensor, dim: int) -> Directions:
    """Of queries (B, K, D_t) and items (M, D_t), the `dim` directions that tell most of their distance."""
    away = (q - m[(q @ m.T).argmax(dim=2)]).flatten(0, 1)  # q - m, (B K, D_t)
    length = away.norm(dim=1, keepdim=True)
    away = away * (FAR * length.median() / length.clamp_min(1e-12)).clamp_max(1)
    span, _ = torch.linalg.qr(m.T)  # (D_t, M)
    rest = away - away @ span @ span.T
    _, vectors = torch.linalg.eigh((rest.T @ rest).double())  # ascending
    basis = torch.cat((span, vectors.flip(1)[:, : dim - span.shape[1]].float()), dim=1)
    return Directions(basis, F.normalize(m @ basis, dim=1), away.square().sum(dim=1).mean())


def _sample(windows: int) -> list[int]:
    """Some numbers of windows, evenly spread."""
    return [int(number) for number in np.unique(np.linspace(0, windows - 1, min(SAMPLE, windows)).astype(int))]


def _checked(checkpoint: Checkpoint, pupil: MnadConfig) -> Mnad:
    """The network that teaches. Raises DataError."""
    config, model = checkpoint.config, checkpoint.model
    if type(config) is not type(pupil) or not isinstance(config, MnadConfig) or not isinstance(model, Mnad):
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
