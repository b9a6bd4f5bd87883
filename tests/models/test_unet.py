import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab import models, nn


def parameters(network, shape):
    variables = jax.eval_shape(lambda x: nn.init(network, x, jax.random.key(0)), jnp.zeros(shape))
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def drawn(network, x):
    """Initialises the variables in one compiled program."""
    return jax.jit(lambda x: nn.init(network, x, jax.random.key(0)))(x)


def normal(*shape):
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def test_the_papers_network_has_the_parameters_of_the_arithmetic_and_gives_388_pixels_of_572():
    network = models.UNet(2, norm=False, border="valid")
    widths = [64, 128, 256, 512, 1024]
    double = lambda a, b: 9 * a * b + b + 9 * b * b + b  # noqa: E731
    down = sum(double(a, b) for a, b in zip([1, *widths], widths, strict=False))
    up = sum(4 * 2 * w * w + w + double(2 * w, w) for w in widths[:-1])
    assert parameters(network, (1, 572, 572, 1)) == down + up + 64 * 2 + 2 == 31_030_658
    variables = jax.eval_shape(lambda: nn.init(network, jnp.zeros((1, 188, 188, 1)), jax.random.key(0)))
    assert jax.eval_shape(network.apply, variables, jnp.zeros((1, 572, 572, 1))).shape == (1, 388, 388, 2)


def test_without_padding_it_equals_its_twin_in_torch():
    torch = pytest.importorskip("torch")
    from torch_twins import UNet

    twin = UNet(width=3, depth=2)
    assert sum(p.numel() for p in UNet().parameters()) == 31_030_658
    kernel = lambda conv: {"kernel": conv.weight.detach().numpy().transpose(2, 3, 1, 0), "bias": conv.bias.detach()}  # noqa: E731
    double = lambda two: {"conv1": {"conv": kernel(two[0])}, "conv2": {"conv": kernel(two[2])}}  # noqa: E731
    params = {"classes": kernel(twin.classes), "bottleneck": double(twin.down[2])}
    for i in (0, 1):
        flipped = twin.up[i].weight.detach().numpy()[:, :, ::-1, ::-1].transpose(2, 3, 0, 1)
        params[f"up{i + 1}"] = {"kernel": flipped, "bias": twin.up[i].bias.detach()}
        params |= {f"down{i + 1}": double(twin.down[i]), f"join{i + 1}": double(twin.join[i])}
    x = np.random.default_rng(0).normal(size=(2, 44, 52, 1)).astype(np.float32)
    network = models.UNet(2, width=3, depth=2, norm=False, border="valid")
    got = jax.jit(network.apply)({"params": jax.tree.map(np.asarray, params)}, x)
    want = twin(torch.from_numpy(x.transpose(0, 3, 1, 2))).detach().numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(got, want, atol=1e-5)
    assert got.shape == (2, 4, 12, 2)


ups = pytest.mark.parametrize("up", ["transposed", "bilinear", "nearest"])


@ups
@pytest.mark.parametrize("border", ["zero", "mirror"])
@pytest.mark.parametrize("size", [(1, 1), (17, 30), (32, 16)])
def test_an_image_of_any_size_comes_back_in_its_size(border, size, up):
    network = models.UNet(3, width=2, depth=3, border=border, up=up)
    out = jax.eval_shape(lambda x: network.init_with_output(jax.random.key(0), x)[0], jnp.zeros((1, *size, 1)))
    assert out.shape == (1, *size, 3)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_bilinear_interpolation_without_padding_removes_two_more_rows_at_every_level(depth):
    network = models.UNet(2, width=2, depth=depth, norm=False, border="valid", up="bilinear")
    side = 14 * 2**depth - 10
    out = jax.eval_shape(
        lambda x: network.init_with_output(jax.random.key(0), x)[0], jnp.zeros((1, side + 1, side + 9, 1))
    )
    assert out.shape == (1, 1, 9, 2)


@ups
def test_without_padding_the_output_lies_over_the_middle_of_any_image(up):
    network = models.UNet(2, width=2, depth=1, norm=False, border="valid", up=up)
    x = normal(1, 27, 30, 1)
    variables, apply = drawn(network, x), jax.jit(lambda v, x: nn.apply(network, v, x))
    whole = apply(variables, x)
    part = apply(variables, x[:, 2:26, 4:28])  # shifts by multiples of 2, so that the pooling windows are the same
    margin = 18 if up == "bilinear" else 16
    assert whole.shape == (1, 27 - margin, 30 - margin, 2)
    np.testing.assert_allclose(np.asarray(whole)[:, 2 : 26 - margin, 4 : 28 - margin], part, atol=1e-6)


