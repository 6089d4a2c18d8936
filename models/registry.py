"""From a name to a model: what a name in a checkpoint or on the command line stands for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.errors import CheckpointError
from models.mnad import Mnad, MnadConfig, MnadPred, MnadRecon, MnadReconConfig

MODELS: dict[str, tuple[type[MnadConfig], type[Mnad]]] = {
    "mnad-pred": (MnadConfig, MnadPred),
    "mnad-recon": (MnadReconConfig, MnadRecon),
}


def make_config(name: str, options: Mapping[str, Any]) -> MnadConfig:
    """The configuration of model `name`. Raises CheckpointError for an unknown name, option or unfit value."""
    try:
        return MODELS[name][0](**options)
    except KeyError:
        known = ", ".join(sorted(MODELS))
        raise CheckpointError(f"there is no model {name!r} (known: {known})") from None
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{name} cannot be configured so: {error}") from None


def name_of(config: MnadConfig) -> str:
    """The model that this is a configuration of."""
    return next(name for name, (kind, _) in MODELS.items() if kind is type(config))


def make_model(name: str, config: MnadConfig) -> Mnad:
    """The untrained network of model `name`."""
    return MODELS[name][1](config)
