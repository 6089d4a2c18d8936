"""The metadata of a checkpoint, read without torch and without its weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

from safetensors import SafetensorError, safe_open

from lookout.models.errors import CheckpointError
from lookout.models.input_spec import InputSpec, Memory
from lookout.models.media.preprocess import VERSION, Preprocess
from lookout.models.scoring.calibration import Bounds

FORMAT = 1
METADATA_KEY = "lookout"
SUFFIX = ".safetensors"


@dataclass(frozen=True, slots=True)
class Header:
    """A checkpoint's metadata: everything but the tensors."""

    model: str  # a name of the registry
    config: dict[str, Any]  # as `registry.stored_options` names them
    preprocess: Preprocess
    calibration: Bounds | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    input_spec: InputSpec | None = (
        None  # follows from the config, for those who have no torch; None: of an older version
    )
    content_sha256: str | None = None  # of all that decides a score; None: of an older version

    def metadata(self) -> dict[str, str]:
        """Return the header as safetensors keeps it: strings only."""
        stored = asdict(self)
        stored["needs"] = stored.pop("input_spec")  # the key of earlier versions, too
        return {METADATA_KEY: json.dumps({"format": FORMAT, **stored}, sort_keys=True)}

    def deciding(self) -> str:
        """Return the part that decides a score, as JSON.

        Left out are the provenance, what follows from the rest, and the digest.
        """
        told = {"model": self.model, "config": self.config, "preprocess": asdict(self.preprocess)}
        bounds = asdict(self.calibration) if self.calibration else {}
        known = {
            name: bound for name, bound in bounds.items() if bound is not None
        }  # later versions may have more
        return json.dumps(told | {"calibration": known}, sort_keys=True)


def read_header(path: Path) -> Header:
    """Read `path`'s header.

    Raises CheckpointError: missing, damaged, not Lookout's, or from a newer version.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except FileNotFoundError:
        raise CheckpointError(f"{path.name}: there is no such file") from None
    except OSError as error:
        raise CheckpointError(f"{path.name} cannot be read: {error.strerror or error}") from error
    except SafetensorError as error:
        raise CheckpointError(f"{path.name} is no readable checkpoint: {error}") from error
    if METADATA_KEY not in metadata:
        raise CheckpointError(
            f"{path.name} was not written by Lookout "
            "(MNAD weights of the authors: lookout import-mnad)"
        )
    return _parse(path, metadata[METADATA_KEY])


def _parse(path: Path, text: str) -> Header:
    try:
        data = json.loads(text)
        if data["format"] != FORMAT or data["preprocess"]["version"] != VERSION:
            raise CheckpointError(f"{path.name} was written by another version of Lookout")
        calibration, spec = data["calibration"], data.get("needs")
        return Header(
            model=_text(data["model"]),
            config=dict(data["config"]),
            preprocess=Preprocess(**data["preprocess"]),
            calibration=Bounds.of_json(calibration) if calibration else None,
            provenance=dict(data["provenance"]),
            input_spec=_input_spec(spec) if spec else None,
            content_sha256=data.get("content_sha256"),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path.name} has a damaged header: {error!r}") from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _input_spec(data: dict[str, Any]) -> InputSpec:
    found = InputSpec(**data | {"items": tuple(data["items"])})
    if found.memory not in get_args(Memory) or not 0 <= found.scored < found.frames:
        raise ValueError(found)
    return found


def stored_precision(path: Path) -> str:
    """Return the precision of the stored weights: float16 or float32.

    path: a checkpoint that `read_header` takes.
    """
    with safe_open(path, framework="numpy") as file:
        names = file.keys()
        found = {file.get_slice(name).get_dtype() for name in names}
    return "float16" if "F16" in found else "float32"


def find_checkpoints(*folders: Path) -> dict[str, Path]:
    """Return the checkpoints of all folders by name (file stem), sorted.

    The first folder that has a name wins.
    """
    found = {path.stem: path for folder in reversed(folders) for path in folder.glob(f"*{SUFFIX}")}
    return dict(sorted(found.items()))
