"""Agreement of two partitions of an image into segments, by pairs of pixels (Rand) and by mutual information."""

from typing import NamedTuple

import numpy as np
import scipy


class Agreement(NamedTuple):
    """Scores of agreement in 0..1; 1 for equal partitions.

    Attributes:
      rand: V-Rand, the harmonic mean of its split score and its merge score.
      rand_split: split score; it falls if the prediction splits true segments.
      rand_merge: merge score; it falls if the prediction merges true segments.
      info: V-Info, the harmonic mean of its split score and its merge score.
      info_split: split score of V-Info.
      info_merge: merge score of V-Info.
    """

    rand: float
    rand_split: float
    rand_merge: float
    info: float
    info_split: float
    info_merge: float


def partition_agreement(guess: np.ndarray, truth: np.ndarray) -> Agreement:
    """Computes V-Rand and V-Info of a predicted partition, on the foreground of the true partition.

    Let p_ij be the share of pixels in predicted segment i and true segment j, and s_i and t_j its sums. V-Rand is
    `2 sum p_ij^2 / (sum s_i^2 + sum t_j^2)`, the harmonic mean of the split score `sum p_ij^2 / sum t_j^2` and the
    merge score `sum p_ij^2 / sum s_i^2`. V-Info is `2 I(S; T) / (H(S) + H(T))`, the harmonic mean of the split score
    `I(S; T) / H(S)` and the merge score `I(S; T) / H(T)`.

    Source: Arganda-Carreras et al., Crowdsourcing the Creation of Image Segmentation Algorithms for Connectomics,
    Frontiers in Neuroanatomy 9, 2015, equations 1 to 6.

    Args:
      guess: `[...]` number of each pixel's predicted segment; 0 is membrane, and each membrane pixel counts as a
        segment of its own.
      truth: `[...]` number of each pixel's true segment; pixels of 0, the membranes, are left out.

    Raises:
      ValueError: the shapes differ, or the truth has no foreground.

    >>> agreement = partition_agreement(np.array([1, 1, 1, 1]), np.array([1, 1, 2, 2]))
    >>> agreement.rand_split, agreement.rand_merge, round(agreement.rand, 4), agreement.info  # 2 x .5 / (1 + .5)
    (1.0, 0.5, 0.6667, 0.0)
    """
    guess, truth = np.asarray(guess), np.asarray(truth)
    if guess.shape != truth.shape:
        raise ValueError(f"guess and truth must have one shape, found {list(guess.shape)} and {list(truth.shape)}")
    foreground = truth > 0
    n = int(foreground.sum())
    if not n:
        raise ValueError("truth has no segment (no value above 0)")
    guess, truth = guess[foreground].astype(np.int64), truth[foreground].astype(np.int64)
    alone = guess <= 0
    guess = np.where(alone, guess.max(initial=0) + 1 + np.arange(n), guess)
    _, i = np.unique(guess, return_inverse=True)
    _, j = np.unique(truth, return_inverse=True)
    p = np.unique(i * (j.max() + 1) + j, return_counts=True)[1] / n
    s, t = np.bincount(i) / n, np.bincount(j) / n
    entropy_s, entropy_t, joint = (float(scipy.special.entr(q).sum()) for q in (s, t, p))
    mutual = max(entropy_s + entropy_t - joint, 0.0)
    pairs = float((p**2).sum())
    return Agreement(
        2 * pairs / float((s**2).sum() + (t**2).sum()),
        pairs / float((t**2).sum()),
        pairs / float((s**2).sum()),
        _share(2 * mutual, entropy_s + entropy_t),
        _share(mutual, entropy_s),
        _share(mutual, entropy_t),
    )


def thin_borders(segments: np.ndarray) -> np.ndarray:
    """Assigns every membrane pixel to the nearest segment, so that borders have no width.

    The challenge of Arganda-Carreras et al. 2015 ranks by V-Rand and V-Info after border thinning, because annotators
    and networks draw membranes of different widths: `partition_agreement(thin_borders(guess), truth)`.

    Args:
      segments: `[H, W]` number of each pixel's segment; 0 is membrane.

    Returns:
      `[H, W]` number of each pixel's segment, without membrane; `segments` itself if it has no segment.

    >>> thin_borders(np.array([[1, 0, 0, 0, 2]]))[0, [1, 3]].tolist()
    [1, 2]
    """
    from scipy import ndimage  # imported here so that `import cnnlab` stays fast

    segments = np.asarray(segments)
    if not (segments > 0).any():
        return segments
    nearest = ndimage.distance_transform_edt(segments <= 0, return_distances=False, return_indices=True)
    return segments[tuple(nearest)]


def _share(part: float, whole: float) -> float:
    """Divides `part` by `whole`; returns 1 for a partition into one segment, whose entropy is 0."""
    return part / whole if whole > 0 else 1.0
