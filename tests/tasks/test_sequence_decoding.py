import itertools
from collections import defaultdict

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab.tasks.sequence_automaton import automaton
from cnnlab.tasks.sequence_decoding import align, greedy, prefix_beam, string_probability

T, K = 5, 4  # three characters and the blank
EVERY = 200  # beams; there are fewer prefixes of three characters in five frames that have any path


def spelt(path):
    """Returns the string of a path: repeats merged, blanks removed."""
    return tuple(symbol for symbol, _ in itertools.groupby(path) if symbol != K - 1)


def by_hand(probs):
    """Returns the probability of each string, summed over all K^T paths."""
    total = defaultdict(float)
    for path in itertools.product(range(K), repeat=T):
        total[spelt(path)] += float(np.prod(probs[np.arange(T), path]))
    return total


def string(row):
    return tuple(int(symbol) for symbol in row if symbol >= 0)


@pytest.fixture(scope="module")
def probs():
    """Returns frames `[8, T, K]` of random probabilities."""
    return np.random.default_rng(0).dirichlet(np.full(K, 0.6), (8, T)).astype(np.float32)


def test_greedy_merges_repeats_before_it_removes_blanks(probs):
    text = jax.jit(lambda probs: greedy(probs, blank=K - 1))(probs)
    assert [string(row) for row in text] == [spelt(row) for row in probs.argmax(-1)]


def test_a_beam_as_wide_as_all_prefixes_finds_the_most_probable_string(probs):
    text, score = jax.jit(lambda probs: prefix_beam(probs, blank=K - 1, beams=EVERY))(probs)
    for row, value, frames in zip(text, score, probs, strict=True):
        total = by_hand(frames)
        assert string(row) == max(total, key=total.get)
        assert float(value) == pytest.approx(max(total.values()), rel=1e-5)
    exact = jax.jit(lambda probs, text: string_probability(probs, text, blank=K - 1))(probs, text)
    np.testing.assert_allclose(exact, score, rtol=1e-5)


def test_the_most_probable_string_is_not_that_of_the_most_probable_path():
    frames = jnp.array([[[0.4, 0.6], [0.4, 0.6]]])  # the path of blanks: .36; three paths spell the character: .64
    assert string(greedy(frames, blank=1)[0]) == ()
    text, score = jax.jit(lambda frames: prefix_beam(frames, blank=1, beams=4))(frames)
    assert string(text[0]) == (0,)
    assert float(score[0]) == pytest.approx(0.64)


@pytest.mark.parametrize("pattern", ["ab*c?", "[ab]{2}", "(ab|ba)?", "c{3}"])
def test_a_pattern_allows_its_strings_and_the_confidence_is_relative_to_them(probs, pattern):
    import re

    allowed = automaton(("a", "b", "c"), pattern=pattern)
    search = jax.jit(lambda probs: prefix_beam(probs, blank=K - 1, beams=EVERY, **allowed._asdict()))
    for row, value, frames in zip(*search(probs), probs, strict=True):
        total = {s: p for s, p in by_hand(frames).items() if re.fullmatch(pattern, "".join("abc"[i] for i in s))}
        assert string(row) == max(total, key=total.get)
        assert float(value) == pytest.approx(max(total.values()) / sum(total.values()), rel=1e-4)


def test_a_narrow_beam_keeps_only_prefixes_that_can_still_end_in_an_allowed_string(probs):
    allowed = automaton(("a", "b", "c"), pattern=".{4}")
    text, _ = jax.jit(lambda probs: prefix_beam(probs, blank=K - 1, beams=8, **allowed._asdict()))(probs)
    assert {len(string(row)) for row in text} == {4}


def test_an_allowed_string_longer_than_the_frames_reads_as_empty_with_confidence_zero(probs):
    allowed = automaton(("a", "b", "c"), pattern=".{6}")
    text, score = jax.jit(lambda probs: prefix_beam(probs, blank=K - 1, beams=8, **allowed._asdict()))(probs)
    assert not (np.asarray(text) >= 0).any()
    assert not np.asarray(score).any()


def test_the_alignment_is_the_most_probable_path_of_the_string(probs):
    aligned = jax.jit(lambda frames: align(frames, jnp.array([[0, 0, 1]]), blank=K - 1))
    for frames in probs:
        spans = aligned(frames[None])
        paths = [path for path in itertools.product(range(K), repeat=T) if spelt(path) == (0, 0, 1)]
        best = max(paths, key=lambda path: np.prod(frames[np.arange(T), path]))
        runs, t = [], 0
        for symbol, run in itertools.groupby(best):
            n = len(list(run))
            runs += [(t, t + n)] if symbol != K - 1 else []
            t += n
        assert list(zip(spans.start[0].tolist(), spans.end[0].tolist(), strict=True)) == runs
        expected = [frames[a:b, k].max() for (a, b), k in zip(runs, (0, 0, 1), strict=True)]
        np.testing.assert_allclose(spans.confidence[0], expected)


def test_an_empty_string_has_no_frames():
    spans = align(jnp.full((1, 4, 3), 1 / 3), jnp.full((1, 4), -1), blank=2)
    assert not any(np.asarray(part).any() for part in spans)
