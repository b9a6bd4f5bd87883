"""Data parallelism: a mesh of devices shares each batch, and every device holds a copy of all other arrays."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def data_mesh(devices: list | None = None) -> Mesh:
    """Returns a one-dimensional mesh of all devices of all processes, with the axis `data`.

    The devices of a process stand together, so that its rows of a batch do, too.
    """
    every = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    return Mesh(np.array(every if devices is None else devices), ("data",))


def check_divides(batch_size: int, mesh: Mesh) -> None:
    """Raises `ValueError` if a batch cannot be split evenly over the devices."""
    if batch_size % mesh.size:
        raise ValueError(
            f"batch size {batch_size} does not divide over {mesh.size} devices; "
            f"set --training.batch-size to a multiple of {mesh.size}"
        )


def own_rows(batch_size: int, mesh: Mesh) -> slice:
    """Returns the rows of a batch that the devices of this process hold: all of them if it is the only process."""
    own = [place for place, device in enumerate(mesh.devices.flat) if device.process_index == jax.process_index()]
    each = batch_size // mesh.size
    return slice(own[0] * each, (own[-1] + 1) * each)


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Copies the arrays of a pytree to every device."""
    return jax.tree.map(lambda leaf: _copies(leaf, NamedSharding(mesh, PartitionSpec())), tree)


def shard(batch: dict[str, np.ndarray], mesh: Mesh) -> dict[str, Any]:
    """Splits the examples of a batch over the devices.

    On a single device the arrays stay on the host, because the program copies them itself.

    Args:
      batch: arrays whose first axis holds the rows of this process, those of `own_rows`.
      mesh: devices of all processes.
    """
    if mesh.size == 1:
        return batch
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    if sharding.is_fully_addressable:
        return jax.device_put(batch, sharding)
    return {name: jax.make_array_from_process_local_data(sharding, column) for name, column in batch.items()}


def to_host(tree: Any) -> Any:
    """Copies arrays to the host; of arrays that several processes share, every process gets the whole."""
    shared = [leaf for leaf in jax.tree.leaves(tree) if not getattr(leaf, "is_fully_addressable", True)]
    if shared:
        tree = local(_gathering(shared[0].sharding.mesh)(tree))
    return jax.device_get(tree)


@functools.cache
def _gathering(mesh: Mesh) -> Callable[[Any], Any]:
    """Returns a program that copies the arrays of a pytree to every device."""
    return jax.jit(lambda tree: tree, out_shardings=NamedSharding(mesh, PartitionSpec()))


def _copies(leaf: Any, sharding: NamedSharding) -> jax.Array:
    if sharding.is_fully_addressable:
        return jax.device_put(leaf, sharding)
    whole = np.asarray(leaf)
    return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])


def local(tree: Any) -> Any:
    """Returns this process's copy of replicated arrays, for computations of a single process."""
    return jax.tree.map(lambda leaf: leaf.addressable_data(0) if not leaf.is_fully_addressable else leaf, tree)


def is_first_process() -> bool:
    """Returns whether this process is the one that writes files and prints."""
    return jax.process_index() == 0
