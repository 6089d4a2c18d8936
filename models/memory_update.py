"""Memory update rules: as published, guarded, or none. See `UpdateRule`.

The published update (`memory.update`) has no rate and no way back. Its gate lets an event through
as soon as the event is *predicted* well, however strange it looks to the memory; one such frame all
but replaces the items it asks for, and they stay so until a normal frame passes the gate and asks
for them too. For an evaluation of minutes that is the protocol; for a camera that runs for months,
the guard has four parts:

- the gate is a quantile of the camera's own normal gate error (`bounds.GATE_QUANTILE`);
- a rate: an item goes a small part of the way to where the published update would put it;
- a bound: an item stays on a cap around where training left it;
- a way back: where the memory leans on that bound for long, `Rollback` says to start again from the
  trained items.

Shapes: items and trained items (B, M, D) or (M, D) float32, unit length along D. Drift is 1 -
cosine, in [0, 2].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  torch's own convention
from torch import Tensor

from lookout.models import memory

RATE = 3e-4
"""Share of the way that an item moves at an update.

At 10 frames/s with half of the normal frames passing, a change is followed in ten minutes, which is
fast enough for the light of the day; a van that passes in 6 s moves an item by 2 %, one frame by
nothing.
"""

NORMAL_ANGLES = 0.5
"""The bound on an item's turn from where training left it.

In angles between a normal query and its item. At right angles, squares add up: with every item at
its bound, the distance of normal frames has grown by a quarter of its upper bound, whatever the
memory was shown. That is room enough for most of what following normal footage gains; twice the
angle would let an event like that of `tests/bench/forgetting.py` lift the values of normal frames
beyond 0.5.
"""

ROLLBACK_AFTER = 10_000
"""Updates: three times what the rate needs to follow a change, half an hour of a camera at 10
frames/s.
"""

ROLLBACK_SHARE = 0.2
"""Share of those updates that the guard held back.

One normal frame in a hundred lies beyond the normal distance: `bounds.QUANTILE`.
"""

_AT_THE_BOUND = 0.99  # of the bound: float32 puts an item on its edge now on this side, now on that
_NO_BOUND = 2.0  # the largest 1 - cosine there is


@dataclass(frozen=True, slots=True)
class UpdateRule:
    """The rule by which one frame updates one camera's memory."""

    gate: float  # gate errors below it update the memory
    rate: float  # share of the way to the published update, 0 to 1
    drift_most: (
        float | None
    )  # the largest 1 - cosine between an item and its trained self; None: no bound
    distance_high: float = 0.0  # frames beyond it are unusual to the memory; only `Rollback` asks

    @classmethod
    def paper(cls, gamma: float) -> UpdateRule:
        """The published update, bit for bit, behind the published gate γ."""
        return cls(gamma, 1.0, None)

    @classmethod
    def guarded_by(
        cls, gate_error: float | None, distance_high: float, dim: int, gamma: float
    ) -> UpdateRule:
        """A small step, and never far, in the measures of the camera's own normal footage.

        gate_error, distance_high: of its bounds. dim: D. gamma: the gate where the bounds hold none
        (they were taken by an older version).
        """
        gate = gamma if gate_error is None else gate_error
        # A distance is a mean over D of squares, so 1 - cosine = D distance / 2;
        # and 1 - cos(k x) ≈ k² (1 - cos x).
        drift_most = NORMAL_ANGLES**2 * dim * distance_high / 2
        return cls(gate, RATE, min(drift_most, _NO_BOUND), distance_high)

    @classmethod
    def fixed(cls) -> UpdateRule:
        """Never updates: no gate error is below 0."""
        return cls(0.0, 0.0, None)


class Rules(NamedTuple):
    """The rules of a batch on its device, each (B,) float32."""

    gate: Tensor
    rate: Tensor
    drift_most: Tensor

    @classmethod
    def of(cls, rules: Sequence[UpdateRule], device: torch.device) -> Rules:
        """Return the rules of a batch's samples on a device."""
        rows = [
            (rule.gate, rule.rate, _NO_BOUND if rule.drift_most is None else rule.drift_most)
            for rule in rules
        ]
        return cls(*torch.tensor(rows, dtype=torch.float32).T.contiguous().to(device))


