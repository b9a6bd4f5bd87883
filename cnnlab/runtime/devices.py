"""Data parallelism: a mesh of devices shares each batch, and every device holds a copy of all other arrays."""

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def data_mesh(devices: list | None = None) -> Mesh:
    """Returns a one-dimensional mesh of all devices of all processes, with the axis `data`."""
    return Mesh(np.array(jax.devices() if devices is None else devices), ("data",))


def check_divides(batch_size: int, mesh: Mesh) -> None:
    """Raises `ValueError` if a batch cannot be split evenly over the devices."""
    if batch_size % mesh.size:
        raise ValueError(
            f"batch size {batch_size} does not divide over {mesh.size} devices; "
            f"set --training.batch-size to a multiple of {mesh.size}"
        )


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Copies the arrays of a pytree to every device."""
    return jax.tree.map(lambda leaf: _place(leaf, NamedSharding(mesh, PartitionSpec())), tree)


def shard(batch: dict[str, np.ndarray], mesh: Mesh) -> dict[str, Any]:
    """Splits the examples of a batch over the devices; each process places only those of its own devices.

    On a single device the arrays stay on the host, because the program copies them itself.
    """
    if mesh.size == 1:
        return batch
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    return {name: _place(column, sharding) for name, column in batch.items()}


def _place(leaf: Any, sharding: NamedSharding) -> jax.Array:
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
