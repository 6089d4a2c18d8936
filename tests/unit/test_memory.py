"""The vectorised memory against slow loops from the equations (Park et al., CVPR 2020)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from lookout.models import memory

B, K, M, D = 3, 40, 5, 16


@pytest.fixture(params=[0, 1, 2])
def q_and_m(request: pytest.FixtureRequest) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(request.param)
    q = torch.randn(B, K, D, generator=generator)
    m = torch.randn(B, M, D, generator=generator)
    return torch.nn.functional.normalize(q, dim=2), torch.nn.functional.normalize(m, dim=2)


def dot(a: Tensor, b: Tensor) -> float:
    return math.fsum(x * y for x, y in zip(a.tolist(), b.tolist(), strict=True))


def slow_w(q: Tensor, m: Tensor) -> list[list[float]]:
    """Eq. 2: w[k][i], softmax over the items. q (K, D), m (M, D)."""
    rows = []
    for query in q:
        exps = [math.exp(dot(item, query)) for item in m]
        rows.append([e / sum(exps) for e in exps])
    return rows


def slow_v(q: Tensor, m: Tensor) -> list[list[float]]:
    """Eq. 5: v[k][i], softmax over the queries."""
    exps = [[math.exp(dot(item, query)) for item in m] for query in q]
    totals = [sum(row[i] for row in exps) for i in range(len(m))]
    return [[row[i] / totals[i] for i in range(len(m))] for row in exps]


def slow_nearest(q: Tensor, m: Tensor) -> list[int]:
    return [max(range(len(m)), key=lambda i: row[i]) for row in slow_w(q, m)]


def slow_update(q: Tensor, m: Tensor) -> Tensor:
    """Eq. 4 to 6, with the authors' maximum over all queries in place of U_m."""
    v, nearest = slow_v(q, m), slow_nearest(q, m)
    moved = []
    for i in range(len(m)):
        largest = max(v[k][i] for k in range(len(q)))
        item = m[i].clone()
        for k in range(len(q)):
            if nearest[k] == i:
                item += v[k][i] / largest * q[k]
        moved.append(item / item.norm())
    return torch.stack(moved)


def test_read_is_equation_3_beside_the_query(q_and_m: tuple[Tensor, Tensor]) -> None:
    q, m = q_and_m
    found = memory.read(q, m)
    for b in range(B):
        for k, row in enumerate(slow_w(q[b], m[b])):
            blend = sum(weight * item for weight, item in zip(row, m[b], strict=True))
            assert isinstance(blend, Tensor)
            torch.testing.assert_close(
                found[b, k], torch.cat((q[b, k], blend)), rtol=1e-5, atol=1e-6
            )


def test_update_is_equations_4_to_6(q_and_m: tuple[Tensor, Tensor]) -> None:
    q, m = q_and_m
    found = memory.update(q, m)
    for b in range(B):
        torch.testing.assert_close(found[b], slow_update(q[b], m[b]), rtol=1e-5, atol=1e-6)


def test_an_item_that_no_query_is_nearest_to_stays() -> None:
    m = torch.eye(3)[None]  # (1, 3, 3)
    q = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])  # nobody asks for the third
    assert torch.equal(memory.update(q, m)[0, 2], m[0, 2])


def test_distance_compactness_and_separateness(q_and_m: tuple[Tensor, Tensor]) -> None:
    q, m = q_and_m
    distances, triplets = [], []
    for b in range(B):
        squares = []
        for k, row in enumerate(slow_w(q[b], m[b])):
            first, second = sorted(range(M), key=lambda i: -row[i])[:2]
            squares += [
                (x - y) ** 2 for x, y in zip(q[b, k].tolist(), m[b, first].tolist(), strict=True)
            ]
            near, far = ((q[b, k] - m[b, i] + 1e-6).norm().item() for i in (first, second))
            triplets.append(max(0.0, near - far + 1.0))
        distances.append(sum(squares) / len(squares))
    assert memory.distance(q, m).tolist() == pytest.approx(distances, rel=1e-5)
    assert memory.compactness(q, m).item() == pytest.approx(sum(distances) / B, rel=1e-5)
    assert memory.separateness(q, m).item() == pytest.approx(
        sum(triplets) / len(triplets), rel=1e-5
    )


def test_every_sample_has_its_own_memory(q_and_m: tuple[Tensor, Tensor]) -> None:
    """At test time, no camera's queries enter another's softmax."""
    q, m = q_and_m
    together = memory.update(q, m)
    for b in range(B):
        torch.testing.assert_close(
            together[b : b + 1], memory.update(q[b : b + 1], m[b : b + 1]), rtol=1e-6, atol=1e-7
        )


def test_in_training_the_softmax_runs_over_the_whole_batch(q_and_m: tuple[Tensor, Tensor]) -> None:
    q, m = q_and_m
    folded = memory.update(memory.fold_batch(q), m[:1])[0]
    torch.testing.assert_close(folded, slow_update(q.reshape(B * K, D), m[0]), rtol=1e-5, atol=1e-6)


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("m_items", [5, 8, 10, 13])
def test_on_a_cpu_a_sample_gets_the_same_bits_in_any_batch(
    m_items: int, count: int, threads: Callable[[int], None]
) -> None:
    """Also with two threads, among which torch divides the columns of a softmax."""
    threads(count)
    generator = torch.Generator().manual_seed(0)
    q = torch.nn.functional.normalize(torch.randn(4, 1024, 64, generator=generator), dim=2)
    m = torch.nn.functional.normalize(torch.rand(4, m_items, 64, generator=generator), dim=2)
    for size in (2, 3, 4):
        together = memory.update(q[:size], m[:size])
        for row in range(size):
            alone = memory.update(q[row : row + 1].clone(), m[row : row + 1].clone())
            assert torch.equal(together[row], alone[0])


def test_no_gradient_reaches_the_items_or_the_weights(q_and_m: tuple[Tensor, Tensor]) -> None:
    q, m = q_and_m
    q = q.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(memory.read(q, m)[..., D:].sum(), q)
    assert not gradient.any()
    assert not memory.update(q, m).requires_grad


def test_items_have_unit_length_before_and_after() -> None:
    m = memory.initial_items(M, D, torch.Generator().manual_seed(0))[None]
    q = memory.queries_of(torch.randn(1, D, 4, 5, generator=torch.Generator().manual_seed(1)))
    assert q.shape == (1, 20, D)
    for vectors in (m, q, memory.update(q, m)):
        torch.testing.assert_close(vectors.norm(dim=2), torch.ones(vectors.shape[:2]))
