"""A checkpoint in parts, for a way out that takes small files only.

`gate.safetensors` becomes `gate.safetensors.1of2`, `gate.safetensors.2of2` and
`gate.safetensors.parts.json`, which names each part with its size and SHA-256, and those of the
whole. `join` writes the whole, or nothing.
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
MAX_BYTES = 16_000_000
"""Size of a part: 16 MB."""


@dataclass(frozen=True, slots=True)
class FileDigest:
    """Name and content of a file."""

    name: str
    size_bytes: int
    sha256: str

    @classmethod
    def of(cls, name: str, content: bytes) -> FileDigest:
        """Return the digest of `content`."""
        return cls(name, len(content), sha256(content).hexdigest())


@dataclass(frozen=True, slots=True)
class Manifest:
    """A checkpoint and its parts, in order."""

    whole: FileDigest
    parts: list[FileDigest]

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read a manifest. Raises CheckpointError where it is missing, damaged or foreign."""
        try:
            data = json.loads(path.read_text())
            if data["format"] != FORMAT:
                raise CheckpointError(f"{path.name} was written by another version of Lookout")
            manifest = cls(
                FileDigest(**data["whole"]), [FileDigest(**part) for part in data["parts"]]
            )
            beside = [Path(part.name).name == part.name for part in manifest.parts]
        except FileNotFoundError:
            raise CheckpointError(f"{path.name}: there is no such file") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{path.name} is no list of parts: {type(error).__name__}"
            ) from None
        if not (beside and all(beside)):
            raise CheckpointError(
                f"{path.name} is no list of parts: it names none, or files elsewhere"
            )
        return manifest

    def contents(self, folder: Path) -> Iterator[bytes]:
        """Yield each part. Raises CheckpointError where one is missing or damaged."""
        for part in self.parts:
            try:
                content = (folder / part.name).read_bytes()
            except FileNotFoundError:
                raise CheckpointError(f"the part {part.name} is missing") from None
            if FileDigest.of(part.name, content) != part:
                raise CheckpointError(
                    f"{part.name} is damaged, or a part of another checkpoint: "
                    "its SHA-256 is another"
                )
            yield content


def cut(path: Path, max_bytes: int = MAX_BYTES) -> Path:
    """Write `path` in parts beside it; return the manifest, which is written last.

    Raises OSError.
    """
    content = path.read_bytes()
    pieces = [content[first : first + max_bytes] for first in range(0, len(content), max_bytes)]
    parts = []
    for number, piece in enumerate(pieces, 1):
        part = FileDigest.of(f"{path.name}.{number}of{len(pieces)}", piece)
        with replacing(path.with_name(part.name)) as temporary:
            temporary.write_bytes(piece)
        parts.append(part)
    manifest = Manifest(FileDigest.of(path.name, content), parts)
    manifest_path = path.with_name(path.name + SUFFIX)
    with replacing(manifest_path) as temporary:
        temporary.write_text(json.dumps({"format": FORMAT, **asdict(manifest)}, indent=1) + "\n")
    return manifest_path


def join(manifest_path: Path, out: Path) -> None:
    """Write `out` from the parts that lie beside the manifest.

    Raises CheckpointError where a part is missing, damaged or of another checkpoint, and OSError;
    `out` then stays as it was.
    """
    manifest = Manifest.read(manifest_path)
    digest = sha256()
    with replacing(out) as temporary, temporary.open("wb") as file:
        for content in manifest.contents(manifest_path.parent):
            digest.update(content)
            file.write(content)
        if digest.hexdigest() != manifest.whole.sha256:
            raise CheckpointError(
                f"the parts that {manifest_path.name} names do not make {manifest.whole.name}"
            )
