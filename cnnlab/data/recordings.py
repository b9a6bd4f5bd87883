"""Signals of files at one rate, cut into windows of one length: for training, evaluation and prediction."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnlab.data.columns import Columns
from cnnlab.data.spec import InputSpec
from cnnlab.data.targets import TARGETS, Listing
from cnnlab.data.time_axis import cut, fill_gaps, resample
from cnnlab.files.signals import Signal, read_signal

MAX_VALUES = 250_000_000  # samples of all channels that are kept in memory, 2 GB in float64


class Recordings(NamedTuple):
    """The signals of a folder at one rate, NaN where a sample is missing.

    Attributes:
      root: the folder.
      names: paths of the files relative to the folder.
      samples: samples `[t, C]` of each file.
      clean: samples `[t, d]` of the clean version of each file; None without.
      channels: names of the channels of the clean versions.
      rates: sampling rate of each file in Hz, None where it is unknown.
      rate: sampling rate of all samples in Hz; None if it is unknown.
    """

    root: Path
    names: Sequence[str]
    samples: Sequence[np.ndarray]
    clean: Sequence[np.ndarray] | None
    channels: tuple[str, ...]
    rates: Sequence[float | None]
    rate: float | None

    def windows(self, file: int, length: int, step: int) -> Columns:
        """Returns the windows of a file as the columns `image` `[n, 1, length, C + 1]` and those of its clean version.

        The last channel of `image` is 1 where all channels were measured.
        """
        columns: Columns = {"image": _windows(self.root / self.names[file], self.samples[file], length, step)[:, None]}
        if self.clean is not None:
            clean = cut(self.clean[file], length, step)[:, None]
            columns["pixel_weight"] = (~np.isnan(clean).any(-1)).astype(np.float32)
            columns["clean"] = np.nan_to_num(clean).astype(np.float32)
        return columns


def read_recordings(root: Path, listing: Listing, rate: float | None) -> Recordings:
    """Reads the files of a listing; if `listing.beside` has their sampling rates or clean versions, those too.

    Args:
      root: the folder.
      listing: the files.
      rate: sampling rate that all get; None takes the lowest of the files.

    Raises:
      ValueError: a file cannot be read, files differ in their channels, or a rate is wrong.
    """
    names = [Path(name).as_posix() for name in listing.names]
    rates, rate = _rates(root, listing, rate)
    read = [read_signal(root / name) for name in names]
    if sum(signal.samples.size for signal in read) > MAX_VALUES:
        raise ValueError(f"{root} has more than {MAX_VALUES:,} samples, too many to keep in memory; split the folder")
    _check_channels(root, names, read)
    samples = [_at_rate(root / n, s.samples, own, rate) for n, s, own in zip(names, read, rates, strict=True)]
    if "clean" not in listing.beside:
        return Recordings(root, names, samples, None, (), rates, rate)
    paths = listing.beside["clean"]
    truth = [read_signal(root / path) for path in paths]
    _check_channels(root, paths, truth)
    for name, path, noisy, clean in zip(names, paths, read, truth, strict=True):
        if len(noisy.samples) != len(clean.samples):
            raise ValueError(
                f"{root / path} has {len(clean.samples):,} rows, {root / name} has {len(noisy.samples):,}; they must "
                "be as long as each other"
            )
    clean = [_at_rate(root / path, c.samples, own, rate) for path, c, own in zip(paths, truth, rates, strict=True)]
    return Recordings(root, names, samples, clean, truth[0].names, rates, rate)


def read_signals(
    files: Sequence[str | Path], spec: InputSpec, *, rate: float | None = None, own_length: bool = False
) -> np.ndarray:
    """Reads files of signals as a network takes them, by the rules of its training data.

    Args:
      files: `.npy` or `.csv` files `[t, C]` of at most as many samples as the network's signals; shorter ones are
        padded.
      spec: input specification of the network, `trained.spec`.
      rate: sampling rate of the files in Hz; by default that of the network.
      own_length: keep the files' own length, which is the same for all, for a network that predicts each time step.

    Returns:
      Signals `[n, 1, T, C]` float32, where gaps are filled. If the network was trained with marked gaps, the last
      channel is 1 where all channels were measured.

    Raises:
      ValueError: a file cannot be read, is too long, or has other channels.
    """
    return np.stack(list(_read_each(files, spec, rate, own_length)))


def _read_each(
    files: Sequence[str | Path], spec: InputSpec, rate: float | None, own_length: bool
) -> Iterator[np.ndarray]:
    """Yields the signal `[1, T, C]` of each file."""
    for file in files:
        samples = read_signal(file).samples
        check_channels(file, samples.shape[1], spec)
        samples = _at_rate(Path(file), samples, rate, spec.rate)
        length = len(samples) if own_length else spec.size[1]
        if len(samples) > length:
            raise ValueError(
                f"{file} has {len(samples):,} samples, the network takes {length:,}; cut the file into several"
            )
        yield _windows(Path(file), samples, length, length)[..., : spec.channels]


def check_channels(file: str | Path, channels: int, spec: InputSpec) -> None:
    """Raises `ValueError` unless a network takes signals of this number of channels, with or without one for gaps."""
    if spec.values != "signal" or channels not in (spec.channels, spec.channels - 1):
        taken = f"{spec.channels} channels of {spec.values}s"
        raise ValueError(f"{file} has {channels} channels, the network takes {taken}")


def _rates(root: Path, listing: Listing, rate: float | None) -> tuple[list[float | None], float | None]:
    """Returns the rate of each file and the rate that all get; None if neither option nor column says it."""
    if rate is not None and not 0 < rate < np.inf:
        raise ValueError(f"rate must be a positive number of samples per second, found {rate}")
    cells = listing.beside.get("rate")
    if cells is None:
        return [rate] * len(listing.names), rate
    rates = []
    for name, cell in zip(listing.names, cells, strict=True):
        try:
            rates.append(float(cell))
        except ValueError:
            rates.append(np.nan)
        if not 0 < rates[-1] < np.inf:
            raise ValueError(f"{root / TARGETS}: the rate of {name} must be a positive number in Hz, found {cell!r}")
    return rates, min(rates) if rate is None else rate


def _at_rate(path: Path, samples: np.ndarray, own: float | None, rate: float | None) -> np.ndarray:
    """Returns the samples of a file at the common rate."""
    try:
        return samples if own is None or rate is None else resample(samples, own, rate)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _check_channels(root: Path, names: Sequence[str], read: Sequence[Signal]) -> None:
    """Raises `ValueError` unless all files have as many channels as the first."""
    first = read[0].samples.shape[1]
    for name, signal in zip(names, read, strict=True):
        if signal.samples.shape[1] != first:
            raise ValueError(
                f"{root / name} has {signal.samples.shape[1]} channels, {root / names[0]} has {first}; all signals "
                "need the same channels"
            )


def _windows(path: Path, samples: np.ndarray, length: int, step: int) -> np.ndarray:
    """Returns windows `[n, length, C + 1]` float32 of a file's samples `[T, C]`, without gaps.

    Gaps are filled before the samples are cut. The last channel is 1 where all channels were measured, 0 elsewhere.
    """
    try:
        filled, measured = fill_gaps(samples)
        windows = cut(np.column_stack([filled, measured]).astype(np.float32), length, step)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if len(samples) < length:
        windows[:, len(samples) :] = windows[:, len(samples) - 1 : len(samples)]
        windows[:, len(samples) :, -1] = 0
    return windows
