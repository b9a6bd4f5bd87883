import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export, lax

from cnnlab.kernels import dispatch, winograd
from cnnlab.ops import max_pool
from cnnlab.runtime.compile import jit

NHWC = ("NHWC", "HWIO", "NHWC")
CASES = [
    # image [H, W, C], kernel [h, w], padding, strides
    ((28, 28, 1), (5, 5), [(2, 2), (2, 2)], (1, 1)),
    ((28, 28, 1), (5, 5), "VALID", (1, 1)),
    ((13, 11, 3), (3, 2), "SAME", (1, 1)),
    ((13, 11, 3), (3, 3), [(-1, 2), (0, -2)], (1, 1)),
    ((9, 7, 2), (4, 4), [(3, 1), (0, 5)], (1, 1)),
    ((14, 14, 6), (5, 5), "VALID", (1, 1)),
    ((12, 12, 3), (3, 3), "SAME", (2, 2)),
    ((8, 8, 1), (1, 1), "VALID", (1, 1)),
    ((9, 8, 4), (1, 1), "VALID", (2, 3)),
    ((8, 8, 9), (1, 1), "VALID", (1, 1)),
    ((8, 8, 4), (1, 1), [(1, 1), (0, 0)], (1, 1)),
    ((9, 8, 4), (3, 3), [(1, 1), (1, 1)], (2, 2)),
    ((13, 12, 3), (7, 5), [(3, 3), (2, 1)], (2, 3)),
    ((9, 9, 4), (2, 2), "VALID", (2, 2)),
    ((9, 9, 4), (2, 2), "VALID", (3, 3)),
]


def value_vjp_jvp(fn, x, k, cotangent):
    """Returns the value, the two gradients for the cotangent, and the tangent in the direction (x, k)."""

    def program(x, k, cotangent):
        value, back = jax.vjp(fn, x, k)
        return value, *back(cotangent), jax.jvp(fn, (x, k), (x, k))[1]

    return jax.device_get(jax.jit(program)(x, k, cotangent))


def arrays(*shapes):
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


@pytest.mark.parametrize(("image", "kernel", "padding", "strides"), CASES)
def test_convolution_equals_the_direct_one_in_value_vjp_and_jvp(image, kernel, padding, strides):
    x, k = arrays((2, *image), (*kernel, image[2], 4))

    def ours(x, k):
        return dispatch.convolution(x, k, strides, padding, dimension_numbers=NHWC)

    def direct(x, k):
        return lax.conv_general_dilated(x, k, strides, padding, dimension_numbers=NHWC)

    out = np.asarray(direct(x, k))
    for got, want in zip(value_vjp_jvp(ours, x, k, out), value_vjp_jvp(direct, x, k, out), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5 * abs(want).max())


@pytest.mark.parametrize(
    ("size", "kernel", "padding", "strides", "dilation"),
    [
        ((8, 7), (3, 3), "SAME", (1, 1), (1, 1)),
        ((8, 7), (3, 3), "VALID", (2, 1), None),
        ((9, 9), (3, 2), [(1, 1), (0, 3)], (2, 2), (2, 3)),
        ((9, 9), (3, 3), "SAME", (1, 1), (2, 2)),
        ((19, 10), (5, 5), "SAME", (1, 1), (1, 1)),
        ((20, 9), (7, 7), "SAME", (2, 1), (1, 1)),
        ((9, 9), (1, 2), [(0, 2), (3, 0)], (1, 1), (1, 2)),
    ],
)
def test_depthwise_convolution_equals_the_direct_one_in_value_vjp_and_jvp(size, kernel, padding, strides, dilation):
    x, k = arrays((2, *size, 6), (*kernel, 1, 6))
    options = {"rhs_dilation": dilation, "dimension_numbers": NHWC, "feature_group_count": 6}
    ours, direct = (
        lambda x, k, convolve=convolve: convolve(x, k, strides, padding, **options)
        for convolve in (dispatch.convolution, lax.conv_general_dilated)
    )
    out = np.asarray(direct(x, k))
    (got, *rest), (want, *others) = value_vjp_jvp(ours, x, k, out), value_vjp_jvp(direct, x, k, out)
    np.testing.assert_allclose(got, want, atol=1e-5)
    for got, want in zip(rest, others, strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5 * abs(want).max())


