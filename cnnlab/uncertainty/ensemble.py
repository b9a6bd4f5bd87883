"""Deep ensembles: the answer as a mean over networks trained apart, with the same moments as MC-Dropout."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from cnnlab.data import check_images
from cnnlab.runtime.compile import jit
from cnnlab.tasks import Prediction
from cnnlab.trained import Trained, outputs
from cnnlab.uncertainty.moments import Moments, stacked_moments
from cnnlab.uncertainty.monte_carlo import summarise


def ensemble_predict(members: Sequence[Trained], images: jax.Array) -> Prediction:
    """The answer averaged over networks, dropout off, and how much they disagree.

    Source: Lakshminarayanan et al., Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles,
    NeurIPS 2017.

    Args:
      members: of one task and one input size; their networks may differ.
      images: `[B, H, W, C]`, as in `predict`.

    Returns:
      What `mc_predict` returns, a member in place of a pass, with `samples` `[B, members, ...]`.

    Raises:
      ValueError: there is no member, or they differ in task, classes or input.

    >>> from cnnlab.data import InputSpec
    >>> from cnnlab.models import create_model
    >>> from cnnlab.tasks import Classification
    >>> net, images = create_model("linear", num_classes=2), jnp.ones((3, 4, 4, 1))
    >>> keys, spec = jax.random.split(jax.random.key(0), 5), InputSpec((4, 4), classes="ab")
    >>> members = [Trained(net.init(key, images), net, Classification(), spec) for key in keys]
    >>> found = ensemble_predict(members, images)
    >>> found.mean.shape, found.samples.shape, int(found.num_samples[0])
    ((3, 2), (3, 5, 2), 5)
    """
    members = members_of(members)
    check_images(images, members[0].spec, any_size=members[0].any_size)
    return ensemble_average(members, images)


def members_of(trained: Trained | Sequence[Trained], **alone: Any) -> tuple[Trained, ...]:
    """Returns one network or several as a tuple, checked once for all that follows.

    Args:
      trained: the network, or several.
      **alone: options, by name, that one network alone can have; None where they are not asked for.

    Raises:
      ValueError: there is no network, several do not answer the same question about the same images, or an option of
        one network alone is asked for.
    """
    members = (trained,) if isinstance(trained, Trained) else tuple(trained)
    if not members:
        raise ValueError("members must hold one network or more, found none")
    check_alone(len(members), **alone)
    first = members[0]
    for number, member in enumerate(members[1:], 2):
        for part, mine, others in (
            ("task", first.task, member.task),
            ("images", first.spec.shape, member.spec.shape),
            ("classes", first.spec.classes, member.spec.classes),
        ):
            if mine != others:
                raise ValueError(f"the members of an ensemble must share their {part}: 1 has {mine}, {number} {others}")
    return members


def check_alone(number: int, **alone: Any) -> None:
    """Raises `ValueError` where several networks are asked for what one network alone can have.

    >>> check_alone(2, mc_samples=50, views=None)
    Traceback (most recent call last):
    ValueError: mc_samples is for one network, found 2; leave it out, or give one of them
    """
    for name, value in alone.items():
        if number > 1 and value is not None:
            raise ValueError(f"{name} is for one network, found {number}; leave it out, or give one of them")


def ensemble_moments(members: Sequence[Trained], images: jax.Array) -> Moments:
    """Moments over the members of what the task links a pass to; a plain function, to be compiled by its caller."""
    each = [outputs(member, images) for member in members]
    return stacked_moments(jax.tree.map(lambda *leaves: jnp.stack(leaves), *each))


@jit
def ensemble_average(members: tuple[Trained, ...], images: jax.Array) -> Prediction:
    """Computes `ensemble_predict` for networks and images that are checked."""
    return summarise(members[0], ensemble_moments(members, images))
