"""By how much the convolutions of a network stretch their inputs."""

from collections.abc import Sequence

import numpy as np

from cnnlab import ops
from cnnlab.errors import check_known
from cnnlab.nn.kernels import find_kernels, kernel_at
from cnnlab.trained import Trained


def singular_values(trained: Trained, layers: str | Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Computes the singular values of each convolution as a linear map, the largest first.

    They say by which factors a convolution stretches its inputs. All are 1 for an orthogonal convolution. The border is
    taken as circular, and height and width are rounded up to multiples of the stride; a normalisation after the
    convolution does not count. A transposed convolution has the values of the convolution that it transposes.

    Args:
      trained: the network.
      layers: names of convolutions; by default all.

    Raises:
      ValueError: there is no such convolution.

    >>> import jax
    >>> import jax.numpy as jnp
    >>> from cnnlab.data import InputSpec
    >>> from cnnlab.models import create_model
    >>> from cnnlab.tasks import Classification
    >>> net, spec = create_model("lenet5", num_classes=2), InputSpec((28, 28), classes="ab")
    >>> trained = Trained(net.init(jax.random.key(0), jnp.zeros((1, 28, 28, 1))), net, Classification(), spec)
    >>> {name: values.shape for name, values in singular_values(trained).items()}  # 784 places x 1, 196 x 6
    {'conv1': (784,), 'conv2': (1176,)}
    """
    found = find_kernels(trained.network, trained.variables, trained.spec.shape)
    kernels = {name: kernel for name, kernel in found.items() if len(kernel.shape) == 4}
    chosen = kernels if layers is None else [layers] if isinstance(layers, str) else layers
    out = {}
    for name in chosen:
        check_known("convolution", name, kernels)
        kernel, values = kernels[name], np.asarray(kernel_at(trained.variables["params"], name))
        values = values.swapaxes(-1, -2) if kernel.swapped else values
        size = [-(-n // s) * s for n, s in zip(kernel.size, kernel.stride, strict=True)]
        out[name] = ops.singular_values(values, size, **kernel.steps)
    return out
