"""The model-randomisation test: a map that explains a network changes when the network's parameters become random."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from cnnlab.nn.taps import tap
from cnnlab.trained import Trained, logits

Explain = Callable[[Trained, jax.Array], jax.Array]


def randomise(trained: Trained, key: jax.Array, *, layers: Sequence[str] | None = None) -> Trained:
    """Redraws the parameters of a network from normal distributions; batch statistics stay.

    Each array of parameters is drawn with its own mean and standard deviation, so that activations keep their size. An
    array of equal values, such as new biases, stays.

    Args:
      trained: the network.
      key: random key; it determines the parameters of a layer, whatever the others are.
      layers: names at the top of the tree of parameters; by default all of them.

    >>> from cnnlab.data import InputSpec
    >>> from cnnlab.models import create_model
    >>> from cnnlab.tasks import Classification
    >>> net, spec = create_model("linear", num_classes=2), InputSpec((4, 4), classes=("a", "b"))
    >>> trained = Trained(net.init(jax.random.key(0), jnp.zeros((1, 4, 4, 1))), net, Classification(), spec)
    >>> kernel = randomise(trained, jax.random.key(1)).variables["params"]["dense"]["kernel"]
    >>> bool((kernel != trained.variables["params"]["dense"]["kernel"]).all())
    True
    """
    params = trained.variables["params"]
    flat, unravel = ravel_pytree(params)  # one draw for all arrays compiles much faster than one for each
    normal = unravel(jax.random.normal(key, flat.shape, flat.dtype))
    drawn = jax.tree.map(lambda array, numbers: array.mean() + array.std() * numbers, params, normal)
    chosen = {name: (drawn if layers is None or name in layers else params)[name] for name in params}
    return trained.replace(variables={**trained.variables, "params": chosen})


def rank_correlation(first: jax.Array, second: jax.Array) -> jax.Array:
    """Computes Spearman's correlation of two maps: the linear correlation of the ranks of their pixels.

    Equal values have their mean rank. A constant map has the correlation 0 with another map, and 1 with a constant one.

    Args:
      first: `[..., H, W]`.
      second: `[..., H, W]`.

    Returns:
      `[...]` in -1..1.

    >>> rank_correlation(jnp.array([[1.0, 2.0, 3.0]]), jnp.array([[10.0, 1000.0, 100.0]])).item()
    0.5
    """
    a, b = _centred_ranks(first), _centred_ranks(second)
    squares = (a * a).sum(-1), (b * b).sum(-1)
    either, both = (squares[0] == 0) | (squares[1] == 0), (squares[0] == 0) & (squares[1] == 0)
    below = jnp.sqrt(jnp.where(either, 1, squares[0] * squares[1]))
    return jnp.where(both, 1.0, (a * b).sum(-1) / below)


def _centred_ranks(maps: jax.Array) -> jax.Array:
    """Returns ranks `[..., H W]` around 0, as shares of the number of pixels."""
    flat = maps.reshape(*maps.shape[:-2], -1)
    pixels = flat.shape[-1]

    def rank(values: jax.Array) -> jax.Array:
        order = jnp.sort(values)
        below, up_to = (jnp.searchsorted(order, values, side=side) for side in ("left", "right"))
        return (below + up_to - pixels) / (2 * pixels)

    return jax.vmap(rank)(flat.reshape(-1, pixels)).reshape(flat.shape)


def randomisation(explain: Explain, trained: Trained, images: jax.Array, maps: jax.Array, key: jax.Array) -> jax.Array:
    """Computes the rank correlation of each map with the map of the same network with random parameters.

    Near 0 the map depends on what the network has learnt; near 1 it does not. Absolute values are compared, because a
    random network may turn all signs.

    Source: Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018.

    Args:
      explain: function that computes the maps `[..., B, H, W]` of a network and images.
      trained: the network.
      images: `[B, H, W, C]`.
      maps: `[..., B, H, W]`, the maps of the trained network.
      key: random key of the parameters.

    Returns:
      `[..., B]`.
    """
    return rank_correlation(jnp.abs(maps), jnp.abs(explain(randomise(trained, key), images)))


def cascade(
    explain: Explain, trained: Trained, images: jax.Array, maps: jax.Array, key: jax.Array
) -> dict[str, jax.Array]:
    """Computes the correlations of `randomisation` while more and more layers become random, from the last one up.

    Source: Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018, cascading randomisation.

    The arguments are those of `randomisation`.

    Returns:
      Name of a layer (at the top of the tree of parameters) to `[..., B]`, with this layer and all after it random.
    """
    correlations, names = {}, parameter_layers(trained, images.shape)[::-1]
    for number, name in enumerate(names, 1):
        drawn = randomise(trained, key, layers=names[:number])
        correlations[name] = rank_correlation(jnp.abs(maps), jnp.abs(explain(drawn, images)))
    return correlations


def parameter_layers(trained: Trained, shape: tuple[int, ...]) -> tuple[str, ...]:
    """Returns the names at the top of the tree of parameters, in the order in which the network calls the layers.

    Args:
      trained: the network.
      shape: of a batch of images, `(B, H, W, C)`.
    """
    order: dict[str, None] = {}

    def note(module, call, args, kwargs):
        if module.path:
            order.setdefault(module.path[0])
        return call(*args, **kwargs)

    with tap(note):
        jax.eval_shape(lambda x: logits(trained, x), jax.ShapeDtypeStruct(shape, jnp.float32))  # traced at each call
    return tuple(name for name in {**order, **trained.variables["params"]} if name in trained.variables["params"])
