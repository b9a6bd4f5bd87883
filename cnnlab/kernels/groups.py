"""A form applied to a group of images at a time, so that its intermediate values stay in the cache.

`lax.map` does this too, but it starts from a result of zeros, which depends on nothing. XLA therefore allocates the
results of all such loops when the program starts, and copies the zeros for each of them. The primitive in this file
starts from a value of the images instead, so that the result of a loop needs memory only from its first group on.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from cnnlab.kernels.forms import Form


def by_groups(form: Form, images: int) -> Form:
    """Applies a form to a group of images at a time.

    The gradients compute the intermediate values of a group again instead of storing them.

    Args:
      form: form of a convolution.
      images: number of images in a group; it must divide the batch size.

    >>> form = by_groups(lambda x, kernel: x * kernel.sum(), 2)
    >>> form(jnp.ones((4, 1, 1, 1)), jnp.ones((3, 3, 1, 1))).sum()
    Array(36., dtype=float32)
    """
    return functools.partial(_by_groups.bind, form=form, images=images)


_by_groups = Primitive("by_groups")


def _loop(x: jax.Array, kernel: jax.Array, *, form: Form, images: int) -> jax.Array:
    groups = x.reshape(-1, images, *x.shape[1:])
    result = jax.eval_shape(form, groups[0], kernel)

    def apply(i: jax.Array, out: jax.Array) -> jax.Array:
        return lax.dynamic_update_index_in_dim(out, form(groups[i], kernel), i, 0)

    start = jnp.broadcast_to(groups[(0,) * groups.ndim], (len(groups), *result.shape))  # every value is overwritten
    out = lax.fori_loop(0, len(groups), apply, start)
    return out.reshape(-1, *result.shape[1:])


def _map(x: jax.Array, kernel: jax.Array, *, form: Form, images: int) -> jax.Array:
    """Computes the same as `_loop`, for the derivatives and batches that JAX finds by itself."""
    checkpointed = jax.checkpoint(form, prevent_cse=False)
    out = lax.map(lambda group: checkpointed(group, kernel), x.reshape(-1, images, *x.shape[1:]))
    return out.reshape(-1, *out.shape[2:])


def _image_cotangent(ct: jax.Array, x: jax.Array, kernel: jax.Array, *, form: Form, images: int) -> jax.Array:
    back = _transpose(form, (images, *x.aval.shape[1:]), x.aval.dtype)
    return _by_groups.bind(ct, kernel, form=back, images=images)


def _kernel_cotangent(ct: jax.Array, x: jax.Array, kernel: jax.Array, *, form: Form, images: int) -> jax.Array:
    run = functools.partial(_map, x, form=form, images=images)
    return jax.linear_transpose(run, jax.ShapeDtypeStruct(kernel.aval.shape, kernel.aval.dtype))(ct)[0]


@functools.cache  # the same function for each shape, so that JAX traces it once
def _transpose(form: Form, shape: tuple[int, ...], dtype: jnp.dtype) -> Form:
    def back(ct: jax.Array, kernel: jax.Array) -> jax.Array:
        return jax.linear_transpose(lambda x: form(x, kernel), jax.ShapeDtypeStruct(shape, dtype))(ct)[0]

    return back


def _batch(arrays: tuple[jax.Array, jax.Array], axes: tuple[int | None, int | None], *, form: Form, images: int):
    (x, kernel), (axis, kernel_axis) = arrays, axes
    if kernel_axis is not None:
        return jax.vmap(functools.partial(_map, form=form, images=images), axes)(x, kernel), 0
    x = jnp.moveaxis(x, axis, 0)
    y = _by_groups.bind(x.reshape(-1, *x.shape[2:]), kernel, form=form, images=images)
    return y.reshape(*x.shape[:2], *y.shape[1:]), 0


@_by_groups.def_abstract_eval
def _(x, kernel, *, form: Form, images: int):
    return jax.typeof(jax.eval_shape(functools.partial(_map, form=form, images=images), x, kernel))


_by_groups.def_impl(jax.jit(_loop, static_argnames=("form", "images")))
ad.defbilinear(_by_groups, _image_cotangent, _kernel_cotangent)
batching.primitive_batchers[_by_groups] = _batch
mlir.register_lowering(_by_groups, mlir.lower_fun(_loop, multiple_results=False))
