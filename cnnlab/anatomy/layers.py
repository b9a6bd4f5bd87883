"""The equations of a network, gathered into layers."""

import dataclasses
from collections.abc import Iterable

from cnnlab.anatomy import reach, views
from cnnlab.anatomy.products import is_product
from cnnlab.anatomy.trace import Leaf, Step, Traced
from cnnlab.anatomy.views import View

Pair = tuple[View | None, View | None]
"""How an array's units see rows and columns of pixels; None where a normalisation has summed over them."""

_JOINS = ("add", "add_any", "sub", "mul", "max", "concatenate")
_POOLS = {"reduce_window_max": "max_pool", "reduce_window_sum": "avg_pool"} | {
    "reduce_max": "max_pool",
    "reduce_sum": "avg_pool",
}


@dataclasses.dataclass
class Layer:
    """Some equations that belong together.

    Attributes:
      module: whose variables it has; of a function without any, the module it is called in.
      kind: the class of the module, or what the function does.
      inputs: the layers it reads, by index; the image is -1.
      leaves: the variables it is the first to use.
      steps: its equations that depend on the image.
      owned: whether `module` is its own.
    """

    module: str
    kind: str
    inputs: tuple[int, ...]
    owned: bool
    leaves: list[Leaf] = dataclasses.field(default_factory=list)
    steps: list[Step] = dataclasses.field(default_factory=list)


def see(traced: Traced, size: tuple[int, int]) -> dict[int, Pair]:
    """What the units of every array see of an image of this height and width, by the array's number."""
    seen: dict[int, Pair] = {traced.image: (View((1,), reach.Reach()), View((2,), reach.Reach()))}
    for step in traced.steps:
        inputs = [seen.get(number) for number in step.reads]
        if any(inputs):
            rows, columns = ([pair and pair[axis] for pair in inputs] for axis in (0, 1))
            found = zip(_follow(traced, step, rows, size[0]), _follow(traced, step, columns, size[1]), strict=True)
            seen |= zip(step.writes, found, strict=True)
    return seen


def _follow(traced: Traced, step: Step, given: list[View | None], size: int) -> list[View | None]:
    if step.equation is None:
        return [views.whole(size)] * len(step.writes)
    # A statistic over the image would make all that is normalised by it see all of the image; it is left out.
    summed = step.equation.primitive.name.startswith("reduce_")
    if not any(given) or (summed and _is_normalisation(traced, step)):
        return [None] * len(step.writes)
    return views.follow(step.equation, given, size)


def _is_normalisation(traced: Traced, step: Step) -> bool:
    return traced.modules.get(step.module, "").endswith("Norm")


def gather(traced: Traced, seen: dict[int, Pair]) -> list[Layer]:
    """The layers in the order of computation.

    An equation in which a variable meets the image belongs to the variable's module, and goes on with that module's
    layer if it reads from it. Functions without variables are layers of their own where they pool, resize, or join
    different layers. All others, such as activations, belong to none.
    """
    layers: list[Layer] = []
    origin: dict[int, frozenset[int]] = {traced.image: frozenset({-1})}  # the layers an array comes from
    weights = {number: frozenset({number}) for number in traced.leaves}
    free = dict(traced.leaves)
    for step in traced.steps:
        used = frozenset().union(*(weights.get(number, ()) for number in step.reads))
        sources = frozenset().union(*(origin.get(number, ()) for number in step.reads))
        if not sources:
            weights |= dict.fromkeys(step.writes, used)
            continue
        index = None
        if used and step.equation is not None:
            # Of several modules' variables the ones that come first here; a shared module's are all taken.
            leaf = traced.leaves[min(used, key=lambda number: (number not in free, number))]
            index = _going_on(layers, sources, leaf.module, step)
            new = Layer(leaf.module, _kind(traced, leaf, step), tuple(sorted(sources)), owned=True)
        elif step.equation is not None and (kind := _function(traced, step, seen, origin)):
            index = max(sources) if kind == "repeat" and _repeats(layers, sources) else None
            new = Layer(step.module, kind, tuple(sorted(sources)), owned=False)
        else:
            origin |= dict.fromkeys(step.writes, sources)
            continue
        if index is None:
            layers.append(new)
            index = len(layers) - 1
        layers[index].steps.append(step)
        layers[index].leaves += [free.pop(number) for number in sorted(used) if number in free]
        origin |= dict.fromkeys(step.writes, frozenset({index}))
    for module in dict.fromkeys(leaf.module for leaf in free.values()):
        layers.append(Layer(module, "unused", (), owned=True))
        layers[-1].leaves += [leaf for leaf in free.values() if leaf.module == module]
    return layers


def _going_on(layers: list[Layer], sources: Iterable[int], module: str, step: Step) -> int | None:
    """The layer that this equation goes on with, as adding a bias does; a second product is a second layer."""
    for layer, index in ((layers[index], index) for index in sources if index >= 0):
        if layer.owned and layer.module == module and not (is_product(step) and any(map(is_product, layer.steps))):
            return index
    return None


def _kind(traced: Traced, leaf: Leaf, step: Step) -> str:
    if leaf.module:
        return traced.modules.get(leaf.module, "layer")
    return "product" if is_product(step) else "variable"


def _function(traced: Traced, step: Step, seen: dict[int, Pair], origin: dict[int, frozenset[int]]) -> str | None:
    """What a function without variables does, where that makes a layer."""
    name = step.equation.primitive.name
    if is_product(step):
        return "product"
    if name == "jit":
        return "resize"
    if name.startswith("reduce_window"):
        return _POOLS.get(name, "pool")
    if _is_normalisation(traced, step):
        return None
    before, after = (next(seen[n] for n in numbers if n in seen) for numbers in (step.reads, step.writes))
    if name in _POOLS and any(b and a and b.axes and b.reach != a.reach for b, a in zip(before, after, strict=True)):
        return _POOLS[name]
    if name == "reshape" and all(a and a.axes for a in after) and _strides(after) < _strides(before):
        return "repeat"
    different = {origin[number] for number in step.reads if number in origin}
    return name if name in _JOINS and len(different) > 1 else None


def _strides(pair: Pair) -> list:
    return [reach.field(view.reach).stride for view in pair if view]


def _repeats(layers: list[Layer], sources: frozenset[int]) -> bool:
    return len(sources) == 1 and layers[max(sources)].kind == "repeat"
