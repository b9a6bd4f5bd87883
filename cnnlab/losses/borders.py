"""Pixel weights that emphasise rare classes and the narrow gaps between neighbouring shapes."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np


def class_weights(labels: jax.Array, weights: Sequence[float] | None) -> jax.Array:
    """Returns the weight of each label's class. The weight of an ignored label (-1) is 0.

    A weighted mean of a loss divides by the sum of these weights, as in PyTorch.

    Args:
      labels: int32 array of any shape with classes in 0..K-1, or -1 = ignored.
      weights: one weight for each of the K classes; with None every class has the weight 1.

    >>> class_weights(jnp.array([0, 1, -1]), (0.5, 3.0)).tolist()
    [0.5, 3.0, 0.0]
    """
    known = labels >= 0
    return known.astype(jnp.float32) if weights is None else jnp.where(known, jnp.asarray(weights)[labels], 0)


def border_weights(
    mask: np.ndarray, *, height: float = 10.0, width: float = 5.0, instances: np.ndarray | None = None
) -> np.ndarray:
    """Computes pixel weights that are large in the gap between two shapes.

    A background pixel weighs `1 + height exp(-(d1 + d2)^2 / (2 width^2))`, where d1 and d2 are the distances in pixels
    to the nearest and the second nearest shape.

    Source: Ronneberger et al., U-Net, MICCAI 2015, equation 2. The first term of that equation balances the classes;
    here it is 1, and `class_weights` does the balancing.

    Args:
      mask: `[H, W]`, 0 = background, above 0 = a shape, below 0 = ignored.
      height: largest weight added in a gap (the paper's w_0).
      width: width of the Gaussian in pixels (the paper's sigma).
      instances: `[H, W]`, one number above 0 for each shape. If left out, pixels of the mask that share an edge form
        one shape.

    Returns:
      Weights `[H, W]` float32: 0 at ignored pixels, 1 inside shapes, and 1 at all other pixels if there are fewer than
      two shapes.

    Raises:
      ValueError: the mask does not hold whole numbers `[H, W]`, the instances have another shape than the mask, or
        `height` or `width` is out of range.

    >>> border_weights(np.array([[1, 0, 1]])).round(4).tolist()  # 1 + 10 exp(-4 / 50)
    [[1.0, 10.231200218200684, 1.0]]
    """
    from scipy import ndimage  # imported here so that `import cnnlab` stays fast

    mask = np.asarray(mask)
    if mask.ndim != 2 or mask.dtype.kind not in "bui":
        raise ValueError(f"mask must hold whole numbers [H, W], found {mask.dtype} {list(mask.shape)}")
    if height < 0 or width <= 0:
        raise ValueError(f"height must be 0 or more and width above 0, found {height} and {width}")
    shapes = ndimage.label(mask > 0)[0] if instances is None else np.asarray(instances)
    if shapes.shape != mask.shape:
        raise ValueError(f"instances must have the shape of the mask, {list(mask.shape)}, found {list(shapes.shape)}")
    weight = np.ones(mask.shape, np.float32)
    first, second = _two_nearest(shapes, reach=int(np.ceil(_SIGMAS * width)))
    gap = np.exp(-((first + second) ** 2) / (2 * width**2))
    weight[shapes <= 0] += (height * gap)[shapes <= 0]
    weight[mask < 0] = 0
    return weight


_SIGMAS = 7  # exp(-7²/2) is 2e-11: shapes further away add less than float32 resolves


def _two_nearest(shapes: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Computes the distances `[H, W]` to the nearest and second nearest shape; infinite without a shape in reach."""
    from scipy import ndimage  # imported here so that `import cnnlab` stays fast

    first = np.full(shapes.shape, np.inf)
    second = first.copy()
    numbers, places = np.unique(np.maximum(shapes, 0), return_inverse=True)
    places = places.reshape(shapes.shape) + int(numbers[0] > 0)  # 0 is the background, even if it has no pixel
    for number, box in enumerate(ndimage.find_objects(places), 1):
        near = tuple(slice(max(part.start - reach, 0), part.stop + reach) for part in box)
        distance = ndimage.distance_transform_edt(places[near] != number)
        second[near] = np.minimum(second[near], np.maximum(first[near], distance))
        first[near] = np.minimum(first[near], distance)
    return first, second
