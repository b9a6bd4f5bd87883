"""Datasets of signals: files of samples over time with a class, numbers, or a clean signal."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from cnnlab.data.columns import Columns
from cnnlab.data.dataset import Dataset, Examples, signal_statistics
from cnnlab.data.groups import groups_of, without_groups
from cnnlab.data.sources.folder import split_listing
from cnnlab.data.spec import InputSpec
from cnnlab.data.targets import TARGETS, Listing, looks_like_split, read_targets
from cnnlab.data.time_axis import cut, fill_gaps, resample
from cnnlab.files.listing import by_stem, is_visible, list_files, warn_left_out
from cnnlab.files.signals import SUFFIXES, Signal, read_signal

INPUTS, CLEAN = "signals", "targets"  # folders of signals and of their clean versions
MAX_VALUES = 250_000_000  # samples of all channels that are kept in memory, 2 GB in float64


def signals(
    path: str,
    *,
    rate: float | None = None,
    length: Literal["auto"] | int = "auto",
    step: int | None = None,
    missing: Literal["mark", "interpolate", "refuse"] = "mark",
    validation: float = 0.1,
    test: float = 0.2,
    group: str | None = None,
    seed: int = 0,
) -> Dataset:
    """Reads a folder of signals, `.npy` or `.csv` files `[T, C]`, in the first of these layouts that matches.

    - `DIR/targets.csv`: a class, several labels or numbers for each file; see `cnnlab.data.targets.read_targets`. A
      column `rate` gives each file its sampling rate in Hz.
    - `DIR/signals/*` and `DIR/targets/*`: for each signal a clean one of as many rows and of the same name, which the
      task `denoising` predicts. Where it has a gap, nothing is learned or scored.
    - `DIR/<class>/*`.

    All examples get one rate and one length. They are split by file, so that the windows of a file stay together. A
    signal travels as an image `[1, T, C]` float32 in its own unit. The network subtracts the mean and divides by the
    standard deviation of each channel, which are measured on the training split and stored with it.

    Args:
      path: the folder.
      rate: sampling rate in Hz that all signals get. Files of another rate (column `rate`) are resampled by a polyphase
        filter; without the column they have this rate. By default the lowest rate of the column.
      length: number of samples of an example. Longer signals are cut into windows, and a rest that fills none is left
        out; shorter ones are padded at the end, as if samples were missing. `auto`: the longest file.
      step: samples from the begin of one window to that of the next; by default `length`.
      missing: what happens to missing samples (NaN, empty cells and padding). They are interpolated linearly, at both
        ends of a file by the nearest sample. If there are any, `mark` adds a channel that is 1 where all channels were
        measured and 0 elsewhere; `interpolate` adds none; `refuse` raises an error.
      validation: share of the files in the validation split, if the folder has no such split.
      test: share of the files in the test split, if the folder has no such split.
      group: what keeps files in one split: a column of `targets.csv`, `folder`, or a regular expression for the path.
      seed: seed of the split.

    Raises:
      ValueError: the folder has none of the layouts, a file cannot be read, files differ in their channels, a rate is
        known for some files only, or samples are missing and `missing` is `refuse`.

    >>> signals("records")  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    ValueError: records is no folder; ...
    """
    root = Path(path)
    if not root.is_dir():
        raise ValueError(f"{root} is no folder; give one with a folder of signals for each class, or with {TARGETS}")
    if missing not in ("mark", "interpolate", "refuse"):
        raise ValueError(f"missing must be mark, interpolate or refuse, found {missing!r}")
    for name, share in (("validation", validation), ("test", test)):
        if not 0 < share < 1 or validation + test >= 1:
            raise ValueError(f"{name} must be a share of the signals, the two below 1 together, found {share}")
    listing = _list(root, group)
    names = [Path(name).as_posix() for name in listing.names]
    if group is not None and listing.group is None:
        listing = listing._replace(group=groups_of(names, group))
    rates, rate = _rates(root, listing, rate)
    read = [read_signal(root / name) for name in names]
    if sum(signal.samples.size for signal in read) > MAX_VALUES:
        raise ValueError(f"{root} has more than {MAX_VALUES:,} samples, too many to keep in memory; split the folder")
    _check_channels(root, names, read)
    samples = [_at_rate(root / n, s.samples, own, rate) for n, s, own in zip(names, read, rates, strict=True)]
    clean, classes = None, listing.classes
    if "clean" in listing.beside:
        clean, classes = _clean(root, names, listing.beside["clean"], read, rates, rate)
    length = max(map(len, samples)) if length == "auto" else length
    step = length if step is None else step
    if min(length, step) < 1:
        raise ValueError(f"length and step must be 1 or more, found {length} and {step}")
    windows = sum(1 + max(0, len(each) - length) // step for each in samples)
    if windows * length * samples[0].shape[1] > MAX_VALUES:
        raise ValueError(
            f"{windows:,} windows of {length:,} samples are too many to keep in memory; take a longer step"
        )
    place = {name: i for i, name in enumerate(listing.names)}
    splits, files = {}, {}
    for split, columns in without_groups(split_listing(listing, validation, test, seed)).items():
        chosen = [place[name] for name in columns.pop("image")]
        parts = [_windows(root / names[i], samples[i], length, step) for i in chosen]
        of = np.repeat(np.arange(len(chosen)), [len(part) for part in parts])
        splits[split] = {name: column[of] for name, column in columns.items()}
        splits[split]["image"] = np.concatenate(parts)[:, None]
        files[split] = np.array([str(root / names[chosen[i]]) for i in of], object)
        if clean is not None:
            splits[split] |= _clean_columns([cut(clean[i], length, step) for i in chosen])
    _check_classes(root, splits, classes)
    _settle_gaps(splits, files, missing)
    images = splits["train"]["image"]
    mean, std = signal_statistics(images)
    spec = InputSpec((1, length), images.shape[-1], mean, std, classes, values="signal", rate=rate)
    examples = {split: Examples(columns, files=files[split]) for split, columns in splits.items()}
    return Dataset(root.name or str(root), spec, examples, _remarks(samples, rates, spec, read[0].samples.shape[1]))


def read_signals(files: Sequence[str | Path], spec: InputSpec, *, rate: float | None = None) -> np.ndarray:
    """Reads files of signals as a network takes them, by the rules of its training data.

    Args:
      files: `.npy` or `.csv` files `[t, C]` of at most as many samples as the network's signals; shorter ones are
        padded.
      spec: input specification of the network, `trained.spec`.
      rate: sampling rate of the files in Hz; by default that of the network.

    Returns:
      Signals `[n, 1, T, C]` float32, where gaps are filled. If the network was trained with marked gaps, the last
      channel is 1 where all channels were measured.

    Raises:
      ValueError: a file cannot be read, is too long, or has other channels.
    """
    out, length = [], spec.size[1]
    for file in files:
        samples = read_signal(file).samples
        c = samples.shape[1]
        if spec.values != "signal" or c not in (spec.channels, spec.channels - 1):
            raise ValueError(f"{file} has {c} channels, the network takes {spec.channels} channels of {spec.values}s")
        samples = _at_rate(Path(file), samples, rate, spec.rate)
        if len(samples) > length:
            raise ValueError(
                f"{file} has {len(samples):,} samples, the network takes {length:,}; cut the file into several"
            )
        out.append(_windows(Path(file), samples, length, length)[..., : spec.channels])
    return np.stack(out)


def _list(root: Path, group: str | None) -> Listing:
    """Lists the files of the first layout that matches; with clean signals, `beside` holds their paths."""
    if (root / TARGETS).is_file():
        return read_targets(root, group=group, beside=("rate",))
    with os.scandir(root) as entries:
        inside = sorted(entry.name for entry in entries if entry.is_dir() and is_visible(entry.name))
    if INPUTS in inside and CLEAN in inside:
        found = by_stem(_files(root / INPUTS), root / INPUTS)
        truth = by_stem(_files(root / CLEAN), root / CLEAN)
        if lonely := sorted(set(found) ^ set(truth)):
            raise ValueError(f"{root}: {lonely[0]!r} lies in only one of {INPUTS} and {CLEAN}; add or remove it")
        names = np.array([str(found[stem].relative_to(root)) for stem in found], object)
        paths = [str(truth[stem].relative_to(root)) for stem in found]
        return Listing(names, {}, (), None, None, {"clean": paths})
    if splits := [name for name in inside if looks_like_split(name)]:
        raise ValueError(f"{root / splits[0]} looks like a split; name it in the column 'split' of {TARGETS}")
    if len(inside) < 2:
        raise ValueError(
            f"{root} needs {TARGETS}, two or more folders of classes, or the folders {INPUTS} and {CLEAN}; found "
            f"{', '.join(inside) or 'no folder'}"
        )
    files = {name: _files(root / name) for name in inside}
    names = np.array([str(path.relative_to(root)) for name in inside for path in files[name]], object)
    label = np.repeat(np.arange(len(inside), dtype=np.int32), [len(files[name]) for name in inside])
    return Listing(names, {"label": label}, tuple(inside), None)


def _files(folder: Path) -> list[Path]:
    """Lists the signals below a folder, sorted; warns of other files."""
    listed = list_files(folder)
    paths = sorted([*listed.images, *listed.others])
    found = [path for path in paths if path.suffix.lower() in SUFFIXES]
    warn_left_out(folder, [path for path in paths if path.suffix.lower() not in SUFFIXES], kind="signal")
    if not found:
        raise ValueError(f"{folder} holds no signal; looked for {', '.join(SUFFIXES)}")
    return found


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


def _clean(
    root: Path, names: Sequence[str], paths: Sequence[str], read: Sequence[Signal], rates: Sequence, rate: float | None
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Returns the clean signals at the common rate, and the names of their channels."""
    truth = [read_signal(root / path) for path in paths]
    _check_channels(root, paths, truth)
    for name, path, noisy, clean in zip(names, paths, read, truth, strict=True):
        if len(noisy.samples) != len(clean.samples):
            raise ValueError(
                f"{root / path} has {len(clean.samples):,} rows, {root / name} has {len(noisy.samples):,}; they must "
                "be as long as each other"
            )
    at_rate = [_at_rate(root / path, c.samples, own, rate) for path, c, own in zip(paths, truth, rates, strict=True)]
    return at_rate, truth[0].names


