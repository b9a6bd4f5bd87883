"""Rules for the time axis of signals: gaps, sampling rates and lengths."""

from fractions import Fraction

import numpy as np

_LARGEST = 1000  # of both numbers in the ratio of two rates


def fill_gaps(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fills missing samples, each channel by itself: by linear interpolation, at both ends by the nearest sample.

    Args:
      samples: `[T, C]`, NaN where a sample is missing.

    Returns:
      The filled samples `[T, C]`, and `[T]` bool: whether all channels were measured at a time step.

    Raises:
      ValueError: a channel holds no sample at all.

    >>> filled, measured = fill_gaps(np.array([[np.nan], [1.0], [np.nan], [3.0]]))
    >>> filled[:, 0].tolist(), measured.tolist()
    ([1.0, 1.0, 2.0, 3.0], [False, True, False, True])
    """
    missing = np.isnan(samples)
    if missing.all(0).any():
        raise ValueError(f"channel {int(missing.all(0).argmax())} holds no sample; leave the file or the channel out")
    out, time = samples.copy(), np.arange(len(samples))
    for channel, gaps in zip(out.T, missing.T, strict=True):
        if gaps.any():
            channel[gaps] = np.interp(time[gaps], time[~gaps], channel[~gaps])
    return out, ~missing.any(1)


def resample(samples: np.ndarray, rate: float, new_rate: float) -> np.ndarray:
    """Brings samples `[T, C]` from one rate to another by a polyphase filter, which removes what would alias.

    Gaps are filled before and are gaps again after: a new sample is missing if the old one nearest to it was.

    Args:
      samples: `[T, C]`, NaN where a sample is missing.
      rate: rate of the samples in Hz.
      new_rate: rate of the result in Hz.

    Raises:
      ValueError: a rate is not positive, or no ratio of whole numbers up to 1,000 equals their ratio.

    >>> resample(np.arange(8.0)[:, None], 100, 50)[:, 0].round(2).tolist()
    [0.0, 2.0, 4.0, 6.0]
    """
    from scipy.signal import resample_poly

    for value in (rate, new_rate):
        if not 0 < value < np.inf:
            raise ValueError(f"a rate must be a positive number of samples per second, found {value}")
    if rate == new_rate:
        return samples
    ratio = Fraction(new_rate / rate).limit_denominator(_LARGEST)
    if not 0 < ratio.numerator <= _LARGEST or abs(float(ratio) * rate / new_rate - 1) > 1e-6:
        raise ValueError(
            f"{rate:g} Hz cannot be brought to {new_rate:g} Hz: their ratio must be one of whole numbers up to "
            f"{_LARGEST:,}; choose another rate"
        )
    filled, _ = fill_gaps(samples)
    out = resample_poly(filled, ratio.numerator, ratio.denominator, axis=0, padtype="line")
    nearest = np.minimum(np.round(np.arange(len(out)) / float(ratio)).astype(int), len(samples) - 1)
    return np.where(np.isnan(samples)[nearest], np.nan, out)


def cut(samples: np.ndarray, length: int, step: int) -> np.ndarray:
    """Cuts samples `[T, C]` into windows `[n, length, C]` that begin every `step` samples.

    A rest at the end that fills no window is left out. Samples shorter than a window become one, with NaN at its end.

    >>> cut(np.arange(5.0)[:, None], 2, 2)[..., 0].tolist()
    [[0.0, 1.0], [2.0, 3.0]]
    >>> cut(np.arange(1.0)[:, None], 2, 2)[..., 0].tolist()
    [[0.0, nan]]
    """
    if min(length, step) < 1:
        raise ValueError(f"length and step must be 1 or more, found {length} and {step}")
    if len(samples) < length:
        return np.pad(samples, ((0, length - len(samples)), (0, 0)), constant_values=np.nan)[None]
    windows = np.lib.stride_tricks.sliding_window_view(samples, length, axis=0)[::step]
    return np.moveaxis(windows, -1, 1)
