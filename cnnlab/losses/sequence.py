"""The loss of strings: connectionist temporal classification, and the frames that a string needs."""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cnnlab.errors import check_known

_NEVER = -1e30  # the logarithm of probability 0; far below the log-probability of any path of finite logits


def ctc(
    logits: jax.Array,
    text: jax.Array,
    *,
    blank: int = -1,
    frames: jax.Array | None = None,
    infeasible: Literal["infinity", "zero"] = "infinity",
) -> jax.Array:
    """Computes the negative log-probability of each string under connectionist temporal classification, in nats.

    A path names one symbol for each frame. It spells the string that remains when repeated symbols are merged and
    blanks are removed; the string's probability is the sum over all paths that spell it.

    Source: Graves et al., Connectionist Temporal Classification, ICML 2006.

    Args:
      logits: `[B, T, K]`.
      text: symbols `[B, N]` int32 in 0..K-1 without the blank; -1 = padding, at the end.
      blank: index of the blank among the K symbols; a negative one counts from the end.
      frames: number of frames of each example, `[B]`; by default all T.
      infeasible: loss of a string that needs more frames than there are: `infinity` or `zero`. Its gradient is 0.

    Returns:
      Losses `[B]` float32, with finite gradients for logits of any size.

    Raises:
      ValueError: the batch is empty, the shapes do not fit, or a known symbol is the blank or lies outside 0..K-1.

    >>> round(float(ctc(jnp.zeros((1, 2, 3)), jnp.array([[0]]))[0]), 4)  # 3 of 9 paths spell it: log 3
    1.0986
    """
    check_known("infeasible", infeasible, ("infinity", "zero"))
    if logits.ndim != 3 or text.ndim != 2 or len(text) != len(logits):
        raise ValueError(
            f"logits must be [B, T, K] and text [B, N] of one B, found {list(logits.shape)} and {list(text.shape)}"
        )
    b, t, k = logits.shape
    if b == 0:
        raise ValueError("the batch is empty (B = 0); give one string or more")
    if not -k <= blank < k:
        raise ValueError(f"blank must lie in {-k}..{k - 1} for {k} symbols, found {blank}")
    blank %= k
    if not isinstance(text, jax.core.Tracer):
        _check_symbols(np.asarray(text), k, blank)
    frames = jnp.full(b, t) if frames is None else jnp.asarray(frames)
    feasible = needed_frames(text) <= frames
    beyond = jnp.arange(t) >= frames[:, None]
    value = optax.ctc_loss(
        logits.astype(jnp.float32),
        beyond.astype(jnp.float32),
        text,
        (text < 0).astype(jnp.float32),
        blank_id=blank,
        log_epsilon=_NEVER,
    )
    return jnp.where(feasible, value, jnp.inf if infeasible == "infinity" else 0.0)


def needed_frames(text: jax.Array) -> jax.Array:
    """Returns the smallest number of frames `[B]` that spell each string: one a symbol, and a blank between equal ones.

    Args:
      text: symbols `[B, N]`, -1 = padding, at the end; NumPy arrays give NumPy arrays.

    >>> needed_frames(np.array([[3, 3, 1], [2, -1, -1], [-1, -1, -1]])).tolist()
    [4, 1, 0]
    """
    real = text >= 0
    return real.sum(-1) + (real[:, 1:] & (text[:, 1:] == text[:, :-1])).sum(-1)


def _check_symbols(text: np.ndarray, k: int, blank: int) -> None:
    """Raises `ValueError` if a symbol is the blank or lies outside the K symbols, or padding precedes a symbol."""
    if (text == blank).any():
        row = int((text == blank).any(-1).argmax())
        raise ValueError(f"text[{row}] contains the blank, {blank}, which no string may; give the blank another index")
    if ((text < -1) | (text >= k)).any():
        wrong = text[(text < -1) | (text >= k)][0]
        raise ValueError(f"text must lie in 0..{k - 1}, or be -1 for padding, found {wrong}")
    if ((text[:, 1:] >= 0) & (text[:, :-1] < 0)).any():
        raise ValueError("padding (-1) must follow all symbols of a string, found a symbol after it")
