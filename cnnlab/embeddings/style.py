"""Content and style: what a network sees in an image, and how the features of its layers occur together."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab.data import Examples, check_images
from cnnlab.embeddings.extract import extract
from cnnlab.explain.taps import Layer, is_spatial
from cnnlab.features.activations import layer_outputs
from cnnlab.features.layers import choose_layers
from cnnlab.runtime.compile import jit
from cnnlab.trained import Trained, evaluation_rows

SIZE = 512
"""Number of features of both spaces by default."""


def content(
    trained: Trained, images: jax.Array | Examples, *, size: int = SIZE, seed: int = 0, batch_size: int = 256
) -> np.ndarray:
    """Computes the content features of images, `[N, size]` float32: what the last layer reads, as in `extract`.

    Args:
      trained: the network.
      images: `[N, H, W, C]`, uint8 or in [0, 1], or the examples of a split.
      size: number of features; `sketch` reduces wider ones, and zeros fill up narrower ones.
      seed: seed of the sketch.
      batch_size: number of images in a pass.

    >>> from cnnlab.data import InputSpec
    >>> from cnnlab.models import create_model
    >>> from cnnlab.tasks import Classification
    >>> net, images = create_model("lenet5", num_classes=2), jnp.ones((3, 28, 28, 1))
    >>> trained = Trained(net.init(jax.random.key(0), images), net, Classification(), InputSpec((28, 28), classes="ab"))
    >>> content(trained, images).shape, style(trained, images, ["conv1", "conv2"]).shape
    ((3, 512), (3, 512))
    """
    _check_size(size)
    return np.asarray(sketch(extract(trained, images, batch_size=batch_size), size, seed))


def style(
    trained: Trained,
    images: jax.Array | Examples,
    layers: Sequence[str] | str | None = None,
    *,
    size: int = SIZE,
    seed: int = 0,
    batch_size: int = 256,
) -> np.ndarray:
    """Computes the style features of images, `[N, size]` float32: the Gram matrices of layers, reduced at random.

    A Gram matrix says which features of a layer occur together, wherever they are. Its upper triangle, with the entries
    off the diagonal times the square root of 2, has the inner products of the matrices. Each is divided by the number
    of its channels, so that the squared distance of two images is four times the style loss of Gatys et al. (Image
    Style Transfer Using Convolutional Neural Networks, CVPR 2016, equation 4) with equal weights of the layers, but for
    the error of the sketch.

    Args:
      trained: the network.
      images: `[N, H, W, C]`, uint8 or in [0, 1], or the examples of a split.
      layers: names of layers with maps `[B, h, w, C]`; by default those that hold the maps of the convolutions, of more
        than five the five that are evenly spaced.
      size: number of features, to which `sketch` reduces all triangles together.
      seed: seed of the sketch.
      batch_size: number of images in a pass.

    Raises:
      ValueError: the images do not fit the network, there are none, or a layer is missing or has no maps.
    """
    _check_size(size)
    chosen = _map_layers(trained, layers)
    if not isinstance(images, Examples):
        check_images(images, trained.spec, any_size=trained.any_size)
        images = Examples({"image": np.asarray(images)})
    if not len(images):
        raise ValueError("images hold no example; give one or more")
    rows = functools.partial(_style_rows, layers=chosen, size=size, seed=seed)
    return evaluation_rows(trained, images, batch_size=min(batch_size, len(images)), rows=rows)["style"]


def gram_matrix(maps: jax.Array) -> jax.Array:
    """Computes the Gram matrix of feature maps: the mean over places of the product of two features.

    Args:
      maps: `[B, h, w, C]`.

    Returns:
      `[B, C, C]`, symmetric.

    >>> gram_matrix(jnp.array([[[[1.0, 2.0], [3.0, 0.0]]]])).tolist()  # two places
    [[[5.0, 1.0], [1.0, 2.0]]]
    """
    flat = maps.reshape(len(maps), -1, maps.shape[-1])
    return jnp.einsum("bnc,bnd->bcd", flat, flat) / flat.shape[1]


def sketch(vectors: jax.Array, size: int, seed: int = 0) -> jax.Array:
    """Reduces vectors to `size` numbers, each a sum of entries with random signs that no other number reads.

    Inner products, and so distances, are kept on average, with a standard deviation of at most about sqrt(2 / size)
    times the product of the lengths. Vectors of `size` or fewer entries are kept exactly: their entries only change
    places and signs.

    Source: Charikar et al., Finding Frequent Items in Data Streams, ICALP 2002; Dasgupta et al., A Sparse
    Johnson-Lindenstrauss Transform, STOC 2010.

    Args:
      vectors: `[N, D]`.
      size: number of sums.
      seed: seed of places and signs, which depend on D and the seed alone.

    >>> short = sketch(jnp.array([[3.0, 4.0]]), 5)
    >>> short.shape, float(jnp.linalg.norm(short))
    ((1, 5), 5.0)
    """
    width = vectors.shape[1]
    rng = np.random.default_rng(seed)
    parts = -(-width // size)
    order, signs = rng.permutation(parts * size), rng.choice(np.float32([-1, 1]), width)
    padded = jnp.pad(vectors * signs, ((0, 0), (0, parts * size - width)))
    return padded[:, order].reshape(len(vectors), parts, size).sum(1)


@jit(static_argnames=("layers", "size", "seed"))
def _style_rows(
    trained: Trained, batch: dict[str, jax.Array], *, layers: tuple[Layer, ...], size: int, seed: int
) -> dict[str, jax.Array]:
    outputs = layer_outputs(trained, batch["image"], layers)
    triangles = [_triangle(gram_matrix(maps) / maps.shape[-1]) for maps in outputs.values()]
    return {"style": sketch(jnp.concatenate(triangles, 1), size, seed)}


def _triangle(matrices: jax.Array) -> jax.Array:
    """Returns the upper triangles of symmetric matrices `[B, C, C]`, with the inner products of the matrices."""
    rows, columns = np.triu_indices(matrices.shape[-1])
    return matrices[:, rows, columns] * np.where(rows == columns, 1, np.sqrt(2)).astype(np.float32)


def _map_layers(trained: Trained, layers: Sequence[str] | str | None) -> tuple[Layer, ...]:
    """Returns the layers whose Gram matrices are the style."""
    chosen = choose_layers(trained, layers)
    if layers is None:
        chosen = tuple(layer for layer in chosen if is_spatial(layer))
        places = np.linspace(0, len(chosen) - 1, min(5, len(chosen))).round().astype(int)
        chosen = tuple(chosen[i] for i in places)
    for layer in chosen:
        if len(layer.shape) != 4:
            raise ValueError(f"layer {layer.name} has no maps [B, h, w, C]: its output is {list(layer.shape)}")
    if not chosen:
        raise ValueError(f"{type(trained.network).__name__} has no layer with maps [B, h, w, C], and so no style")
    return chosen


def _check_size(size: int) -> None:
    if size < 1:
        raise ValueError(f"size must be 1 or more, found {size}")
