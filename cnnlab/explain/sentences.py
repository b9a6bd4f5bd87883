"""What the scores of a map mean, in one sentence."""

from collections.abc import Mapping

import numpy as np

from cnnlab.explain.verdict import flagged


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
            parts.append(f"{text} {own:.2f} (random map {random:.2f}, edges {edges:.2f})")
    warning = bool(np.asarray(flagged(verdict))[place])
    end = "beats neither a random map nor the image's edges: do not trust it" if warning else _wins(verdict, place)
    return f"{'; '.join(parts)}. The map {end}.".capitalize()


def _wins(verdict: Mapping[str, np.ndarray], place: int) -> str:
    from cnnlab.explain.verdict import beaten

    rivals = beaten(verdict)
    both = [name for name, text in (("random", "a random map"), ("edges", "the image's edges")) if rivals[name][place]]
    names = {"random": "a random map", "edges": "the image's edges"}
    others = [names[name] for name in names if name not in both]
    won = " and ".join(names[name] for name in both)
    return f"beats {won}" + (f", but not {others[0]}" if others else "")


_TEXTS = {
    "deletion": "without what the map marks the answer falls to",
    "insertion": "with it alone it reaches",
}
