"""From a name to a model: what a name in a checkpoint or on the command line stands for."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any, NamedTuple

from lookout.models.autoencoder import (
    Autoencoder,
    AutoencoderConfig,
    VariationalAutoencoder,
    VariationalConfig,
)
from lookout.models.base import AnyModel, Config
from lookout.models.copy_last import CopyLast, CopyLastConfig
from lookout.models.errors import CheckpointError
from lookout.models.intra import InTra, InTraConfig
from lookout.models.memae import MemAE, MemAEConfig
from lookout.models.memae_image import MemAEImage, MemAEImageConfig
from lookout.models.mnad import MnadConfig, MnadPred, MnadRecon, MnadReconConfig
from lookout.models.riad import RIAD, RIADConfig
from lookout.models.scadn import SCADN, SCADNConfig
from lookout.models.smai import SMAI, SMAIConfig
from lookout.models.std import STD, STDConfig


class ModelEntry(NamedTuple):
    """A model and the type of its configuration."""

    config: type[Config]
    model: Callable[[Any], AnyModel]  # takes a config of that type


MODELS: dict[str, ModelEntry] = {
    "mnad-pred": ModelEntry(MnadConfig, MnadPred),
    "mnad-recon": ModelEntry(MnadReconConfig, MnadRecon),
    "memae": ModelEntry(MemAEConfig, MemAE),
    "memae-image": ModelEntry(MemAEImageConfig, MemAEImage),
    "std": ModelEntry(STDConfig, STD),
    "ae": ModelEntry(AutoencoderConfig, Autoencoder),
    "vae": ModelEntry(VariationalConfig, VariationalAutoencoder),
    "riad": ModelEntry(RIADConfig, RIAD),
    "intra": ModelEntry(InTraConfig, InTra),
    "scadn": ModelEntry(SCADNConfig, SCADN),
    "smai": ModelEntry(SMAIConfig, SMAI),
    "places": ModelEntry(CopyLastConfig, CopyLast),
}

STORED_NAMES = {"fusion_weight": "lambda_"}
"""Fields of a configuration that checkpoints and run files keep under another name."""

MOST = 2**31 - 1
"""Of a whole number in a configuration: torch takes no larger size."""


SIZES_WITH_AN_OPTION = ("height_px", "width_px", "width", "items", "dim", "blocks")


def make_config(name: str, options: Mapping[str, Any]) -> Config:
    """Return the configuration of model `name`; options by their field's name or their stored one.

    Raises CheckpointError for an unknown name, an unknown option or an unfit value.
    """
    if name not in MODELS:
        raise CheckpointError(
            f"there is no model {reprlib.repr(name)} (known: {', '.join(sorted(MODELS))})"
        )
    published = {field.name: field.default for field in fields(MODELS[name].config)}
    named = {stored: field for field, stored in STORED_NAMES.items()}
    options = {named.get(option, option): value for option, value in options.items()}
    for option, value in options.items():
        if option not in published:
            known = ", ".join(published)
            raise CheckpointError(f"{name} has no {reprlib.repr(option)} (it has {known})")
        if not _is_like(value, published[option]):
            raise CheckpointError(
                f"{name} cannot be configured so: {option} is {reprlib.repr(value)}"
            )
    try:
        return MODELS[name].config(**options)
    except ValueError as error:
        raise CheckpointError(f"{name} cannot be configured so: {error}") from None


def stored_options(config: Config) -> dict[str, int | float]:
    """Return the configuration as checkpoints keep it, see `STORED_NAMES`.

    `make_config` takes it.
    """
    return {STORED_NAMES.get(name, name): value for name, value in asdict(config).items()}


def _is_like(value: object, published: object) -> bool:
    """Return whether a value is a whole number where one is published, else a finite one.

    JSON or a command may give anything.
    """
    if isinstance(published, float) and isinstance(value, float):
        return math.isfinite(value)
    return type(value) is int and abs(value) <= MOST


def sized(name: str, **sizes: int | None) -> Config:
    """Return the published configuration of model `name` in other sizes.

    A size of None stays as published, but for `dim`: with another `width` it keeps its proportion.
    Raises CheckpointError as `make_config` does.
    """
    published, given = (
        make_config(name, {}),
        {key: size for key, size in sizes.items() if size is not None},
    )
    proportions = {field.name: getattr(published, field.name) for field in fields(published)}
    for option in given.keys() - proportions.keys():
        raise CheckpointError(f"{name} has no --{option}")
    if "width" in given and "dim" in proportions and "dim" not in given:
        given["dim"] = proportions["dim"] * given["width"] // proportions["width"]
    return make_config(name, given)


def changed(config: Config, values: Mapping[str, str]) -> Config:
    """Return the configuration with other numbers than the published ones: a loss's weight, λ, γ.

    They come as text, as from a command. Sizes that have an option of their own are not among them.

    Raises CheckpointError for what is no such number of this model's, or one that it cannot take.
    """
    named = {stored: field for field, stored in STORED_NAMES.items()}
    values = {named.get(name, name): text for name, text in values.items()}
    present = {
        name: value for name, value in asdict(config).items() if name not in SIZES_WITH_AN_OPTION
    }
    for name in values:
        if name not in present:
            known = ", ".join(sorted(present)) or "none"
            raise CheckpointError(f"{name_of(config)} has no number {name!r} (known: {known})")
    given = {name: parse_number(name, text, present[name]) for name, text in values.items()}
    return make_config(name_of(config), asdict(config) | given)


def parse_number(name: str, text: str, present: int | float) -> int | float:
    """Return the number of a text, from 0 on, and whole where the present one is.

    Raises CheckpointError.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:  # nan is neither
        raise CheckpointError(f"{name} must be a number from 0 on, not {text!r}")
    if isinstance(present, float):
        return number
    if not number.is_integer():
        raise CheckpointError(f"{name} must be a whole number, not {text!r}")
    return int(number)


def name_of(config: Config) -> str:
    """The model that this is a configuration of."""
    return next(name for name, entry in MODELS.items() if entry.config is type(config))


def make_model(name: str, config: Config) -> AnyModel:
    """The untrained network of model `name`."""
    return MODELS[name].model(config)
