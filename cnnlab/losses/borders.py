"""Weights of pixels for rare classes, and for the narrow gaps between neighbouring shapes."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np


def class_weights(labels: jax.Array, weights: Sequence[float] | None) -> jax.Array:
    """Returns the weight of each label's class; 0 for -1, which is ignored. Without weights every class has 1.

    A weighted mean of a loss divides by the sum of these weights, as in PyTorch.

    Args:
      labels: any shape, int32 in 0..K-1, -1 = ignored.
      weights: K numbers.

    >>> class_weights(jnp.array([0, 1, -1]), (0.5, 3.0)).tolist()
    [0.5, 3.0, 0.0]
    """
    known = labels >= 0
    return known.astype(jnp.float32) if weights is None else jnp.where(known, jnp.asarray(weights)[labels], 0)


def border_weights(
    mask: np.ndarray, *, height: float = 10.0, width: float = 5.0, instances: np.ndarray | None = None
) -> np.ndarray:
    """Computes `1 + height exp(-(d1 + d2)^2 / (2 width^2))` at background pixels, which is large between two shapes.

    d1 and d2 are the distances to the nearest and the second nearest shape, in pixels. Source: Ronneberger et al.,
    U-Net, MICCAI 2015, equation 2; its first term, which balances classes, is `class_weights`, here 1.

    Args:
      mask: `[H, W]`, 0 = background, above 0 = a shape, below 0 = ignored.
      height: the paper's w_0.
      width: the paper's sigma, in pixels.
      instances: `[H, W]`, a number above 0 for each shape; those of the mask, connected by edges, if left out.

    Returns:
      `[H, W]` float32; 0 where the mask is ignored, 1 inside of shapes and everywhere if there are fewer than two.

    >>> border_weights(np.array([[1, 0, 1]])).round(4).tolist()  # 1 + 10 exp(-4 / 50)
    [[1.0, 10.231200218200684, 1.0]]
    """
    from scipy import ndimage  # half a second that `import cnnlab` need not take

    mask = np.asarray(mask)
    if mask.ndim != 2 or mask.dtype.kind not in "bui":
        raise ValueError(f"mask must be [H, W] of whole numbers, found {list(mask.shape)} of {mask.dtype}")
    if height < 0 or width <= 0:
        raise ValueError(f"height must be 0 or more and width above 0, found {height} and {width}")
    shapes = ndimage.label(mask > 0)[0] if instances is None else np.asarray(instances)
    if shapes.shape != mask.shape:
        raise ValueError(f"instances must be {list(mask.shape)} as the mask, found {list(shapes.shape)}")
    weight = np.ones(mask.shape, np.float32)
    first, second = _two_nearest(shapes, reach=int(np.ceil(_SIGMAS * width)))
    gap = np.exp(-((first + second) ** 2) / (2 * width**2))
    weight[shapes <= 0] += (height * gap)[shapes <= 0]
    weight[mask < 0] = 0
    return weight


_SIGMAS = 7  # exp(-7²/2) is 2e-11: what is further away adds nothing that float32 could tell


def _two_nearest(shapes: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances `[H, W]` to the nearest and to the second nearest shape; infinite where there is none within reach."""
    from scipy import ndimage  # half a second that `import cnnlab` need not take

    first = np.full(shapes.shape, np.inf)
    second = first.copy()
    numbers, places = np.unique(np.maximum(shapes, 0), return_inverse=True)
    places = places.reshape(shapes.shape) + int(numbers[0] > 0)  # 0 is background, also where there is none
    for number, box in enumerate(ndimage.find_objects(places), 1):
        near = tuple(slice(max(part.start - reach, 0), part.stop + reach) for part in box)
        distance = ndimage.distance_transform_edt(places[near] != number)
        second[near] = np.minimum(second[near], np.maximum(first[near], distance))
        first[near] = np.minimum(first[near], distance)
    return first, second
