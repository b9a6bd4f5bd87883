"""Minimisation of smooth convex functions of a few parameters, nearly to machine precision."""

from collections.abc import Callable

import numpy as np

Derivatives = tuple[float, np.ndarray, np.ndarray]  # value, gradient [m], Hessian [m, m]

# Largest entry of the gradient at the minimum. It is far below the precision that the parameters need, because the
# error of a parameter is much larger than the gradient where the curvature is small.
_TOLERANCE = 1e-9


def minimise(derivatives: Callable[[np.ndarray], Derivatives], start: np.ndarray, *, limit: int = 100) -> np.ndarray:
    """Minimises a convex function by Newton's method, halving each step until the value falls (Armijo).

    Steps are computed by least squares, so that parameters do not move along directions that leave the value unchanged
    (such as the same constant added to every bias).

    Source: Boyd and Vandenberghe, Convex Optimization, 2004, section 9.5.

    Args:
      derivatives: function that returns the value, gradient and Hessian at a point.
      start: first point, `[m]`.
      limit: largest number of steps.

    Returns:
      A point `[m]` at which no entry of the gradient exceeds 1e-9.

    Raises:
      ValueError: the method does not reach such a point within the limit.

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
            if following[0] <= value + 1e-4 * length * slope + 1e-14 * abs(value):  # the last term allows for rounding
                break
            length /= 2  # where the curvature almost vanishes, a step can be far too long
            if length * np.abs(step).max() < 1e-12 * (1 + np.abs(x).max()):
                raise ValueError(
                    f"Newton's method found no lower value than {value:.6g}; the function is not convex there, or too "
                    "flat for double precision"
                )
        x, (value, gradient, hessian) = x + length * step, following
    raise ValueError(f"Newton's method did not converge in {limit} steps; the gradient is {np.abs(gradient).max():.2g}")


def towards(point: np.ndarray, weight: float, derivatives: Callable[[np.ndarray], Derivatives]):
    """Returns a function with the penalty `weight / 2 |x - point|^2` added, which draws the minimum to a point `[m]`.

    >>> minimise(towards(np.ones(1), 3.0, lambda x: (float(x @ x) / 2, x, np.eye(1))), np.zeros(1)).tolist()
    [0.75]
    """

    def penalised(x: np.ndarray) -> Derivatives:
        value, gradient, hessian = derivatives(x)
        away = x - point
        return value + weight / 2 * float(away @ away), gradient + weight * away, hessian + weight * np.eye(len(x))

    return penalised
