"""The figures of a probe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from cnnlab.data import Dataset
from cnnlab.plots import probe as plots
from cnnlab.probe.distortions import DISTORTIONS, Distortion, strips

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_IMAGES = 16  # of which the first is drawn and the others lend pieces


def figures(
    report: Mapping[str, Any],
    dataset: Dataset,
    *,
    title: str,
    distortions: Mapping[str, Distortion] = DISTORTIONS,
    key: jax.Array | None = None,
) -> dict[str, Figure]:
    """Draws `probe`, one page of curves, and for a detector `specialisation`.

    Args:
      report: what `probe` returned.
      dataset: the data that was probed; its first image shows each distortion.
      title: heading of the page.
      distortions: those that were measured.
      key: random key of the distorted examples; by default that of seed 0.
    """
    examples = dataset[report["split"]]
    images = examples[np.arange(min(_IMAGES, len(examples)))]["image"]
    names = dict.fromkeys(record["distortion"] for record in report["response"])
    chosen = {name: distortions[name] for name in names}
    out = {
        "probe": plots.page(
            report,
            meanings={name: it.meaning for name, it in chosen.items()},
            strips=strips(images, chosen, jax.random.key(0) if key is None else key),
            title=title,
        )
    }
    if "specialisation" in report:
        out["specialisation"] = plots.specialisation(report["specialisation"])
    return out
