"""The state that a model's live form carries from frame to frame of one camera's session.

It is the model's own: uint8 numbers of any shape. A snapshot holds them compressed, so that a new
owner of the camera goes on with the same bits.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from torch import Tensor, from_numpy

MOST_BYTES = 64 * 1024 * 1024
"""Of a state in a snapshot: more is none of ours."""


@dataclass(frozen=True, slots=True)
class Carried:
    """A state and the session that it belongs to; None: there is none."""

    session: int | None = None
    state: Tensor | None = None  # uint8

    def to_json(self) -> dict[str, Any]:
        """Return it for a snapshot; only where there is a state."""
        assert self.state is not None, "there is no state"  # noqa: S101
        numbers = self.state.cpu().numpy()
        packed = zlib.compress(numbers.tobytes(), level=1)
        return {
            "session": self.session,
            "shape": list(numbers.shape),
            "numbers": base64.b64encode(packed).decode(),
        }

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> Carried:
        """Continue from `to_json`'s result.

        Raises ValueError, TypeError or KeyError for anything else.
        """
        shape = [int(side) for side in state["shape"]]
        size = prod(shape)
        if min(shape) < 1 or size > MOST_BYTES:
            raise ValueError("a carried state has no such shape")
        unpacking = zlib.decompressobj()
        try:
            numbers = unpacking.decompress(
                base64.b64decode(state["numbers"], validate=True), size + 1
            )
        except zlib.error as error:
            raise ValueError(f"a carried state is broken: {error}") from None
        if len(numbers) != size or not unpacking.eof:
            raise ValueError("a carried state is not as long as its shape says")
        restored = np.frombuffer(numbers, np.uint8).reshape(shape).copy()
        return cls(int(state["session"]), from_numpy(restored))
