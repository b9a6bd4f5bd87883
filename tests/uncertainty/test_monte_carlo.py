import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnlab
from cnnlab.kernels.dropout_mask import drop
from cnnlab.tasks import Classification, Regression
from cnnlab.uncertainty import entropy, moments
from cnnlab.uncertainty.dropout import sampled_logits
from cnnlab.uncertainty.hoist import hoist
from cnnlab.uncertainty.monte_carlo import AUTO_LIMIT, TOLERANCE, warn_of_limit


def lenet(**options):
    network = cnnlab.create_model("lenet5", num_classes=3, **options)
    spec = cnnlab.InputSpec((16, 16), classes=("a", "b", "c"))
    x = jnp.asarray(np.random.default_rng(0).random((4, 16, 16, 1)), jnp.float32)
    return cnnlab.Trained(network.init(jax.random.key(0), x), network, Classification(), spec), x


@pytest.mark.device
def test_streamed_moments_equal_those_of_the_stored_samples_in_float64():
    def sample(key):
        return {"probs": jax.random.dirichlet(key, jnp.ones(5), (3,)), "value": 1000 + jax.random.normal(key, (2,))}

    actual = moments(sample, jax.random.key(3), num_samples=40, chunk=7)
    keys = [jax.random.fold_in(jax.random.key(3), t) for t in range(40)]
    for name in ("probs", "value"):
        samples = np.stack([np.asarray(sample(key)[name], np.float64) for key in keys])
        np.testing.assert_allclose(actual.mean[name], samples.mean(0), rtol=1e-6)
        np.testing.assert_allclose(actual.variance[name], samples.var(0), rtol=2e-5 if name == "value" else 1e-5)
        assert (actual.variance[name] >= 0).all()
    probs = np.stack([np.asarray(sample(key)["probs"], np.float64) for key in keys])
    np.testing.assert_allclose(actual.expected_entropy, -(probs * np.log(probs)).sum(-1).mean(0), rtol=1e-5)


@pytest.mark.parametrize("chunk", [10, 4000])
def test_the_variance_of_4000_passes_keeps_its_digits_whatever_the_chunk(chunk):
    def sample(key):
        return {"value": 3 + jax.random.normal(key, (50,))}

    got = moments(sample, jax.random.key(3), num_samples=4000, chunk=chunk)
    keys = jax.vmap(lambda t: jax.random.fold_in(jax.random.key(3), t))(jnp.arange(4000))
    samples = np.asarray(jax.vmap(sample)(keys)["value"], np.float64)
    np.testing.assert_allclose(got.variance["value"], samples.var(0), rtol=2e-6)
    np.testing.assert_allclose(got.mean["value"], samples.mean(0), rtol=1e-6)


def test_entropy_of_certainty_is_0_and_of_ignorance_log_k():
    np.testing.assert_allclose(entropy(jnp.array([[1.0, 0, 0, 0], [0.25] * 4])), [0, np.log(4)], rtol=1e-6)


@pytest.mark.device
@pytest.mark.parametrize("chunk", [1, 3, 10])
def test_the_prediction_does_not_depend_on_the_chunk(chunk):
    trained, x = lenet(dropout=0.5, spatial_dropout=0.2)
    expected = cnnlab.mc_predict(trained, x, key=jax.random.key(1), num_samples=10, chunk=5)
    actual = cnnlab.mc_predict(trained, x, key=jax.random.key(1), num_samples=10, chunk=chunk)
    for name in ("mean", "variance", "entropy", "mutual_information"):
        np.testing.assert_allclose(actual[name], expected[name], atol=1e-6)


@pytest.mark.device
def test_the_same_key_gives_the_same_prediction_and_another_key_another():
    trained, x = lenet(dropout=0.5)
    a, b, c = (cnnlab.mc_predict(trained, x, key=jax.random.key(k), num_samples=3).mean for k in (0, 0, 1))
    assert (a == b).all()
    assert (a != c).any()


