"""From a name to a model: what a name in a checkpoint or on the command line stands for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.errors import CheckpointError
from models.mnad import MnadConfig, MnadPred

MODELS = {"mnad-pred": (MnadConfig, MnadPred)}


def make_config(name: str, options: Mapping[str, Any]) -> MnadConfig:
    """The configuration of model `name`. Raises CheckpointError for an unknown name, option or unfit value."""
    try:
        return MODELS[name][0](**options)
    except KeyError:
        known = ", ".join(sorted(MODELS))
        raise CheckpointError(f"there is no model {name!r} (known: {known})") from None
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{name} cannot be configured so: {error}") from None


def make_model(name: str, config: MnadConfig) -> MnadPred:
    """The untrained network of model `name`."""
    return MODELS[name][1](config)
