import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab.data import Augmentation, augment
from cnnlab.data.augment import _translation


def test_a_shift_by_whole_pixels_moves_them_and_lets_black_in():
    image = np.arange(1.0, 10).reshape(3, 3)
    moved = _translation(jnp.array([1.0]), 3)[0] @ image @ _translation(jnp.array([-1.0]), 3)[0].T
    assert moved.tolist() == [[0, 4, 5], [0, 7, 8], [0, 0, 0]]


def test_half_a_pixel_is_the_mean_of_two():
    assert (_translation(jnp.array([0.5]), 3)[0] @ jnp.array([2.0, 4.0, 8.0])).tolist() == [3, 6, 4]


def test_a_dot_never_moves_further_than_the_limit():
    image = jnp.zeros((500, 21, 21, 1)).at[:, 10, 10].set(1)
    moved = augment(image, jax.random.key(0), Augmentation(shift=0.1))
    place = jnp.einsum("bhwc,h->b", moved, jnp.arange(21.0)) - 10
    assert jnp.abs(place).max() <= 2.1
    assert jnp.abs(place).max() > 1.9
    assert abs(place.mean()) < 0.2


def test_shifts_beyond_half_the_image_are_refused():
    with pytest.raises(ValueError, match="shift must lie in 0..0.5 of the image, found 2"):
        Augmentation(shift=2)