@pytest.mark.device
def test_the_mean_over_many_passes_is_the_expectation_by_enumeration():
    class Tiny(nn.Module):
        @nn.compact
        def __call__(self, x, train=False):
            x = nn.Dropout(0.5, deterministic=not train)(x.reshape(len(x), -1))
            return nn.Dense(2, use_bias=False)(x)

    x = jnp.array([[1.0, 2.0]]).reshape(1, 1, 2, 1)
    kernel = jnp.array([[1.0, -1.0], [0.5, 0.25]])
    spec = cnnlab.InputSpec((1, 2), classes=("a", "b"))
    trained = cnnlab.Trained({"params": {"Dense_0": {"kernel": kernel}}}, Tiny(), Classification(), spec)
    masks = [(a, b) for a in (0, 2) for b in (0, 2)]
    samples = np.stack([jax.nn.softmax(jnp.array([a * 1.0, b * 2.0]) @ kernel) for a, b in masks])
    mc = cnnlab.mc_predict(trained, x, key=jax.random.key(0), num_samples=4000, chunk=100)
    np.testing.assert_allclose(mc.mean[0], samples.mean(0), atol=0.02)
    np.testing.assert_allclose(mc.variance[0], samples.var(0), atol=0.01)
    assert mc.label.tolist() == [int(samples.mean(0).argmax())]


def test_spatial_dropout_drops_whole_maps():
    class Maps(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dropout(0.5, broadcast_dims=(1, 2), deterministic=True, name="maps")(x)

    out = sampled_logits(Maps(), {}, jnp.ones((2, 4, 4, 8)), jax.random.key(0))
    assert set(np.unique(out)) == {0, 2}
    assert (out == out[:, :1, :1]).all()


def convolutions(jaxpr):
    """Counts the convolutions in a program, loops and branches included."""
    return str(jaxpr).count("conv_general_dilated[")


def test_what_lies_before_the_first_dropout_is_computed_once():
    trained, x = lenet(dropout=0.5)

    def loop(key):
        sample, _ = hoist(lambda k: sampled_logits(trained.network, trained.variables, x, k), key)
        return jax.lax.map(sample, jax.random.split(key, 5))

    program = jax.make_jaxpr(loop)(jax.random.key(0))
    (scan,) = [e for e in program.eqns if e.primitive.name == "scan"]
    assert convolutions(program) == 2  # conv1's default branch and conv2
    assert convolutions(scan.params["jaxpr"]) == 0


X, W = (jax.random.normal(jax.random.key(n), shape) for n, shape in enumerate([(4, 6, 5, 8), (240, 3)]))
BEHIND = {
    "a dense layer": (lambda x: x.reshape(4, -1) @ W, True),
    "the mean over all pixels": (lambda x: x.mean((1, 2)), True),
    "the mean over rows": (lambda x: x.mean(1), False),
    "the mean over maps": (lambda x: x.mean(3), False),
    "a ReLU and a dense layer": (lambda x: jax.nn.relu(x).reshape(4, -1) @ W, False),
    "a dense layer on pixels": (lambda x: x @ W[:8], False),
    "a dense layer on a mixed batch": (lambda x: x.reshape(8, -1) @ W[:120], False),
}


@pytest.mark.parametrize(("behind", "cheaper"), BEHIND.values(), ids=BEHIND)
@pytest.mark.parametrize("shared", [(1, 2), (), (2,), (0, 1, 2)])
def test_a_layer_behind_dropped_feature_maps_gives_what_it_gives_without_hoisting(behind, cheaper, shared):
    def fn(key):
        return behind(drop(X, key, 0.4, shared=shared))

    late, largest = hoist(fn, jax.random.key(0))
    for number in range(3):
        key = jax.random.key(number)
        np.testing.assert_allclose(late(key), fn(key), rtol=1e-5, atol=1e-5)
    if shared == (1, 2):
        assert (largest < X.nbytes) == cheaper  # whether a pass touches every pixel


def test_the_largest_array_may_be_one_made_on_the_way():
    checkpointed = jax.checkpoint(lambda x: jnp.outer(x, jnp.arange(10.0)).sum())  # 30 numbers inside, from 3
    _, largest = hoist(lambda key: checkpointed(jax.random.uniform(key, (3,))), jax.random.key(0))
    assert largest == 30 * 4


def test_fifty_passes_by_34_are_computed_as_twice_25():
    program = jax.make_jaxpr(lambda key: moments(jax.random.uniform, key, num_samples=50, chunk=34))(jax.random.key(0))
    (loop,) = (equation for equation in program.eqns if equation.primitive.name == "scan")
    assert loop.invars[-1].aval.shape == (2, 25)


def test_a_mask_that_is_wider_than_what_it_scales_is_computed_as_it_is():
    def fn(key):
        return (X[:, :1] * drop(jnp.ones((4, 6, 1, 8)), key, 0.4)).reshape(4, -1) @ W

    np.testing.assert_allclose(hoist(fn, jax.random.key(0))[0](jax.random.key(1)), fn(jax.random.key(1)), rtol=1e-5)


@pytest.mark.device
def test_a_skip_around_the_dropout_is_hoisted_too():
    def fn(key):
        early = jnp.sin(jnp.arange(3.0))
        return jax.jit(lambda a: a * jax.random.uniform(key) + jnp.cos(early))(early)

    late = jax.make_jaxpr(lambda key: hoist(fn, jax.random.key(0))[0](key))(jax.random.key(1))
    names = str(late)
    assert "cos" in names  # computed in this trace, but not from the key:
    assert (hoist(fn, jax.random.key(0))[0](jax.random.key(1)) == fn(jax.random.key(1))).all()


def test_batch_norm_uses_its_running_averages_under_mc_dropout():
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x, *, train: bool = False):
            x = nn.BatchNorm(use_running_average=not train, name="norm")(x)
            return nn.Dropout(0.5, deterministic=not train, name="dropout")(x.mean((1, 2)))

    _, x = lenet()
    variables = Net().init(jax.random.key(0), x)
    spec = cnnlab.InputSpec((16, 16), classes=("only",))
    trained = cnnlab.Trained(variables, Net(), Regression(), spec)
    prediction, other = (cnnlab.mc_predict(trained, y, key=jax.random.key(1)) for y in (x, x.at[1:].mul(9)))
    # With batch statistics the change of the other images would change the mean.
    np.testing.assert_allclose(other.mean[0], prediction.mean[0], rtol=1e-6)
    assert prediction.variance[0] > 0


