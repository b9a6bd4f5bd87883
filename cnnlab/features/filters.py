"""The kernels of convolutions: as pictures, how alike they are, and how far training moved them."""

from collections.abc import Sequence

import numpy as np

from cnnlab.errors import unknown
from cnnlab.features.layers import convolutions, pixel_layer
from cnnlab.trained import Trained


def filters(trained: Trained, layers: str | Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Returns the kernels of convolutions as small pictures.

    A dense layer that reads all pixels of the image is one, with kernels as large as the image.

    Args:
      trained: the network.
      layers: names of convolutions, or of normalisations that read one; by default all convolutions.

    Returns:
      For each convolution `[C, h, w, 1]` or `[C, h, w, 3]`, one picture for each of its C units, with the kernel's own
      values. A depth of 3 stays as colours; any other depth is averaged.

    Raises:
      ValueError: there is no such convolution.

    >>> import jax
    >>> import jax.numpy as jnp
    >>> from cnnlab.data import InputSpec
    >>> from cnnlab.models import create_model
    >>> from cnnlab.tasks import Classification
    >>> net, spec = create_model("lenet5", num_classes=2), InputSpec((28, 28), classes="ab")
    >>> trained = Trained(net.init(jax.random.key(0), jnp.zeros((1, 28, 28, 1))), net, Classification(), spec)
    >>> {name: pictures.shape for name, pictures in filters(trained).items()}
    {'conv1': (6, 5, 5, 1), 'conv2': (16, 5, 5, 1)}
    """
    pictures = {name: kernel.transpose(3, 0, 1, 2) for name, kernel in kernels(trained, layers).items()}
    return {name: each if each.shape[-1] == 3 else each.mean(-1, keepdims=True) for name, each in pictures.items()}


def filter_similarity(trained: Trained, layers: str | Sequence[str] | None = None) -> dict[str, float]:
    """Returns for each convolution the mean absolute cosine between its distinct kernels, over their whole depth.

    It is 0 if the kernels are orthogonal, and 1 if all are equal or opposite. Random kernels of n weights have about
    the square root of 2 / (pi n). A kernel of zeros has the cosine 0, and so has a single kernel.

    Args:
      trained: the network.
      layers: as in `filters`.
    """
    columns = {name: kernel.reshape(-1, kernel.shape[-1]) for name, kernel in kernels(trained, layers).items()}
    return {name: _mean_cosine(each) for name, each in columns.items()}


def _mean_cosine(columns: np.ndarray) -> float:
    """Returns the mean absolute cosine between distinct columns.

    >>> round(_mean_cosine(np.array([[1.0, -1.0, 0.0], [0.0, 0.0, 2.0]])), 3)  # pairs: opposite, and twice orthogonal
    0.333
    """
    columns = columns.astype(np.float64)
    length = np.linalg.norm(columns, axis=0)
    unit = columns / np.where(length > 0, length, 1)
    above = np.abs(unit.T @ unit)[np.triu_indices(columns.shape[1], 1)]
    return float(above.mean()) if len(above) else 0.0


def filter_change(before: Trained, after: Trained, layers: str | Sequence[str] | None = None) -> dict[str, float]:
    """Returns for each convolution how far training moved its kernels: `|after - before| / |before|`.

    Args:
      before: the network before training, such as from `cnnlab.training.load_initial`.
      after: the same network after training.
      layers: as in `filters`.
    """
    first, last = kernels(before, layers), kernels(after, layers)
    return {name: _relative(last[name] - kernel, kernel) for name, kernel in first.items()}


def _relative(difference: np.ndarray, kernel: np.ndarray) -> float:
    """Returns the ratio of two norms; of a kernel of zeros 0 if it did not move, otherwise infinity."""
    moved, size = np.linalg.norm(difference), np.linalg.norm(kernel)
    return float(moved / size) if size else float("inf") if moved else 0.0


def kernels(trained: Trained, layers: str | Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Returns the kernels `[h, w, depth, C]` of convolutions; the arguments are those of `filters`."""
    by_name = kernel_names(trained)
    chosen = dict.fromkeys(by_name.values()) if layers is None else [layers] if isinstance(layers, str) else layers
    for name in chosen:
        if name not in by_name:
            raise unknown("convolution", name, by_name)
    return {by_name[name]: _kernel(trained, by_name[name]) for name in chosen}


def kernel_names(trained: Trained) -> dict[str, str]:
    """Returns the names by which `kernels` knows convolutions, in order, each with the name of its convolution."""
    pixels, convs = pixel_layer(trained), convolutions(trained)
    names = {} if pixels is None else {pixels: pixels}
    return names | {each.maps: each.name for each in convs} | {each.name: each.name for each in convs}


def _kernel(trained: Trained, name: str) -> np.ndarray:
    parameters = trained.variables["params"]
    for part in name.split("/"):
        parameters = parameters[part]
    kernel = np.asarray(parameters["kernel"], np.float32)
    return kernel if kernel.ndim == 4 else kernel.reshape(*trained.spec.shape, -1)
