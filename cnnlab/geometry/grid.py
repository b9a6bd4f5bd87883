"""A grid of cells over an image: the cell of each object, and boxes in the coordinates of a cell."""

import jax
import jax.numpy as jnp


def cell_of(boxes: jax.Array, *, size: tuple[int, int], grid: tuple[int, int]) -> jax.Array:
    """Returns the cell of each box's centre, `row * columns + column`; the nearest one for a centre outside the image.

    Args:
      boxes: `[..., 4]` xyxy in pixels.
      size: height and width of the image.
      grid: rows and columns.

    >>> cell_of(jnp.array([36.0, 8, 44, 20]), size=(32, 64), grid=(4, 8)).item()  # centre (40, 14): row 1, column 5
    13
    """
    rows, columns = grid
    x, y = (boxes[..., 0] + boxes[..., 2]) / 2, (boxes[..., 1] + boxes[..., 3]) / 2
    column = jnp.clip(jnp.floor(x * columns / size[1]), 0, columns - 1)
    row = jnp.clip(jnp.floor(y * rows / size[0]), 0, rows - 1)
    return (row * columns + column).astype(jnp.int32)


def assign(cell: jax.Array, preference: jax.Array, valid: jax.Array, *, cells: int) -> jax.Array:
    """Assigns each object in turn the free slot of its cell that it prefers; -1 if none is free.

    Args:
      cell: `[n]` of each object.
      preference: `[n, slots]`; the larger the better.
      valid: `[n]` bool; padding gets no slot.
      cells: how many there are.

    Returns:
      `[n]` int32.

    >>> assign(jnp.array([3, 3, 3]), jnp.array([[0.1, 0.9]] * 3), jnp.ones(3, bool), cells=4).tolist()
    [1, 0, -1]
    """

    def place(free: jax.Array, one: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        where, wish, real = one
        slot = jnp.where(free[where], wish, -jnp.inf).argmax()
        taken = real & free[where].any()
        return free.at[where, slot].set(free[where, slot] & ~taken), jnp.where(taken, slot, -1)

    free = jnp.ones((cells, preference.shape[-1]), bool)
    return jax.lax.scan(place, free, (cell, preference, valid))[1].astype(jnp.int32)


def put(values: jax.Array, cell: jax.Array, slot: jax.Array, *, grid: tuple[int, int], slots: int, empty) -> jax.Array:
    """Writes the values of objects to their cells and slots.

    Args:
      values: `[n, ...]`.
      cell: `[n]`.
      slot: `[n]`; -1 leaves the object out.
      grid: rows and columns.
      slots: a cell.
      empty: everywhere else.

    Returns:
      `[rows, columns, slots, ...]`.
    """
    total = grid[0] * grid[1] * slots
    start = jnp.full((total, *values.shape[1:]), empty, values.dtype)
    target = jnp.where(slot >= 0, cell * slots + slot, total)  # past the end: dropped
    return start.at[target].set(values, mode="drop").reshape(*grid, slots, *values.shape[1:])


def to_boxes(centre: jax.Array, extent: jax.Array, *, size: tuple[int, int]) -> jax.Array:
    """Converts the grid's values to boxes.

    Args:
      centre: `[..., rows, columns, slots, 2]` x and y relative to the cell: 0 is its left or upper edge, 1 the other.
      extent: `[..., rows, columns, slots, 2]` width and height relative to the image.
      size: height and width of the image in pixels.

    Returns:
      `[..., rows, columns, slots, 4]` xyxy in pixels.

    >>> to_boxes(jnp.full((4, 8, 1, 2), 0.5), jnp.full((4, 8, 1, 2), 0.25), size=(32, 64))[1, 5, 0].tolist()
    [36.0, 8.0, 52.0, 16.0]
    """
    rows, columns = centre.shape[-4:-2]
    corner = jnp.stack(jnp.meshgrid(jnp.arange(columns), jnp.arange(rows)), -1)[:, :, None]
    scale = jnp.array([size[1], size[0]], jnp.float32)
    middle = (corner + centre) * scale / jnp.array([columns, rows])
    half = extent * scale / 2
    return jnp.concatenate([middle - half, middle + half], -1)


def from_boxes(boxes: jax.Array, *, size: tuple[int, int]) -> tuple[jax.Array, jax.Array]:
    """Converts boxes `[..., rows, columns, slots, 4]` at their cells back to centre and extent.

    A centre outside its cell (that of an object whose centre lies outside the image) gives less than 0 or more than 1.
    """
    rows, columns = boxes.shape[-4:-2]
    corner = jnp.stack(jnp.meshgrid(jnp.arange(columns), jnp.arange(rows)), -1)[:, :, None]
    scale = jnp.array([size[1], size[0]], jnp.float32)
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    return middle * jnp.array([columns, rows]) / scale - corner, (boxes[..., 2:] - boxes[..., :2]) / scale
