"""Training that starts from other weights: those of another run, or published ones."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp

from cnnlab.data.spec import NORMALISATIONS
from cnnlab.models import MODELS, import_torch
from cnnlab.nn.apply import Variables
from cnnlab.training import checkpoint
from cnnlab.training.plan import Plan
from cnnlab.training.restore import first_good, load_config
from cnnlab.training.step import State, start


def initial_variables(state: State, source: str | Path, plan: Plan, tell: Callable[[str], None]) -> State:
    """A fresh state that starts from other weights: every array of the same path and shape is taken.

    Args:
      state: before its first step.
      source: a run directory, whose best step counts; or a state dict that torchvision published, see
        `cnnlab.models.import_torch`.
      plan: the run that begins.
      tell: is told which arrays keep their fresh values, as a new head does.

    Raises:
      ValueError: the path is no run and no state dict, its images have other channels, or none of its arrays fits (of a
        state dict, one that is not the head's).
    """
    published = Path(source).is_file()
    if published:
        given = _published(source, plan, tell)
    else:
        given = first_good(
            source,
            "best",
            lambda manager, number, config: checkpoint.restore_as_saved(manager, number, "model", config),
        )
        there, here = load_config(source)["spec"]["channels"], plan.dataset.spec.channels
        if there != here:
            raise ValueError(f"{source} was trained on images of {there} channels, {plan.dataset.name} has {here}")
    fresh = {"params": state.params, **state.stats}
    flat = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(given)}
    kept = []

    def choose(path, leaf: jax.Array) -> jax.Array:
        found = flat.get(name := jax.tree_util.keystr(path))
        if found is None or found.shape != leaf.shape:
            if published and path[1].key != MODELS[plan.experiment.model.name].weights.head[0]:
                there, channels = "none" if found is None else found.shape, plan.dataset.spec.channels
                raise ValueError(
                    f"{source} holds {name} {there}, this network has {leaf.shape}; its images have {channels} channels"
                )
            kept.append(name)
            return leaf
        return jnp.asarray(found, leaf.dtype)

    variables = jax.tree_util.tree_map_with_path(choose, fresh)
    total = len(jax.tree.leaves(fresh))
    if len(kept) == total:
        raise ValueError(f"no array of {source} has a place in this network; --init-from needs the same model's")
    tell(f"from {source}: {total - len(kept)} of {total} arrays; new: {', '.join(kept) or 'none'}")
    return start(variables, plan.optimizer(), ema=plan.training.ema)


def _published(path: str | Path, plan: Plan, tell: Callable[[str], None]) -> Variables:
    """A state dict's variables, and a word where the images are not normalised as it expects."""
    name = plan.experiment.model.name
    _, variables = import_torch(name, path)
    spec, expected = plan.dataset.spec, MODELS[name].weights.normalisation
    if (spec.mean, spec.std) != NORMALISATIONS[expected]:
        tell(f"these weights expect images normalised otherwise: set --data.normalisation {expected} for a folder")
    return variables