def update(
    q: Tensor, items: Tensor, trained: Tensor, rules: Rules, counted: Tensor | None = None
) -> Tensor:
    """Return each sample's items after a frame that passed its gate.

    (B, K, D), (B, M, D), (M, D) → (B, M, D).

    Samples never meet: what one gets does not depend on the others or on their rules.
    counted: (B, K) bool, the queries that move items, see `memory.update`.
    """
    published = memory.update(q, items, counted)  # (B, M, D)
    rate, drift_most = (numbers[:, None, None] for numbers in (rules.rate, rules.drift_most))
    stepped = F.normalize(items + rate * (published - items), dim=2)
    as_published = (rate >= 1) & (
        drift_most >= _NO_BOUND
    )  # a detour over `stepped` would change its last bits
    return torch.where(as_published, published, _held(stepped, trained, drift_most))


def _held(items: Tensor, trained: Tensor, drift_most: Tensor) -> Tensor:
    """Move items beyond the bound back to its edge, on the shortest way.

    (B, M, D), (M, D), (B, 1, 1) → (B, M, D).
    """
    drifts = _drifts(items, trained)[..., None]  # (B, M, 1)
    across = F.normalize(
        items - (1 - drifts) * trained, dim=2
    )  # the part of an item at right angles to its trained self
    edge = (1 - drift_most) * trained + (drift_most * (2 - drift_most)).sqrt() * across
    return torch.where(drifts > drift_most, edge, items)


def drift(items: Tensor, trained: Tensor) -> Tensor:
    """Return the drift of a memory, (B, M, D), (M, D) → (B,); 0 as trained.

    It is the largest 1 - cosine of its items.
    """
    return _drifts(items, trained).amax(dim=1)


def _drifts(items: Tensor, trained: Tensor) -> Tensor:
    """1 - cosine of each item: (B, M, D), (M, D) → (B, M).

    As half the squared chord, which is the same for unit vectors, and exact where 1 - a·b is all
    rounding.
    """
    return (items - trained).square().sum(dim=2) / 2


@dataclass(slots=True)
class Rollback:
    """Send one camera's guarded memory back to the trained items where it is pulled for long.

    Fed each scored frame, in order.

    An update counts as held back where the memory is at its bound and the frame lies farther from
    it than normal frames do: the guard resists a pull. (At the bound alone says little: an item
    that few queries ask for may settle there on plain normal footage, and rightly.) A pull that
    lasts is either an event that does not end, and what it has taught must go; or a scene that is
    no longer the one that was trained on, and then no item in reach is right: the trained ones are
    at least known, the values say that something is unusual, and the count, which rises again and
    again, says that the camera wants a training of its own. Updates are counted in blocks, not in a
    sliding window: three numbers are the whole state, exact in a snapshot.
    """

    rollbacks: int = 0  # so far
    updates: int = 0  # in this block
    held_back: int = 0  # of them

    def saw(self, drift: float, distance: float, updated: bool, rule: UpdateRule) -> bool:
        """Take in a frame's numbers; return whether to go back to the trained items now.

        drift: after the frame's update.
        """
        if not updated or rule.drift_most is None:
            return False
        self.updates += 1
        self.held_back += drift >= _AT_THE_BOUND * rule.drift_most and distance > rule.distance_high
        if self.updates < ROLLBACK_AFTER:
            return False
        lasts = self.held_back >= ROLLBACK_SHARE * self.updates
        self.updates = self.held_back = 0
        self.rollbacks += lasts
        return lasts

    def as_json(self) -> dict[str, int]:
        """Return the state for a snapshot."""
        return asdict(self)

    @classmethod
    def of_json(cls, data: dict[str, Any]) -> Rollback:
        """Raises TypeError for anything that `as_json` did not make."""
        return cls(**data)
