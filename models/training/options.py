"""Options of a run, and the fingerprint that says whether two runs are the same."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from lookout.models.base import Config
from lookout.models.data.footage import Footage
from lookout.models.device import Precision
from lookout.models.registry import name_of, stored_options
from lookout.models.training.progress import Criterion
from lookout.models.training.validation import Validation


@dataclass(frozen=True, slots=True)
class FineTuning:
    """Schedule of a run of minutes that starts from a checkpoint.

    Batch normalisation keeps the statistics of the start: those of a few windows of one scene are
    not worth having. The losses of MNAD's memory are left out: they move features that the decoder
    then has to follow. The learning rate rises over the first steps, and falls to 0 along a cosine
    as the time budget ends.
    """

    warm_up_steps: int = 10
    crop_px: int = 128  # side of a random square of each window; larger than the frame: all of it


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """Schedule, seed and device of a run. The defaults are the published schedule of MNAD."""

    epochs: int = 60
    batch: int = 4  # windows
    learning_rate: float = 2e-4  # of Adam at the beginning
    seed: int = 0
    precision: Precision = "fp32"
    device: str = "cpu"
    log_every: int = 0  # steps; 0: an epoch
    patience: int = 0  # entries of a ready model in a row without a new best; 0: no early end
    best_by: Criterion = "psnr"
    deterministic: bool = False
    compiled: bool = False
    limit_s: float = 0.0  # of training; the run then ends with an entry; 0: no limit
    fine_tuning: FineTuning | None = None  # None: the published schedule

    def header(self) -> dict[str, Any]:
        """Return the options by the keys that checkpoints and saved states carry.

        `fine_tuning` is there only where it is set: earlier versions have no such key.
        """
        names = {"log_every": "row_every", "limit_s": "most_s"}
        options = {names.get(name, name): value for name, value in asdict(self).items()}
        if self.fine_tuning is None:
            del options["fine_tuning"]
        return options


PUBLISHED = TrainOptions()


def fingerprint(
    config: Config, options: TrainOptions, footage: Footage, validation: Validation | None
) -> dict[str, Any]:
    """Return what must be the same for a run to be resumed: model, options and footage."""
    content: dict[str, Any] = {"sha256": footage.sha256, "windows": len(footage.windows)}
    if validation is not None:
        held_out = validation.footage
        content["held_out"] = {"sha256": held_out.sha256, "clips": list(held_out.names)}
    return {
        "config": {"model": name_of(config)} | stored_options(config),
        "options": options.header(),
        "footage": content,
    }