def test_a_network_without_active_dropout_is_refused_in_one_sentence_with_the_cure():
    trained, x = lenet()
    with pytest.raises(ValueError, match=r"dropout1 of rate 0\).*train again with --model.dropout 0.5") as error:
        cnnlab.mc_predict(trained, x, key=jax.random.key(0))
    assert len(str(error.value)) < 300


def test_dropout_that_does_not_reach_the_output_is_refused():
    class Unused(nn.Module):
        @nn.compact
        def __call__(self, x, train=False):
            nn.Dropout(0.5)(x, deterministic=not train)
            return nn.Dense(2)(x.reshape(len(x), -1))

    x = np.ones((1, 4, 4, 1), np.float32)
    variables = Unused().init(jax.random.key(0), x)
    trained = cnnlab.Trained(variables, Unused(), Classification(), cnnlab.InputSpec((4, 4), classes="ab"))
    with pytest.raises(ValueError, match="the dropout of Unused does not reach its output"):
        cnnlab.mc_predict(trained, x, key=jax.random.key(0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_samples": 0}, "num_samples must be an integer of 1 or more, or 'auto', found 0"),
        ({"num_samples": 2.5}, "found 2.5"),
        ({"chunk": 0}, "chunk must be 1 or more, found 0"),
        ({"num_samples": "many"}, "or 'auto', found 'many'"),
        ({"num_samples": "auto", "tolerance": 0.0}, "tolerance must be above 0, found 0"),
        ({"num_samples": "auto", "return_samples": True}, "give num_samples a number"),
    ],
)
def test_arguments_out_of_range_are_named(options, message):
    trained, x = lenet(dropout=0.5)
    with pytest.raises(ValueError, match=message):
        cnnlab.mc_predict(trained, x, key=jax.random.key(0), **options)


def test_evaluation_over_passes_reports_uncertainty_and_its_cost(run):
    report = cnnlab.evaluate(run, mc_samples=5, seed=3_000_000_000)  # more than 31 bits
    assert {"accuracy", "nll", "ece", "ece_floor", "entropy", "mutual_information"} <= set(report)
    assert 0 < report["mutual_information"] < report["entropy"] < np.log(3)
    assert report["seconds"] > 0
    assert report["passes_equivalent"] > 0


