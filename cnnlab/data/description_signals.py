"""Describes a folder of signals: lengths, rates, classes and gaps, with a sheet of nine of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnlab.data.recordings import Recordings, read_recordings
from cnnlab.data.sources.signals import list_signals
from cnnlab.plots.traces import recordings
from cnnlab.quoting import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def of_signals(root: Path) -> dict[str, Any]:
    """Describes signals, as the fields of a `Description`."""
    listing = list_signals(root)
    read = read_recordings(root, listing, None)
    lengths = [len(samples) for samples in read.samples]
    channels = counted(read.samples[0].shape[1], "channel")
    notes = [f"{min(lengths):,} to {max(lengths):,} samples of {channels}, median {np.median(lengths):,.0f}"]
    notes.append("of unknown sampling rate: add --data.rate" if read.rate is None else f"at {read.rate:g} Hz")
    if gaps := sum(bool(np.isnan(samples).any()) for samples in read.samples):
        notes.append(f"{counted(gaps, 'file')} with missing samples")
    return {
        "splits": listing.split_counts(),
        "classes": listing.counts(),
        "rare": listing.rare(),
        "sizes": {},
        "objects": None,
        "boxes": None,
        "notes": notes,
        "draw": lambda: _sheet(read),
    }


def _sheet(read: Recordings) -> "Figure":
    shown = np.unique(np.linspace(0, len(read.names) - 1, min(len(read.names), 9)).astype(int))
    return recordings([read.samples[i] for i in shown], [read.names[i] for i in shown], rate=read.rate)
