import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab.losses import ctc, needed_frames

GOLDENS = json.loads((Path(__file__).parents[1] / "goldens" / "ctc.json").read_text())


def strings(name):
    """Returns the stored strings with -1 = padding, and the number of frames of each."""
    text, golden = np.array(GOLDENS[name]["targets"]), GOLDENS[name]
    real = np.arange(text.shape[1]) < np.array(golden["target_lengths"])[:, None]
    return np.where(real, text, -1).astype(np.int32), np.array(golden["input_lengths"])


def test_loss_and_gradient_equal_torchs_for_ragged_lengths_and_repeats():
    text, frames = strings("ctc")
    loss = jax.jit(lambda logits: ctc(logits, text, blank=0, frames=frames))
    logits = jnp.array(GOLDENS["ctc"]["logits_BTC"], jnp.float32)
    np.testing.assert_allclose(loss(logits), GOLDENS["ctc"]["loss"], rtol=1e-6)
    gradient = jax.grad(lambda logits: loss(logits).sum())(logits)
    np.testing.assert_allclose(gradient, GOLDENS["ctc"]["grad_of_sum"], atol=2e-6)


@pytest.mark.parametrize(("infeasible", "value"), [("infinity", np.inf), ("zero", 0)])
def test_a_string_that_needs_more_frames_has_a_gradient_of_zero(infeasible, value):
    text, frames = strings("ctc_infeasible")  # two equal symbols need three frames and have two
    logits = jnp.array(GOLDENS["ctc_infeasible"]["logits_BTC"], jnp.float32)
    loss = jax.jit(lambda logits: ctc(logits, text, blank=0, frames=frames, infeasible=infeasible)[0])
    assert float(loss(logits)) == value
    assert not np.asarray(jax.grad(loss)(logits)).any()


def test_an_empty_string_is_spelt_by_blanks_alone():
    logits = jnp.log(jnp.array([[[0.25, 0.75], [0.5, 0.5]]]))
    assert float(jax.jit(ctc)(logits, jnp.full((1, 3), -1))[0]) == pytest.approx(-np.log(0.75 * 0.5), rel=1e-6)


def test_of_three_frames_one_path_spells_two_equal_symbols_and_five_spell_two_different_ones():
    uniform = jnp.zeros((2, 3, 3))  # each of the 27 paths has the probability 1/27
    loss = jax.jit(ctc)(uniform, jnp.array([[0, 0], [0, 1]]))  # 0-0; 001, 011, -01, 0-1, 01-
    np.testing.assert_allclose(loss, -np.log([1 / 27, 5 / 27]), rtol=1e-6)


def test_logits_of_a_thousand_have_a_finite_loss_and_gradient():
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.choice([-1000.0, 1000.0], (2, 40, 5)), jnp.float32)
    text = jnp.array([[0, 1, 2, 3, 3], [2, -1, -1, -1, -1]])
    value, gradient = jax.jit(jax.value_and_grad(lambda logits: ctc(logits, text).sum()))(logits)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_the_needed_frames_count_a_blank_between_equal_symbols_under_jit_too():
    text = jnp.array([[1, 1, 1, 1], [1, 2, 1, -1], [-1, -1, -1, -1]])
    assert jax.jit(needed_frames)(text).tolist() == [7, 3, 0]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ([[0, 2]], {}, r"text\[0\] contains the blank, 2"),
        ([[0, 1]], {"blank": 1}, r"text\[0\] contains the blank, 1"),
        ([[3, 0]], {}, "must lie in 0..2, or be -1 for padding, found 3"),
        ([[-1, 0]], {}, "must follow all symbols"),
        ([[0]], {"blank": 3}, "blank must lie in -3..2 for 3 symbols, found 3"),
        ([[0]], {"infeasible": "nan"}, "infeasible"),
        ([[0], [1]], {}, "of one B"),
    ],
)
def test_strings_that_do_not_fit_are_named(text, options, message):
    with pytest.raises(ValueError, match=message):
        ctc(jnp.zeros((1, 4, 3)), np.array(text), **options)


def test_an_empty_batch_is_refused():
    with pytest.raises(ValueError, match="the batch is empty"):
        ctc(jnp.zeros((0, 4, 3)), np.zeros((0, 2), np.int32))
