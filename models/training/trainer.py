"""A model in training on normal footage, as MNAD's authors do: Adam, cosine over the epochs, one memory for a batch.

From time to time a row is written of how it goes: with held-out clips, what these measure; the best row is the one with
the highest PSNR of their normal frames, or with the highest AUC of the anomalies that are made into them.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR

from lookout.models.base import Config, TrainingProgress, TrainingStep
from lookout.models.checkpoint.file import Checkpoint
from lookout.models.data.clips import Footage
from lookout.models.device import Precision
from lookout.models.errors import CheckpointError, TrainingError
from lookout.models.media.atomic_file import replacing
from lookout.models.media.preprocess import Preprocess
from lookout.models.registry import make_model, name_of, stored_options
from lookout.models.scoring.metrics import LEAST_MSE, psnr_db
from lookout.models.training.clock import Clock
from lookout.models.training.loader import Feed, fits
from lookout.models.training.progress import Criterion, Row, worth
from lookout.models.training.validation import Validation
from lookout.models.vision.tensors import to_clips


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """The published schedule is the default."""

    epochs: int = 60
    batch: int = 4
    learning_rate: float = 2e-4
    seed: int = 0
    precision: Precision = "fp32"
    device: str = "cpu"
    row_every: int = 0  # steps; 0: an epoch
    patience: int = 0  # rows of a ready model, one after another, without a new best, that end the training; 0: never
    best_by: Criterion = "psnr"
    deterministic: bool = False
    compiled: bool = False
    most_s: float = (
        0.0  # of training, after which it ends with a row, wherever it stands; 0: no limit
    )


class Batch(NamedTuple):
    windows: npt.NDArray[np.int64]  # (B,), their numbers in the footage
    clips: Tensor  # (B, C T, H, W), as the model takes them


class StoppedError(Exception):
    """Training was asked to stop; its state is saved."""


class Trainer:
    """A model in training, with everything that a resumed run needs to go on as if nothing had happened."""

    def __init__(
        self,
        config: Config,
        options: TrainOptions,
        footage: Footage,
        validation: Validation | None = None,
    ) -> None:
        torch.manual_seed(options.seed)
        self.config, self.options, self.footage, self.validation = (
            config,
            options,
            footage,
            validation,
        )
        self.device = torch.device(options.device)
        self.feed = Feed(footage, self.device, resident=fits(footage.nbytes, self.device))
        self.model = make_model(name_of(config), config).to(self.device).train()
        self.model.to(memory_format=self.model.layout)  # type: ignore[call-overload]  # missing in torch's stubs
        self.items = self.model.initial_items().to(self.device)
        fused = (
            True if self.device.type == "cuda" else None
        )  # one kernel for all parameters; None: as torch does
        self.optimizer = Adam(self.model.parameters(), lr=options.learning_rate, fused=fused)
        self.schedule = CosineAnnealingLR(self.optimizer, T_max=options.epochs)
        self.epoch = 0
        self.step_in_epoch = 0
        self.clock = Clock(options.most_s)
        self.rows: list[Row] = []
        self._since_row: list[tuple[float, float]] = []  # loss and PSNR of each step
        self._training_step = (
            torch.compile(self.model.training_step)
            if options.compiled
            else self.model.training_step
        )

    @property
    def steps(self) -> int:
        """Of the whole training."""
        return self.options.epochs * self.steps_per_epoch

    @property
    def steps_done(self) -> int:
        return self.epoch * self.steps_per_epoch + self.step_in_epoch

    def is_done(self) -> bool:
        """The last epoch is over, or patience is, or the time; a row has been written of the last step then.

        Where the time ran out while a model that was not ready was measured, there is one more step, and its row.
        """
        if self.clock.is_over and self.steps_done:
            return self.steps_done == self._steps_told and self.rows[-1].ready
        return (
            self.epoch >= self.options.epochs
            or 0 < self.options.patience <= self._rows_since_best()
        )

    def is_row_due(self) -> bool:
        """After a step, and until it is written; the last step has a row in any case."""
        done, every = self.steps_done, self.options.row_every or self.steps_per_epoch
        return done > self._steps_told and (
            done % every == 0 or done == self.steps or self.clock.is_over
        )

    @property
    def _steps_told(self) -> int:
        return self.rows[-1].step if self.rows else 0

    @property
    def best(self) -> Row | None:
        return next((row for row in reversed(self.rows) if row.best), None)

    @property
    def steps_per_epoch(self) -> int:
        return self.footage.batches_per_epoch(self.options.batch)

    @property
    def progress(self) -> TrainingProgress:
        return TrainingProgress(self.epoch, self.options.epochs)

    def normalise(self, clips: Tensor) -> Tensor:
        """(B, T, H, W, 3) uint8 RGB → (B, C T, H, W), as the model takes them."""
        spec = self.config.input_spec
        return to_clips(clips, self.device, gray=spec.gray, black=spec.black)

    def batches(self, first: int = 0) -> Iterator[Batch]:
        """This epoch's batches from number `first` on."""
        numbers = self.footage.batches(self.options.batch, self.options.seed, self.epoch)
        return (
            Batch(windows, self.normalise(self.feed(windows)))
            for windows in islice(numbers, first, None)
        )

    def begin_epoch(self) -> None:
        """Before the first step of an epoch; a resumed run may come here again, with the same result."""
        self.model.begin_epoch(self.progress, (batch.clips for batch in self.batches()))

    def learn(self, batch: Batch) -> TrainingStep:
        """What the batch teaches, under the caller's autocast."""
        return self._training_step(batch.clips, self.items, self.progress)

    def step(self, batch: Batch) -> tuple[float, float]:
        """One step of the optimiser and of the memory; gives loss and the batch's PSNR in dB.

        Raises TrainingError once the loss is no number: what was saved before is worth more than what would follow.
        """
        torch.manual_seed(
            hash((self.options.seed, self.epoch, self.step_in_epoch))
        )  # a resumed run draws the same
        with self._autocast():
            step = self.learn(batch)
        told = step.loss.detach(), -10 * step.mse.clamp_min(LEAST_MSE).log10()
        loss, psnr = torch.stack(
            [number.float() for number in told]
        ).tolist()  # the device is waited for once a step
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss became {loss} in epoch {self.epoch + 1}: try a smaller learning rate"
            )
        self.optimizer.zero_grad(set_to_none=True)
        step.loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.items = step.items
        self.step_in_epoch += 1
        self._since_row.append((loss, psnr))
        return loss, psnr

    def write_row(self, should_stop: Callable[[], bool] = lambda: False) -> Row:
        """How it goes. A model that is not ready when the time is over is made ready first.

        Raises TrainingError where the network holds, or gives, what is no number; StoppedError, and the row is due
        again.
        """
        self._require_numbers()
        loss, psnr = np.mean(self._since_row, axis=0).tolist()
        ready = self.model.is_ready(self.progress)
        if self.clock.is_over and not ready:  # there is no more time to come to it
            self.model.make_ready(batch.clips for batch in self.batches())
            ready = True
        row = Row(
            self.epoch + 1,
            self.steps_done,
            loss,
            psnr,
            float(self.schedule.get_last_lr()[0]),
            ready=ready,
        )
        if self.validation is not None:
            measured = self.validation.measure(lambda clips: self._score(clips, should_stop))
            row = replace(row, held_out=measured._asdict())
            best = worth(row, self.options.best_by) > worth(self.best, self.options.best_by)
            row = replace(row, best=ready and best)
        self.rows.append(row)
        self._since_row.clear()
        return row

    @torch.no_grad()
    def _score(self, clips: Tensor, should_stop: Callable[[], bool]) -> tuple[Tensor, Tensor]:
        """PSNR in dB and distance, (B,) each, of (B, T, H, W, 3) uint8 RGB; in eval mode, the memory as it is."""
        if should_stop():
            raise StoppedError
        self.model.eval()
        with self._autocast():
            measured = self.model.measure(
                self.normalise(clips), self.items.expand(len(clips), -1, -1)
            )
        self.model.train()
        return psnr_db(measured.error), measured.distance

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.options.precision == "bf16"
        )

    def _rows_since_best(self) -> int:
        since = takewhile(lambda row: not row.best, reversed(self.rows))
        return sum(row.ready for row in since)

    def _require_numbers(self) -> None:
        """Raises TrainingError: what was saved before is worth more than this."""
        if not all(
            torch.isfinite(tensor).all()
            for tensor in (self.items, *self.model.state_dict().values())
        ):
            raise TrainingError(
                f"a weight is no number after epoch {self.epoch + 1}: try a smaller learning rate"
            )

    def end_epoch(self) -> None:
        with (
            warnings.catch_warnings()
        ):  # a resumed run may come here before its first step, which torch takes ill
            warnings.filterwarnings("ignore", "Detected call of `lr_scheduler")
            self.schedule.step()
        self.epoch += 1
        self.step_in_epoch = 0

    def save(self, path: Path) -> None:
        """Write the state, atomically. Raises TrainingError where a weight is no number; what was saved stays."""
        self._require_numbers()
        with replacing(path) as temporary, temporary.open("wb") as file:
            torch.save({"fingerprint": self.fingerprint(), **self._state()}, file)

    def resume(self, path: Path) -> None:
        """Go on where `save` left off. Raises CheckpointError for a damaged state or one of another run."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore"
                )  # of a pickle that no torch wrote: it is refused anyway
                state = torch.load(path, weights_only=True, map_location=self.device)
        except Exception as error:  # torch.load raises whatever its reader does
            raise CheckpointError(
                f"{path.name} cannot be resumed from ({type(error).__name__}); remove it"
            ) from None
        if not isinstance(state, dict) or state.get("fingerprint") != self.fingerprint():
            raise CheckpointError(
                f"{path.name} belongs to a run with other options or footage; finish that one, or remove it"
            )
        self._restore(state)

    def _restore(self, state: dict[str, Any]) -> None:
        """What `_state` gave."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.items, self.epoch, self.step_in_epoch = (
            state["items"],
            state["epoch"],
            state["step_in_epoch"],
        )
        self.rows, self.clock = (
            [Row(**row) for row in state["rows"]],
            Clock(self.options.most_s, state["spent_s"]),
        )
        self._since_row = state["since_row"]

    def fingerprint(self) -> dict[str, Any]:
        """What must be the same for a run to be continued."""
        return fingerprint(self.config, self.options, self.footage, self.validation)

    def checkpoint(self, preprocess: Preprocess, provenance: dict[str, Any]) -> Checkpoint:
        """The model as it is, not calibrated. Adds to its provenance how it was trained, and the newest row."""
        provenance = provenance | {
            "train": asdict(self.options),
            "footage": self.fingerprint()["footage"],
        }
        provenance |= {"row": asdict(self.rows[-1])} if self.rows else {}
        model = copy.deepcopy(self.model).eval().requires_grad_(False).cpu()
        return Checkpoint(
            name_of(self.config), model, self.items.cpu(), self.config, preprocess, None, provenance
        )

    def _state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "items": self.items,
            "epoch": self.epoch,
            "step_in_epoch": self.step_in_epoch,
            "rows": [asdict(row) for row in self.rows],
            "since_row": self._since_row,
            "spent_s": self.clock.spent_s,
        }


def fingerprint(
    config: Config, options: TrainOptions, footage: Footage, validation: Validation | None
) -> dict[str, Any]:
    """Of a run: what is trained, how, and on what."""
    content: dict[str, Any] = {"sha256": footage.sha256, "windows": len(footage.windows)}
    if validation is not None:
        held = validation.footage
        content["held_out"] = {"sha256": held.sha256, "clips": list(held.names)}
    return {
        "config": {"model": name_of(config)} | stored_options(config),
        "options": asdict(options),
        "footage": content,
    }
