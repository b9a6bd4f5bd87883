"""Digests of arrays, which detect damaged files and other weights."""

import hashlib
from typing import Any

import jax
import numpy as np


def array_kind(leaf: Any) -> str:
    """Returns the dtype and shape of an array as text: `float32[5,5,1,6]`."""
    return f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]"


def digest(tree: Any) -> dict[str, str]:
    """Computes the digest of every array (dtype, shape and SHA-256 of its bytes), by its path in the pytree."""
    out = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(jax.device_get(tree)):
        array = np.ascontiguousarray(leaf)
        out[jax.tree_util.keystr(path)] = f"{array_kind(leaf)} {hashlib.sha256(array.tobytes()).hexdigest()}"
    return out
