"""A wide MNAD as the teacher of a narrow one: its queries in the narrow one's dimensions.

The distance of the published score is how far queries lie from their items. A narrow network that
is trained alone asks other queries than a wide one, and its distance says less. It is therefore
given the wide one's queries to reproduce (a "hint", A. Romero et al., "FitNets: Hints for Thin
Deep Nets", ICLR 2015) and its items for a memory.

The teacher's queries are unit vectors of D_t dimensions. Kept are D directions that hold nearly
all of the distance: the span of the items, and the principal directions of q - m over the footage,
altered and not.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812  torch's own convention
from torch import Tensor

from lookout.models import memory
from lookout.models.arrays import Pixels
from lookout.models.checkpoint.file import Checkpoint
from lookout.models.data.clips import memory_bytes
from lookout.models.data.footage import Footage
from lookout.models.data.synthetic_anomalies import KINDS, draw, with_anomaly
from lookout.models.errors import DataError
from lookout.models.mnad import Mnad, MnadConfig
from lookout.models.training.loader import WindowNumbers
from lookout.models.training.options import TrainOptions
from lookout.models.vision.tensors import to_clips

SAMPLE = 24
"""Windows from which the directions are computed: as many as they are, and as many altered."""

FAR = 2.0
"""Times the median length of q - m, to which longer ones (queries between items) are shortened."""

MEMORY_SHARE = 0.25
"""Of the machine's memory that answers may take; beyond it, the teacher runs again each epoch."""


class AlteredFootage:
    """Footage with one anomaly of each kind in each clip: the windows whose input is abnormal."""

    def __init__(self, footage: Footage, config: MnadConfig, seed: int) -> None:
        """Draw the anomalies; `seed` decides them."""
        self.footage = footage
        self._anomalies = [
            (
                clip,
                draw(
                    kind, pixels, footage.t_length, config.input_spec.scored, (seed, clip, number)
                ),
            )
            for clip, pixels in enumerate(footage.clips)
            for number, kind in enumerate(KINDS)
        ]
        windows = [
            (number, first)
            for number, (clip, anomaly) in enumerate(self._anomalies)
            for first in range(len(footage.clips[clip]) - footage.t_length + 1)
            if any(frame in anomaly.abnormal for frame in range(first, first + config.frames_in))
        ]
        self.windows: npt.NDArray[np.int64] = np.array(windows, np.int64).reshape(-1, 2)
        """(windows, 2): number of the anomaly, first frame."""

    def window(self, index: int) -> Pixels:
        """Return a window, (T, H, W, 3) uint8 RGB."""
        number, first = self.windows[index]
        clip, anomaly = self._anomalies[number]
        frames = range(first, first + self.footage.t_length)
        return with_anomaly(self.footage.clips[clip], anomaly, frames)


class Directions(NamedTuple):
    """The student's D directions among the teacher's D_t dimensions."""

    basis: Tensor  # (D_t, D) float32, orthonormal columns
    items: Tensor  # (M, D), of unit length: the teacher's, projected onto the basis
    usual: Tensor  # scalar: mean squared length of q - m, long ones shortened


