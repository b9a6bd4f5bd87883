import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnlab.models import create_model
from cnnlab.nn.kernels import Kernel, find_kernels


def kernels_of(network, shape):
    variables = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, *shape)))
    return find_kernels(network, variables, shape)


def test_kernels_have_the_stride_and_the_input_size_of_their_layer():
    found = kernels_of(create_model("resnet18", num_classes=2, width=4), (32, 32, 3))
    assert found["stem/conv"] == Kernel((7, 7, 3, 4), (32, 32), (2, 2))
    assert found["dense"] == Kernel((32, 2))
    assert len([kernel for kernel in found.values() if len(kernel.shape) == 4]) == 20


def test_groups_and_transposed_convolutions_are_described():
    depthwise = [k for k in kernels_of(create_model("separable", num_classes=2), (32, 32, 3)).values() if k.groups > 1]
    assert depthwise
    assert all(kernel.groups == kernel.shape[-1] for kernel in depthwise)
    up = kernels_of(create_model("unet", num_classes=2, width=2, depth=1, up="transposed"), (16, 16, 1))["up1"]
    assert up == Kernel((2, 2, 4, 2), (16, 16), (2, 2), swapped=True)


def test_stacked_parameters_are_left_out():
    class Stacked(nn.Module):
        @nn.compact
        def __call__(self, x):
            body = nn.scan(
                lambda conv, x, _: (conv(x), None), variable_axes={"params": 0}, split_rngs={"params": True}, length=2
            )
            return nn.Conv(3, (1, 1), name="last")(body(nn.Conv(3, (3, 3), name="conv"), x, None)[0])

    assert list(kernels_of(Stacked(), (8, 8, 3))) == ["last"]
