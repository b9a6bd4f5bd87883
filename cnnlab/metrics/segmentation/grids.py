"""Measures chequerboards: patterns of maps that repeat every two pixels."""

import numpy as np


def grid_power(maps: np.ndarray) -> float:
    """Computes the power of maps at the Nyquist frequency, as a ratio to the power at neighbouring frequencies.

    The power spectrum of every row and of every column is averaged over all maps. The Nyquist frequency, half a cycle
    per pixel, is that of values that alternate from pixel to pixel. The neighbouring frequencies are 3/8 to 7/16 cycles
    per pixel. The ratio is the mean over rows and columns. It is about 1 for noise, less for smooth maps, and large for
    chequerboards and stripes.

    Args:
      maps: `[..., H, W]`, at least 32 pixels high and wide; of an odd number the last row or column does not count.

    Raises:
      ValueError: the maps are too small, hold NaN, or have no power at the neighbouring frequencies.

    >>> dot, board = np.eye(1, 1024, 33).reshape(32, 32), np.indices((32, 32)).sum(0) % 2
    >>> round(grid_power(dot), 6), grid_power(dot + 0.1 * board) > 50
    (1.0, True)
    """
    maps = np.asarray(maps, np.float64)
    height, width = maps.shape[-2:]
    if min(height, width) < 32:
        raise ValueError(f"maps must be at least 32 pixels high and wide, found {height}x{width}")
    if np.isnan(maps).any():
        raise ValueError("maps must not hold NaN; give a part in which every pixel has a value")
    return float(
        np.mean([_ratio(maps[..., : width // 2 * 2]), _ratio(maps[..., : height // 2 * 2, :].swapaxes(-1, -2))])
    )


def _ratio(rows: np.ndarray) -> float:
    """Returns the ratio of rows `[..., n]`, n even, whose power at frequency f / n is entry f of the spectrum."""
    n = rows.shape[-1]
    power = (np.abs(np.fft.rfft(rows)) ** 2).reshape(-1, n // 2 + 1).mean(0)
    around = power[-(-3 * n // 8) : 7 * n // 16 + 1].mean()
    if around == 0:
        raise ValueError("maps must vary, found no power at the frequencies 3/8 to 7/16")
    return power[-1] / around
