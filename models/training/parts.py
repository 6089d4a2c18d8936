"""A checkpoint in parts, for a way out that takes small files only; and together again, whole or not at all.

`gate.safetensors` becomes `gate.safetensors.1of2`, `gate.safetensors.2of2` and `gate.safetensors.parts.json`, which
names each part with its size and SHA-256, and those of the whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from lookout.models.errors import CheckpointError
from lookout.models.media.atomic_file import replacing

FORMAT = 1
SUFFIX = ".parts.json"
MOST_BYTES = 16_000_000
"""Of a part: 16 MB."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A file, by its name and content."""

    name: str
    size_bytes: int
    sha256: str

    @classmethod
    def of(cls, name: str, content: bytes) -> Piece:
        return cls(name, len(content), sha256(content).hexdigest())


@dataclass(frozen=True, slots=True)
class Manifest:
    """What belongs together."""

    whole: Piece
    parts: list[Piece]  # in order


def cut(path: Path, most_bytes: int = MOST_BYTES) -> Path:
    """Write `path` in parts beside it; gives the manifest, which comes last. Raises OSError."""
    content = path.read_bytes()
    pieces = [content[first : first + most_bytes] for first in range(0, len(content), most_bytes)]
    parts = []
    for number, piece in enumerate(pieces, 1):
        parts.append(Piece.of(f"{path.name}.{number}of{len(pieces)}", piece))
        with replacing(path.with_name(parts[-1].name)) as temporary:
            temporary.write_bytes(piece)
    manifest = path.with_name(path.name + SUFFIX)
    with replacing(manifest) as temporary:
        text = json.dumps(
            {"format": FORMAT, **asdict(Manifest(Piece.of(path.name, content), parts))}, indent=1
        )
        temporary.write_text(text + "\n")
    return manifest


def join(manifest: Path, out: Path) -> None:
    """Put the parts that lie beside `manifest` together. Raises CheckpointError, in one line, where one is missing,
    damaged or of another checkpoint; OSError. `out` is as before then.
    """
    wanted = _read(manifest)
    total = sha256()
    with replacing(out) as temporary, temporary.open("wb") as file:
        for content in _contents(manifest.parent, wanted.parts):
            total.update(content)
            file.write(content)
        if total.hexdigest() != wanted.whole.sha256:
            raise CheckpointError(
                f"the parts that {manifest.name} names do not make {wanted.whole.name}"
            )


def _contents(folder: Path, parts: list[Piece]) -> Iterator[bytes]:
    for part in parts:
        try:
            content = (folder / part.name).read_bytes()
        except FileNotFoundError:
            raise CheckpointError(f"the part {part.name} is missing") from None
        if Piece.of(part.name, content) != part:
            raise CheckpointError(
                f"{part.name} is damaged, or a part of another checkpoint: its SHA-256 is another"
            )
        yield content


def _read(path: Path) -> Manifest:
    try:
        data = json.loads(path.read_text())
        if data["format"] != FORMAT:
            raise CheckpointError(f"{path.name} was written by another version of Lookout")
        found = Manifest(Piece(**data["whole"]), [Piece(**part) for part in data["parts"]])
        names = [Path(part.name).name == part.name for part in found.parts]
    except FileNotFoundError:
        raise CheckpointError(f"{path.name}: there is no such file") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path.name} is no list of parts: {type(error).__name__}") from None
    if not (names and all(names)):
        raise CheckpointError(f"{path.name} is no list of parts: it names none, or files elsewhere")
    return found
