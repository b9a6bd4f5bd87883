import sys

import numpy as np
import pytest

from cnnlab.embeddings import knn_accuracy, project
from cnnlab.embeddings.project import PROJECTIONS

GROUPS = np.repeat([0, 1, 2], 20)
FEATURES = np.float32(10 * np.eye(60)[GROUPS] + np.random.default_rng(0).normal(size=(60, 60)))


def test_pca_gives_the_first_two_singular_directions():
    plane = project(FEATURES, "pca")
    left, values, _ = np.linalg.svd(FEATURES - FEATURES.mean(0))
    np.testing.assert_allclose(np.abs(plane), np.abs(left[:, :2] * values[:2]), rtol=1e-3, atol=1e-3)


def test_pca_of_features_on_a_line_is_flat():
    assert not project(np.outer(np.arange(3), [1, 2]), "pca")[:, 1].any()


def test_tsne_keeps_groups_together_and_a_seed_gives_one_picture():
    plane = project(FEATURES, "tsne", seed=1)
    assert plane.shape == (60, 2)
    assert plane.dtype == np.float32
    assert knn_accuracy(plane, GROUPS) == 1
    np.testing.assert_array_equal(plane, project(FEATURES, "tsne", seed=1))


def test_without_umap_the_error_names_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ValueError, match=r"pip install 'cnnlab\[embed\]', or choose tsne"):
        project(FEATURES, "umap")


def test_one_column_of_features_has_a_map():
    assert np.isfinite(project(FEATURES[:, :1], "tsne")).all()


@pytest.mark.parametrize(
    ("features", "options", "message"),
    [
        (FEATURES[:1], {"method": "pca"}, "a map needs 2 images or more, found 1"),
        (FEATURES[:3], {"method": "tsne"}, "needs more than 3 images, found 3; choose pca"),
        (FEATURES[:9], {"neighbours": 9}, "tsne with 9 neighbours needs more than 9 images, found 9; set 8 neighbours"),
        (FEATURES, {"neighbours": 1}, "neighbours must be 2 or more, found 1"),
        (FEATURES, {"method": "tnse"}, "did you mean 'tsne'"),
        (np.ones((5, 3)), {"method": "pca"}, "all 5 images have the same features"),
        (np.where(GROUPS[:, None] == 1, np.nan, FEATURES), {}, "features of 20 of 60 images hold NaN .* image 20"),
        (FEATURES[0], {}, r"features must be \[N, D\], found \[60\]"),
    ],
)
def test_what_has_no_map_is_refused(features, options, message):
    with pytest.raises(ValueError, match=message):
        project(features, **options)


def test_equal_features_have_equal_places_in_pca_and_near_ones_in_tsne():
    double = np.concatenate([FEATURES, FEATURES[:1]])
    np.testing.assert_allclose(*project(double, "pca")[[0, 60]], rtol=1e-5)
    plane = project(double, "tsne")
    distance = np.linalg.norm(plane[:60] - plane[60], axis=1)
    assert distance.argmin() == 0
    assert set(PROJECTIONS) == {"pca", "tsne", "umap"}
