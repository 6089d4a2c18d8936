"""A model in training on normal footage: Adam, cosine schedule over epochs, one memory per batch.

The schedule is that of MNAD's authors. From time to time a log entry is written; with held-out
clips it holds what they measure. The best entry has the highest PSNR of their normal frames, or
the highest AUC of the synthetic anomalies in them.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler

from lookout.models.base import (
    Config,
    MemoryModel,
    TrainingBatch,
    TrainingProgress,
    TrainingStep,
    initial_items,
)
from lookout.models.checkpoint.file import Checkpoint
from lookout.models.data.footage import Footage
from lookout.models.device import autocast
from lookout.models.errors import CheckpointError, TrainingError
from lookout.models.media.atomic_file import replacing
from lookout.models.media.preprocess import Preprocess
from lookout.models.registry import make_model, name_of
from lookout.models.scoring.metrics import LEAST_MSE
from lookout.models.training.loader import Batch, WindowLoader, fits
from lookout.models.training.options import TrainOptions, fingerprint
from lookout.models.training.progress import LogEntry, TimeBudget, criterion_value
from lookout.models.training.validation import Validation, score_clips
from lookout.models.vision.tensors import to_clips

NORMAL_BATCHES = 4
"""Number of batches that a model learns the level of normal footage from, before a log entry."""


class StoppedError(Exception):
    """A run was asked to stop; its state is saved."""

    def __init__(self, state: Path | None = None) -> None:
        """Name the file that holds the state."""
        super().__init__(f"stopped; the state is saved in {state}" if state else "stopped")
        self.state = state


class StartWeights(NamedTuple):
    """A checkpoint that training goes on from, in the place of random weights."""

    checkpoint: Checkpoint
    sha256: str  # of its file


class Trainer:
    """A model in training, with all that a resumed run needs to end in the same bits."""

    def __init__(
        self,
        config: Config,
        options: TrainOptions,
        footage: Footage,
        validation: Validation | None = None,
        start: StartWeights | None = None,
    ) -> None:
        """Begin with random weights, which the seed decides, or with those of `start`."""
        torch.manual_seed(options.seed)
        self.start = start
        self.config = config
        self.options = options
        self.footage = footage
        self.validation = validation
        self.device = torch.device(options.device)
        resident = fits(footage.nbytes, self.device)
        self.loader = WindowLoader(footage, self.device, resident=resident)
        self.model = make_model(name_of(config), config).to(self.device)
        if not self.model.needs_training:
            raise TrainingError(
                f"`{name_of(config)}` has no weights to train: it learns from the camera itself"
            )
        self.model.to(memory_format=self.model.layout)  # type: ignore[call-overload]
        self.items = initial_items(self.model).to(self.device)
        if start is not None:
            self.model.load_state_dict(start.checkpoint.model.state_dict())
            self.items = start.checkpoint.items.to(self.device)
        self.set_train_mode()
        self.epoch = 0
        self.step_in_epoch = 0
        self.budget = TimeBudget(options.limit_s)
        fused = True if self.device.type == "cuda" else None  # None: as torch does on a CPU
        groups = self.model.parameter_groups(options.learning_rate)
        self.optimizer = Adam(groups, lr=options.learning_rate, fused=fused)
        self.schedule: LRScheduler = CosineAnnealingLR(self.optimizer, T_max=options.epochs)
        if options.fine_tuning is not None:
            self.schedule = LambdaLR(self.optimizer, lambda _: self.rate_factor())
        self.log: list[LogEntry] = []
        self._since_entry: list[tuple[float, float]] = []  # loss and PSNR of each step
        self._training_step: Callable[..., TrainingStep] = self.model.training_step
        if options.compiled:
            self._training_step = torch.compile(self.model.training_step)

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.options.epochs * self.steps_per_epoch

    @property
    def steps_done(self) -> int:
        """Steps done, over all epochs."""
        return self.epoch * self.steps_per_epoch + self.step_in_epoch

    @property
    def steps_per_epoch(self) -> int:
        """Steps of each epoch."""
        return self.footage.batches_per_epoch(self.options.batch)

    @property
    def last_logged_step(self) -> int:
        """Step of the newest log entry; 0 without one."""
        return self.log[-1].step if self.log else 0

    @property
    def best(self) -> LogEntry | None:
        """The best entry so far."""
        return next((entry for entry in reversed(self.log) if entry.best), None)

    @property
    def progress(self) -> TrainingProgress:
        """Epoch and number of epochs, as the model takes them."""
        return TrainingProgress(self.epoch, self.options.epochs)

    def is_done(self) -> bool:
        """Return whether the last epoch, patience or the time is over, and the last step logged.

        Where the time ran out while a model that was not ready was measured, one more step and
        its entry follow.
        """
        if self.budget.is_over and self.steps_done:
            return self.steps_done == self.last_logged_step and self.log[-1].ready
        if self.epoch >= self.options.epochs:
            return True
        since_best = takewhile(lambda entry: not entry.best, reversed(self.log))
        return 0 < self.options.patience <= sum(entry.ready for entry in since_best)

    def is_log_entry_due(self) -> bool:
        """Return whether an entry is to be written now; the last step has one in any case."""
        done = self.steps_done
        every = self.options.log_every or self.steps_per_epoch
        if done <= self.last_logged_step:
            return False
        return done % every == 0 or done == self.steps or self.budget.is_over

    def set_train_mode(self) -> None:
        """Put the model in train mode; fine-tuning keeps the statistics of batch normalisation."""
        self.model.train()
        if self.options.fine_tuning is not None:
            for module in self.model.modules():
                if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
                    module.eval()

    def rate_factor(self) -> float:
        """Return the learning rate of the next step in fine-tuning, as a share of the option."""
        if self.options.fine_tuning is None:
            return 1.0
        warm_up = (self.steps_done + 1) / max(1, self.options.fine_tuning.warm_up_steps)
        return min(1.0, warm_up) * (1 + math.cos(math.pi * self.budget.spent_share)) / 2

    def normalise(self, clips: Tensor) -> Tensor:
        """Return (B, T, H, W, 3) uint8 RGB as (B, C T, H, W), as the model takes it."""
        spec = self.config.input_spec
        return to_clips(clips, self.device, gray=spec.gray, black=spec.black)

    def batches(self, first: int = 0) -> Iterator[Batch]:
        """Yield this epoch's batches from number `first` on."""
        numbers = self.footage.batches(self.options.batch, self.options.seed, self.epoch)
        return (
            Batch(windows, self.normalise(self.crop(self.loader.load(windows), number)))
            for number, windows in islice(enumerate(numbers), first, None)
        )

    def crop(self, clips: Tensor, number: int) -> Tensor:
        """Return the squares that fine-tuning takes of a batch, (B, T, h, w, 3) uint8 RGB.

        number: of the batch in its epoch; it decides the places.
        """
        fine_tuning = self.options.fine_tuning
        if fine_tuning is None or fine_tuning.crop_px >= min(clips.shape[2:4]):
            return clips
        side_px = fine_tuning.crop_px
        rng = np.random.default_rng((self.options.seed, self.epoch, number))
        squares = []
        for clip in clips:
            top, left = (int(rng.integers(side - side_px + 1)) for side in clip.shape[1:3])
            squares.append(clip[:, top : top + side_px, left : left + side_px])
        return torch.stack(squares)

    def begin_epoch(self) -> None:
        """Prepare the model for an epoch. Done again by a resumed run, it gives the same."""
        if self.progress.begins(self.model.ready_after):
            self.model.make_ready(batch.clips for batch in self.batches())

    def end_epoch(self) -> None:
        """Step the schedule and go on to the next epoch."""
        if self.options.fine_tuning is None:
            self.step_schedule()
        self.epoch += 1
        self.step_in_epoch = 0

    def step_schedule(self) -> None:
        """Step the schedule: that of fine-tuning with each step, else with each epoch."""
        with warnings.catch_warnings():  # torch warns of a resumed run that ends an epoch at once
            warnings.filterwarnings("ignore", "Detected call of `lr_scheduler")
            self.schedule.step()

    def training_step(self, batch: Batch) -> TrainingStep:
        """Return the loss of a batch, and the memory after it, under the caller's autocast."""
        training_batch = TrainingBatch(batch.clips, self.progress)
        if isinstance(self.model, MemoryModel):
            return self._training_step(training_batch, self.items)
        return self._training_step(training_batch)

    def step(self, batch: Batch) -> tuple[float, float]:
        """Step the optimiser and the memory; return the loss and the batch's PSNR in dB.

        Raises TrainingError, before anything is changed, where the loss is not finite.
        """
        seed = hash((self.options.seed, self.epoch, self.step_in_epoch))
        torch.manual_seed(seed)  # a resumed run draws the same
        with self.autocast():
            result = self.training_step(batch)
        batch_psnr_db = -10 * result.mse.clamp_min(LEAST_MSE).log10()
        numbers = torch.stack([result.loss.detach().float(), batch_psnr_db.float()])
        loss, psnr = numbers.tolist()  # the only wait for the device in a step
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss became {loss} in epoch {self.epoch + 1}: try a smaller learning rate"
            )
        self.optimizer.zero_grad(set_to_none=True)
        result.loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        if result.items is not None:
            self.items = result.items
        self.step_in_epoch += 1
        if self.options.fine_tuning is not None:
            self.step_schedule()
        self._since_entry.append((loss, psnr))
        return loss, psnr

    def measure(self, should_stop: Callable[[], bool] = lambda: False) -> LogEntry:
        """Measure the model as it stands; append the entry to the log and return it.

        A model that is not ready when the time is over is made ready first.

        Raises StoppedError, the entry then being due again; TrainingError where a weight or a
        score is not finite.
        """
        self.require_finite()
        loss, psnr = np.mean(self._since_entry, axis=0).tolist()
        ready = self.progress.is_past(self.model.ready_after)
        if self.budget.is_over and not ready:
            self.model.make_ready(batch.clips for batch in self.batches())
            ready = True
        self.learn_normal()
        learning_rate = float(self.schedule.get_last_lr()[0])
        entry = LogEntry(
            self.epoch + 1, self.steps_done, loss, psnr, learning_rate, None, ready=ready
        )
        if self.validation is not None:

            def score(clips: Tensor) -> tuple[Tensor, Tensor]:
                if should_stop():
                    raise StoppedError
                return self.score(clips)

            entry = replace(entry, held_out=self.validation.measure(score)._asdict())
            best_by = self.options.best_by
            better = criterion_value(entry, best_by) > criterion_value(self.best, best_by)
            entry = replace(entry, best=ready and better)
        self.log.append(entry)
        self._since_entry.clear()
        return entry

    @torch.no_grad()
    def learn_normal(self) -> None:
        """Let the model store what its weights give on whole pictures of some batches."""
        self.model.eval()
        numbers = self.footage.batches(self.options.batch, self.options.seed, self.epoch)
        with self.autocast():
            self.model.learn_normal(
                self.normalise(self.loader.load(windows))
                for windows in islice(numbers, NORMAL_BATCHES)
            )
        self.set_train_mode()

    @torch.no_grad()
    def score(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Return PSNR in dB and distance, (B,) each, of (B, T, H, W, 3) uint8 RGB.

        In eval mode; the memory stays as it is.
        """
        self.model.eval()
        with self.autocast():
            scores = score_clips(self.model, self.normalise(clips), self.items)
        self.set_train_mode()
        return scores

    def autocast(self) -> torch.autocast:
        """Return the context that convolutions run in, by the options' precision."""
        return autocast(self.device, self.options.precision)

    def require_finite(self) -> None:
        """Raise TrainingError where a weight or an item is not finite."""
        tensors = (self.items, *self.model.state_dict().values())
        if not all(torch.isfinite(tensor).all() for tensor in tensors):
            raise TrainingError(
                f"a weight is no number after epoch {self.epoch + 1}: try a smaller learning rate"
            )

    def fingerprint(self) -> dict[str, Any]:
        """Return what must be the same for a run to be resumed."""
        content = fingerprint(self.config, self.options, self.footage, self.validation)
        if self.start is None:
            return content
        return content | {"footage": content["footage"] | {"start": self.start.sha256}}

    def checkpoint(self, preprocess: Preprocess, provenance: dict[str, Any]) -> Checkpoint:
        """Return a copy of the model as it stands, on the CPU and not calibrated.

        Options, footage and the newest log entry are added to `provenance`.
        """
        provenance = provenance | {
            "train": self.options.header(),
            "footage": self.fingerprint()["footage"],
        }
        if self.log:
            provenance["row"] = asdict(self.log[-1])
        model = copy.deepcopy(self.model).eval().requires_grad_(False).cpu()
        return Checkpoint(
            name_of(self.config), model, self.items.cpu(), self.config, preprocess, None, provenance
        )

    def save(self, path: Path) -> None:
        """Write the state atomically. Raises TrainingError where a weight is not finite."""
        self.require_finite()
        with replacing(path) as temporary, temporary.open("wb") as file:
            torch.save({"fingerprint": self.fingerprint(), **self.state_dict()}, file)

    def resume(self, path: Path) -> None:
        """Load the state that `save` wrote.

        Raises CheckpointError where it is damaged or belongs to another run.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about pickles, which are refused anyway
                state = torch.load(path, weights_only=True, map_location=self.device)
        except Exception as error:  # torch.load raises whatever its reader does
            raise CheckpointError(
                f"{path.name} cannot be resumed from ({type(error).__name__}); remove it"
            ) from None
        if not isinstance(state, dict) or state.get("fingerprint") != self.fingerprint():
            raise CheckpointError(
                f"{path.name} belongs to a run with other options or footage; "
                "finish that one, or remove it"
            )
        self.load_state_dict(state)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs beside its options and footage."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "items": self.items,
            "epoch": self.epoch,
            "step_in_epoch": self.step_in_epoch,
            "rows": [asdict(entry) for entry in self.log],
            "since_row": self._since_entry,
            "spent_s": self.budget.spent_s,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.items = state["items"]
        self.epoch = state["epoch"]
        self.step_in_epoch = state["step_in_epoch"]
        self.log = [LogEntry(**entry) for entry in state["rows"]]
        self.budget = TimeBudget(self.options.limit_s, state["spent_s"], self.budget.clock)
        self._since_entry = state["since_row"]
