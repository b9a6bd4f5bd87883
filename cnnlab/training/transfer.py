"""Transfer learning: initial weights from another run or from a published state dict."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp

from cnnlab.data.spec import NORMALISATIONS
from cnnlab.models import MODELS, import_torch
from cnnlab.nn.apply import Variables
from cnnlab.training import checkpoint
from cnnlab.training.elsewhere import run_here
from cnnlab.training.plan import Plan
from cnnlab.training.restore import first_good, load_config
from cnnlab.training.step import State, start


def initial_variables(state: State, source: str | Path, plan: Plan, report: Callable[[str], None]) -> State:
    """Replaces the arrays of a fresh state by those of the same path and shape from other weights.

    Args:
      state: state before the first step.
      source: run directory, whose best step is used, or a state dict that torchvision published; see
        `cnnlab.models.import_torch`.
      plan: plan of the new run.
      report: function that prints which arrays keep their random values, such as a new head.

    Raises:
      ValueError: the path is neither a run nor a state dict, its images have another number of channels, or no array
        fits (for a state dict: an array outside the head does not fit).
    """
    source = run_here(source)
    published = source.is_file()
    if published:
        weights = _published_variables(source, plan, report)
    else:
        weights = first_good(
            source,
            "best",
            lambda manager, number, config: checkpoint.restore_as_saved(manager, number, "model", config),
        )
        there, here = load_config(source)["spec"]["channels"], plan.dataset.spec.channels
        if there != here:
            raise ValueError(f"{source} was trained on images of {there} channels, {plan.dataset.name} has {here}")
    fresh = {"params": state.params, **state.stats}
    flat = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(weights)}
    fresh_names = []

    def choose(path, leaf: jax.Array) -> jax.Array:
        array = flat.get(name := jax.tree_util.keystr(path))
        if array is None or array.shape != leaf.shape:
            if published and path[1].key != MODELS[plan.experiment.model.name].weights.head[0]:
                there, channels = "none" if array is None else array.shape, plan.dataset.spec.channels
                raise ValueError(
                    f"{source} holds {name} {there}, this network has {leaf.shape}; its images have {channels} channels"
                )
            fresh_names.append(name)
            return leaf
        return jnp.asarray(array, leaf.dtype)

    variables = jax.tree_util.tree_map_with_path(choose, fresh)
    total = len(jax.tree.leaves(fresh))
    if len(fresh_names) == total:
        raise ValueError(f"no array of {source} fits this network; --init-from needs a run of the same model")
    report(f"from {source}: {total - len(fresh_names)} of {total} arrays; new: {', '.join(fresh_names) or 'none'}")
    return start(variables, plan.optimizer(), ema=plan.training.ema)


def _published_variables(path: str | Path, plan: Plan, report: Callable[[str], None]) -> Variables:
    """Reads the variables of a state dict, and reports if it expects another normalisation of the images."""
    name = plan.experiment.model.name
    _, variables = import_torch(name, path)
    spec, expected = plan.dataset.spec, MODELS[name].weights.normalisation
    if (spec.mean, spec.std) != NORMALISATIONS[expected]:
        report(f"these weights expect another normalisation: for a folder, set --data.normalisation {expected}")
    return variables
