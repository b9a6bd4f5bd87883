"""What the scores of a map mean, in one sentence."""

from collections.abc import Mapping

import numpy as np

from cnnlab.explain.verdict import beaten_baselines


def verdict_sentence(verdict: Mapping[str, np.ndarray] | None, place: int, *, empty: bool = False) -> str:
    """Says how much of the answer hangs on what a map shows, and whether the map beats its baselines.

    Args:
      verdict: scores by name, `[B]` each, as in `Explanation.verdict`; None without scores.
      place: index of the map.
      empty: whether the map is zero everywhere.
    """
    if empty:
        return "The map is empty: no feature of this layer speaks for this answer."
    if not verdict or not any(name in verdict for name in _TEXTS):
        return ""
    parts = []
    for name, text in _TEXTS.items():
        if name in verdict:
            own, random, edges = (float(verdict[each][place]) for each in (name, f"random/{name}", f"edges/{name}"))
            parts.append(f"{text} {own:.2f} on average (by a random map {random:.2f}, by edges {edges:.2f})")
    beaten = [name for name, won in beaten_baselines(verdict).items() if won[place]]
    if not beaten:
        return f"{'; '.join(parts)}. The map beats neither a random map nor the image's edges: do not trust it."
    rest = [text for name, text in _RIVALS.items() if name not in beaten]
    end = f", but not {rest[0]}" if rest else ""
    return f"{'; '.join(parts)}. The map beats {' and '.join(_RIVALS[name] for name in beaten)}{end}."


_TEXTS = {
    "deletion": "Hiding the marked pixels first keeps the answer's value at",
    "insertion": "showing them first raises it to",
}
_RIVALS = {"random": "a random map", "edges": "the image's edges"}
