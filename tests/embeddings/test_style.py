import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnlab
from cnnlab.embeddings import content, extract, gram_matrix, sketch, style
from cnnlab.embeddings.style import _map_layers
from cnnlab.models import create_model
from cnnlab.tasks import Classification

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (5, 28, 28, 1), np.uint8)


def trained_network(name="lenet5", **options):
    net = create_model(name, num_classes=2, **options)
    variables = net.init(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
    return cnnlab.Trained(variables, net, Classification(), cnnlab.InputSpec((28, 28), classes="ab"))


@pytest.fixture(scope="module")
def trained():
    return trained_network()


def distances(x):
    return np.linalg.norm(x[:, None] - x[None], axis=-1)


def test_a_gram_matrix_is_the_mean_of_outer_products():
    maps = RNG.normal(size=(2, 3, 4, 5)).astype(np.float32)
    expected = [sum(np.outer(place, place) for place in each.reshape(-1, 5)) / 12 for each in maps]
    np.testing.assert_allclose(gram_matrix(maps), expected, rtol=1e-5, atol=1e-6)


def test_distances_of_style_are_those_of_gram_matrices(trained):
    squares = 0
    for maps in cnnlab.activations(trained, IMAGES, ["conv1", "conv2"]).values():
        flat = np.asarray(maps, np.float64).reshape(5, -1, maps.shape[-1])
        gram = flat.transpose(0, 2, 1) @ flat / flat.shape[1] / flat.shape[2]  # 21 + 136 numbers fit into 512
        squares = squares + distances(gram.reshape(5, -1)) ** 2
    np.testing.assert_allclose(distances(style(trained, IMAGES, batch_size=2)), np.sqrt(squares), rtol=1e-4, atol=1e-6)


def test_style_does_not_see_where_things_are(trained):
    maps = RNG.normal(size=(1, 4, 4, 3)).astype(np.float32)
    shuffled = RNG.permutation(maps.reshape(16, 3)).reshape(maps.shape)
    np.testing.assert_allclose(gram_matrix(maps), gram_matrix(shuffled), rtol=1e-5)


def test_content_has_the_distances_of_the_last_features(trained):
    expected = distances(extract(trained, IMAGES))
    np.testing.assert_allclose(distances(content(trained, IMAGES)), expected, rtol=1e-4, atol=1e-5)


def test_a_sketch_keeps_inner_products_on_average():
    vectors = RNG.normal(size=(2, 300)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    products = np.array([(lambda s: s[0] @ s[1])(np.asarray(sketch(vectors, 32, seed))) for seed in range(200)])
    error = products - vectors[0] @ vectors[1]
    assert abs(error.mean()) < 4 * np.sqrt(1 / 32 / 200)
    assert error.std() == pytest.approx(np.sqrt(1 / 32), rel=0.25)  # half the signs agree: 1/size for unit vectors


def test_a_sketch_depends_on_its_seed_alone():
    vectors = RNG.normal(size=(3, 1000)).astype(np.float32)
    np.testing.assert_array_equal(sketch(vectors, 64), sketch(vectors, 64))
    assert not np.allclose(sketch(vectors, 64), sketch(vectors, 64, seed=1))


def test_five_of_many_layers_are_the_style():
    deep = trained_network("convnet", stages=((2,) * 9,))
    assert [layer.name for layer in _map_layers(deep, None)] == [f"stage1_norm{n}" for n in (1, 3, 5, 7, 9)]


def test_layers_without_maps_and_networks_without_style_are_refused(trained):
    with pytest.raises(ValueError, match=r"layer dense1 has no maps \[B, h, w, C\]"):
        style(trained, IMAGES, "dense1")
    with pytest.raises(ValueError, match="Dense has no layer with maps .*, and so no style"):
        style(trained_network("dense"), IMAGES)
    with pytest.raises(ValueError, match="unknown layer 'conv9'"):
        style(trained, IMAGES, ["conv9"])


def test_no_images_and_no_size_are_refused(trained):
    with pytest.raises(ValueError, match="hold no example"):
        style(trained, IMAGES[:0])
    with pytest.raises(ValueError, match="size must be 1 or more, found 0"):
        content(trained, IMAGES, size=0)