@ups
def test_mirroring_is_the_network_without_padding_on_the_mirrored_image(up):
    borders = ("mirror", "valid")
    mirror, valid = (models.UNet(2, width=2, depth=1, norm=False, border=border, up=up) for border in borders)
    x = normal(1, 12, 12, 1)
    margin = 9 if up == "bilinear" else 8
    beyond = np.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode="symmetric")
    apply = jax.jit(lambda v, x, beyond: (nn.apply(mirror, v, x), nn.apply(valid, v, beyond)))
    np.testing.assert_allclose(*apply(drawn(mirror, x), x, beyond), atol=1e-6)


@pytest.mark.parametrize("options", [{"residual": True}, {"skip": "add"}, {"residual": True, "border": "mirror"}])
def test_additive_variants_learn_in_every_parameter(options):
    network = models.UNet(2, width=4, depth=2, norm=False, **options)
    x = normal(2, 12, 12, 1)
    gradients = jax.device_get(jax.jit(jax.grad(lambda v: (nn.apply(network, v, x) ** 2).sum()))(drawn(network, x)))
    assert all((leaf != 0).any() for leaf in jax.tree.leaves(gradients))


def test_an_added_skip_halves_the_inputs_of_the_joining_blocks():
    plain, added = (models.UNet(2, width=4, depth=1, skip=skip) for skip in ("concatenate", "add"))
    assert parameters(plain, (1, 8, 8, 1)) - parameters(added, (1, 8, 8, 1)) == 9 * 4 * 4


def test_without_skips_only_the_bottleneck_reaches_the_output():
    network = models.UNet(2, width=4, depth=1, skip="none")
    variables = network.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    variables["params"]["up1"] = jax.tree.map(jnp.zeros_like, variables["params"]["up1"])
    x = normal(2, 8, 8, 1)
    np.testing.assert_array_equal(network.apply(variables, x)[0], network.apply(variables, x)[1])


def outputs_with_dropout(network, x):
    """Returns the outputs of all modules in a pass with dropout."""
    options = {"rngs": {"dropout": jax.random.key(2)}, "capture_intermediates": True}
    outputs = jax.jit(lambda v, x: network.apply(v, x, deterministic=False, **options)[1]["intermediates"])
    return jax.device_get(outputs(drawn(network, x), x))


def test_dropout_drops_whole_maps_after_the_bottleneck_and_on_the_way_up():
    network = models.UNet(2, width=4, depth=2, spatial_dropout=0.5)
    x = normal(1, 8, 8, 1)
    outputs = outputs_with_dropout(network, x)
    assert {name for name in outputs if "dropout" in name} == {"dropout_bottleneck", "dropout1", "dropout2"}
    (before,), (after,) = outputs["join2"]["__call__"], outputs["dropout2"]["__call__"]
    factor = np.where(before > 0, after / np.where(before > 0, before, 1), np.nan)
    assert set(np.unique(factor[~np.isnan(factor)])) <= {0, 2}
    assert all(len(np.unique(map_[~np.isnan(map_)])) <= 1 for map_ in factor.reshape(-1, 8).T)


def test_central_dropout_drops_single_values_at_the_two_deepest_levels_alone():
    network = models.UNet(2, width=4, depth=3, central_dropout=0.5)
    x = normal(1, 32, 32, 1)
    outputs = outputs_with_dropout(network, x)
    names = {name for name in outputs if "central" in name}
    assert names == {f"central_{place}" for place in ("down2", "down3", "bottleneck", "join3", "join2")}
    (before,), (after,) = outputs["join2"]["__call__"], outputs["central_join2"]["__call__"]
    factor = np.asarray(after)[before > 0] / np.asarray(before)[before > 0]
    assert set(factor) == {0, 2}
    assert abs(factor.mean() - 1) < 0.2  # the mean of about 500 values


@pytest.mark.parametrize(
    ("options", "size", "message"),
    [
        ({"border": "valid"}, 184, "removes 184 rows and columns, but the image has 184x184 pixels; use a larger"),
        ({"depth": 0}, 8, "width and depth must be 1 or more, found 64 and 0"),
        ({"up": "bilinar"}, 8, "unknown up 'bilinar'; did you mean 'bilinear'"),
        ({"skip": "ad"}, 8, "unknown skip 'ad'; did you mean 'add'"),
        ({"border": "zeros"}, 8, "unknown border 'zeros'; did you mean 'zero'"),
    ],
)
def test_a_network_that_cannot_be_says_why(options, size, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(models.UNet(2, **options).init, jax.random.key(0), jnp.zeros((1, size, size, 1)))


def test_interpolated_maps_cost_a_quarter_of_a_transposed_convolution():
    kernels = {up: models.UNet(2, width=4, depth=1, norm=False, up=up) for up in ("transposed", "bilinear", "nearest")}
    sizes = {up: parameters(network, (1, 8, 8, 1)) for up, network in kernels.items()}
    assert sizes["transposed"] - sizes["bilinear"] == 3 * 8 * 4
    assert sizes["bilinear"] == sizes["nearest"]


def test_the_network_by_name_interpolates_and_the_class_is_the_papers():
    assert models.create_model("unet", num_classes=2).up == "bilinear"
    assert models.UNet(2).up == "transposed"