@pytest.mark.parametrize(
    ("images", "pads"), [(4, [(1, 1), (1, 1)]), (4, [(0, 0), (0, 0)]), (4, [(2, 0), (1, 2)]), (54, [(1, 1), (1, 1)])]
)
def test_a_deep_convolution_by_winograd_equals_the_direct_one_in_value_vjp_and_jvp(images, pads):
    x, k = arrays((images, 15, 14, 64), (3, 3, 64, 80))
    ours, direct = (
        lambda x, k, convolve=convolve: convolve(x, k, (1, 1), pads, dimension_numbers=NHWC)
        for convolve in (dispatch.convolution, lax.conv_general_dilated)
    )
    traced = str(jax.make_jaxpr(dispatch._deep(x, k, (1, 1), pads))(x, k))
    assert "conv_general_dilated" not in traced
    assert ("by_groups[" in traced) == (images > 4)  # by groups, here of 18
    out = np.asarray(direct(x, k))
    for got, want in zip(value_vjp_jvp(ours, x, k, out), value_vjp_jvp(direct, x, k, out), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-4 * abs(want).max())


def test_winograd_is_exact_in_double_precision():
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        x, k = jnp.asarray(rng.normal(size=(1, 9, 6, 2))), jnp.asarray(rng.normal(size=(3, 3, 2, 3)))
        want = lax.conv_general_dilated(x, k, (1, 1), [(1, 1), (1, 1)], dimension_numbers=NHWC)
        np.testing.assert_allclose(winograd.convolution(x, k, pads=[(1, 1), (1, 1)]), want, atol=1e-12)


def test_few_tiles_few_channels_and_large_images_stay_direct():
    def is_deep(image, outputs):
        kernel = jax.ShapeDtypeStruct((3, 3, image[-1], outputs), jnp.float32)
        return dispatch._deep(jax.ShapeDtypeStruct(image, jnp.float32), kernel, (1, 1), [(1, 1), (1, 1)]) is not None

    assert [is_deep((n, 14, 14, 128), 128) for n in (1, 8, 128)] == [False, True, True]
    assert [is_deep((8, 7, 7, c), c) for c in (128, 512)] == [True, False]
    assert [is_deep((8, 28, 28, c), 128) for c in (32, 64)] == [False, True]
    assert [is_deep((1, n, n, 64), 64) for n in (96, 256)] == [True, False]


def test_a_batch_over_several_devices_is_not_split_into_groups(monkeypatch):
    x, k = jax.ShapeDtypeStruct((128, 16, 16, 128), jnp.float32), jax.ShapeDtypeStruct((3, 3, 128, 128), jnp.float32)
    assert dispatch._deep(x, k, (1, 1), [(1, 1), (1, 1)]) is not None
    monkeypatch.setattr(jax, "device_count", lambda: 2)
    assert dispatch._deep(x, k, (1, 1), [(1, 1), (1, 1)]) is None


@pytest.mark.cpu_only("reads the program of XLA's CPU backend")
def test_xla_does_not_fuse_the_input_of_a_kernel_gradient_into_its_transposition():
    def loss(k, x):
        return dispatch.convolution(jnp.tanh(x), k, (1, 1), "SAME", dimension_numbers=NHWC).sum()

    arrays = jnp.ones((3, 3, 16, 16)), jnp.ones((4, 9, 9, 16))
    with_tanh, turned = (
        [part for part in jit(jax.grad(loss)).lower(*arrays).compile().as_text().split("\n\n") if name in part]
        for name in (" tanh(", " transpose(")
    )
    assert with_tanh
    assert turned
    assert not any(part in turned for part in with_tanh if not part.startswith("ENTRY"))


