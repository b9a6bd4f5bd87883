import numpy as np
import pytest

from cnnlab.embeddings import knn_accuracy, project

pytest.importorskip("umap", reason="needs umap-learn, of the extra embed")


def test_umap_keeps_groups_together_and_a_seed_gives_one_picture():
    groups = np.repeat([0, 1, 2], 20)
    features = np.float32(10 * np.eye(60)[groups] + np.random.default_rng(0).normal(size=(60, 60)))
    plane = project(features, "umap", seed=1)
    assert knn_accuracy(plane, groups) == 1
    np.testing.assert_array_equal(plane, project(features, "umap", seed=1))
