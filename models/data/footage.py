"""Normal clips in memory, and every window of T frames in them: what a model is trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lookout.models.arrays import Pixels
from lookout.models.data.clips import STRICT, MemoryLimit, Reading, clip_parts, require_length
from lookout.models.media.preprocess import Preprocess


@dataclass(frozen=True, slots=True)
class Footage:
    """Clips in memory as uint8, and every window of T frames in them."""

    clip_names: tuple[str, ...]  # of each; the parts of one recording have one name
    clips: list[Pixels]  # each (N, H, W, 3) RGB
    windows: npt.NDArray[np.int64]  # (windows, 2): clip, first frame
    t_length: int
    sha256: str  # of the decoded content: 16 hex digits

    @classmethod
    def load(
        cls,
        paths: list[Path],
        preprocess: Preprocess,
        t_length: int,
        reading: Reading = STRICT,
        memory: MemoryLimit | None = None,
    ) -> Footage:
        """Decode clips. `memory` is shared with others; None: these have their own.

        Raises VideoError for a clip that cannot be read, DataError for one of less than `t_length`
        frames, or for more than memory holds.
        """
        memory = memory or MemoryLimit(paths, preprocess, reading.sample_fps)
        parts = {
            path.name: clip_parts(path, preprocess, t_length, reading, memory) for path in paths
        }
        return cls.of_parts(parts, t_length)

    @classmethod
    def of(cls, clips: Mapping[str, Pixels], t_length: int) -> Footage:
        """Take clips, (N, H, W, 3) uint8 RGB, by name.

        Raises DataError for one of less than `t_length` frames.
        """
        for name, clip in clips.items():
            require_length(name, [clip], t_length)
        return cls.of_parts({name: [clip] for name, clip in clips.items()}, t_length)

    @classmethod
    def of_parts(cls, parts: Mapping[str, list[Pixels]], t_length: int) -> Footage:
        """Take recordings, by name, in parts of at least `t_length` frames, in their order."""
        names = tuple(name for name, own in parts.items() for _ in own)
        clips = [clip for own in parts.values() for clip in own]
        windows = [
            (number, first)
            for number, clip in enumerate(clips)
            for first in range(len(clip) - t_length + 1)
        ]
        digest = sha256()
        for clip in clips:
            digest.update(np.ascontiguousarray(clip).reshape(-1).data)  # without a copy
        return cls(names, clips, np.array(windows, np.int64), t_length, digest.hexdigest()[:16])

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the recordings, each once."""
        return tuple(dict.fromkeys(self.clip_names))

    def parts(self, name: str) -> list[Pixels]:
        """Return the parts of one recording."""
        return [clip for own, clip in zip(self.clip_names, self.clips, strict=True) if own == name]

    def window(self, index: int) -> Pixels:
        """Return a window, (T, H, W, 3) uint8 RGB."""
        clip, first = self.windows[index]
        frames: Pixels = self.clips[clip][first : first + self.t_length]
        return frames

    def batches(self, size: int, seed: int, epoch: int) -> Iterator[npt.NDArray[np.int64]]:
        """Yield one epoch's windows as batches, in an order that seed and epoch alone decide.

        The last, smaller batch is left out.
        """
        order = np.random.default_rng((seed, epoch)).permutation(len(self.windows))
        size = min(size, len(order))
        for start in range(0, len(order) - size + 1, size):
            yield order[start : start + size]

    def batches_per_epoch(self, size: int) -> int:
        """Return the number of batches that `batches` yields."""
        return max(1, len(self.windows) // size)

    @property
    def nbytes(self) -> int:
        """Bytes of all clips."""
        return sum(clip.nbytes for clip in self.clips)
