"""Agreement of two partitions of an image, by pairs of pixels and by information, whatever the width of membranes."""

from typing import NamedTuple

import numpy as np
from scipy.special import entr


class Agreement(NamedTuple):
    """Scores of agreement in 0..1; 1 = the same partition."""

    rand: float
    rand_split: float
    rand_merge: float
    info: float
    info_split: float
    info_merge: float


def partition_agreement(guess: np.ndarray, truth: np.ndarray) -> Agreement:
    """Computes V-Rand and V-Info, restricted to the foreground of the truth.

    With p_ij the share of pixels in segment i of the guess and j of the truth, s_i and t_j its sums: V-Rand is
    `2 sum p_ij^2 / (sum s_i^2 + sum t_j^2)`, the harmonic mean of its split score (over `sum t_j^2`: true segments
    stay whole) and its merge score (over `sum s_i^2`: guessed ones hold one true segment); V-Info is
    `2 I(S; T) / (H(S) + H(T))`, of its split score (over H(S)) and merge score (over H(T)).

    Source: Arganda-Carreras et al., Crowdsourcing the Creation of Image Segmentation Algorithms for Connectomics,
    Frontiers in Neuroanatomy 9, 2015, equations 1 to 6.

    Args:
      guess: `[...]` whole numbers: the segment of each pixel; 0 = membrane: every such pixel is a segment of its own.
      truth: `[...]` whole numbers: the true segment of each pixel; pixels of 0, the membranes, are left out.

    Raises:
      ValueError: the shapes differ, or the truth has no foreground.

    >>> agreement = partition_agreement(np.array([1, 1, 1, 1]), np.array([1, 1, 2, 2]))
    >>> agreement.rand_split, agreement.rand_merge, round(agreement.rand, 4), agreement.info  # 2 x .5 / (1 + .5)
    (1.0, 0.5, 0.6667, 0.0)
    """
    guess, truth = np.asarray(guess), np.asarray(truth)
    if guess.shape != truth.shape:
        raise ValueError(f"guess and truth must be of one shape, found {list(guess.shape)} and {list(truth.shape)}")
    seen = truth > 0
    n = int(seen.sum())
    if not n:
        raise ValueError("truth has no segment (no value above 0)")
    guess, truth = guess[seen].astype(np.int64), truth[seen].astype(np.int64)
    alone = guess <= 0
    guess = np.where(alone, guess.max(initial=0) + 1 + np.arange(n), guess)
    _, i = np.unique(guess, return_inverse=True)
    _, j = np.unique(truth, return_inverse=True)
    p = np.unique(i * (j.max() + 1) + j, return_counts=True)[1] / n
    s, t = np.bincount(i) / n, np.bincount(j) / n
    entropy_s, entropy_t, joint = (float(entr(q).sum()) for q in (s, t, p))
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
    """Assigns every pixel without segment to the nearest one, so that borders have no width.

    The challenge of Arganda-Carreras et al. 2015 ranks by V-Rand and V-Info after border thinning, since annotators and
    networks draw membranes of other widths: `partition_agreement(thin_borders(guess), truth)`.

    Args:
      segments: `[H, W]` whole numbers, 0 = membrane.

    Returns:
      As `segments`, without membrane unless there is no segment.

    >>> thin_borders(np.array([[1, 0, 0, 0, 2]]))[0, [1, 3]].tolist()
    [1, 2]
    """
    from scipy import ndimage  # half a second that `import cnnlab` need not take

    segments = np.asarray(segments)
    if not (segments > 0).any():
        return segments
    nearest = ndimage.distance_transform_edt(segments <= 0, return_distances=False, return_indices=True)
    return segments[tuple(nearest)]


def _share(part: float, whole: float) -> float:
    """Divides; a single segment on both sides has no entropy, and counts as agreement."""
    return part / whole if whole > 0 else 1.0
