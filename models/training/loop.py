"""Training on normal footage, as MNAD's authors do: Adam, cosine over the epochs, one memory for the whole batch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR

from models.checkpoint import Checkpoint
from models.device import Precision
from models.errors import CheckpointError, TrainingError
from models.family import Config, Stage
from models.files import replacing
from models.preprocess import Preprocess
from models.registry import make_model, name_of
from models.scoring import LEAST_MSE
from models.tensors import to_clips
from models.training.feed import Feed, fits
from models.training.footage import Footage

SAVE_EVERY_S = 30.0


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """The published schedule is the default."""

    epochs: int = 60
    batch: int = 4
    learning_rate: float = 2e-4
    seed: int = 0
    precision: Precision = "fp32"
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class Progress:
    step: int  # done, over all epochs
    steps: int
    epoch: int  # 0-based
    loss: float
    psnr_db: float  # of the batch's predictions


class StoppedError(Exception):
    """Training was asked to stop; its state is saved."""


class Trainer:
    """A model in training, with everything that a resumed run needs to go on as if nothing had happened."""

    def __init__(self, config: Config, options: TrainOptions, footage: Footage) -> None:
        torch.manual_seed(options.seed)
        self.config, self.options, self.footage = config, options, footage
        self.device = torch.device(options.device)
        self.feed = Feed(footage, self.device, resident=fits(footage.nbytes, self.device))
        self.model = make_model(name_of(config), config).to(self.device).train()
        self.model.to(memory_format=self.model.layout)  # type: ignore[call-overload]  # missing in torch's stubs
        self.items = self.model.initial_items().to(self.device)
        self.optimizer = Adam(self.model.parameters(), lr=options.learning_rate)
        self.schedule = CosineAnnealingLR(self.optimizer, T_max=options.epochs)
        self.epoch = 0
        self.step_in_epoch = 0

    @property
    def stage(self) -> Stage:
        return Stage(self.epoch, self.options.epochs)

    def normalise(self, clips: Tensor) -> Tensor:
        """(B, T, H, W, 3) uint8 RGB → (B, C T, H, W), as the model takes them."""
        needs = self.config.needs
        return to_clips(clips, self.device, gray=needs.gray, black=needs.black)

    def batches(self, first: int = 0) -> Iterator[Tensor]:
        """This epoch's batches from number `first` on, (B, C T, H, W) each."""
        numbers = self.footage.batches(self.options.batch, self.options.seed, self.epoch)
        return (self.normalise(self.feed(windows)) for windows in islice(numbers, first, None))

    def begin_epoch(self) -> None:
        """Before the first step of an epoch; a resumed run may come here again, with the same result."""
        self.model.begin_epoch(self.stage, self.batches())

    def step(self, clips: Tensor) -> tuple[float, float]:
        """One step of the optimiser and of the memory on (B, C T, H, W); gives loss and the batch's PSNR in dB.

        Raises TrainingError once the loss is no number: what was saved before is worth more than what would follow.
        """
        torch.manual_seed(hash((self.options.seed, self.epoch, self.step_in_epoch)))  # a resumed run draws the same
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.precision == "bf16"):
            lesson = self.model.lesson(clips, self.items, self.stage)
        self.optimizer.zero_grad(set_to_none=True)
        lesson.loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.items = lesson.items
        self.step_in_epoch += 1
        loss = lesson.loss.item()
        if not math.isfinite(loss):
            raise TrainingError(f"the loss became {loss} in epoch {self.epoch + 1}: try a smaller learning rate")
        return loss, -10 * lesson.mse.clamp_min(LEAST_MSE).log10().item()

    def end_epoch(self) -> None:
        self.schedule.step()
        self.epoch += 1
        self.step_in_epoch = 0

    def save(self, path: Path) -> None:
        """Write the state, atomically."""
        with replacing(path) as temporary:
            torch.save({"fingerprint": self.fingerprint(), **self._state()}, temporary)

    def resume(self, path: Path) -> None:
        """Go on where `save` left off. Raises CheckpointError for a damaged state or one of another run."""
        try:
            state = torch.load(path, weights_only=True, map_location=self.device)
        except Exception as error:  # torch.load raises whatever its reader does
            raise CheckpointError(f"{path.name} cannot be resumed from ({type(error).__name__}); remove it") from None
        if not isinstance(state, dict) or state.get("fingerprint") != self.fingerprint():
            raise CheckpointError(
                f"{path.name} belongs to a run with other options or footage; finish that one, or remove it"
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.items, self.epoch, self.step_in_epoch = state["items"], state["epoch"], state["step_in_epoch"]

    def fingerprint(self) -> dict[str, Any]:
        """What must be the same for a run to be continued."""
        footage = {"sha256": self.footage.sha256, "windows": len(self.footage.windows)}
        config = {"model": name_of(self.config)} | asdict(self.config)
        return {"config": config, "options": asdict(self.options), "footage": footage}

    def _state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "items": self.items,
            "epoch": self.epoch,
            "step_in_epoch": self.step_in_epoch,
        }


def train(
    trainer: Trainer,
    state_path: Path,
    *,
    report: Callable[[Progress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Run to the end of the last epoch, saving the state every SAVE_EVERY_S.

    Raises StoppedError, with the state saved, once `should_stop` says so between two steps; TrainingError.
    """
    options = trainer.options
    per_epoch = trainer.footage.batches_per_epoch(options.batch)
    saved_at = time.monotonic()
    while trainer.epoch < options.epochs:
        if trainer.step_in_epoch == 0:
            trainer.begin_epoch()
        for clips in trainer.batches(trainer.step_in_epoch):
            if should_stop():
                trainer.save(state_path)
                raise StoppedError
            loss, psnr = trainer.step(clips)
            done = trainer.epoch * per_epoch + trainer.step_in_epoch
            report(Progress(done, options.epochs * per_epoch, trainer.epoch, loss, psnr))
            if time.monotonic() - saved_at > SAVE_EVERY_S:
                trainer.save(state_path)
                saved_at = time.monotonic()
        trainer.end_epoch()


def finished(trainer: Trainer, preprocess: Preprocess, provenance: dict[str, Any]) -> Checkpoint:
    """The trained model as a checkpoint, not yet calibrated. Adds to its provenance how it was trained."""
    provenance = provenance | {"train": asdict(trainer.options), "footage": trainer.fingerprint()["footage"]}
    model = trainer.model.eval().requires_grad_(False).cpu()
    return Checkpoint(name_of(trainer.config), model, trainer.items.cpu(), trainer.config, preprocess, None, provenance)
