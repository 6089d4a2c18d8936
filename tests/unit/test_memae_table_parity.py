"""MemAE on tables against the networks of ../shared/reference/memae_tabular.json.

The public re-implementation, without the shrinkage, is `shrinkage` 0 here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lookout.models.memae import entropy
from lookout.models.memae_table import MemAETable, MemAETableConfig
from lookout.models.tables.measures import flagged, measure_rows
from tests import reference

pytestmark = pytest.mark.footage  # for the reference beside it

FORMS = {
    "paper_list_official_memory_threshold_1_over_N": 0.02,
    "paper_list_official_memory_threshold_0.0025": 0.0025,
    "robevalanodetect_as_is": 0.0,
}
MEMORY = {"mem_rep.weight": "memory.weight"}
"""Names of the reference that are others here."""


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    return reference.figures("memae_tabular")


def rows() -> Tensor:
    """X of the reference: 8 rows, of whose 120 columns the first 41 are 0 or 1."""
    x = (reference.hashed(8 * 120, 777).astype(np.float64) / 2**32).reshape(8, 120)
    x = x.astype(np.float32)
    x[:, :41] = x[:, :41] > 0.5
    return torch.from_numpy(x)


@pytest.mark.parametrize(("name", "shrinkage"), FORMS.items())
def test_a_network_gives_the_reference_s_rows_weights_losses_and_gradients(
    name: str, shrinkage: float, figures: dict[str, Any]
) -> None:
    expected = figures["expected"][name]
    network = MemAETable(MemAETableConfig(shrinkage=shrinkage))
    weights = reference.filled_weights(figures, name)
    network.load_state_dict({MEMORY.get(key, key): weights[key] for key in weights})
    x = rows()
    code = network.encoder(x)
    x_hat, found = network(x)
    errors = (x_hat - x).square()
    assert np.allclose(code.detach(), expected["code"], atol=1e-4 * float(code.detach().std()))
    similarity = (code @ network.memory.weight.T).softmax(dim=1)
    reference.assert_tensor(similarity.detach(), expected["softmax_weights"])
    reference.assert_tensor(found.detach(), expected["weights"])
    reference.assert_tensor(x_hat.detach(), expected["output"])
    assert (found > 0).sum(dim=1).tolist() == expected["nonzero_weights_per_row"]
    total = network.loss(x)
    values = {
        "weight_sums": found.sum(dim=1),
        "mse": errors.mean(),
        "entropy": entropy(found),
        "total_mse_plus_0.0002_entropy": total,
        "score_sum_of_squares_per_row": network.score(x),
        "score_mean_of_squares_per_row": errors.mean(dim=1),
    }
    for figure, value in values.items():
        assert value.tolist() == pytest.approx(expected[figure], rel=1e-4), figure
    torch.autograd.backward(total)
    for key, figure in expected["gradient"].items():
        gradient = network.get_parameter(MEMORY.get(key, key)).grad
        assert gradient is not None
        reference.assert_tensor(gradient, figure, 1e-3)


def test_the_model_has_the_published_sizes(figures: dict[str, Any]) -> None:
    config = MemAETableConfig()
    hyper = figures["hyper_parameters"]
    assert config.items == hyper["memory_size"][0]
    assert config.loss_entropy == hyper["alpha"][0]
    assert config.shrinkage == pytest.approx(1 / config.items)
    state = MemAETable(config).state_dict()
    assert sum(tensor.numel() for tensor in state.values()) == figures["parameters"]


def test_the_measures_are_the_reference_s(figures: dict[str, Any]) -> None:
    expected = figures["expected"]["metrics"]
    scores = np.array(expected["scores"])
    labels = np.array(expected["labels_1_is_anomalous"])
    hashes = reference.hashed(len(labels), 555).astype(np.float64) / 2**32
    assert scores.tolist() == np.round(hashes + 0.5 * labels, 6).tolist()
    assert labels.tolist() == (reference.hashed(len(labels), 556) % 5 == 0).tolist()
    abnormal = labels == 1
    found = measure_rows(scores, abnormal)
    at_share = found.at_known_share
    assert at_share.threshold == pytest.approx(expected["threshold_at_that_percentile"])
    for name in ("accuracy", "precision", "recall", "f1"):
        assert getattr(at_share, name) == pytest.approx(expected[name]), name
    assert found.auc == pytest.approx(expected["roc_auc"])
    assert found.average_precision == pytest.approx(expected["average_precision"])
    counts = [
        at_share.true_positives,
        at_share.false_negatives,
        at_share.false_positives,
        at_share.true_negatives,
    ]
    assert counts == expected["confusion_tp_fn_fp_tn"]


def test_the_best_threshold_near_the_share_is_the_reference_s(figures: dict[str, Any]) -> None:
    """That code chooses it by the labels of the test, which `lookout evaluate` never does."""
    metrics = figures["expected"]["metrics"]
    expected = metrics["best_f1_over_100_percentiles_within_5_of_it"]
    scores = np.array(metrics["scores"])
    abnormal = np.array(metrics["labels_1_is_anomalous"]) == 1
    share = metrics["share_of_normal_percent"]
    tried = {at: flagged(scores, abnormal, at) for at in np.linspace(share - 5, share + 5, 100)}
    best = max(tried, key=lambda at: tried[at].f1)
    assert best == pytest.approx(expected["Quantile_star"])
    assert tried[best].threshold == pytest.approx(expected["Thresh_star"])
    assert tried[best].precision == pytest.approx(expected["Precision"])
    assert tried[best].recall == pytest.approx(expected["Recall"])
    assert tried[best].f1 == pytest.approx(expected["F1-Score"])
