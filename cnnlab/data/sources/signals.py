"""Datasets of signals: files of samples over time with a class, numbers, or a clean signal."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from cnnlab.data.columns import Columns
from cnnlab.data.dataset import Dataset, Examples, signal_statistics
from cnnlab.data.groups import groups_of, without_groups
from cnnlab.data.recordings import MAX_VALUES, Recordings, read_recordings
from cnnlab.data.sources.folder import split_listing
from cnnlab.data.spec import InputSpec
from cnnlab.data.splits import check_shares
from cnnlab.data.targets import TARGETS, Listing, looks_like_split, read_targets
from cnnlab.files.listing import by_stem, is_visible
from cnnlab.files.signals import find_signals

INPUTS, CLEAN = "signals", "targets"  # folders of signals and of their clean versions


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
    check_shares(validation, test, "signals")
    listing = list_signals(root, group)
    if group is not None and listing.group is None:
        listing = listing._replace(group=groups_of([Path(name).as_posix() for name in listing.names], group))
    read = read_recordings(root, listing, rate)
    longest, channels = max(map(len, read.samples)), read.samples[0].shape[1]
    length = longest if length == "auto" else length
    step = length if step is None else step
    if min(length, step) < 1:
        raise ValueError(f"length and step must be 1 or more, found {length} and {step}")
    windows = sum(1 + max(0, len(each) - length) // step for each in read.samples)
    if windows * length * channels > MAX_VALUES:
        raise ValueError(
            f"{windows:,} windows of {length:,} samples are too many to keep in memory; take a longer step"
        )
    place = {name: i for i, name in enumerate(listing.names)}
    splits, files = {}, {}
    for split, columns in without_groups(split_listing(listing, validation, test, seed)).items():
        chosen = [place[name] for name in columns.pop("image")]
        splits[split], files[split] = cut_windows(read, chosen, columns, length, step)
    classes = listing.classes or read.channels
    _check_classes(root, splits, classes)
    _settle_gaps(splits, files, missing)
    images = splits["train"]["image"]
    mean, std = signal_statistics(images)
    spec = InputSpec((1, length), images.shape[-1], mean, std, classes, values="signal", rate=read.rate)
    examples = {split: Examples(columns, files=files[split]) for split, columns in splits.items()}
    return Dataset(root.name or str(root), spec, examples, _remarks(read, spec))


def cut_windows(
    read: Recordings, chosen: Sequence[int], columns: Columns, length: int, step: int
) -> tuple[Columns, np.ndarray]:
    """Returns the windows of some files with the columns of their files, and the path of each window's file.

    Args:
      read: all files.
      chosen: indices of the files.
      columns: columns `[len(chosen)]` of the files.
      length: samples of a window.
      step: samples from the begin of one window to that of the next.
    """
    parts = [read.windows(i, length, step) for i in chosen]
    of = np.repeat(np.arange(len(chosen)), [len(part["image"]) for part in parts])
    out = {name: column[of] for name, column in columns.items()}
    out |= {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return out, np.array([str(read.root / read.names[chosen[i]]) for i in of], object)


def list_signals(root: Path, group: str | None = None) -> Listing:
    """Lists the files of the first layout that matches; with clean signals, `beside` holds their paths."""
    if (root / TARGETS).is_file():
        return read_targets(root, group=group, beside=("rate",))
    with os.scandir(root) as entries:
        inside = sorted(entry.name for entry in entries if entry.is_dir() and is_visible(entry.name))
    if INPUTS in inside and CLEAN in inside:
        found = by_stem(find_signals([root / INPUTS]), root / INPUTS)
        truth = by_stem(find_signals([root / CLEAN]), root / CLEAN)
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
    files = {name: find_signals([root / name]) for name in inside}
    names = np.array([str(path.relative_to(root)) for name in inside for path in files[name]], object)
    label = np.repeat(np.arange(len(inside), dtype=np.int32), [len(files[name]) for name in inside])
    return Listing(names, {"label": label}, tuple(inside), None)


def _check_classes(root: Path, splits: Mapping[str, Columns], classes: tuple[str, ...]) -> None:
    """Raises `ValueError` if a split has a class that `train` lacks."""
    if "label" not in splits["train"]:
        return
    known = set(splits["train"]["label"].tolist())
    for split, columns in splits.items():
        if strange := sorted(set(columns["label"].tolist()) - known):
            raise ValueError(f"{root}: {split} has a class {classes[strange[0]]!r} that train lacks; add signals of it")


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


def _remarks(read: Recordings, spec: InputSpec) -> tuple[str, ...]:
    """Returns sentences on what was changed."""
    length, number = spec.size[1], len(read.names)
    seconds = "" if spec.rate is None else f", {length / spec.rate:g} s at {spec.rate:g} Hz"
    remarks = [f"signals of {length:,} samples{seconds}"]
    if others := sum(own != spec.rate for own in read.rates):
        remarks.append(f"{others} of {number} files were resampled to {spec.rate:g} Hz; --data.rate changes it")
    if shorter := sum(len(each) < length for each in read.samples):
        remarks.append(f"{shorter} of {number} files are shorter and padded; --data.length changes it")
    if spec.channels > read.samples[0].shape[1]:
        remarks.append("samples are missing: a channel marks which were measured; --data.missing changes it")
    return tuple(remarks)
