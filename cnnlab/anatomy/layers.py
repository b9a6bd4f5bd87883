"""Gathers the equations of a network into layers."""

import dataclasses

from cnnlab.anatomy import reach, receptive
from cnnlab.anatomy.products import is_product
from cnnlab.anatomy.receptive import ReceptiveField
from cnnlab.anatomy.trace import Leaf, Traced, TracedEquation, is_resize

Pair = tuple[ReceptiveField | None, ReceptiveField | None]
"""How an array's units see rows and columns of pixels; None where a normalisation has summed over them."""

_JOINS = ("add", "add_any", "sub", "mul", "max", "concatenate")
_POOLS = {
    "reduce_window_max": "max_pool",
    "reduce_window_sum": "avg_pool",
    "reduce_max": "max_pool",
    "reduce_sum": "avg_pool",
}


@dataclasses.dataclass
class Layer:
    """A layer: equations that belong together.

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
    steps: list[TracedEquation] = dataclasses.field(default_factory=list)


def see(traced: Traced, size: tuple[int, int]) -> dict[int, Pair]:
    """Returns the receptive fields of every array on an image of this height and width, by the number of the array."""
    seen: dict[int, Pair] = {traced.image: (ReceptiveField((1,), reach.Reach()), ReceptiveField((2,), reach.Reach()))}
    for step in traced.steps:
        inputs = [seen.get(number) for number in step.reads]
        if any(inputs):
            rows, columns = ([pair and pair[axis] for pair in inputs] for axis in (0, 1))
            pairs = zip(_follow(traced, step, rows, size[0]), _follow(traced, step, columns, size[1]), strict=True)
            seen |= zip(step.writes, pairs, strict=True)
    return seen


def _follow(
    traced: Traced, step: TracedEquation, given: list[ReceptiveField | None], size: int
) -> list[ReceptiveField | None]:
    if step.equation is None:
        return [receptive.whole(size)] * len(step.writes)
    # A statistic over the image would make all that is normalised by it see all of the image; it is left out.
    summed = step.equation.primitive.name.startswith("reduce_")
    if not any(given) or (summed and _is_normalisation(traced, step)):
        return [None] * len(step.writes)
    return receptive.follow(step.equation, given, size)


def _is_normalisation(traced: Traced, step: TracedEquation) -> bool:
    return traced.modules.get(step.module, "").endswith("Norm")


def gather(traced: Traced, seen: dict[int, Pair]) -> list[Layer]:
    """Returns the layers in the order of computation.

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
        new = step.equation and _layer(traced, step, used, sources, seen, origin)
        if new is None:
            origin |= dict.fromkeys(step.writes, sources)
            continue
        index = _going_on(layers, new, step)
        if index is None:
            index = len(layers)
            layers.append(new)
        layers[index].steps.append(step)
        layers[index].leaves += [free.pop(number) for number in sorted(used) if number in free]
        origin |= dict.fromkeys(step.writes, frozenset({index}))
    for module in dict.fromkeys(leaf.module for leaf in free.values()):
        layers.append(Layer(module, "unused", (), owned=True))
        layers[-1].leaves += [leaf for leaf in free.values() if leaf.module == module]
    return layers


def _layer(
    traced: Traced, step: TracedEquation, used: frozenset[int], sources: frozenset[int], seen, origin
) -> Layer | None:
    """Returns the layer that an equation begins; None if it continues one."""
    inputs = tuple(sorted(sources))
    if not used:
        kind = _function(traced, step, seen, origin)
        return kind and Layer(step.module, kind, inputs, owned=False)
    module = traced.leaves[min(used)].module
    if module:
        return Layer(module, traced.modules.get(module, "layer"), inputs, owned=True)
    return Layer(module, "product" if is_product(step) else "variable", inputs, owned=True)


def _going_on(layers: list[Layer], new: Layer, step: TracedEquation) -> int | None:
    """Returns the layer that this one continues: a bias continues its product, a second product continues none."""
    for index in (index for index in new.inputs if index >= 0):
        old = layers[index]
        second = is_product(step) and any(map(is_product, old.steps))
        if new.owned and old.owned and old.module == new.module and not second:
            return index
        if new.kind == old.kind == "repeat" and new.inputs == (index,):
            return index
    return None


def _function(
    traced: Traced, step: TracedEquation, seen: dict[int, Pair], origin: dict[int, frozenset[int]]
) -> str | None:
    """Returns the kind of a function without variables, if it is a layer."""
    name = step.equation.primitive.name
    if is_product(step):
        return "product"
    if is_resize(step.equation):
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
