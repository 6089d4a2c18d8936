"""The memory of MNAD: M items, read by queries, updated by the queries nearest to them.

H. Park, J. Noh, B. Ham, "Learning Memory-guided Normality for Anomaly Detection", CVPR 2020,
section 3.1.2 and 3.2.

The memory is an argument, never a hidden state, and one per sample of the batch: at test time every
camera has its own.
For training, where the authors take the softmax over the whole batch, fold the batch into K:
`fold_batch`.

Shapes: queries q (B, K, D) and items m (B, M, D), float32, both of unit length along D; K = height
x width of the feature map. All functions are pure.

Where the authors' code departs from the paper, this follows the code:
- eq. 6: v'(k, m) = v(k, m) / max_k' v(k', m) with the maximum over *all* queries k', not over k' in
  U_m alone;
- eq. 8 to 12 use squared distances (MSE over the D elements), not norms; `distance` and
  `compactness` are means over K and D, hence smaller than the paper's by the factor K D.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  torch's own convention
from torch import Tensor


class Attention(NamedTuple):
    """Softmax of the similarities of K queries and M items, each way."""

    over_items: Tensor  # w, eq. 2: softmax over the items, (B, K, M)
    over_queries: Tensor  # v, eq. 5: softmax over the queries, (B, K, M)


def queries_of(features: Tensor) -> Tensor:
    """Encoder features (B, D, h, w) → queries of unit length (B, K = h w, D), float32."""
    q = F.normalize(features.float(), dim=1)  # (B, D, h, w)
    return q.flatten(2).transpose(1, 2).contiguous()  # (B, K, D)


def fold_batch(q: Tensor) -> Tensor:
    """(B, K, D) → (1, B K, D): all queries of a training batch ask one memory."""
    return q.reshape(1, -1, q.shape[-1])


def _matmul_each(a: Tensor, b: Tensor) -> Tensor:
    """(B, n, k) @ (B or 1, k, m) → (B, n, m); on a CPU one sample at a time.

    A batched product adds up in an order that depends on the size of the batch: a camera's memory
    would change, in its last bits, with who else is in the batch.
    """
    if a.device.type != "cpu":
        return a @ b
    return torch.stack(
        [one @ other for one, other in zip(a, b.expand(len(a), -1, -1), strict=True)]
    )


def _softmax_over_queries(similarity: Tensor) -> Tensor:
    """Eq. 5, (B, K, M) → (B, K, M); on a CPU one sample at a time.

    torch cuts the B M columns into one part per thread, and the columns of a part that fill no
    vector are computed by another routine: their last bits would depend on the batch.
    """
    if similarity.device.type != "cpu":
        return similarity.softmax(dim=1)
    return torch.stack([one.softmax(dim=0) for one in similarity])


def attend(q: Tensor, m: Tensor, counted: Tensor | None = None) -> Attention:
    """Matching probabilities of queries (B, K, D) and items (B, M, D), eq. 2 and 5.

    counted: (B, K) bool, the queries that `over_queries` is over; None: all of them.
    """
    similarity = _matmul_each(q, m.transpose(1, 2))  # (B, K, M)
    among = similarity
    if counted is not None:
        among = similarity.masked_fill(~counted[..., None], -torch.inf)
    return Attention(similarity.softmax(dim=2), _softmax_over_queries(among))


def read(q: Tensor, m: Tensor) -> Tensor:
    """Eq. 3, and the concatenation that the decoder takes: (B, K, D), (B, M, D) → (B, K, 2 D).

    As in the authors' code no gradient flows through the weights w.
    """
    w = attend(q, m).over_items.detach()  # (B, K, M)
    return torch.cat((q, _matmul_each(w, m)), dim=2)  # (B, K, 2 D)


def update(q: Tensor, m: Tensor, counted: Tensor | None = None) -> Tensor:
    """Move each item to the queries nearest to it: (B, K, D), (B, M, D) → (B, M, D), detached.

    Eq. 4 to 6 of the paper.

    m ← normalise(m + Σ_{k in U_m} v'(k, m) q_k), U_m = the queries whose nearest item is m. There
    is no rate: an item that one query asks for is all but replaced. Training and test do the same;
    at test time, ask `gate_error` first.

    counted: (B, K) bool, the queries that move items, one or more a sample; None: all of them.
    """
    w, v = attend(q, m, counted)
    v = v / v.amax(dim=1, keepdim=True)  # the authors' maximum: over all queries, (B, K, M)
    in_u_m = F.one_hot(w.argmax(dim=2), m.shape[1]).to(v.dtype)  # (B, K, M)
    if counted is not None:
        in_u_m = in_u_m * counted[..., None]
    moved = m + _matmul_each((v * in_u_m).transpose(1, 2), q)  # (B, M, D)
    return F.normalize(moved, dim=2).detach()


def _nearest(q: Tensor, m: Tensor, count: int) -> Tensor:
    """Each query's `count` nearest items, nearest first: (B, K, count, D), without gradient."""
    index = attend(q, m).over_items.topk(count, dim=2).indices  # (B, K, count)
    batch = torch.arange(q.shape[0], device=q.device)[:, None, None]
    return m.detach()[batch, index]


def distance(q: Tensor, m: Tensor) -> Tensor:
    """Eq. 14 as the authors compute it: mean squared difference of query and nearest item, (B,)."""
    return distances(q, m).mean(dim=1)  # axis by axis: see scoring.sum_each


def distances(q: Tensor, m: Tensor) -> Tensor:
    """Return what `distance` is the mean of, for each query: (B, K)."""
    return (q - _nearest(q, m, 1)[:, :, 0]).square().mean(dim=2)


def compactness(q: Tensor, m: Tensor) -> Tensor:
    """Feature compactness loss, eq. 9 as the authors compute it (a mean of squares): scalar."""
    return distance(q, m).mean()


def separateness(q: Tensor, m: Tensor, margin: float = 1.0) -> Tensor:
    """Return the feature separateness loss, eq. 10: a scalar.

    A triplet of query, nearest and second nearest item, margin α = 1.
    """
    two = _nearest(q, m, 2)  # (B, K, 2, D)
    anchor = q.reshape(-1, q.shape[-1])  # (B K, D)
    return F.triplet_margin_loss(
        anchor, two[:, :, 0].flatten(0, 1), two[:, :, 1].flatten(0, 1), margin=margin
    )


def initial_items(items: int, dim: int, generator: torch.Generator | None = None) -> Tensor:
    """Return the authors' start of training: (M, D) float32.

    Uniform in [0, 1), then each item of unit length.
    """
    return F.normalize(torch.rand(items, dim, generator=generator), dim=1)
