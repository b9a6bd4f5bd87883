import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab import losses


@pytest.fixture(scope="module")
def torch_ranking():
    """Reads what torch's ranking losses gave."""
    return json.loads((Path(__file__).parents[1] / "goldens" / "ranking.json").read_text())


@pytest.mark.parametrize(("margin", "golden"), [(0.0, "m0"), (0.5, "m0_5")])
def test_margin_ranking_equals_torch(torch_ranking, margin, golden):
    g = torch_ranking["margin_ranking"]
    first, second, sign = (jnp.array(g[name]) for name in ("first", "second", "sign"))
    assert float(losses.margin_ranking(first, second, sign, margin=margin).mean()) == pytest.approx(g[golden], rel=1e-5)


def test_a_pair_without_an_order_costs_nothing():
    value, gradient = jax.value_and_grad(lambda x: losses.margin_ranking(x, 1.0, 0, margin=3.0))(2.0)
    assert (float(value), float(gradient)) == (0, 0)


@pytest.mark.parametrize("margin", [0.2, 1.0])
def test_the_mean_over_all_triplets_and_its_gradient_equal_torch(torch_ranking, margin):
    g = torch_ranking["triplet"]
    golden, embeddings, labels = g[f"all_{margin}"], jnp.array(g["embeddings"]), jnp.array(g["labels"])
    options = {"margin": margin, "choice": "all"}
    value, weight = losses.triplet(embeddings, labels, **options)
    np.testing.assert_allclose(value, golden["value"], rtol=1e-5, atol=1e-7)
    assert weight.tolist() == golden["weight"]
    gradient = jax.grad(lambda x: losses.triplet(x, labels, **options)[0].sum())(embeddings)
    np.testing.assert_allclose(gradient, golden["grad_of_sum"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("negatives", "loss"),
    [
        ([0.5, 3.0, 1.25], 1 - 1.25 + 1),  # the nearest of those beyond the positive at 1; the margin is 1
        ([0.5, 3.0], 0.0),  # farther than the positive by more than the margin
        ([0.5, 0.25], 1 - 0.5 + 1),  # none is beyond the positive: the farthest
    ],
)
def test_a_semi_hard_negative_is_the_nearest_one_beyond_the_positive(negatives, loss):
    places = jnp.array([0.0, 1.0, *negatives])[:, None]
    labels = jnp.array([0, 0, *range(1, 1 + len(negatives))])
    value, _ = losses.triplet(places, labels, margin=1.0, choice="semi_hard")
    assert float(value[0]) == pytest.approx(loss, rel=1e-6)


@pytest.mark.parametrize("choice", losses.TRIPLETS)
@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2], [0, -1, -1]])
def test_a_batch_without_a_triplet_has_no_weight_and_no_gradient(choice, labels):
    embeddings = jnp.array([[1.0, 0], [0, 1], [1, 0]])
    total = lambda x: losses.triplet(x, jnp.array(labels), choice=choice)[0].sum()  # noqa: E731
    assert losses.triplet(embeddings, jnp.array(labels), choice=choice)[1].tolist() == [0, 0, 0]
    assert jax.grad(total)(embeddings).tolist() == np.zeros((3, 2)).tolist()


@pytest.mark.parametrize("choice", losses.TRIPLETS)
def test_equal_embeddings_have_the_margin_as_loss_and_a_finite_gradient(choice):
    total = lambda x: losses.triplet(x, jnp.array([0, 0, 1, 1]), margin=0.3, choice=choice)[0].mean()  # noqa: E731
    value, gradient = jax.value_and_grad(total)(jnp.ones((4, 3)))
    assert float(value) == pytest.approx(0.3, rel=1e-6)
    assert np.isfinite(gradient).all()
