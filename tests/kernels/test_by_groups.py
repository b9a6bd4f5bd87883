import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from cnnlab.kernels import dispatch
from cnnlab.kernels.groups import by_groups


def form(x, kernel):
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def loss(convolve, x, kernel):
    return (convolve(x, kernel) ** 3).sum()


grouped = by_groups(form, 2)
X = np.random.default_rng(0).normal(size=(6, 5, 4, 3)).astype(np.float32)
KERNEL = np.random.default_rng(1).normal(size=(3, 3, 3, 2)).astype(np.float32)
WAYS = {
    "value": lambda convolve: convolve(X, KERNEL),
    "compiled": lambda convolve: jax.jit(convolve)(X, KERNEL),
    "gradients": lambda convolve: jax.grad(loss, (1, 2))(convolve, X, KERNEL),
    "tangent": lambda convolve: jax.jvp(convolve, (X, KERNEL), (X + 1, KERNEL - 1))[1],
    "curvature": lambda convolve: jax.jvp(
        jax.grad(functools.partial(loss, convolve), (0, 1)), (X, KERNEL), (X, KERNEL)
    ),
    "batch of images": lambda convolve: jax.vmap(convolve, (1, None))(np.stack([X, 2 * X], 1), KERNEL),
    "batch of kernels": lambda convolve: jax.vmap(convolve, (None, 0))(X, np.stack([KERNEL, 2 * KERNEL])),
    "gradient of each image": lambda convolve: jax.vmap(
        lambda x: jax.grad(loss, 2)(by_groups(form, 1) if convolve is grouped else form, x[None], KERNEL)
    )(X),
}


@pytest.mark.parametrize("way", WAYS)
def test_groups_of_images_give_what_the_whole_batch_gives(way):
    for got, want in zip(*(jax.tree.leaves(WAYS[way](convolve)) for convolve in (grouped, form)), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * abs(want).max())


def planned(network, x, kernels):
    """Returns the bytes that the compiler plans for the gradients, beside arguments and result."""
    program = jax.jit(jax.grad(lambda kernels: network(x, kernels).sum()), compiler_options=OPTIONS)
    return program.lower(kernels).compile().memory_analysis().temp_size_in_bytes


OPTIONS = {"xla_disable_hlo_passes": "cse_barrier_expander"}  # barriers hold, as in `cnnlab.jit`


def test_layers_by_groups_store_only_their_inputs_and_outputs():
    x, kernels = jnp.ones((16, 32, 32, 64)), [jnp.ones((3, 3, 64, 64))] * 6
    convolve = dispatch._deep(x, kernels[0], (1, 1), ((1, 1), (1, 1)))
    assert "by_groups" in str(jax.make_jaxpr(convolve)(x, kernels[0]))

    def network(x, kernels):
        for kernel in kernels:
            x = jax.nn.relu(convolve(x, kernel))
        return x

    # Two arrays a layer, the gradient that arrives and the one that leaves, and 16 MB for the tiles of a group.
    assert planned(network, x, kernels) < (2 * len(kernels) + 2) * x.nbytes + 16e6


def test_transformed_kernels_wait_for_their_layer():
    x, kernels = jnp.ones((64, 4, 4, 256)), [jnp.ones((3, 3, 256, 256))] * 8
    convolve = dispatch._deep(x, kernels[0], (1, 1), ((1, 1), (1, 1)))

    def network(x, kernels):
        for kernel in kernels:
            x = jax.nn.relu(convolve(x, kernel))
        return x

    transformed = 4 * kernels[0].nbytes  # 36 values for each 3x3 kernel of 9
    assert planned(network, x, kernels) < 4 * transformed + (2 * len(kernels) + 2) * x.nbytes
