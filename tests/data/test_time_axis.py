import numpy as np
import pytest
from scipy.interpolate import interp1d

from cnnlab.data.time_axis import cut, fill_gaps, resample


def test_gaps_are_filled_linearly_inside_and_by_the_nearest_sample_at_the_ends_as_scipy():
    samples = np.random.default_rng(0).normal(size=(20, 2))
    samples[[0, 5, 6, 7, 19], 0] = np.nan
    filled, measured = fill_gaps(samples)
    known = np.flatnonzero(~np.isnan(samples[:, 0]))
    ends = (samples[known[0], 0], samples[known[-1], 0])
    expected = interp1d(known, samples[known, 0], bounds_error=False, fill_value=ends)(np.arange(20))
    np.testing.assert_allclose(filled[:, 0], expected)
    np.testing.assert_array_equal(filled[:, 1], samples[:, 1])
    assert np.flatnonzero(~measured).tolist() == [0, 5, 6, 7, 19]


def test_a_channel_without_any_sample_is_refused():
    with pytest.raises(ValueError, match="channel 1 holds no sample"):
        fill_gaps(np.array([[1.0, np.nan]]))


@pytest.mark.parametrize(("rate", "new_rate"), [(200, 100), (100, 250)])
def test_a_sine_at_another_rate_is_the_sine_sampled_at_that_rate(rate, new_rate):
    def sine(hz):
        return np.sin(2 * np.pi * 5 * np.arange(2 * hz) / hz)

    out = resample(sine(rate)[:, None], rate, new_rate)[:, 0]
    np.testing.assert_allclose(
        out[new_rate // 2 : -new_rate // 2], sine(new_rate)[new_rate // 2 : -new_rate // 2], atol=3e-3
    )


def test_what_would_alias_is_removed():
    fast = np.sin(2 * np.pi * 80 * np.arange(400) / 200)[:, None]  # 80 Hz, above half of 100 Hz
    assert np.abs(resample(fast, 200, 100)[50:-50]).max() < 0.01


def test_a_gap_stays_a_gap_at_another_rate():
    samples = np.arange(40.0)[:, None]
    samples[20:24] = np.nan
    assert np.flatnonzero(np.isnan(resample(samples, 200, 100)[:, 0])).tolist() == [10, 11]


@pytest.mark.parametrize(("rate", "new_rate", "words"), [(100, 0, "positive"), (100, np.pi, "another rate")])
def test_a_rate_that_cannot_be_reached_is_refused(rate, new_rate, words):
    with pytest.raises(ValueError, match=words):
        resample(np.zeros((9, 1)), rate, new_rate)


def test_windows_begin_every_step_and_drop_a_rest():
    windows = cut(np.arange(20.0).reshape(10, 2), 4, 3)
    assert windows.shape == (3, 4, 2)  # 0..3, 3..6, 6..9
    assert windows[:, 0, 0].tolist() == [0, 6, 12]
    assert len(cut(np.arange(11.0)[:, None], 4, 4)) == 2


def test_a_step_below_one_is_refused():
    with pytest.raises(ValueError, match="found 4 and 0"):
        cut(np.zeros((9, 1)), 4, 0)
