"""One program on one device or many: the batch is split over a mesh, everything else is on every device."""

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def data_mesh(devices: list | None = None) -> Mesh:
    """All devices, of all processes, in one row named `data`."""
    return Mesh(np.array(jax.devices() if devices is None else devices), ("data",))


def check_divides(batch_size: int, mesh: Mesh) -> None:
    """Raises `ValueError` where a batch cannot be split evenly."""
    if batch_size % mesh.size:
        raise ValueError(
            f"batch size {batch_size} does not divide over {mesh.size} devices; "
            f"set --training.batch-size to a multiple of {mesh.size}"
        )


def replicate(tree: Any, mesh: Mesh) -> Any:
    """The same arrays on every device."""
    return jax.tree.map(lambda leaf: _place(leaf, NamedSharding(mesh, PartitionSpec())), tree)


def shard(batch: dict[str, np.ndarray], mesh: Mesh) -> dict[str, Any]:
    """Rows of a batch over the devices; each process hands over the rows of its own devices only.

    On a single device the arrays are left as they are: the program takes them without a copy of its own.
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
    """Replicated arrays as this process's own, for work that it does alone."""
    return jax.tree.map(lambda leaf: leaf.addressable_data(0) if not leaf.is_fully_addressable else leaf, tree)


def is_first_process() -> bool:
    """Whether this process is the one that writes and speaks."""
    return jax.process_index() == 0
