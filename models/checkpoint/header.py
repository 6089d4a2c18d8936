"""The metadata of a checkpoint, read without torch and without its weights."""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

from safetensors import SafetensorError, safe_open

from lookout.models.checkpoint.foreign import describe_foreign
from lookout.models.errors import CheckpointError
from lookout.models.input_spec import InputSpec, Memory
from lookout.models.media.preprocess import VERSION, Preprocess
from lookout.models.scoring.calibration import PLACE_WEIGHT, Bounds

FORMAT = 1
METADATA_KEY = "lookout"
TABLE_KEY = "lookout-table"
"""Key of the metadata of a model of tables, which no camera can have."""
TABLE_MODEL = "memae-table"
SUFFIX = ".safetensors"
MAX_DEPTH = 20
MAX_HEADER_BYTES = 8 * 2**20
"""A hundred times that of a large model."""

SHIPPED_FPS = {
    "d132a50725add4c0729d2b4d7a7d0b777474cdf34b21eeeda8a71102ed4a75c9": 10.0,  # square
    "538d18f37ab69e2fd04ca39102ab1a0af636cbd96b7fa6eacaa9484e4b286bed": 10.0,  # ped2/compact
}
"""Frame rates of the checkpoints that come with Lookout and do not say theirs, by content."""


@dataclass(frozen=True, slots=True)
class Header:
    """A checkpoint's metadata: everything but the tensors."""

    model: str  # a name of the registry
    config: dict[str, Any]  # as `registry.stored_options` names them
    preprocess: Preprocess
    calibration: Bounds | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    # Follows from the config, for those who have no torch; None: of an older version.
    input_spec: InputSpec | None = None
    content_sha256: str | None = None  # of all that decides a score; None: of an older version
    fps: float | None = None  # frames a second of the footage that it was trained on; None: unknown
    place_weight: float = PLACE_WEIGHT  # share of a memory of places in a fused value, 0 to 1

    @property
    def learned_camera(self) -> str | None:
        """The camera that learned it in place; None for a general one."""
        learned = self.provenance.get("learned")
        return learned.get("camera") if isinstance(learned, dict) else None

    def metadata(self) -> dict[str, str]:
        """Return the header as safetensors keeps it: strings only."""
        stored = asdict(self)
        stored["needs"] = stored.pop("input_spec")  # the key of earlier versions, too
        if self.place_weight == PLACE_WEIGHT:  # a file without one is that of earlier versions
            del stored["place_weight"]
        return {METADATA_KEY: json.dumps({"format": FORMAT, **stored}, sort_keys=True)}

    def deciding(self) -> str:
        """Return the part that decides a score, as JSON.

        Left out are the provenance, the frame rate, what follows from the rest, and the digest.
        """
        told: dict[str, Any] = {
            "model": self.model,
            "config": self.config,
            "preprocess": asdict(self.preprocess),
        }
        known = {}
        if self.calibration is not None:  # later versions may have more bounds than this one
            bounds = asdict(self.calibration)
            known = {name: bound for name, bound in bounds.items() if bound is not None}
        told["calibration"] = known
        if self.place_weight != PLACE_WEIGHT:  # files of earlier versions keep their digest
            told["place_weight"] = self.place_weight
        return json.dumps(told, sort_keys=True)


def read_header(path: Path) -> Header:
    """Read `path`'s header.

    Raises CheckpointError: missing, damaged, not Lookout's, or from a newer version.
    """
    try:
        stat = path.stat()
    except FileNotFoundError:
        raise CheckpointError(f"{path.name}: there is no such file") from None
    except OSError as error:
        raise CheckpointError(f"{path.name} cannot be read: {error.strerror or error}") from error
    found = read_once(path, stat.st_ino, stat.st_size, stat.st_mtime_ns)
    if isinstance(found, str):
        raise CheckpointError(found)
    return found


