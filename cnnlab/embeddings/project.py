"""Projections of features to the plane: PCA, t-SNE and UMAP, in one table."""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from cnnlab.embeddings.checks import check_features
from cnnlab.errors import unknown

WIDE = 50
"""Number of principal components to which wider features are reduced before t-SNE and UMAP."""

_FEW = 3000  # images whose steps are so short that threads cost more than they gain where other programs run


class Projection(NamedTuple):
    """A way to place points of many dimensions in the plane.

    Attributes:
      title: its name as its paper writes it.
      place: function from features `[N, D]`, seed and number of neighbours to coordinates `[N, 2]`.
      neighbours: number of neighbours that it looks at, by default; None if it looks at none.
      about: what it keeps, and its source.
    """

    title: str
    place: Callable[[np.ndarray, int, int], np.ndarray]
    neighbours: int | None
    about: str


def project(features: np.ndarray, method: str = "tsne", *, seed: int = 0, neighbours: int | None = None) -> np.ndarray:
    """Places features in the plane, `[N, 2]` float32; the same seed gives the same picture on the same machine.

    t-SNE and UMAP read the first 50 principal components of wider features. Images with equal features get the same
    place from PCA, and places close to each other from t-SNE and UMAP.

    Args:
      features: `[N, D]`, from `extract`.
      method: `pca`, `tsne` or `umap`, a name in `PROJECTIONS`.
      seed: seed of the random numbers.
      neighbours: number of neighbours whose nearness is kept: the perplexity of t-SNE (30 by default) and n_neighbors
        of UMAP (15); more of them show the large arrangement, fewer the small groups. The default is at most a third of
        the images.

    Raises:
      ValueError: the method is unknown or not installed, a feature is NaN, all images have the same features, or there
        are not more images than neighbours.

    >>> line = np.float32([[0, 0, 0], [1, 1, 0], [2, 2, 0]])
    >>> np.abs(project(line, "pca")).astype(float).round(2).tolist()
    [[1.41, 0.0], [0.0, 0.0], [1.41, 0.0]]
    """
    if method not in PROJECTIONS:
        raise unknown("projection", method, PROJECTIONS)
    projection = PROJECTIONS[method]
    check_features(features, least=2, reason="a map")
    features = np.asarray(features, np.float32)
    if (features == features[0]).all():
        raise ValueError(f"all {len(features)} images have the same features, so no map can tell them apart")
    if projection.neighbours is None:
        return projection.place(features, seed, 0)
    kept = min(projection.neighbours, max(2, (len(features) - 1) // 3)) if neighbours is None else neighbours
    if kept < 2:
        raise ValueError(f"neighbours must be 2 or more, found {kept}")
    if len(features) <= max(kept, 3):
        cure = "choose pca" if len(features) < 4 else f"set {len(features) - 1} neighbours or fewer, or choose pca"
        raise ValueError(
            f"{method} with {kept} neighbours needs more than {max(kept, 3)} images, found {len(features)}; {cure}"
        )
    if features.shape[1] > WIDE:
        features = _components(features, WIDE, seed)
    return np.asarray(projection.place(features, seed, kept), np.float32)


def pca(features: np.ndarray, seed: int, neighbours: int) -> np.ndarray:
    """Returns the first two principal components, `[N, 2]`; the second is 0 where one describes all features."""
    del neighbours
    components = _components(features, 2, seed)
    return np.pad(components, ((0, 0), (0, 2 - components.shape[1])))


def tsne(features: np.ndarray, seed: int, neighbours: int) -> np.ndarray:
    """Returns the map of t-SNE by scikit-learn, `[N, 2]` (van der Maaten and Hinton, JMLR 2008)."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    # Barnes and Hut's approximation; a start from the components and this learning rate: Kobak and Berens (2019).
    start = "pca" if features.shape[1] > 1 else "random"
    method = TSNE(2, perplexity=neighbours, init=start, random_state=seed, n_jobs=-1)
    with threadpool_limits(1 if len(features) < _FEW else None, user_api="openmp"):
        return method.fit_transform(features)


def umap(features: np.ndarray, seed: int, neighbours: int) -> np.ndarray:
    """Returns the map of UMAP, `[N, 2]` (McInnes, Healy and Melville, 2018); it needs the extra `embed`."""
    try:
        from umap import UMAP
    except ImportError as error:
        raise ValueError(
            f"the projection umap needs umap-learn ({error}): pip install 'cnnlab[embed]', or choose tsne"
        ) from error
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="n_jobs value")  # with a seed it runs on one thread
        return UMAP(n_neighbors=neighbours, random_state=seed).fit_transform(features)


PROJECTIONS: dict[str, Projection] = {
    "pca": Projection("PCA", pca, None, "the directions in which features vary most (Pearson 1901)"),
    "tsne": Projection(
        "t-SNE", tsne, 30, "neighbourhoods; distances between groups mean little (van der Maaten and Hinton 2008)"
    ),
    "umap": Projection("UMAP", umap, 15, "neighbourhoods; distances between groups mean little (McInnes et al. 2018)"),
}
"""The projections by name."""


def _components(features: np.ndarray, number: int, seed: int) -> np.ndarray:
    """Returns at most this number of principal components."""
    from sklearn.decomposition import PCA

    return PCA(min(number, *features.shape), random_state=seed).fit_transform(features)
