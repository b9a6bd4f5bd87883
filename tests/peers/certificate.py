"""Prints how far cnnlab is from other libraries as a Markdown table: `python tests/peers/certificate.py`."""

import importlib.util
from importlib.metadata import version

import compare_explanations
import compare_maps
import compare_scores
import compare_sets
import numpy as np
from comparison import COMPARISONS, Comparison

__all__ = [
    "COMPARISONS",
    "compare_explanations",
    "compare_maps",
    "compare_scores",
    "compare_sets",
]  # which enter themselves into the list

PACKAGES = {"pytorch_grad_cam": "grad-cam", "sklearn": "scikit-learn", "torch_uncertainty": "torch-uncertainty"}


def difference(ours, theirs) -> str:
    """The largest difference of numbers, or how many sets differ."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    if ours.dtype == bool:
        other = int((ours != theirs).any(1).sum())
        return f"{other} of {len(ours)} sets" if other else "identical"
    return f"{np.abs(ours - theirs).max():.1e}"


def row(comparison: Comparison) -> list[str]:
    package = PACKAGES.get(comparison.library, comparison.library)
    if importlib.util.find_spec(comparison.library) is None:
        return [comparison.quantity, package, "not installed", "", ""]
    outcome = comparison.run()
    put = "" if outcome.put is None else difference(outcome.put, outcome.theirs)
    return [
        comparison.quantity,
        f"{package} {version(package)}",
        difference(outcome.ours, outcome.theirs),
        put,
        comparison.why,
    ]


def main() -> None:
    print("| quantity | library | difference | in its definition | why |")
    print("|---|---|---|---|---|")
    for comparison in COMPARISONS:
        print(f"| {' | '.join(row(comparison))} |", flush=True)


if __name__ == "__main__":
    main()