@lru_cache(maxsize=1024)
def read_once(path: Path, *_signature: int) -> Header | str:
    """Return the header, or why there is none; read again only where the file has changed."""
    try:
        with opened(path) as file:
            metadata = file.metadata() or {}
        if TABLE_KEY in metadata:
            return f"{path.name} scores rows of numbers (lookout evaluate), no frames of a camera"
        if METADATA_KEY not in metadata:
            return (
                f"{path.name} was not written by Lookout "
                "(MNAD weights of the authors: lookout import-mnad)"
            )
        return parse_header(path, metadata[METADATA_KEY])
    except CheckpointError as error:
        return str(error)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a safetensors file whose header is not too long, for its names, shapes and metadata.

    Raises CheckpointError, in one line, which says what the file is instead.
    """
    try:
        with path.open("rb") as start:
            length = int.from_bytes(start.read(8), "little")
        if (what := describe_foreign(path)) is not None:
            raise CheckpointError(f"{path.name} {what}")
        if MAX_HEADER_BYTES < length < path.stat().st_size:
            raise CheckpointError(f"{path.name} is no readable checkpoint: its header is too long")
        with safe_open(path, framework="numpy") as file:
            yield file
    except OSError as error:
        raise CheckpointError(f"{path.name} cannot be read: {error.strerror or error}") from error
    except SafetensorError as error:
        reason = str(error).strip().partition("\n")[0][:200]
        raise CheckpointError(f"{path.name} is no readable checkpoint: {reason}") from error


def is_table_file(path: Path) -> bool:
    """Return whether a file holds a model of tables. Raises CheckpointError as `opened` does."""
    with opened(path) as file:
        return TABLE_KEY in (file.metadata() or {})


def parse_header(path: Path, text: str) -> Header:
    """Read the header's JSON; `path` names the file in messages. Raises CheckpointError."""
    try:
        data = json.loads(text)
        check_depth(data)
        if data["format"] != FORMAT or data["preprocess"]["version"] != VERSION:
            raise CheckpointError(f"{path.name} was written by another version of Lookout")
        calibration = None
        if data["calibration"]:
            calibration = Bounds.of_json(data["calibration"])
        spec = None
        if data.get("needs"):
            spec = parse_input_spec(data["needs"])
        return Header(
            model=printable(data["model"]),
            config=dict(data["config"]),
            preprocess=Preprocess(**data["preprocess"]),
            calibration=calibration,
            provenance=dict(data["provenance"]),
            input_spec=spec,
            content_sha256=data.get("content_sha256"),
            fps=parse_fps(data.get("fps", SHIPPED_FPS.get(data.get("content_sha256")))),
            place_weight=parse_share(data.get("place_weight", PLACE_WEIGHT)),
        )
    except RecursionError:
        raise CheckpointError(
            f"{path.name} has a damaged header: it is nested too deeply"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = repr(error)[:200]
        raise CheckpointError(f"{path.name} has a damaged header: {reason}") from error


def check_depth(value: object) -> None:
    """Raise ValueError for JSON nested deeper than MAX_DEPTH: it could not be copied or written."""
    level = [value]
    for _ in range(MAX_DEPTH):
        inner: list[object] = []
        for one in level:
            if isinstance(one, dict):
                inner += one.values()
            elif isinstance(one, list):
                inner += one
        level = inner
    if level:
        raise ValueError("it is nested too deeply")


def printable(name: object) -> str:
    """Return a name of printable ASCII. Raises TypeError for anything else."""
    if not isinstance(name, str) or not re.fullmatch(r"[!-~]{1,100}", name):
        raise TypeError(name)
    return name


def parse_fps(value: Any) -> float | None:
    """Read the frame rate of a header. Raises ValueError or TypeError for what is none."""
    if value is None:
        return None
    if not 0 < float(value) < math.inf:
        raise ValueError(value)
    return float(value)


def parse_share(value: Any) -> float:
    """Read a share of a header, 0 to 1. Raises ValueError or TypeError for what is none."""
    if not 0 <= float(value) <= 1:
        raise ValueError(value)
    return float(value)


def parse_input_spec(data: dict[str, Any]) -> InputSpec:
    """Read the input spec of a header. Raises ValueError, KeyError or TypeError."""
    found = InputSpec(**data | {"items": tuple(data["items"])})
    counts = (found.frames, found.scored, *found.items)
    if any(type(count) is not int or not 0 <= count < 2**31 for count in counts):
        raise ValueError(found)
    if found.memory not in get_args(Memory) or not found.scored < found.frames:
        raise ValueError(found)
    return found


def stored_precision(path: Path) -> str:
    """Return the precision of the stored weights: float16 or float32.

    path: a checkpoint that `read_header` takes.
    """
    found = {dtype for dtype, _ in stored_sizes(path).values()}
    return "float16" if "F16" in found else "float32"


def stored_sizes(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return dtype (as safetensors names it) and shape of each tensor, without reading it.

    Raises CheckpointError.
    """
    with opened(path) as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  no mapping
        return {name: (one.get_dtype(), tuple(one.get_shape())) for name, one in slices.items()}


def find_checkpoints(*folders: Path) -> dict[str, Path]:
    """Return the checkpoints of all folders and their subfolders by name (file stem), sorted.

    The first folder that has a name wins, and a folder itself before every subfolder, of which
    hidden ones do not count. What lies in a subfolder is for who asks for it by its name.
    """
    found = {
        path.stem: path
        for pattern in (f"[!.]*/*{SUFFIX}", f"*{SUFFIX}")
        for folder in reversed(folders)
        for path in sorted(folder.glob(pattern), reverse=True)
        if path.stem.isprintable()  # a name that is no text cannot be asked for
    }
    return dict(sorted(found.items()))


def digest(path: Path) -> str:
    """The first 16 hex digits of a file's SHA-256: names its content in tables and provenance."""
    return sha256(path.read_bytes()).hexdigest()[:16]