class Teacher:
    """A trained MNAD, and its queries for the windows of some footage and their altered forms."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        sha256: str,
        student: MnadConfig,
        footage: Footage,
        options: TrainOptions,
    ) -> None:
        """Compute the directions. `sha256` names the checkpoint, `options` are the student's.

        Raises DataError where this model cannot teach the student.
        """
        model = teaching_model(checkpoint, student)
        self.sha256 = sha256
        self.device = torch.device(options.device)
        self._precision = options.precision
        self._model = model.to(self.device)
        self._model.to(memory_format=self._model.layout)  # type: ignore[call-overload]
        self._channel_order = checkpoint.preprocess.channel_order
        self.normal = footage
        self.altered = AlteredFootage(footage, student, options.seed)
        samples = []
        for source in (self.normal, self.altered):
            count = len(source.windows)
            numbers = np.linspace(0, count - 1, min(SAMPLE, count)).astype(int)
            samples += [self.wide_queries(source, int(number)) for number in np.unique(numbers)]
        self.directions = directions(
            torch.stack(samples), checkpoint.items.to(self.device), student.dim
        )
        windows = len(self.normal.windows) + len(self.altered.windows)
        answer_bytes = 2 * len(samples[0]) * student.dim
        self.keeps = windows * answer_bytes <= MEMORY_SHARE * memory_bytes()
        self._answers: dict[tuple[bool, int], Tensor] = {}  # by altered, and the window's number

    def queries(self, numbers: WindowNumbers, *, altered: bool = False) -> Tensor:
        """Return the queries that the student should ask of these windows.

        (B,) → (B, K, D) float32, of unit length.
        """
        answers = torch.stack([self.answer(int(number), altered) for number in numbers])
        return F.normalize(answers.to(self.device).float(), dim=2)

    def answer(self, number: int, altered: bool) -> Tensor:
        """Return the projected queries of a window, (K, D) float16 on the CPU.

        They are rounded whether they are kept or not, so that both give the same bits.
        """
        answer = self._answers.get((altered, number))
        if answer is None:
            wide = self.wide_queries(self.altered if altered else self.normal, number)
            answer = (wide @ self.directions.basis).half().cpu()
            if self.keeps:
                self._answers[altered, number] = answer
        return answer

    @torch.no_grad()
    def wide_queries(self, source: Footage | AlteredFootage, number: int) -> Tensor:
        """Return the teacher's queries of a window, (K, D_t) float32.

        Convolutions run in the precision of the training, one window at a time: the last bits must
        not depend on the rest of a batch.
        """
        clips = to_clips([source.window(number)], self.device, self._channel_order)
        frames, _ = self._model.split(clips)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._precision == "bf16"):
            features, *_ = self._model.encoder(frames)
        return memory.queries_of(features)[0]


def directions(q: Tensor, m: Tensor, dim: int) -> Directions:
    """Return the `dim` directions that hold most of the distance of queries from their items.

    q: (B, K, D_t); m: (M, D_t). Raises DataError for queries that are not finite.
    """
    if not torch.isfinite(q).all():
        raise DataError("the teacher's queries are no numbers")
    away = (q - m[(q @ m.T).argmax(dim=2)]).flatten(0, 1)  # q - m, (B K, D_t)
    length = away.norm(dim=1, keepdim=True)
    away = away * (FAR * length.median() / length.clamp_min(1e-12)).clamp_max(1)
    whole, _ = torch.linalg.qr(m.T, mode="complete")  # (D_t, D_t): the span of the items first
    span = whole[:, : len(m)]
    free = whole[:, len(m) :]
    rest = (away @ free).double()
    _, vectors = torch.linalg.eigh(rest.T @ rest)  # ascending
    basis = torch.cat((span, free @ vectors.flip(1)[:, : dim - len(m)].float()), dim=1)
    return Directions(basis, F.normalize(m @ basis, dim=1), away.square().sum(dim=1).mean())


def teaching_model(checkpoint: Checkpoint, student: MnadConfig) -> Mnad:
    """Return the network that teaches. Raises DataError where it cannot teach the student."""
    config = checkpoint.config
    model = checkpoint.model
    is_same = type(config) is type(student)
    if not (is_same and isinstance(config, MnadConfig) and isinstance(model, Mnad)):
        raise DataError(f"a {checkpoint.name} cannot teach another model than itself")
    teaches, learns = (
        f"{it.width_px}x{it.height_px} px, {it.t_length} frames, {it.items} items"
        for it in (config, student)
    )
    if teaches != learns:
        raise DataError(
            "teacher and student must take pictures of one size, as many of them, and have as "
            f"many items: {teaches} for the teacher, {learns} for the student"
        )
    if not student.items < student.dim <= config.dim:
        raise DataError(
            f"--dim {student.dim}: a student needs more dimensions than items ({student.items}), "
            f"and no more than its teacher has ({config.dim})"
        )
    return model
