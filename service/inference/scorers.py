"""The checkpoints in use, each loaded once, and again when its file changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lookout.models.checkpoint.file import load_checkpoint
from lookout.models.checkpoint.header import SUFFIX, digest, find_checkpoints
from lookout.models.device import Precision
from lookout.models.errors import CheckpointError
from lookout.models.scorer import Scorer

Signature = tuple[int, int, int]  # inode, size, time of change (ns)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A checkpoint as it was read, or the reason why it cannot be used."""

    signature: Signature
    scorer: Scorer | None
    digest: str
    reason: str = ""


class Scorers:
    """Scorers by model name."""

    def __init__(self, folders: Sequence[Path], device: str, precision: Precision) -> None:
        self._folders = folders
        self._device = device
        self._precision = precision
        self._loaded: dict[str, Loaded] = {}

    def get(self, name: str) -> tuple[Scorer, str]:
        """Return the scorer and its checkpoint's digest; load it where the file has changed.

        Raises CheckpointError where there is no such checkpoint or it cannot be used.
        """
        signature = self.signature(name)
        known = self._loaded.get(name)
        if known is None or known.signature != signature:
            known = self._loaded[name] = self._load(name, signature)
        if known.scorer is None:
            raise CheckpointError(known.reason)
        return known.scorer, known.digest

    def signature(self, name: str) -> Signature:
        """Return a value that changes whenever the file does.

        Raises CheckpointError where there is none.
        """
        try:
            stat = self._path(name).stat()
        except OSError:
            places = " or ".join(str(folder) for folder in self._folders)
            raise CheckpointError(f"there is no model {name!r} in {places}") from None
        return stat.st_ino, stat.st_size, stat.st_mtime_ns

    def keep_only(self, names: set[str]) -> None:
        """Unload checkpoints that no camera uses."""
        for name in self._loaded.keys() - names:
            del self._loaded[name]

    def _path(self, name: str) -> Path:
        """Return the path of the checkpoint; where there is none, its path in the first folder."""
        paths = [folder / f"{name}{SUFFIX}" for folder in self._folders]
        for path in paths:
            if path.exists():
                return path
        return find_checkpoints(*self._folders).get(name, paths[0])

    def _load(self, name: str, signature: Signature) -> Loaded:
        try:
            scorer = Scorer(load_checkpoint(self._path(name)), self._device, self._precision)
            return Loaded(signature, scorer, digest(self._path(name)))
        except (CheckpointError, OSError, RuntimeError) as error:  # the last: no room on the device
            return Loaded(signature, None, "", str(error).strip().splitlines()[0])
