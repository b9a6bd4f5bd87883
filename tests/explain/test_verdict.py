"""The verdict on a map, beside a random map and an edge detector."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from cnnlab.data import InputSpec
from cnnlab.explain import verdict as verdicts
from cnnlab.explain.baselines import edge_maps, random_maps
from cnnlab.explain.comparison import beats, flagged
from cnnlab.explain.scores import SCORES
from cnnlab.explain.sentences import verdict_sentence
from cnnlab.explain.verdict import judge
from cnnlab.models import create_model
from cnnlab.tasks import Classification
from cnnlab.trained import Trained, logits

KEY = jax.random.key(7)
IMAGES = jax.random.uniform(jax.random.key(0), (4, 16, 16, 3))


def network(name="lenet5"):
    spec = InputSpec((16, 16), channels=3, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25), classes=("a", "b", "c"))
    net = create_model(name, num_classes=3)
    return Trained(net.init(jax.random.key(1), IMAGES), net, Classification(), spec)


def logit(index, logits):
    return jnp.take_along_axis(logits, index[:, None], 1)[:, 0]


def saliency(index, trained, images):
    return jax.grad(lambda x: logit(index, logits(trained, x)).sum())(images).sum(-1)


def verdict_of(trained, images, index, maps=None, **options):
    explain = Partial(saliency, index)
    maps = explain(trained, images) if maps is None else maps
    return judge(trained, images, maps, Partial(logit, index), explain=explain, key=KEY, **options)


CLASSES = jnp.array([0, 1, 2, 0])


@pytest.fixture(scope="module")
def verdict():
    return verdict_of(network(), IMAGES, CLASSES)


def test_every_score_stands_beside_those_of_a_random_map_and_of_an_edge_detector(verdict):
    assert set(verdict) == {prefix + name for name in SCORES for prefix in ("", "random/", "edges/")}
    assert all(values.shape == (4,) and jnp.isfinite(values).all() for values in verdict.values())
    assert verdict["edges/randomisation"].tolist() == [1] * 4
    assert abs(verdict["random/randomisation"]).max() < 0.3  # 256 pixels


def test_answers_to_one_image_have_the_scores_that_they_have_apart():
    images, faithful = np.asarray(IMAGES)[[0, 0, 0]], ("deletion", "road", "infidelity")
    together = verdict_of(network(), images, CLASSES[:3], scores=faithful)
    for i in range(3):
        alone = verdict_of(network(), images[i : i + 1], CLASSES[i : i + 1], scores=faithful)
        for name, values in alone.items():
            np.testing.assert_allclose(values[0], together[name][i], rtol=1e-4, atol=1e-6, err_msg=name)


def test_an_image_has_the_same_scores_alone_and_in_a_batch(verdict):
    for i in range(2):
        alone = verdict_of(network(), IMAGES[i : i + 1], CLASSES[i : i + 1])
        for name, values in alone.items():
            np.testing.assert_allclose(values[0], verdict[name][i], rtol=1e-4, atol=1e-6, err_msg=name)


def test_bytes_and_fractions_are_the_same_images():
    whole = np.asarray(IMAGES * 255).astype(np.uint8)
    maps = edge_maps(IMAGES)
    both = [
        verdict_of(network(), images, CLASSES, maps, scores=["road"]) for images in (whole, np.float32(whole) / 255)
    ]
    for name in both[0]:
        np.testing.assert_allclose(both[0][name], both[1][name], rtol=1e-4, atol=1e-6)


def test_a_map_of_zeros_has_finite_scores():
    zeros = jnp.zeros(IMAGES.shape[:3])
    explain = Partial(lambda trained, images: jnp.zeros(images.shape[:3]))
    got = judge(network(), IMAGES, zeros, Partial(logit, CLASSES), explain=explain, key=KEY)
    assert all(jnp.isfinite(values).all() for values in got.values())
    assert got["randomisation"].tolist() == [1] * 4
    assert got["max_sensitivity"].tolist() == got["road"].tolist() == [0] * 4


def test_a_black_image_has_finite_scores():
    got = verdict_of(network(), jnp.zeros_like(IMAGES), CLASSES)
    assert all(jnp.isfinite(values).all() for values in got.values())


def test_what_each_pixel_adds_to_a_linear_network_beats_both_baselines():
    trained = network("linear")
    x = (IMAGES - jnp.array(trained.spec.mean)) / jnp.array(trained.spec.std)
    weights = trained.variables["params"]["dense"]["kernel"].reshape(16, 16, 3, 3)
    truth = jnp.stack([(one * weights[..., k]).sum(-1) for one, k in zip(x, CLASSES, strict=True)])
    got = verdict_of(trained, IMAGES, CLASSES, truth)
    assert {name for name, won in beats(got).items() if won.all()} >= {"deletion", "insertion", "road"}
    assert not flagged(got).any()


def test_the_gradient_of_a_linear_network_is_not_sensitive():
    got = verdict_of(network("linear"), IMAGES, CLASSES)
    assert got["max_sensitivity"].tolist() == [0] * 4
    assert beats(got)["max_sensitivity"].all()


def test_a_random_map_is_flagged():
    got = verdict_of(network(), IMAGES, CLASSES, random_maps(IMAGES, jax.random.key(99)))
    as_bad = {name: got[f"random/{name.rsplit('/')[-1]}"] for name in got}
    assert flagged(as_bad).all()


def test_a_map_that_beats_one_baseline_on_most_faithfulness_scores_is_not_flagged():
    names = [name for name, score in SCORES.items() if score.is_faithfulness]
    sign = {name: 1.0 if SCORES[name].higher_is_better else -1.0 for name in names}
    got = {name: jnp.array([0.0, 0.0]) for name in names}
    got |= {f"edges/{name}": sign[name] * jnp.ones(2) for name in names}
    got |= {f"random/{name}": sign[name] * jnp.array([-1.0, -1.0 if i < 2 else 1.0]) for i, name in enumerate(names)}
    assert flagged(got).tolist() == [False, True]


def test_scores_do_not_depend_on_which_others_are_asked_for(verdict):
    some = verdict_of(network(), IMAGES, CLASSES, scores=["infidelity"])
    assert list(some) == ["infidelity", "random/infidelity", "edges/infidelity"]
    assert all(jnp.array_equal(some[name], verdict[name]) for name in some)


def test_a_stable_map_beats_the_random_one_and_a_map_of_the_parameters_is_nearer_to_it_than_to_the_edges():
    got = {"max_sensitivity": jnp.array([0.3, 0.8]), "randomisation": jnp.array([0.3, 0.8])}
    got |= {"random/max_sensitivity": jnp.full(2, 0.7), "edges/max_sensitivity": jnp.full(2, 0.1)}
    got |= {"random/randomisation": jnp.zeros(2), "edges/randomisation": jnp.ones(2)}
    won = beats(got)
    assert won["max_sensitivity"].tolist() == won["randomisation"].tolist() == [True, False]
    with pytest.raises(ValueError, match="a verdict flags maps by deletion, insertion, road, infidelity, found max"):
        flagged(got)


def test_other_classes_and_keys_compile_nothing_again():
    sizes = []
    for key in range(2):
        explain = Partial(saliency, CLASSES + key)
        judge(
            network(),
            IMAGES,
            edge_maps(IMAGES),
            Partial(logit, CLASSES + key),
            explain=explain,
            key=jax.random.key(key),
        )
        sizes.append(verdicts._compute.cache_size())
    assert sizes[0] == sizes[1]


def test_large_batches_pass_one_version_at_a_time_with_the_same_scores(verdict, monkeypatch):
    monkeypatch.setattr(verdicts, "_LARGE", 0)
    target = Partial(lambda index, logits: logit(index, logits), CLASSES)  # another function, so another program
    maps = saliency(CLASSES, network(), IMAGES)
    got = judge(network(), IMAGES, maps, target, explain=saliency, key=KEY, scores=["deletion", "road"])
    for name, values in got.items():
        np.testing.assert_allclose(values, verdict[name], rtol=1e-4, atol=1e-6)


def test_edges_are_the_sobel_magnitude_of_the_mean_channel():
    step = jnp.zeros((1, 3, 4, 3)).at[:, :, 2:].set(jnp.array([1.0, 2.0, 3.0]))
    assert edge_maps(step)[0, 1].tolist() == [0, 8, 8, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scores": ["deletions"]}, "unknown score 'deletions'; did you mean 'deletion'"),
        ({"steps": 0}, "steps must be 1 or more, found 0"),
        ({"maps": jnp.zeros((4, 8, 8))}, r"maps must be \[4, 16, 16\], one for each image, found \[4, 8, 8\]"),
    ],
)
def test_a_wrong_argument_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        verdict_of(network(), IMAGES, CLASSES, **options)


def test_the_sentence_of_each_score_has_numbers_that_can_be_told_apart():
    verdict = {name: [4e-11] for score in SCORES for name in (score, f"random/{score}", f"edges/{score}")}
    verdict |= {"deletion": [0.0012], "random/deletion": [0.004], "edges/deletion": [0.0031]}
    text = verdict_sentence({name: np.array(value) for name, value in verdict.items()}, 0)
    assert "the value is 0.0012 on average (0.0040 in random order, 0.0031 by edges)" in text
    assert "ROAD is 4.0e-11 (4.0e-11 for a random map, 4.0e-11 for edges)" in text
    assert "0.00 " not in text