def _clean_columns(windows: Sequence[np.ndarray]) -> Columns:
    """Returns the columns `clean` `[n, 1, T, d]` and `pixel_weight` `[n, 1, T]`, 0 where the truth has a gap."""
    clean = np.concatenate(windows)[:, None]
    known = ~np.isnan(clean).any(-1)
    return {"clean": np.nan_to_num(clean).astype(np.float32), "pixel_weight": known.astype(np.float32)}


def _check_classes(root: Path, splits: Mapping[str, Columns], classes: tuple[str, ...]) -> None:
    """Raises `ValueError` if a split has a class that `train` lacks."""
    if "label" not in splits["train"]:
        return
    known = set(splits["train"]["label"].tolist())
    for split, columns in splits.items():
        if strange := sorted(set(columns["label"].tolist()) - known):
            raise ValueError(f"{root}: {split} has a class {classes[strange[0]]!r} that train lacks; add signals of it")


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


def _settle_gaps(splits: Mapping[str, Columns], files: Mapping[str, np.ndarray], missing: str) -> None:
    """Keeps the channel that marks gaps if there are gaps and they are to be marked; otherwise removes it."""
    gaps = {split: (columns["image"][..., -1] == 0).any((1, 2)) for split, columns in splits.items()}
    if missing == "refuse" and (split := next((s for s, own in gaps.items() if own.any()), None)):
        raise ValueError(
            f"{files[split][gaps[split].argmax()]} lacks samples (or is shorter than the others); fill them, or choose "
            "--data.missing mark or interpolate"
        )
    if missing != "mark" or not any(own.any() for own in gaps.values()):
        for columns in splits.values():
            columns["image"] = np.ascontiguousarray(columns["image"][..., :-1])


def _remarks(samples: Sequence[np.ndarray], rates: Sequence, spec: InputSpec, channels: int) -> tuple[str, ...]:
    """Returns sentences on what was changed."""
    length = spec.size[1]
    seconds = "" if spec.rate is None else f", {length / spec.rate:g} s at {spec.rate:g} Hz"
    remarks = [f"signals of {length:,} samples{seconds}"]
    if others := sum(own != spec.rate for own in rates):
        remarks.append(f"{others} of {len(rates)} files were resampled to {spec.rate:g} Hz; --data.rate changes it")
    if shorter := sum(len(each) < length for each in samples):
        remarks.append(f"{shorter} of {len(samples)} files are shorter and padded; --data.length changes it")
    if spec.channels > channels:
        remarks.append("samples are missing: a channel marks which were measured; --data.missing changes it")
    return tuple(remarks)
