"""Deep ensembles: predictions averaged over independently trained networks, with the moments of MC-Dropout."""

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
    """Predicts images by the mean over several networks, dropout off, and measures how much they disagree.

    Source: Lakshminarayanan et al., Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles,
    NeurIPS 2017.

    Args:
      members: networks with the same task, classes and input; their architectures may differ.
      images: `[B, H, W, C]`, as in `predict`.

    Returns:
      A prediction as from `mc_predict`, with members instead of passes, and `samples` `[B, members, ...]`.

    Raises:
      ValueError: there is no member, or the members differ in task, classes or input.

    >>> from cnnlab.data import InputSpec
    >>> from cnnlab.models import create_model
    >>> from cnnlab.tasks import Classification
    >>> net, images = create_model("linear", num_classes=2), jnp.ones((3, 4, 4, 1))
    >>> keys, spec = jax.random.split(jax.random.key(0), 5), InputSpec((4, 4), classes="ab")
    >>> members = [Trained(net.init(key, images), net, Classification(), spec) for key in keys]
    >>> prediction = ensemble_predict(members, images)
    >>> prediction.mean.shape, prediction.samples.shape, int(prediction.num_samples[0])
    ((3, 2), (3, 5, 2), 5)
    """
    members = members_of(members)
    check_images(images, members[0].spec, any_size=members[0].any_size, any_width=members[0].any_width)
    return ensemble_average(members, images)


def members_of(trained: Trained | Sequence[Trained], **alone: Any) -> tuple[Trained, ...]:
    """Returns one network or several as a tuple, after checking that they fit together.

    Args:
      trained: one network, or several.
      **alone: options by name that only a single network can take; None if an option is not used.

    Raises:
      ValueError: there is no network, the networks differ in task, classes or input, or several networks get an option
        that only a single network can take.
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
    """Raises `ValueError` if several networks get an option that only a single network can take.

    >>> check_alone(2, mc_samples=50, views=None)
    Traceback (most recent call last):
    ValueError: mc_samples is for one network, found 2; leave it out, or give one of them
    """
    for name, value in alone.items():
        if number > 1 and value is not None:
            raise ValueError(f"{name} is for one network, found {number}; leave it out, or give one of them")


def ensemble_moments(members: Sequence[Trained], images: jax.Array) -> Moments:
    """Computes the moments of the linked outputs over the members; not jitted, as its caller compiles it."""
    each = [outputs(member, images) for member in members]
    return stacked_moments(jax.tree.map(lambda *leaves: jnp.stack(leaves), *each))


@jit
def ensemble_average(members: tuple[Trained, ...], images: jax.Array) -> Prediction:
    """Computes `ensemble_predict` without checking networks and images."""
    return summarise(members[0], ensemble_moments(members, images))
