import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnlab
from cnnlab.anatomy.views import views
from cnnlab.data import Examples
from cnnlab.features import top_patches, top_patches_by_layer
from cnnlab.features.cutting import cut, patch_windows
from cnnlab.features.layers import convolutions

SPEC = cnnlab.InputSpec((8, 8), classes=("a", "b"))
KERNEL = np.array([[0, 0, 0], [0, 1, 2], [0, 0, 0]], np.float32)  # sees a pixel and, doubled, its right neighbour


class OneConvolution(nn.Module):
    """Two units of a 3x3 convolution: the kernel, and its negative."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(2, (3, 3), name="conv")(x))
        return nn.Dense(2, name="dense")(x.mean((1, 2)))


@pytest.fixture(scope="module")
def trained():
    kernel = np.stack([KERNEL, -KERNEL], -1)[:, :, None]
    params = {
        "conv": {"kernel": kernel, "bias": np.zeros(2, np.float32)},
        "dense": {"kernel": np.eye(2, dtype=np.float32), "bias": np.zeros(2, np.float32)},
    }
    return cnnlab.Trained({"params": params}, OneConvolution(), cnnlab.tasks.Classification(), SPEC)


def bright(*pixels):
    """Returns images [N, 8, 8, 1] with one bright pixel each, at `(row, column, brightness)`."""
    images = np.zeros((len(pixels), 8, 8, 1), np.float32)
    for image, (row, column, value) in zip(images, pixels, strict=True):
        image[row, column] = value
    return images


def test_the_top_patch_is_where_the_bright_pixel_is(trained):
    images = bright((4, 5, 0.25), (2, 3, 1.0), (6, 6, 0.5))
    best = top_patches(trained, images, "conv", count=3)
    assert best.values[0].tolist() == [2.0, 1.0, 0.5]  # the pixel is the right neighbour of the place
    assert best.index[0].tolist() == [1, 2, 0]
    assert best.place[0].tolist() == [[2, 2], [6, 5], [4, 4]]
    assert best.box[0, 0].tolist() == [1, 1, 4, 4]
    np.testing.assert_array_equal(best.patches()[0, 0, :, :, 0], [[0, 0, 0], [0, 0, 1], [0, 0, 0]])


def test_a_unit_that_never_fires_is_named_and_has_no_nan(trained):
    best = top_patches(trained, bright((4, 5, 1.0), (2, 3, 0.5)), "conv", count=2)
    assert best.dead.tolist() == [1]
    assert best.fires.tolist() == [1.0, 0.0]
    assert best.values[1].tolist() == [0.0, 0.0]
    assert best.place[1].tolist() == [[0, 0], [0, 0]]  # the first of equal places


def test_pixels_outside_the_image_are_grey(trained):
    best = top_patches(trained, bright((0, 0, 1.0)), "conv", count=1)
    assert best.box[0, 0].tolist() == [-1, -1, 2, 2]  # the pixel itself; no place has it to its right
    np.testing.assert_array_equal(best.patches([0])[0, 0, :, :, 0], [[0.5, 0.5, 0.5], [0.5, 1, 0], [0.5, 0, 0]])


def test_equal_activations_keep_the_order_of_images_over_batches(trained):
    images = bright(*[(3, 3, 1.0 if i in (2, 4, 5, 9) else 0.5) for i in range(11)])
    for batch_size in (1, 3, 11):
        best = top_patches(trained, images, "conv", count=6, batch_size=batch_size)
        assert best.index[0].tolist() == [2, 4, 5, 9, 0, 1]


def test_one_pass_equals_brute_force(trained):
    images = np.random.default_rng(0).integers(0, 4, (37, 8, 8, 1)).astype(np.float32) / 4  # with many ties
    best = top_patches(trained, images, "conv", count=9, batch_size=8)
    padded = np.pad(images[..., 0], ((0, 0), (0, 0), (0, 1)))
    maps = padded[:, :, :-1] + 2 * padded[:, :, 1:]
    for unit, values in enumerate((maps, -maps)):
        flat = values.reshape(37, 64)
        order = np.argsort(-flat.max(1), kind="stable")[:9]
        np.testing.assert_array_equal(best.values[unit], flat.max(1)[order])
        np.testing.assert_array_equal(best.index[unit], order)
        np.testing.assert_array_equal(best.place[unit], np.stack(np.divmod(flat.argmax(1)[order], 8), -1))
        np.testing.assert_allclose(best.fires[unit], (flat.max(1) > 0).mean())
        np.testing.assert_allclose(best.mean[:, unit], flat.mean(1), atol=1e-6)
        np.testing.assert_array_equal(best.maximum[:, unit], flat.max(1))


def test_percentiles_compare_means_with_means_and_maxima_with_maxima(trained):
    best = top_patches(trained, bright(*[(3, 3, value) for value in (0.25, 0.5, 0.75, 1.0)]), "conv", count=1)
    assert best.percentile(0, 1.0, of="maximum") == 50  # twice the brightness: 0.5, 1, 1.5, 2
    assert best.percentile(0, 3 * 0.75 / 64) == 75  # the pixel counts once and twice, over 64 places
    assert best.percentile(0, -1.0) == 0


def test_several_layers_take_one_pass_and_give_the_same(trained):
    images = np.random.default_rng(1).random((12, 8, 8, 1), np.float32)
    both = top_patches_by_layer(trained, images, ["dense", "conv"], count=3)
    for name, each in both.items():
        alone = top_patches(trained, images, name, count=3)
        np.testing.assert_array_equal(each.index, alone.index)
        np.testing.assert_allclose(each.values, alone.values, rtol=1e-6)
    assert list(top_patches_by_layer(trained, images)) == ["conv"]  # by default the convolutions


def test_patches_of_a_dense_layer_are_whole_images(trained):
    images = np.random.default_rng(1).random((4, 8, 8, 1), np.float32)
    best = top_patches(trained, images, "dense", count=2)
    assert best.box[0, 0].tolist() == [0, 0, 8, 8]
    np.testing.assert_array_equal(best.patches()[1, 0], images[best.index[1, 0]])


def test_padding_rows_of_the_last_batch_never_count(trained):
    best = top_patches(trained, bright((3, 3, 0.5), (3, 3, 0.25), (3, 3, 1.0)), "conv", count=3, batch_size=2)
    assert best.index[0].tolist() == [2, 0, 1]
    assert best.images == 3


def test_fewer_images_than_patches_are_stated(trained):
    with pytest.warns(UserWarning, match="there are 2 images, so each unit has 2 patches instead of 9"):
        best = top_patches(trained, bright((3, 3, 1.0), (4, 4, 0.5)), "conv")
    assert best.patches().shape == (2, 2, 3, 3, 1)


def test_data_sets_and_splits_are_read_alike(run):
    trained = cnnlab.load(run)
    data = cnnlab.data.shapes(size=16, train=8, validation=4, test=12)
    best = top_patches(trained, data, "conv2", count=3, split="train")
    same = top_patches(trained, Examples(data["train"].columns), "conv2", count=3)
    np.testing.assert_array_equal(best.index, same.index)
    assert best.patches([1]).dtype == np.uint8


def test_boxes_are_those_of_the_arithmetic_of_layers():
    network = cnnlab.create_model("lenet5", num_classes=10)
    view = views(network, (28, 28, 1), {"conv2"})["conv2"]  # a kernel of 5 padded by 2, a pooling of 2, a kernel of 5
    place = np.array([[3, 9]])
    assert view.boxes(place).tolist() == [[2 * 9 - 2, 2 * 3 - 2, 2 * 9 + 12, 2 * 3 + 12]]


def test_after_upsampling_units_see_different_numbers_of_pixels():
    class Up(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = jnp.repeat(jnp.repeat(x, 2, 1), 2, 2)
            return nn.Conv(1, (3, 3), name="conv")(x)

    view = views(Up(), (4, 4, 1), {"conv"})["conv"]
    assert view.rows[:4].tolist() == [[-1, 1], [0, 2], [0, 2], [1, 3]]
    assert view.size == (2, 2)


def test_a_receptive_field_larger_than_the_image_is_the_whole_image():
    boxes = np.array([[-20, 3, 30, 6]])
    window = patch_windows(boxes, (3, 50), (8, 8))[0]
    assert window.tolist() == [0, 3, 8, 6]
    image = np.arange(64.0).reshape(8, 8, 1)
    np.testing.assert_array_equal(cut(image, window, 0.5), image[3:6])


def test_a_batch_norm_after_a_convolution_holds_its_feature_maps(trained):
    network = cnnlab.nn.ConvBlock(3)
    variables = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    block = cnnlab.Trained(variables, network, cnnlab.tasks.Classification(), SPEC)
    assert convolutions(block) == [("conv", "norm")]
    assert convolutions(trained) == [("conv", "conv")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "conv1"}, "unknown layer 'conv1'; did you mean 'conv'"),
        ({"layer": "conv", "count": 0}, "count must be 1 or more, found 0"),
        ({"layer": "conv", "batch_size": 0}, "batch_size must be 1 or more, found 0"),
    ],
)
def test_wrong_arguments_are_named(trained, options, message):
    with pytest.raises(ValueError, match=message):
        top_patches(trained, bright((1, 1, 1.0)), **options)


def test_images_of_other_channels_and_units_that_a_layer_lacks_are_refused(trained):
    with pytest.raises(ValueError, match=r"images must be \[B, 8, 8, 1\]"):
        top_patches(trained, np.zeros((2, 8, 8, 3), np.float32), "conv")
    best = top_patches(trained, bright((1, 1, 1.0)), "conv", count=1)
    with pytest.raises(ValueError, match=r"unit must lie in 0..1 for the layer conv, found 2"):
        best.patches([2])


def test_nan_is_an_error(trained):
    broken = trained.replace(variables=jax.tree.map(lambda x: x * np.nan, trained.variables))
    with pytest.raises(FloatingPointError, match="conv has the activation NaN"):
        top_patches(broken, bright((1, 1, 1.0)), "conv", count=1)