@pytest.mark.parametrize(("strides", "groups"), [((2, 2), 1), ((1, 1), 4)])
def test_forms_with_gradients_of_their_own_differentiate_twice(strides, groups):
    x, k = arrays((2, 8, 8, 4), (3, 3, 4 // groups, 4))

    def second(convolve):
        def cubed(x, k):
            options = {"dimension_numbers": NHWC, "feature_group_count": groups}
            return (convolve(x, k, strides, "SAME", **options) ** 3).sum()

        return jax.jit(jax.grad(lambda k: (jax.grad(cubed)(x, k) ** 2).sum()))(k)

    want = second(lax.conv_general_dilated)
    np.testing.assert_allclose(second(dispatch.convolution), want, atol=1e-5 * float(abs(want).max()))


@pytest.mark.parametrize(("size", "kernel"), [((5, 4), (2, 2)), ((3, 3), (3, 2))])
def test_the_transposed_convolution_equals_the_direct_one_in_value_vjp_and_jvp(size, kernel):
    x, k = arrays((2, *size, 3), (*kernel, 3, 4))
    direct = lambda x, k: lax.conv_transpose(x, k, kernel, "VALID")  # noqa: E731
    out = np.asarray(direct(x, k))
    ours, theirs = (value_vjp_jvp(fn, x, k, out) for fn in (dispatch.transposed_convolution, direct))
    for got, want, atol in zip(ours, theirs, (1e-5, 1e-4, 1e-4, 1e-5), strict=True):
        np.testing.assert_allclose(got, want, atol=atol)


def test_a_depthwise_convolution_of_49_weights_has_a_fast_form_and_one_of_81_does_not():
    def program(side):
        def fn(x, k):
            return dispatch.convolution(x, k, (1, 1), "SAME", dimension_numbers=NHWC, feature_group_count=6)

        return export.export(jax.jit(fn), platforms=["cpu"])(jnp.ones((2, 9, 9, 6)), jnp.ones((side, side, 1, 6)))

    assert "stablehlo.convolution" not in program(7).mlir_module()
    assert "stablehlo.convolution" in program(9).mlir_module()


@pytest.mark.parametrize(
    ("channels", "kernel", "pads", "strides"),
    [
        (1, (5, 5), [(0, 0), (0, 0)], (1, 1)),
        (3, (3, 3), [(1, 1), (1, 1)], (1, 1)),
        (3, (3, 3), [(1, 0), (2, 3)], (2, 2)),
        (8, (1, 3), [(0, 0), (0, 2)], (1, 1)),
    ],
)
def test_a_convolution_written_out_equals_the_direct_one_in_value_vjp_and_jvp(
    channels, kernel, pads, strides, monkeypatch
):
    monkeypatch.setattr(dispatch, "has_wide_vectors", lambda: True)
    x, k = arrays((2, 13, 11, channels), (*kernel, channels, 32))
    assert "conv_general_dilated" not in str(jax.make_jaxpr(dispatch._narrow(x, k, strides, pads))(x, k))
    ours, direct = (
        lambda x, k, convolve=convolve: convolve(x, k, strides, pads, dimension_numbers=NHWC)
        for convolve in (dispatch.convolution, lax.conv_general_dilated)
    )
    out = np.asarray(direct(x, k))
    for got, want in zip(value_vjp_jvp(ours, x, k, out), value_vjp_jvp(direct, x, k, out), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5 * abs(want).max())


def test_only_narrow_convolutions_of_float32_for_wide_vectors_are_written_out(monkeypatch):
    def written_out(channels, outputs, side=3, dtype=jnp.float32):
        x, kernel = jnp.ones((1, 8, 8, channels), dtype), jnp.ones((side, side, channels, outputs), dtype)
        return dispatch._narrow(x, kernel, (1, 1), [(1, 1), (1, 1)]) is not None

    assert not written_out(3, 16)
    monkeypatch.setattr(dispatch, "has_wide_vectors", lambda: True)
    assert [written_out(3, k) for k in (6, 16, 64, 128)] == [False, True, True, False]
    assert [written_out(1, 16, side=5), written_out(4, 16), written_out(3, 16, dtype=jnp.float16)] == [
        True,
        False,
        False,
    ]


def test_both_layers_of_lenet5_have_a_fast_form_and_a_large_image_of_8_channels_does_not():
    same, valid = [(2, 2), (2, 2)], [(0, 0), (0, 0)]
    assert dispatch._toeplitz_block((128, 28, 28, 1), (5, 5, 1, 6), same) == 4
    assert dispatch._toeplitz_block((128, 14, 14, 6), (5, 5, 6, 16), valid) == 2
    assert dispatch._toeplitz_block((4, 256, 256, 8), (3, 3, 8, 16), same) is None


def test_convolution_maps_over_a_batch_of_kernels():
    x, k = jnp.ones((2, 8, 8, 1)), jnp.arange(3 * 9 * 2.0).reshape(3, 3, 3, 1, 2)
    out = jax.vmap(lambda k: dispatch.convolution(x, k, (1, 1), "SAME", dimension_numbers=NHWC))(k)
    each = [lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=NHWC) for kernel in k]
    np.testing.assert_allclose(out, jnp.stack(each), rtol=1e-5)


def test_an_export_for_a_gpu_holds_the_gpus_convolution():
    def first_layer(x, k):
        return dispatch.convolution(x, k, (1, 1), "SAME", dimension_numbers=NHWC)

    shapes = jnp.ones((2, 8, 8, 1)), jnp.ones((3, 3, 1, 4))
    cuda = export.export(jax.jit(first_layer), platforms=["cuda"])(*shapes).mlir_module()
    cpu = export.export(jax.jit(first_layer), platforms=["cpu"])(*shapes).mlir_module()
    assert "stablehlo.convolution" in cuda
    assert "stablehlo.convolution" not in cpu


def test_max_pooling_of_the_lectures_4x4_gives_6_9_7_8():
    x = jnp.array([[2, 4, 7, 4], [6, 6, 9, 8], [3, 4, 8, 3], [7, 5, 3, 6]], jnp.float32)[None, ..., None]
    assert max_pool(x)[0, ..., 0].tolist() == [[6, 9], [7, 8]]


@pytest.mark.parametrize("channels", [3, 8])
def test_max_pooling_and_its_gradient_drop_the_remainder_as_reduce_window_does(channels):
    def direct(x):
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")

    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 7, 5, channels)), jnp.float32)
    out = direct(x)
    assert (max_pool(x) == out).all()
    assert (jax.vjp(max_pool, x)[1](out)[0] == jax.vjp(direct, x)[1](out)[0]).all()
    with pytest.raises(ValueError, match="kernel of 2 pixels is larger than its padded input of 1"):
        max_pool(jnp.ones((1, 1, 4, 1)))


