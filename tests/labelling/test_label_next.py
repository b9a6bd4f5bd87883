import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import cnnlab
from cnnlab.data import InputSpec
from cnnlab.embeddings import extract
from cnnlab.labelling import k_centre, label_next
from cnnlab.labelling.label_next import CHOICES
from cnnlab.models import create_model
from cnnlab.tasks import Classification, Regression, Segmentation
from cnnlab.trained import Trained

IMAGES = np.random.default_rng(0).integers(0, 256, (30, 16, 16, 1), np.uint8)


def network(name="lenet5", task=None, classes="abc", seed=0, **options):
    net = create_model(name, num_classes=len(classes), **options)
    variables = net.init(jax.random.key(seed), jnp.zeros((1, 16, 16, 1)))
    return Trained(variables, net, task or Classification(), InputSpec((16, 16), classes=tuple(classes)))


@pytest.fixture(scope="module")
def trained():
    return network(dropout=0.5)


def test_the_images_of_most_entropy_come_first(trained):
    probs = np.asarray(cnnlab.predict(trained, IMAGES).probs, np.float64)
    entropy = -(probs * np.log(probs)).sum(1)
    table = label_next(trained, IMAGES, count=5, by="entropy").table
    assert table["index"].tolist() == np.argsort(-entropy)[:5].tolist()
    np.testing.assert_allclose(table["score"], np.sort(entropy)[::-1][:5], rtol=1e-5)
    assert table["prediction"].tolist() == ["abc"[k] for k in probs.argmax(1)[table["index"]]]


def test_mutual_information_is_that_of_mc_dropout(trained):
    key = jax.random.fold_in(jax.random.key(3), 0)
    expected = cnnlab.mc_predict(trained, IMAGES, key=key, num_samples=7).mutual_information
    table = label_next(trained, IMAGES, count=30, by="mutual_information", mc_samples=7, seed=3).table
    np.testing.assert_allclose(table["score"], np.sort(expected)[::-1], atol=1e-6)


def test_several_networks_take_the_place_of_the_passes():
    members = [network("linear", seed=seed) for seed in range(3)]
    each = np.stack([np.asarray(cnnlab.predict(one, IMAGES).probs) for one in members])
    doubt = lambda p: -(p * np.log(p)).sum(-1)  # noqa: E731
    expected = doubt(each.mean(0)) - doubt(each).mean(0)
    assert label_next(members, IMAGES, count=1, by="mutual_information").table["index"][0] == expected.argmax()


def test_diverse_is_k_centre_in_the_space_of_features(trained):
    features = extract(trained, IMAGES)
    expected = k_centre(features, 6, labelled=features[:4])
    table = label_next(trained, IMAGES, count=6, by="diverse", labelled=IMAGES[:4], batch_size=8).table
    assert table["index"].tolist() == expected.index.tolist()


def test_the_same_image_is_told_by_a_score_and_passed_over_by_diverse(trained):
    pool = np.concatenate([IMAGES[:3], IMAGES[:3]])
    told = label_next(trained, pool, count=6)
    copies = dict(zip(told.table["index"].tolist(), told.table["duplicate_of"].tolist(), strict=True))
    ranks = dict(zip(told.table["index"].tolist(), told.table["rank"].tolist(), strict=True))
    for first in range(3):
        assert sorted((copies[first], copies[first + 3])) == [0, min(ranks[first], ranks[first + 3])]
    diverse = label_next(trained, pool, count=6, by="diverse")
    assert sorted(diverse.table["index"] % 3) == [0, 1, 2]
    assert diverse.repeated == 3


def test_batch_bald_does_not_ask_twice_for_what_two_alike_images_tell(trained):
    best = label_next(trained, IMAGES, count=1, by="mutual_information").table["index"][0]
    pool = np.concatenate([IMAGES, IMAGES[[best]]])
    table = label_next(trained, pool, count=3, by="batch_bald", mc_samples=30).table
    assert table["score"].tolist() == sorted(table["score"], reverse=True)
    assert not {int(best), 30} <= set(table["index"].tolist()[:2])


def test_a_segmentation_scores_the_mean_over_its_pixels():
    trained = network("unet", Segmentation(), width=2, depth=1, spatial_dropout=0.2)
    key = jax.random.fold_in(jax.random.key(0), 0)
    expected = np.asarray(cnnlab.mc_predict(trained, IMAGES, key=key, num_samples=4).mutual_information).mean((1, 2))
    table = label_next(trained, IMAGES, count=30, by="mutual_information", mc_samples=4).table
    np.testing.assert_allclose(table["score"], np.sort(expected)[::-1], atol=1e-6)
    assert "prediction" not in table
    with pytest.raises(
        ValueError, match=r"batch_bald needs one distribution .* choose by mutual_information or diverse"
    ):
        label_next(trained, IMAGES, count=1, by="batch_bald")


def test_a_regression_is_chosen_by_variance_or_diversity():
    trained = network("lenet5", Regression(mean=(0.0,), std=(1.0,)), "x", dropout=0.5)
    assert len(label_next(trained, IMAGES, count=4, by="variance", mc_samples=4).table["score"]) == 4
    with pytest.raises(ValueError, match=r"needs probabilities of classes.* choose by variance or diverse"):
        label_next(trained, IMAGES, count=4)


def test_a_network_without_dropout_is_told_what_works():
    plain = network("linear")
    with pytest.raises(ValueError, match=r"Linear has no active dropout; choose by entropy, margin.* several runs"):
        label_next(plain, IMAGES, count=1, by="mutual_information")
    for by in ("entropy", "margin", "least_confidence", "diverse"):
        assert len(label_next(plain, IMAGES, count=1, by=by).table["rank"]) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "count must be 1 or more"),
        ({"count": 1, "by": "entropie"}, "did you mean 'entropy'"),
        ({"count": 1, "by": "variance", "mc_samples": 1}, "must be 2 or more"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(trained, options, message):
    with pytest.raises(ValueError, match=message):
        label_next(trained, IMAGES, **options)


def test_more_than_the_pool_ranks_all_and_an_empty_pool_is_refused(trained):
    for by in CHOICES:
        found = label_next(trained, IMAGES[:4], count=9, by=by)
        assert sorted(found.table["index"]) == [0, 1, 2, 3]
        assert found.pool == 4
    with pytest.raises(ValueError, match="pool holds no image"):
        label_next(trained, IMAGES[:0], count=1)


def test_files_that_cannot_be_read_are_named_or_left_out(trained, tmp_path):
    for i in range(3):
        Image.fromarray(IMAGES[i, ..., 0]).save(tmp_path / f"{i}.png")
    (tmp_path / "3.png").write_text("no image")
    with pytest.raises(ValueError, match=r"3\.png"):
        label_next(trained, tmp_path, count=2)
    left_out = []
    found = label_next(trained, tmp_path, count=2, unreadable=left_out.append)
    assert (found.pool, len(left_out)) == (3, 1)
    memory = label_next(trained, IMAGES[:3], count=2).table
    assert [str(tmp_path / f"{i}.png") for i in memory["index"]] == found.table["file"].tolist()
