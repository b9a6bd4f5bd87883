"""Guided back-propagation and deconvolution: gradients that pass the ReLUs of a function by another rule."""

import functools
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from cnnlab.errors import check_known
from cnnlab.explain.facts import Fact, Kind
from cnnlab.explain.rewrite import rewrite

Rule = Literal["guided", "deconvolution"]
RULES: dict[Rule, str] = {"guided": "guided back-propagation", "deconvolution": "deconvolution"}


def with_rule(
    function: Callable[[jax.Array], jax.Array], rule: Rule, *, linear: bool = False
) -> Callable[[jax.Array], jax.Array]:
    """Returns a function with the same value as `function(x)`, whose gradient passes ReLUs by a rule.

    With d(v) = 1 where v > 0 and the slope of the ReLU's negative side elsewhere (0 for a ReLU, the slope of a leaky
    one), a ReLU of x with the gradient g at its output passes on

    - deconvolution: g d(g); Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014;
    - guided: g d(x) d(g); Springenberg et al., Striving for Simplicity, ICLR 2015 workshop, arXiv:1412.6806.

    The papers define this for ReLUs only. A bound above, as in `relu6` or `clip(x, 0, c)`, keeps its own derivative.

    It recognises ReLUs in the traced program: `relu`, `leaky_relu`, `maximum(x, 0)`, `where(x > 0, x, 0)`,
    `clip(x, 0)`, `x * (x > 0)`, `maximum(x, slope * x)` and so on, also inside `jit`, `checkpoint`, `scan`, `cond` and
    functions with their own derivative. These operations keep their derivative: sigmoid, tanh, softmax and log-softmax,
    maxima (pooling), batch, layer and group norm, `stop_gradient`, and products with a gate that was reduced over axes
    (squeeze and excitation). Any other operation that is nonlinear in x is an error, because a gradient that follows
    the rule only at some activations misleads.

    Args:
      function: an array x to an array. It may close over arrays, traced or not. Select the explained output outside of
        it, because a nonlinear target is no part of the network.
      rule: `guided` or `deconvolution`.
      linear: whether a function without any ReLU is accepted, such as a network's first convolution; its gradient is
        its own.

    Raises:
      ValueError: the rule is unknown. Or, when the result is called, x is not floating point, the output depends on x
        by no ReLU (unless `linear`), or by a nonlinearity that is not listed; the error names it.

    >>> x = jnp.array([1.0, -1.0, 2.0])
    >>> weights = jnp.array([1.0, 1.0, -1.0])
    >>> for rule in RULES:
    ...     print(rule, jax.grad(lambda x: weights @ with_rule(lambda x: jnp.maximum(x, 0), rule)(x))(x))
    guided [1. 0. 0.]
    deconvolution [1. 1. 0.]
    """
    check_known("rule", rule, RULES)

    def ruled(x: jax.Array) -> jax.Array:
        x = jnp.asarray(x)
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise ValueError(f"x must be floating point for a gradient, found {x.dtype}; normalise the images first")
        program, shapes = jax.make_jaxpr(function, return_shape=True)(x)
        outs = rewrite(program, x, functools.partial(_relu, rule))
        _check([out.fact for out in outs], rule, linear)
        return jax.tree.unflatten(jax.tree.structure(shapes), [out.value for out in outs])

    return ruled


def _check(facts: list[Fact], rule: Rule, linear: bool) -> None:
    """Raises an error unless the outputs depend on the input by ReLUs and listed nonlinearities only."""
    name, advice = RULES[rule], "choose another method, such as saliency or integrated_gradients"
    for fact in facts:
        if fact.kind not in (Kind.KNOWN, Kind.SIGNAL):
            raise ValueError(
                f"{name} needs ReLUs: it has no rule for {fact.cause}, and a gradient that follows a rule only at some "
                f"of the nonlinearities misleads; {advice}"
            )
    if not linear and not any(fact.ruled for fact in facts):
        raise ValueError(f"{name} needs ReLUs: the function has no ReLU between its input and its output; {advice}")


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _pass(rule: Rule, x: jax.Array, out: jax.Array, slope: jax.Array | None) -> jax.Array:
    return out


def _forward(rule: Rule, x: jax.Array, out: jax.Array, slope: jax.Array | None) -> tuple[jax.Array, tuple]:
    return out, (x > 0 if rule == "guided" else None, slope)


def _backward(rule: Rule, saved: tuple, g: jax.Array) -> tuple:
    positive, slope = saved
    passed = jnp.where(g > 0, g, 0 if slope is None else slope * g)
    if rule == "guided":
        passed = jnp.where(positive, passed, 0 if slope is None else slope * passed)
    return passed, None, None


_pass.defvjp(_forward, _backward)


def _relu(rule: Rule, x: jax.Array, out: jax.Array, slope: float | jax.Array) -> jax.Array:
    """Returns the output of a ReLU of x, as it was computed, with a derivative by the rule."""
    zero = isinstance(slope, float) and slope == 0
    return _pass(rule, x, lax.stop_gradient(out), None if zero else jnp.asarray(slope, out.dtype))
