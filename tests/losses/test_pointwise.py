import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from cnnlab import losses

pytestmark = pytest.mark.device


def test_cross_entropy_equals_torch(goldens):
    g = goldens["ce"]
    logits, labels = jnp.array(g["z"]), jnp.array(g["labels"])
    np.testing.assert_allclose(losses.cross_entropy(logits, labels), g["none"], rtol=1e-5)
    np.testing.assert_allclose(losses.cross_entropy(logits, labels, label_smoothing=0.1), g["smooth_0_1"], rtol=1e-5)


def test_cross_entropy_of_an_ignored_label_is_0():
    assert losses.cross_entropy(jnp.ones((1, 3)), jnp.array([-1])).tolist() == [0]


def test_binary_cross_entropy_equals_torch_and_stays_finite_at_a_thousand(goldens):
    g = goldens["bce_logits"]
    got = losses.binary_cross_entropy(jnp.array(g["z"]), jnp.array(g["y"]))
    np.testing.assert_allclose(got, g["none"], rtol=1e-5)
    for logit, (no, yes) in g["extreme"].items():
        got = losses.binary_cross_entropy(jnp.float32(logit), jnp.array([0.0, 1.0]))
        np.testing.assert_allclose(got, [no, yes], rtol=1e-5, atol=1e-40)
        assert jnp.isfinite(jax.grad(lambda z: losses.binary_cross_entropy(z, 1.0))(float(logit)))


@pytest.mark.parametrize(("name", "golden"), [("mse", "mse"), ("l1", "l1"), ("huber", "huber_1")])
def test_regression_losses_equal_torch(goldens, name, golden):
    g = goldens["regress"]
    got = losses.POINTWISE[name](jnp.array(g["p"]), jnp.array(g["q"])).mean()
    assert float(got) == pytest.approx(g[golden], rel=1e-5)


def test_huber_with_another_delta_equals_torch(goldens):
    g = goldens["regress"]
    got = losses.huber(jnp.array(g["p"]), jnp.array(g["q"]), delta=0.7).mean()
    assert float(got) == pytest.approx(g["huber_0_7"], rel=1e-5)


def test_the_gaussian_loss_is_the_negative_log_density():
    mean, log_variance, target = np.random.default_rng(0).normal(size=(3, 20))
    want = -scipy.stats.norm.logpdf(target, mean, np.exp(log_variance / 2))
    np.testing.assert_allclose(losses.gaussian_negative_log_likelihood(mean, log_variance, target), want, rtol=2e-5)
