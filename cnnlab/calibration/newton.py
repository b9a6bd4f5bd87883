"""Minimises smooth convex functions of a few parameters to the last digits."""

from collections.abc import Callable

import numpy as np

Derivatives = tuple[float, np.ndarray, np.ndarray]  # value, gradient [m], Hessian [m, m]

_TOLERANCE = (
    1e-9  # gradient: a thousandth of the 1e-6 asked for, as a curvature of 0.01 makes an error a hundred times it
)


def minimise(derivatives: Callable[[np.ndarray], Derivatives], start: np.ndarray, *, limit: int = 100) -> np.ndarray:
    """Minimises a convex function by Newton's method, halving steps until the value falls (Armijo).

    Directions along which nothing changes (the same constant added to every bias) are left alone, by least squares.

    Source: Boyd and Vandenberghe, Convex Optimization, 2004, section 9.5.

    Args:
      derivatives: derivatives of a convex function.
      start: `[m]`.
      limit: steps.

    Returns:
      `[m]`, where no entry of the gradient exceeds 1e-9.

    Raises:
      ValueError: there is no such place within the limit.

    >>> minimise(lambda x: (float(x @ x) - x[0], 2 * x - [1, 0], 2 * np.eye(2)), np.zeros(2)).tolist()
    [0.5, 0.0]
    """
    x = np.asarray(start, np.float64)
    value, gradient, hessian = derivatives(x)
    for _ in range(limit):
        if np.abs(gradient).max() <= _TOLERANCE:
            return x
        step = -np.linalg.lstsq(hessian, gradient, rcond=1e-14)[0]
        slope, length = float(gradient @ step), 1.0
        while True:
            following = derivatives(x + length * step)
            if following[0] <= value + 1e-4 * length * slope + 1e-14 * abs(value):  # the last: rounding
                break
            length /= 2  # a vanishing curvature may make the step astronomically long
            if length * np.abs(step).max() < 1e-12 * (1 + np.abs(x).max()):
                raise ValueError(
                    f"Newton's method found no lower value than {value:.6g}; the function is not convex there, or too "
                    "flat for double precision"
                )
        x, (value, gradient, hessian) = x + length * step, following
    raise ValueError(f"Newton's method did not converge in {limit} steps; the gradient is {np.abs(gradient).max():.2g}")
