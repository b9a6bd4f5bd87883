"""The maps of a sheet, computed from its blended samples."""

import numpy as np

from cnnlab.geometry.polygons import NODATA_CLASS
from cnnlab.tasks import Prediction
from cnnlab.uncertainty.moments import entropy, mean_over, mutual_information


def layers(num_classes: int, *, sampled: bool) -> dict[str, int]:
    """Returns the number of bands of each map by name; two classes need only one band, for the second class.

    >>> layers(2, sampled=True)
    {'mean': 1, 'variance': 1, 'entropy': 1, 'mutual_information': 1, 'mask': 1}
    """
    bands = 1 if num_classes == 2 else num_classes
    extra = {"variance": bands, "entropy": 1, "mutual_information": 1} if sampled else {"entropy": 1}
    return {"mean": bands, **extra, "mask": 1}


def pixel_maps(samples: np.ndarray, *, sampled: bool) -> dict[str, np.ndarray]:
    """Computes the mean, variance and entropies over the passes, and the most probable class.

    Args:
      samples: probabilities `[T, h, w, k]`.
      sampled: whether dropout was on; if not, T is 1 and there is no variance.

    Returns:
      The maps by name: `mean` and, if sampled, `variance` (1/T sum p^2 - E[p]^2), `[bands, h, w]`; `entropy` of the
      mean and, if sampled, `mutual_information`, `[1, h, w]` in nats; `mask`, the index of the most probable class,
      `[1, h, w]` uint8. `layers` returns the number of bands.

    >>> maps = pixel_maps(np.array([[[[0.0, 1.0]]], [[[1.0, 0.0]]]]), sampled=True)
    >>> {name: round(float(map[0, 0, 0]), 4) for name, map in maps.items()}
    {'mean': 0.5, 'entropy': 0.6931, 'variance': 0.25, 'mutual_information': 0.6931, 'mask': 0.0}
    """
    mean = samples.mean(0)
    total = entropy(mean)
    maps = {"mean": _bands(mean), "entropy": total[None]}
    if sampled:
        maps["variance"] = _bands(mean_over(lambda probs: (probs - mean) ** 2, samples))
        maps["mutual_information"] = mutual_information(total, mean_over(entropy, samples))[None]
    return maps | {"mask": mean.argmax(-1).astype(np.uint8)[None]}


def prediction_maps(prediction: Prediction, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """Returns the maps `[bands, H, W]` of a prediction in one piece, with the names and bands of `pixel_maps`.

    Args:
      prediction: prediction with `probs` `[h, w, k]` and, over several passes, `variance` `[h, w, k]` and
        `mutual_information` `[h, w]`.
      size: height and width of the maps, which are enlarged by repeating pixels.
    """
    probs = np.asarray(prediction["probs"])
    maps = {"mean": _bands(probs), "entropy": np.asarray(entropy(probs))[None]}
    if "variance" in prediction:
        maps["variance"] = _bands(np.asarray(prediction["variance"]))
        maps["mutual_information"] = np.asarray(prediction["mutual_information"])[None]
    maps["mask"] = probs.argmax(-1).astype(np.uint8)[None]
    rows, columns = ((np.arange(n) * 2 + 1) * have // (2 * n) for n, have in zip(size, probs.shape, strict=False))
    return {name: values[:, rows[:, None], columns] for name, values in maps.items()}


def without_data(maps: dict[str, np.ndarray], valid: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the maps `[bands, h, w]` with NaN, or `NODATA_CLASS` in `mask`, where `valid` `[h, w]` is false."""
    if valid.all():
        return maps
    return {name: np.where(valid, map, NODATA_CLASS if name == "mask" else np.nan) for name, map in maps.items()}


def _bands(probs: np.ndarray) -> np.ndarray:
    """Converts `[h, w, k]` to bands `[bands, h, w]`; of two classes only the second becomes a band."""
    return np.moveaxis(probs[..., 1:] if probs.shape[-1] == 2 else probs, -1, 0)
