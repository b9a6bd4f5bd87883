import re

import numpy as np
import pytest

import cnnlab
from cnnlab.embeddings import embed, extract, knn_accuracy, project, trustworthiness


@pytest.fixture(scope="module")
def trained(run):
    return cnnlab.load(run)


@pytest.fixture(scope="module")
def test_split(run):
    return cnnlab.training.restore.load_data(run)["test"]


def test_an_embedding_has_the_scores_of_its_features_and_maps(trained, test_split):
    found, labels = embed(trained, test_split, method=["pca", "tsne"], seed=1), test_split.column("label")
    np.testing.assert_array_equal(found.features, extract(trained, test_split))
    np.testing.assert_array_equal(found.planes["tsne"], project(found.features, "tsne", seed=1))
    assert found.plane is found.planes["pca"]
    assert found.knn_accuracy == knn_accuracy(found.features, labels)
    scores = found.quality["tsne"]
    assert scores["trustworthiness"] == trustworthiness(found.features, found.planes["tsne"], neighbours=12)
    assert scores["knn_accuracy"] == knn_accuracy(found.planes["tsne"], labels)


def test_arrays_have_scores_of_classes_only_with_labels(trained, test_split):
    images, labels = test_split.column("image"), test_split.column("label")
    assert set(embed(trained, images, method="pca").quality["pca"]) == {"trustworthiness"}
    with_labels = embed(trained, images, method="pca", labels=labels, layer="pixels")
    assert with_labels.features.shape == (40, 256)
    assert 0 <= with_labels.quality["pca"]["knn_accuracy"] <= 1


def test_it_says_its_scores_in_two_lines_and_draws_itself(trained, test_split):
    found = embed(trained, test_split, method=["pca"])
    assert re.fullmatch(
        r"Embedding of 40 images, 84 features, accuracy of neighbours [\d.]+%\n"
        r"  pca: trustworthiness 0\.\d{3}, accuracy of neighbours [\d.]+%",
        repr(found),
    )
    assert found._repr_png_().startswith(b"\x89PNG")


def test_few_images_have_scores_of_fewer_neighbours(trained, test_split):
    two, five = (embed(trained, cnnlab.data.Examples(test_split[np.arange(n)]), method="pca") for n in (2, 5))
    assert np.isnan(two.quality["pca"]["trustworthiness"])
    assert five.quality["pca"]["trustworthiness"] == trustworthiness(five.features, five.plane, neighbours=2)


def test_one_image_and_no_projection_are_refused(trained, test_split):
    images = test_split.column("image")
    with pytest.raises(ValueError, match="a map needs 2 images or more, found 1"):
        embed(trained, images[:1], method="pca")
    with pytest.raises(ValueError, match="method is empty"):
        embed(trained, images, method=())
