"""The checkpoints in use, each loaded once, and loaded anew when its file changes."""

from __future__ import annotations

from pathlib import Path

from models.checkpoint import load_checkpoint
from models.errors import CheckpointError
from models.header import SUFFIX
from models.scorer import Precision, Scorer

Signature = tuple[int, int, int]  # inode, size, time of change (ns)


class Scorers:
    """Scorers by model name. A damaged file is reported again only when it has changed."""

    def __init__(self, models_dir: Path, device: str, precision: Precision) -> None:
        self._models_dir = models_dir
        self._device = device
        self._precision = precision
        self._loaded: dict[str, tuple[Signature, Scorer | CheckpointError]] = {}

    def get(self, name: str) -> Scorer:
        """Raises CheckpointError where there is no such checkpoint or it cannot be used."""
        signature = self.signature(name)
        known = self._loaded.get(name)
        if known is None or known[0] != signature:
            known = (signature, self._load(name))
            self._loaded[name] = known
        if isinstance(known[1], CheckpointError):
            raise known[1]
        return known[1]

    def signature(self, name: str) -> Signature:
        """Changes whenever the file does. Raises CheckpointError where there is none."""
        try:
            stat = (self._models_dir / f"{name}{SUFFIX}").stat()
        except OSError:
            raise CheckpointError(f"there is no model {name!r} in the models folder (LOOKOUT_MODELS_DIR)") from None
        return stat.st_ino, stat.st_size, stat.st_mtime_ns

    def keep_only(self, names: set[str]) -> None:
        """Let go of checkpoints that no camera uses."""
        for name in self._loaded.keys() - names:
            del self._loaded[name]

    def _load(self, name: str) -> Scorer | CheckpointError:
        try:
            return Scorer(load_checkpoint(self._models_dir / f"{name}{SUFFIX}"), self._device, self._precision)
        except CheckpointError as error:
            return error
