import jax
import numpy as np
import pytest

from cnnlab.ops import average_pool, max_pool

pytestmark = pytest.mark.device

X = np.random.default_rng(0).normal(size=(2, 9, 8, 3)).astype(np.float32)
CASES = [((2, 2), None, 0), ((3, 2), (2, 3), (1, 0)), ((3, 3), 1, 1), ((4, 3), 2, (2, 1))]


@pytest.mark.parametrize(("window", "stride", "padding"), CASES)
def test_pooling_equals_torchs(window, stride, padding):
    functional = pytest.importorskip("torch").nn.functional
    nchw = pytest.importorskip("torch").tensor(X).permute(0, 3, 1, 2)

    def last(out):
        return out.permute(0, 2, 3, 1).numpy()

    options = {"stride": stride, "padding": padding}
    want = functional.max_pool2d(nchw, window, **options)
    np.testing.assert_array_equal(max_pool(X, window, **options), last(want))
    for count in (False, True):
        want = functional.avg_pool2d(nchw, window, count_include_pad=count, **options)
        np.testing.assert_allclose(average_pool(X, window, count_padding=count, **options), last(want), atol=1e-6)


def test_a_window_of_one_side_moves_along_one_axis():
    x = np.array([[1.0, -1], [5, -2], [3, -7]])
    assert max_pool(x, (2,), stride=1).tolist() == [[5, -1], [5, -2]]
    assert average_pool(x, (2,), stride=1, padding="same").tolist() == [[3, -1.5], [4, -4.5], [3, -7]]


def test_the_gradient_of_a_maximum_goes_to_it_alone_and_that_of_a_mean_to_all():
    x = np.array([[1.0], [5], [3], [0]])
    assert jax.grad(lambda x: max_pool(x, (2,), stride=1).sum())(x).ravel().tolist() == [0, 2, 1, 0]
    assert jax.grad(lambda x: average_pool(x, (2,), stride=1).sum())(x).ravel().tolist() == [0.5, 1, 1, 0.5]


@pytest.mark.parametrize("pool", [max_pool, average_pool])
def test_messages_contain_the_name_and_the_number(pool):
    with pytest.raises(ValueError, match="kernel of 10 pixels is larger than its padded input of 9"):
        pool(X, (10, 2))
    with pytest.raises(
        ValueError, match=r"padding must be less than the window \(2, 2\), found \(\(2, 2\), \(2, 2\)\)"
    ):
        pool(X, (2, 2), padding=2)
    with pytest.raises(ValueError, match=r"window must be \(w,\) .* or \(h, w\) .*, found 2 for"):
        pool(X, 2)
    with pytest.raises(ValueError, match="stride must be a whole number of at least 1, found -1"):
        pool(X, (2, 2), stride=-1)
