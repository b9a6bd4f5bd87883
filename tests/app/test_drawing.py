import numpy as np
import pytest

from cnnlab.app.drawing import MNIST, PAGE, Lie, measure, to_input
from cnnlab.data import InputSpec
from cnnlab.data.sources.digits import digits
from cnnlab.geometry.ink import fit_ink, signed_distance, stroke_width

SPEC = InputSpec((28, 28))


def bar(top=20, left=60, height=80, width=12):
    page = np.zeros((PAGE, PAGE), np.uint8)
    page[top : top + height, left : left + width] = 255
    return page


def mass(image):
    return (np.indices(image.shape) + 0.5).reshape(2, -1) @ image.ravel() / image.sum()


@pytest.mark.parametrize("place", [(0, 0), (20, 60), (55, 120)])
def test_a_drawing_is_20_pixels_long_with_its_centre_of_mass_in_the_middle_wherever_it_is_drawn(place):
    image = to_input(bar(*place), MNIST, SPEC).image[..., 0].astype(float)
    assert (image > 127).any(1).sum() == 20
    np.testing.assert_allclose(mass(image), [14, 14], atol=0.05)


@pytest.mark.parametrize("width", [6, 12, 20])
def test_every_pen_width_becomes_the_width_of_the_training_digits(width):
    image = to_input(bar(10, 60, 120, width), MNIST, SPEC).image[..., 0]
    assert image[14].sum() / 255 == pytest.approx(MNIST.width, abs=0.35)


def test_a_bar_keeps_its_own_proportions_without_a_width():
    image = fit_ink(bar(height=80, width=40) > 0, (28, 28)).image
    assert image.sum() == pytest.approx(20 * 10, rel=0.02)


def test_the_drawing_is_turned_counter_clockwise_and_then_shifted():
    upright = to_input(bar(), MNIST, SPEC).image
    lying = to_input(bar(), MNIST, SPEC, turn=90).image
    moved = to_input(bar(), MNIST, SPEC, shift=(3, -2)).image
    assert np.abs(lying[..., 0].astype(int) - np.rot90(upright[..., 0])).max() <= 3
    np.testing.assert_array_equal(moved[:-2, 3:], upright[2:, :-3])


def test_the_matrix_maps_the_input_to_the_drawing():
    seen = to_input(bar(), MNIST, SPEC, turn=30, shift=(2, 1))
    turn = np.deg2rad(30)
    along = 10 * np.array([-np.sin(turn), -np.cos(turn)])  # from the middle of the bar to its upper end
    point = seen.matrix @ np.array([16 + along[0], 15 + along[1], 1])
    np.testing.assert_allclose(point, [66, 20], atol=2.5)


def test_dark_ink_on_light_paper_is_what_such_training_images_get():
    light, dark = to_input(bar(), MNIST, SPEC), to_input(bar(), MNIST._replace(dark=True), InputSpec((28, 28), 3))
    np.testing.assert_array_equal(255 - dark.image, np.repeat(light.image, 3, -1))


def test_nothing_drawn_is_paper():
    assert to_input(np.zeros((PAGE, PAGE), np.uint8), MNIST, SPEC).image.max() == 0


def test_a_dot_is_not_blown_up_to_the_whole_image():
    dot = bar(60, 60, 8, 8)
    assert (to_input(dot, MNIST, SPEC).image > 127).sum() < 40


def test_the_measured_lie_is_that_of_the_images():
    lie = Lie(side=16.0, width=3.0, centring="box", blur=0.0, dark=True)
    pages = [bar(top, left, height, 10) | bar(top, left, 10, 40) for top, left, height in ((9, 9, 70), (30, 60, 90))]
    measured = measure(np.stack([to_input(page, lie, SPEC).image for page in pages * 4]))
    assert measured.side == pytest.approx(16, abs=0.5)
    assert measured.width == pytest.approx(3, abs=0.4)
    assert (measured.centring, measured.dark) == ("box", True)
    assert measured.blur <= 0.25


def test_the_embedded_digits_are_tall_and_soft():
    measured = measure(digits()["train"].column("image")[:60])
    assert measured.side == 28
    assert measured.blur >= 1


def test_images_without_ink_lie_as_mnist():
    assert measure(np.zeros((3, 28, 28, 1), np.uint8)) == MNIST


def test_mnist_lies_as_its_authors_say(shared):
    import gzip

    data = gzip.decompress((shared / "mnist" / "t10k-images-idx3-ubyte.gz").read_bytes())
    measured = measure(np.frombuffer(data, np.uint8, 100 * 784, 16).reshape(-1, 28, 28))
    assert (measured.side, measured.centring, measured.dark) == (20, "mass", False)


def test_the_stroke_width_is_that_of_a_long_bar():
    assert stroke_width(signed_distance(bar(10, 10, 120, 8) > 0)) == pytest.approx(8, abs=0.3)
