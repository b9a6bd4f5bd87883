"""Decodes the symbols of frames to strings: greedily, or by a prefix beam search, and aligns a string to its frames.

Probabilities are `[B, T, K]`, one distribution over K symbols for each frame; strings are `[B, N]` int32, -1 = padding.
All functions are pure and can be jitted.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab.losses import ctc

_NEVER = -1e30  # the logarithm of probability 0, which stays finite in sums
_LEAST = 1e-30  # smallest probability of which a logarithm is taken


class Spans(NamedTuple):
    """The frames of each character of a string: `start` and `end` (exclusive) `[B, N]`, 0 for padding.

    `confidence` `[B, N]` is the largest probability that a frame of the character gives it, 0 for padding.
    """

    start: jax.Array
    end: jax.Array
    confidence: jax.Array


def greedy(probs: jax.Array, *, blank: int) -> jax.Array:
    """Returns the string `[B, T]` of the most probable symbol of each frame: repeats merged, then blanks removed.

    >>> frames = jax.nn.one_hot(jnp.array([[0, 0, 2, 0, 1, 1]]), 3)
    >>> greedy(frames, blank=2).tolist()
    [[0, 0, 1, -1, -1, -1]]
    """
    best = probs.argmax(-1)
    before = jnp.pad(best[:, :-1], ((0, 0), (1, 0)), constant_values=blank)
    first = (best != blank) & (best != before)
    t = best.shape[1]
    place = jnp.where(first, first.cumsum(-1) - 1, t)  # t is outside, where nothing is written
    put = jax.vmap(lambda place, best: jnp.full(t, -1, jnp.int32).at[place].set(best.astype(jnp.int32), mode="drop"))
    return put(place, best)


def string_probability(probs: jax.Array, text: jax.Array, *, blank: int) -> jax.Array:
    """Computes the probability `[B]` of each string, the sum over all paths that spell it; see `losses.ctc`."""
    return jnp.minimum(jnp.exp(-ctc(_log(probs), text, blank=blank)), 1.0)  # rounding may exceed 1


def prefix_beam(
    probs: jax.Array, *, blank: int, beams: int, transitions: np.ndarray | None = None, steps: np.ndarray | None = None
) -> tuple[jax.Array, jax.Array]:
    """Searches the most probable string, which sums over the paths of each prefix; optionally only among some strings.

    A path may spell a string in many ways, so the most probable string need not be that of the most probable path.
    After each frame the search keeps the `beams` most probable prefixes.

    Source: Hannun et al., First-Pass Large Vocabulary Continuous Speech Recognition using Bi-Directional Recurrent
    DNNs, 2014, without a language model.

    Args:
      probs: `[B, T, K]`.
      blank: index of the blank, K - 1.
      beams: number of prefixes that are kept.
      transitions: states after each character, `[S, K - 1]` int32, -1 where no allowed string continues; state 0 is the
        start. By default every string is allowed.
      steps: number of characters from each state to the end of the nearest allowed string, `[S]`.

    Returns:
      Strings `[B, T]`, and their probabilities `[B]` relative to all allowed strings that the search kept; without
      `transitions`, the probabilities themselves. If no allowed string fits the frames, it is empty with probability 0.
    """
    k = probs.shape[-1]
    free = transitions is None
    table = jnp.zeros((1, k - 1), jnp.int32) if free else jnp.asarray(transitions)
    left = jnp.zeros(1, jnp.int32) if free else jnp.asarray(steps)
    search = jax.vmap(lambda rows: _search(rows, beams, table, left))
    text, log_score, total = search(_log(probs))
    score = jnp.exp(log_score) if free else jnp.exp(log_score - total)
    found = log_score > _NEVER / 2
    return jnp.where(found[:, None], text, -1), jnp.where(found, jnp.minimum(score, 1.0), 0.0)


def _search(log_probs: jax.Array, beams: int, table: jax.Array, left: jax.Array) -> tuple[jax.Array, ...]:
    """Searches one strip `[T, K]`; the blank is the last symbol."""
    t, k = log_probs.shape
    places = jnp.arange(t)

    def step(carry, inputs):
        text, length, state, ends_blank, ends_symbol = carry
        frame, remaining = inputs
        symbols = frame[:-1]
        last = jnp.where(length > 0, jnp.take_along_axis(text, jnp.maximum(length - 1, 0)[:, None], 1)[:, 0], -1)
        either = jnp.logaddexp(ends_blank, ends_symbol)
        # A prefix stays: by a blank, or by its last character once more.
        stay_blank = either + frame[-1]
        stay_symbol = jnp.where(last >= 0, ends_symbol + symbols[last], _NEVER)
        # A prefix grows by a character; by its last one only after a blank.
        same = last[:, None] == jnp.arange(k - 1)
        grown = symbols + jnp.where(same, ends_blank[:, None], either[:, None])
        after = table[state]
        grown = jnp.where((after >= 0) & (length < t)[:, None], grown, _NEVER)
        # A grown prefix may equal one that is kept already: both are one prefix.
        trimmed = jnp.where(places == (length - 1)[:, None], -1, text)
        parent = (trimmed[None] == text[:, None]).all(-1) & (length == length[:, None] + 1)  # [of i, is j]
        joined = jnp.where(parent, grown[:, jnp.maximum(last, 0)], _NEVER)
        stay_symbol = jnp.logaddexp(stay_symbol, jax.nn.logsumexp(joined, 0))
        double = (parent[:, :, None] & (last[None, :, None] == jnp.arange(k - 1))).any(1)
        grown = jnp.where(double, _NEVER, grown)
        # Of all candidates only those count from which an allowed string ends within the frames that remain.
        stays = jnp.where(left[state] <= remaining, jnp.logaddexp(stay_blank, stay_symbol), _NEVER)
        grows = jnp.where(left[jnp.maximum(after, 0)] <= remaining, grown, _NEVER)
        score, chosen = jax.lax.top_k(jnp.concatenate([stays, grows.ravel()]), beams)
        grew = chosen >= beams
        source = jnp.where(grew, (chosen - beams) // (k - 1), chosen)
        symbol = (chosen - beams) % (k - 1)
        new = jnp.where(grew[:, None] & (places == length[source][:, None]), symbol[:, None], text[source])
        alive = score > _NEVER / 2
        carry = (
            new.astype(jnp.int32),
            length[source] + grew,
            jnp.where(grew, after[source, symbol], state[source]),
            jnp.where(grew | ~alive, _NEVER, stay_blank[source]),
            jnp.where(alive, jnp.where(grew, score, stay_symbol[source]), _NEVER),
        )
        return carry, None

    number = jnp.arange(beams)
    start = (
        jnp.full((beams, t), -1, jnp.int32),
        jnp.where(number == 0, 0, -number - t),  # beams that hold no prefix yet have lengths of no prefix
        jnp.zeros(beams, jnp.int32),
        jnp.where(number == 0, 0.0, _NEVER),
        jnp.full(beams, _NEVER),
    )
    (text, _, state, ends_blank, ends_symbol), _ = jax.lax.scan(step, start, (log_probs, t - 1 - jnp.arange(t)))
    score = jnp.where(left[state] == 0, jnp.logaddexp(ends_blank, ends_symbol), _NEVER)
    best = score.argmax()
    return text[best], score[best], jax.nn.logsumexp(score)


def align(probs: jax.Array, text: jax.Array, *, blank: int) -> Spans:
    """Finds the frames of each character on the most probable path that spells a string (Viterbi's algorithm).

    Args:
      probs: `[B, T, K]`.
      text: strings `[B, N]` that fit T frames.
      blank: index of the blank.

    >>> spans = align(jax.nn.one_hot(jnp.array([[2, 0, 0, 2, 1]]), 3), jnp.array([[0, 1]]), blank=2)
    >>> spans.start.tolist(), spans.end.tolist()
    ([[1, 4]], [[3, 5]])
    """
    b, n = text.shape
    log_probs, length = _log(probs), (text >= 0).sum(-1)
    symbols = jnp.full((b, 2 * n + 1), blank).at[:, 1::2].set(jnp.where(text >= 0, text, blank))  # -, a, -, b, -
    place = jnp.arange(2 * n + 1)
    outside = place > 2 * length[:, None]
    emitted = jnp.take_along_axis(log_probs, jnp.broadcast_to(symbols[:, None], (b, probs.shape[1], 2 * n + 1)), -1)
    emitted = jnp.where(outside[:, None], _NEVER, emitted).swapaxes(0, 1)
    skips = (place % 2 == 1) & (symbols != jnp.pad(symbols[:, :-2], ((0, 0), (2, 0)), constant_values=blank))

    def back(score: jax.Array, by: int) -> jax.Array:
        return jnp.pad(score[:, :-by], ((0, 0), (by, 0)), constant_values=_NEVER)

    def step(score: jax.Array, emitted: jax.Array):
        ways = jnp.stack([score, back(score, 1), jnp.where(skips, back(score, 2), _NEVER)])
        return ways.max(0) + emitted, ways.argmax(0)

    score, ways = jax.lax.scan(step, jnp.where(place < 2, emitted[0], _NEVER), emitted[1:])
    last, before = 2 * length, jnp.maximum(2 * length - 1, 0)  # a path ends in a blank or in the last character
    of_last, of_before = (jnp.take_along_axis(score, place[:, None], 1)[:, 0] for place in (last, before))
    end = jnp.where(of_before > of_last, before, last)

    def walk(state: jax.Array, ways: jax.Array):
        earlier = state - jnp.take_along_axis(ways, state[:, None], 1)[:, 0]
        return earlier, earlier

    _, states = jax.lax.scan(walk, end, ways, reverse=True)
    states = jnp.concatenate([states, end[None]]).T  # [B, T]
    own = (states[:, :, None] == 2 * jnp.arange(n) + 1) & (text >= 0)[:, None]  # [B, T, N]
    t = jnp.arange(probs.shape[1])[:, None]
    of_text = jnp.take_along_axis(probs, jnp.broadcast_to(jnp.maximum(text, 0)[:, None], own.shape), -1)
    return Spans(
        jnp.where(own, t, probs.shape[1]).min(1) * (text >= 0),
        jnp.where(own, t + 1, 0).max(1),
        jnp.where(own, of_text, 0).max(1),
    )


def _log(probs: jax.Array) -> jax.Array:
    return jnp.log(jnp.maximum(probs, _LEAST))
