import dataclasses

import jax
import numpy as np
import pytest

import cnnlab
from cnnlab.features import filter_change, filter_similarity, filters, kernels
from cnnlab.features.filters import _mean_cosine
from cnnlab.training import load_initial
from cnnlab.training.loop import fresh_state
from cnnlab.training.plan import make_plan

SPEC = cnnlab.InputSpec((16, 16), 3, classes=("a", "b"))


@pytest.fixture(scope="module")
def trained():
    network = cnnlab.create_model("unet", num_classes=2, width=2, up="transposed")
    shapes = jax.eval_shape(network.init, jax.random.key(0), np.zeros((1, 16, 16, 3), np.float32))
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes)
    return cnnlab.Trained(variables, network, cnnlab.tasks.Segmentation(), SPEC)


def test_three_colours_stay_and_deeper_kernels_are_averaged(trained):
    pictures, params = filters(trained), trained.variables["params"]
    first, second = params["down1"]["conv1"]["conv"]["kernel"], params["down1"]["conv2"]["conv"]["kernel"]
    np.testing.assert_array_equal(pictures["down1/conv1/conv"][1], first[..., 1])
    np.testing.assert_allclose(pictures["down1/conv2/conv"][0, ..., 0], second[..., 0].mean(2), rtol=1e-6)
    assert pictures["up1"].shape[1:] == (2, 2, 1)  # a transposed convolution


def test_a_normalisation_stands_for_its_convolution(trained):
    assert list(filters(trained, "down1/conv1/norm")) == ["down1/conv1/conv"]


def test_an_unknown_convolution_is_named_with_its_neighbours(trained):
    with pytest.raises(ValueError, match="unknown convolution 'down1/conv3/conv'; did you mean 'down1/conv"):
        filters(trained, ["down1/conv3/conv"])


def test_similarity_is_the_mean_absolute_cosine_of_pairs(trained):
    columns = np.array([[3.0, 0.0, -4.0], [4.0, 2.0, 3.0]])  # cosines 4/5, 0 and 3/5
    assert _mean_cosine(columns) == pytest.approx((0.8 + 0.0 + 0.6) / 3)
    kernel = kernels(trained, "down1/conv1/conv")["down1/conv1/conv"].reshape(27, 2).astype(float)
    cosine = kernel[:, 0] @ kernel[:, 1] / np.linalg.norm(kernel[:, 0]) / np.linalg.norm(kernel[:, 1])
    assert filter_similarity(trained)["down1/conv1/conv"] == pytest.approx(abs(cosine))


def test_kernels_of_zeros_and_single_kernels_have_the_similarity_zero():
    assert _mean_cosine(np.zeros((4, 3))) == 0
    assert _mean_cosine(np.ones((4, 1))) == 0


def test_the_change_is_relative_to_the_norm_before(trained):
    twice = trained.replace(variables=jax.tree.map(lambda x: 2 * x, trained.variables))
    none = trained.replace(variables=jax.tree.map(lambda x: 0 * x, trained.variables))
    assert filter_change(trained, twice)["up1"] == pytest.approx(1)
    assert filter_change(trained, none)["up1"] == pytest.approx(1)
    assert filter_change(none, none)["up1"] == 0
    assert filter_change(none, trained)["up1"] == float("inf")


def test_initial_parameters_are_those_before_the_first_step(small, run):
    initial, state = load_initial(run), fresh_state(make_plan(small))
    jax.tree.map(np.testing.assert_array_equal, initial.variables["params"], state.params)
    assert min(filter_change(initial, cnnlab.load(run)).values()) > 0


def test_a_run_that_began_from_other_weights_has_no_initial_parameters(small, run, tmp_path):
    cnnlab.train(dataclasses.replace(small, seed=1), tmp_path / "next", init_from=run, quiet=True)
    with pytest.raises(ValueError, match="began from .*small, so its seed does not give its initial parameters"):
        load_initial(tmp_path / "next")


def test_a_dense_layer_that_reads_all_pixels_has_kernels_of_the_size_of_the_image():
    kernel = np.arange(24.0, dtype=np.float32).reshape(12, 2)  # 2 x 2 pixels of three colours, 2 units
    variables = {"params": {"dense": {"kernel": kernel, "bias": np.zeros(2, np.float32)}}}
    spec = cnnlab.InputSpec((2, 2), 3, classes=("a", "b"))
    trained = cnnlab.Trained(
        variables, cnnlab.create_model("linear", num_classes=2), cnnlab.tasks.Classification(), spec
    )
    (name,) = filters(trained)
    assert filters(trained)[name][1, 1, 0].tolist() == [13, 15, 17]  # unit 1, pixel (1, 0): rows 6, 7 and 8
