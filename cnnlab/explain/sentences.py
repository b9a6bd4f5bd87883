"""What the scores of a map mean, in a few words."""

import math
from collections.abc import Mapping

import numpy as np

from cnnlab.explain.comparison import beaten_baselines
from cnnlab.explain.scores import SCORES


def verdict_sentence(verdict: Mapping[str, np.ndarray] | None, place: int, *, value: str = "value") -> str:
    """Says how much of the answer hangs on what a map shows, and whether the map beats its baselines.

    Args:
      verdict: scores by name, `[B]` each, as in `Explanation.verdict`; None without scores.
      place: index of the map.
      value: what deletion and insertion measure, such as `probability`.

    >>> verdict = {"deletion": [0.1], "random/deletion": [0.5], "edges/deletion": [0.05]}
    >>> text = verdict_sentence({name: np.array(score) for name, score in verdict.items()}, 0, value="probability")
    >>> for part in text.split(". "):
    ...     print(part)
    While the marked pixels disappear, the probability is 0.10 on average (0.50 in random order, 0.05 by edges)
    On most scores the map beats a random map, but not the image's edges.
    """
    names = [name for name in SCORES if name in (verdict or {})]
    if not names:
        return ""
    parts = []
    for name in names:
        own, random, edges = (float(verdict[each][place]) for each in (name, f"random/{name}", f"edges/{name}"))
        own, random, edges = _alike(own, random, edges)
        text = _TEXTS[name].format(value=value, own=own)
        rivals = ("in random order", "by edges") if SCORES[name].ends else ("for a random map", "for edges")
        parts.append(f"{text} ({random} {rivals[0]}, {edges} {rivals[1]}).")
    if any(SCORES[name].is_faithfulness for name in names):
        beaten = [name for name, won in beaten_baselines(verdict).items() if won[place]]
        parts.append(_conclusion(beaten))
    return " ".join(parts)


def empty_sentence(*, reads_layer: bool) -> str:
    """Says why a map is zero everywhere.

    Args:
      reads_layer: whether the method is a class activation map.
    """
    if reads_layer:
        return "The map is empty: no feature of this layer speaks for this answer."
    return "The map is empty: this answer does not change with the pixels, as in a saturated network."


def _alike(*numbers: float) -> list[str]:
    """Formats numbers with as many decimals as the largest one needs for two digits, at least two.

    >>> _alike(0.5, 12.34), _alike(0.00123, 0.0004), _alike(4.56e-11, 0.0)
    (['0.50', '12.34'], ['0.0012', '0.0004'], ['4.6e-11', '0.0e+00'])
    """
    largest = max(map(abs, numbers))
    if 0 < largest < _TINY:
        return [f"{number:.1e}" for number in numbers]
    decimals = 2 if largest >= 0.1 or largest == 0 else 1 - math.floor(math.log10(largest))
    return [f"{number:.{decimals}f}" for number in numbers]


def _conclusion(beaten: list[str]) -> str:
    if not beaten:
        return "On most scores the map beats neither a random map nor the image's edges: do not trust it."
    rest = [text for name, text in _RIVALS.items() if name not in beaten]
    end = f", but not {rest[0]}" if rest else ""
    return f"On most scores the map beats {' and '.join(_RIVALS[name] for name in beaten)}{end}."


_TINY = 1e-4  # below which numbers have exponents
_TEXTS = {
    "deletion": "While the marked pixels disappear, the {value} is {own} on average",
    "insertion": "While they appear in a blurred image, the {value} is {own}",
    "road": "ROAD is {own}",
    "infidelity": "The infidelity is {own}",
    "max_sensitivity": "Noise that nobody sees changes the map by {own}",
    "randomisation": "The correlation with the map of random weights is {own}",
}
_RIVALS = {"random": "a random map", "edges": "the image's edges"}
