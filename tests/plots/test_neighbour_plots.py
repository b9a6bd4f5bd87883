import numpy as np

from cnnlab.plots.neighbours import draw_neighbours


def test_each_row_holds_an_image_and_its_neighbours_in_each_space():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 8, 8, 1), np.uint8)
    near = {"content": np.stack([images] * 2, 1), "style": np.stack([images[::-1]] * 4, 1)}
    axes = np.reshape(draw_neighbours(images, near).axes, (3, 7))
    titles = [[text.get_text() for text in axis.texts] for axis in axes[0]]
    assert titles == [[], ["content"], [], ["style"], [], [], []]
    np.testing.assert_array_equal(axes[0, 3].images[0].get_array(), images[2, ..., 0])
