"""A checkpoint as a folder in the layout of a model hub: weights, `config.json` and a card.

The weights are the checkpoint itself, byte for byte, under the name that hubs look for.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lookout.models.checkpoint.header import (
    MAX_HEADER_BYTES,
    Header,
    digest,
    read_header,
    stored_precision,
)
from lookout.models.errors import CheckpointError
from lookout.models.media.atomic_file import replacing

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
CARD = "README.md"


def write_hub(folder: Path, checkpoint: Path, title: str, license_id: str | None = None) -> None:
    """Write a checkpoint as a folder of a model hub; the three files replace older ones.

    title: heading of the card. license_id: as hubs name licences, such as apache-2.0; None: the
    card says that it is not stated. Raises CheckpointError for what is no checkpoint, and OSError.
    """
    header = read_header(checkpoint)
    content = checkpoint.read_bytes()
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        WEIGHTS: content,
        CONFIG: (json.dumps(config_of(header), indent=2, sort_keys=True) + "\n").encode(),
        CARD: card(header, checkpoint, title, license_id).encode(),
    }
    for name, written in files.items():
        with replacing(folder / name) as temporary:
            temporary.write_bytes(written)
            temporary.chmod(0o644)


def config_of(header: Header) -> dict[str, Any]:
    """Return the content of `config.json`: the header without its provenance."""
    told = asdict(header)
    del told["provenance"]
    return {"library_name": "lookout", "model_type": told.pop("model"), **told}


def card(header: Header, checkpoint: Path, title: str, license_id: str | None) -> str:
    """Return the card: front matter that hubs read, then what a person wants to know."""
    front = ["library_name: lookout", "tags:", "- video-anomaly-detection", f"- {header.model}"]
    licence = "Not stated. What the weights were trained on may limit their use."
    if license_id is not None:
        front.insert(0, f"license: {license_id}")
        licence = license_id
    sides = f"{header.preprocess.width_px}x{header.preprocess.height_px}"
    rate = "any rate" if header.fps is None else f"{header.fps:g} frames/s"
    bounds = "no bounds of normal footage: `lookout calibrate` adds them, or a camera learns them"
    if header.calibration is not None:
        bounds = f"calibrated on {header.calibration.frames} normal frames"
    lines = [
        "---",
        *front,
        "---",
        "",
        f"# {title}",
        "",
        f"`{header.model}` for Lookout: scores each frame of a fixed camera by how unusual it is.",
        "",
        f"- input: {sides}, {rate}; {header.input_spec or 'see config.json'}",
        f"- weights: {stored_precision(checkpoint)}, sha256 {digest(checkpoint)}; {bounds}",
        f"- licence: {licence}",
        "",
        "## Use",
        "",
        "Each `--checkpoint` of Lookout's commands takes this folder:",
        "",
        "    lookout evaluate --checkpoint FOLDER --data CLIPS",
        "",
        f"The service takes `{WEIGHTS}` under a name of its own in `LOOKOUT_MODELS_DIR`.",
        "",
        "## Limits",
        "",
        "A score says how unusual a frame is to this model, not what it shows. No quality is"
        " stated here: `lookout evaluate` measures it on labelled footage, beside a copy of the"
        " last frame.",
        "",
        "## Provenance",
        "",
        "```json",
        json.dumps(header.provenance, indent=2, sort_keys=True),
        "```",
        "",
    ]
    return "\n".join(lines)


def weights_file(path: Path) -> Path:
    """Return the file of a checkpoint that is named by itself or by its folder of a model hub.

    Raises CheckpointError for a folder that is none, or whose `config.json` is of other weights.
    """
    if not path.is_dir():
        return path
    weights = path / WEIGHTS
    config = path / CONFIG
    if not (weights.is_file() and config.is_file()):
        raise CheckpointError(f"{path} is a folder without {WEIGHTS} and {CONFIG}")
    told = json.loads(json.dumps(config_of(read_header(weights))))
    try:
        if config.stat().st_size > MAX_HEADER_BYTES:
            raise CheckpointError(f"{config} is too long")
        found = json.loads(config.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{config} cannot be read: {type(error).__name__}") from None
    if found != told:
        raise CheckpointError(
            f"{config} does not describe {WEIGHTS} beside it: `lookout export --hub` writes both"
        )
    return weights