def test_samples_are_returned_when_asked_and_give_the_same_moments():
    trained, x = lenet(dropout=0.5)
    mc = cnnlab.mc_predict(trained, x, key=jax.random.key(1), num_samples=12, chunk=5, return_samples=True)
    samples = np.asarray(mc.samples, np.float64)
    assert samples.shape == (4, 12, 3)
    np.testing.assert_allclose(mc.mean, samples.mean(1), atol=1e-6)
    np.testing.assert_allclose(mc.variance, samples.var(1), atol=1e-6)
    np.testing.assert_allclose(mc.expected_entropy, -(samples * np.log(samples)).sum(-1).mean(1), rtol=1e-5)
    votes = np.stack([np.bincount(one.argmax(-1), minlength=3) for one in samples])
    np.testing.assert_allclose(mc.variation_ratio, 1 - votes.max(1) / 12, atol=1e-6)


def test_auto_takes_tens_of_passes_until_the_standard_error_is_small_enough():
    trained, x = lenet(dropout=0.5)
    mc = cnnlab.mc_predict(trained, x, key=jax.random.key(1), num_samples="auto", tolerance=0.02)
    taken = int(mc.num_samples[0])
    assert taken % 10 == 0
    every = cnnlab.mc_predict(trained, x, key=jax.random.key(1), num_samples=taken, return_samples=True)
    np.testing.assert_allclose(mc.mean, every.mean, atol=1e-6)
    variances = {t: np.asarray(every.samples[:, :t]).var(1).max() for t in range(10, taken + 1, 10)}
    errors = [np.sqrt((t * variance + 0.25) / (t * (t + 1))) for t, variance in variances.items()]
    assert [error <= 0.02 for error in errors] == [False] * (len(errors) - 1) + [True]
    assert float(mc.standard_error.max()) == pytest.approx(errors[-1], rel=1e-4)


def test_auto_is_not_fooled_by_ten_passes_that_agree():
    def sample(key):  # predicts the first class in 97 of 100 passes
        yes = jax.random.bernoulli(key, 0.97).astype(jnp.float32)
        return {"probs": jnp.stack([yes, 1 - yes])}

    estimate = jax.jit(jax.vmap(lambda key: moments(sample, key, num_samples=1000, tolerance=0.01)))
    mc = estimate(jax.random.split(jax.random.key(0), 400))
    assert mc.count.min() == 50
    # Fifty passes agree in .97**50 = 22 % of runs, ten in 74 %; these runs have an error of .03.
    assert np.sqrt(np.mean((mc.mean["probs"][:, 0] - 0.97) ** 2)) < 0.02


def test_auto_takes_as_many_passes_whatever_the_unit_of_the_targets():
    network, x = cnnlab.create_model("lenet5", num_classes=4, dropout=0.5), np.ones((2, 16, 16, 1), np.float32)
    variables = network.init(jax.random.key(0), x)
    spec = cnnlab.InputSpec((16, 16), classes=("age", "weight"))
    taken = []
    for std in ((1.0, 1.0), (1e-3, 1e4)):
        task = Regression(kind="gaussian", mean=(0.0, 0.0), std=std)
        trained = cnnlab.Trained(variables, network, task, spec)
        mc = cnnlab.mc_predict(trained, x, key=jax.random.key(1), num_samples="auto", tolerance=0.05)
        taken.append(int(mc.num_samples[0]))
    assert taken[0] == taken[1]
    assert 10 < taken[0] < 1000


def test_2500_passes_are_enough_for_any_probability():
    def sample(key):
        yes = jax.random.bernoulli(key).astype(jnp.float32)
        return {"probs": jnp.stack([yes, 1 - yes])}

    actual = moments(sample, jax.random.key(0), num_samples=10_000, tolerance=TOLERANCE)
    assert 2400 < int(actual.count) <= AUTO_LIMIT


def test_passes_that_do_not_suffice_cause_a_warning():
    with pytest.warns(UserWarning, match="after 2,500 passes the largest standard error of a mean is 0.03"):
        warn_of_limit(0.03)


def test_auto_gives_up_at_its_limit():
    actual = moments(lambda key: jax.random.normal(key), jax.random.key(0), num_samples=45, tolerance=1e-9)
    assert int(actual.count) == 40
