"""A grid of cells over an image: assigns objects to cells, and converts boxes to the coordinates of cells and back."""

import jax
import jax.numpy as jnp


def cell_of(boxes: jax.Array, *, size: tuple[int, int], grid: tuple[int, int]) -> jax.Array:
    """Returns the index of the cell that contains each box's centre, `row * columns + column`.

    A centre outside the image belongs to the nearest cell.

    Args:
      boxes: boxes `[..., 4]`, xyxy in pixels.
      size: height and width of the image in pixels.
      grid: number of rows and columns of the grid.

    >>> cell_of(jnp.array([36.0, 8, 44, 20]), size=(32, 64), grid=(4, 8)).item()  # centre (40, 14): row 1, column 5
    13
    """
    rows, columns = grid
    x, y = (boxes[..., 0] + boxes[..., 2]) / 2, (boxes[..., 1] + boxes[..., 3]) / 2
    column = jnp.clip(jnp.floor(x * columns / size[1]), 0, columns - 1)
    row = jnp.clip(jnp.floor(y * rows / size[0]), 0, rows - 1)
    return (row * columns + column).astype(jnp.int32)


def assign(cell: jax.Array, preference: jax.Array, valid: jax.Array, *, cells: int) -> jax.Array:
    """Assigns to each object the free slot of its cell that it prefers, in the order of the objects.

    Args:
      cell: index `[n]` of each object's cell.
      preference: score `[n, slots]` of each slot; an object prefers the slot with the largest score.
      valid: `[n]` bool; False for padding, which gets no slot.
      cells: number of cells of the grid.

    Returns:
      The slot `[n]` of each object, int32; -1 for padding, and for objects whose cell has no free slot.

    >>> assign(jnp.array([3, 3, 3]), jnp.array([[0.1, 0.9]] * 3), jnp.ones(3, bool), cells=4).tolist()
    [1, 0, -1]
    """

    def place(free: jax.Array, entry: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        index, scores, real = entry
        slot = jnp.where(free[index], scores, -jnp.inf).argmax()
        assigned = real & free[index].any()
        return free.at[index, slot].set(free[index, slot] & ~assigned), jnp.where(assigned, slot, -1)

    free = jnp.ones((cells, preference.shape[-1]), bool)
    return jax.lax.scan(place, free, (cell, preference, valid))[1].astype(jnp.int32)


def put(values: jax.Array, cell: jax.Array, slot: jax.Array, *, grid: tuple[int, int], slots: int, empty) -> jax.Array:
    """Writes the value of each object to its cell and slot.

    Args:
      values: value of each object, `[n, ...]`.
      cell: index of each object's cell, `[n]`.
      slot: slot of each object, `[n]`; an object with the slot -1 is not written.
      grid: number of rows and columns of the grid.
      slots: number of slots of a cell.
      empty: value of all other slots.

    Returns:
      `[rows, columns, slots, ...]`.
    """
    total = grid[0] * grid[1] * slots
    start = jnp.full((total, *values.shape[1:]), empty, values.dtype)
    target = jnp.where(slot >= 0, cell * slots + slot, total)  # an index past the end is dropped
    return start.at[target].set(values, mode="drop").reshape(*grid, slots, *values.shape[1:])


def to_boxes(centre: jax.Array, extent: jax.Array, *, size: tuple[int, int]) -> jax.Array:
    """Converts centres and extents in the coordinates of a grid to boxes in pixels.

    Args:
      centre: x and y of the centre relative to its cell, `[..., rows, columns, slots, 2]`. 0 is the left or upper edge
        of the cell, and 1 is the right or lower edge.
      extent: width and height relative to the image, `[..., rows, columns, slots, 2]`.
      size: height and width of the image in pixels.

    Returns:
      Boxes `[..., rows, columns, slots, 4]`, xyxy in pixels.

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
    """Converts boxes `[..., rows, columns, slots, 4]` back to centre and extent; this is the inverse of `to_boxes`.

    The centre of an object outside the image lies outside its cell, so its coordinates are below 0 or above 1.
    """
    rows, columns = boxes.shape[-4:-2]
    corner = jnp.stack(jnp.meshgrid(jnp.arange(columns), jnp.arange(rows)), -1)[:, :, None]
    scale = jnp.array([size[1], size[0]], jnp.float32)
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    return middle * jnp.array([columns, rows]) / scale - corner, (boxes[..., 2:] - boxes[..., :2]) / scale
