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

    def header(self) -> dict[str, Any]:
        """Return the options by the keys that checkpoints and saved states carry."""
        names = {"log_every": "row_every", "limit_s": "most_s"}
        return {names.get(name, name): value for name, value in asdict(self).items()}


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