@pytest.mark.parametrize(("side", "stride", "pad"), [(3, 1, 1), (3, 2, 1), (2, 3, 0)])
def test_the_maximum_over_overlapping_windows_equals_the_direct_one_in_value_and_gradient(side, stride, pad):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 9, 8, 3)), jnp.float32)
    where = (1, side, side, 1), (1, stride, stride, 1), ((0, 0), (pad, pad), (0, pad), (0, 0))
    direct = lambda x: lax.reduce_window(x, -jnp.inf, lax.max, *where)  # noqa: E731
    ours = lambda x: dispatch.maximum(x, *where)  # noqa: E731
    np.testing.assert_array_equal(ours(x), direct(x))
    np.testing.assert_array_equal(jax.jit(ours)(x), direct(x))
    got, want = (jax.jit(jax.grad(lambda x, fn=fn: (fn(x) ** 2).sum()))(x) for fn in (ours, direct))
    np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.cpu_only("the fast forms, which round otherwise, are for CPUs")
def test_exact_forms_are_the_definition_also_of_a_program_that_was_compiled_before():
    rng = np.random.default_rng(0)
    x, k = (rng.normal(size=shape).astype(np.float32) for shape in ((4, 16, 16, 64), (3, 3, 64, 64)))
    padding = ((1, 1), (1, 1))

    @jit
    def convolve(x, k):
        return dispatch.convolution(x, k, (1, 1), padding, dimension_numbers=NHWC)

    direct = lax.conv_general_dilated(x, k, (1, 1), padding, dimension_numbers=NHWC)
    fast = convolve(x, k)
    with dispatch.exact_forms():
        exact = convolve(x, k)
    assert np.abs(exact - direct).max() <= 1e-6 * np.abs(direct).max()
    assert 0 < np.abs(fast - direct).max() < 1e-4 * np.abs(direct).max()


TIES = np.random.default_rng(0).integers(0, 3, (2, 9, 8, 8)).astype(np.float32)  # many equal maxima


@pytest.mark.parametrize("channels", [3, 8])
@pytest.mark.parametrize(
    ("window", "stride", "padding"), [((2, 2), 2, 0), ((3, 3), 2, 1), ((2, 3), 1, 0), ((4, 4), 2, 1)]
)
def test_of_equal_maxima_the_first_takes_the_gradient_in_every_form_as_in_torch(channels, window, stride, padding):
    torch = pytest.importorskip("torch")
    x = TIES[..., :channels]

    def weighted(x):
        out = max_pool(x, window, stride=stride, padding=padding)
        return (out * jnp.arange(1.0, 1 + out.size).reshape(out.shape)).sum()

    nchw = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
    out = torch.nn.functional.max_pool2d(nchw, window, stride=stride, padding=padding).permute(0, 2, 3, 1)
    (out * torch.arange(1.0, 1 + out.numel()).reshape(out.shape)).sum().backward()
    expected = nchw.grad.numpy().transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(jax.jit(jax.grad(weighted))(x), expected)
    with dispatch.as_defined():
        np.testing.assert_array_equal(jax.jit(jax.grad(weighted))(x), expected)


def test_of_three_equal_values_and_a_smaller_one_the_first_takes_the_whole_gradient():
    x = jnp.array([[1.0, 1], [1, 0]])[None, ..., None]
    assert jax.grad(lambda x: max_pool(x).sum())(x)[0, ..., 0].tolist() == [[1, 0], [0, 0]]
