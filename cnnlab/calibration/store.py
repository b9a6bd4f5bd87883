"""Storage of calibrations and conformal sets in the run directory, beside the checkpoint."""

import contextlib
import dataclasses
import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from cnnlab.calibration import methods
from cnnlab.calibration.choice import Quality, choose_calibration, with_floor
from cnnlab.calibration.conformal import Conformal, smallest_split
from cnnlab.calibration.methods import CALIBRATIONS, Calibration, known_calibration
from cnnlab.files import strict_json
from cnnlab.files.atomic import write_text
from cnnlab.files.digest import digest
from cnnlab.files.publishing import written
from cnnlab.files.text import read_json
from cnnlab.trained import Passes, Trained

FILE = "post_hoc.json"
MAX_BYTES = 16 << 20  # isotonic maps of a thousand classes stay far below it
_WIDE = 0.12  # width of the 95 % interval of the sets' coverage, above which their fit is said to be uncertain


@dataclasses.dataclass(frozen=True)
class PostHoc:
    """A calibration and a rule for sets of classes; either may be missing.

    Attributes:
      passes: number of MC-Dropout passes over which the probabilities are averaged, `auto`, or None for a single
        prediction without dropout.
      examples: number of labelled examples of the validation split.
      calibration: map that calibrates the probabilities.
      conformal: rule that turns the calibrated probabilities into sets.
      quality: result of the calibration's cross-validation; without it, an earlier version fitted the calibration.
    """

    passes: Passes | None
    examples: int
    calibration: Calibration | None = None
    conformal: Conformal | None = None
    quality: Quality | None = None

    @classmethod
    def fit(
        cls,
        probs: np.ndarray,
        labels: np.ndarray,
        *,
        passes: Passes | None = None,
        method: str | None = None,
        error: float | None = None,
        sets: str = "lac",
        uniform: np.ndarray | None = None,
        seed: int = 0,
        cure: str = "use more validation examples",
    ) -> "PostHoc":
        """Fits a calibration, a rule for sets, or both, on a validation split.

        If both are fitted, each uses its own part of the split, because sets need examples that did not fit the
        calibration. The calibration gets a random half, or more if it needs more. It is fitted with a penalty towards
        the identity and kept only if cross-validation shows a gain, see `choose_calibration`; otherwise a warning says
        why not. A warning also says if the coverage of the sets is uncertain, because they rest on few examples.

        The same split also chose the best epoch, which the guarantee of the sets does not account for. The coverage on
        a test split shows whether this matters.

        Args:
          probs: probabilities `[n, k]`.
          labels: true classes `[n]`; examples with label -1 are ignored.
          passes: passes over which `probs` are averaged, as in the attribute.
          method: method of `fit_calibration`; None fits no calibration.
          error: share of labels that a set may miss, as in `Conformal.fit`; None fits no sets.
          sets: method of `Conformal.fit`.
          uniform: u of `Conformal.fit`, `[n]`.
          seed: seed that divides the split into parts and folds, and from which u is drawn.
          cure: advice that ends the messages about too few examples.

        Raises:
          ValueError: the split is not suitable (see `choose_calibration` and `Conformal.fit`).

        >>> probs, labels = np.array([[0.9, 0.1]] * 400), np.array([0] * 260 + [1] * 140)  # overconfident
        >>> PostHoc.fit(probs, labels, method="temperature").apply(probs)[0].round(2).tolist()
        [0.65, 0.35]
        """
        known = np.asarray(labels) >= 0
        probs, labels = np.asarray(probs, np.float64)[known], np.asarray(labels)[known]
        uniform = None if uniform is None else np.asarray(uniform)[known]
        if method is not None:
            known_calibration(method)
        _check_size(method, error, probs.shape, cure)
        first = second = np.arange(len(labels))
        if method is not None and error is not None:
            needed, others = known_calibration(method).smallest(probs.shape[-1]), smallest_split(error)
            cut = min(max(len(labels) // 2, needed), len(labels) - others)
            first, second = np.split(np.random.default_rng(seed).permutation(first), [cut])
        post_hoc = cls(passes, len(labels))
        if method is not None:
            calibration, quality = choose_calibration(method, probs[first], labels[first], seed=seed)
            post_hoc = dataclasses.replace(post_hoc, calibration=calibration, quality=quality)
            if not quality.kept:
                warnings.warn(f"{quality.sentence()}; the probabilities stay as they are; {cure}", stacklevel=2)
        if error is None:
            return post_hoc
        uniform = None if uniform is None else uniform[second]
        conformal = Conformal.fit(
            post_hoc.apply(probs[second]), labels[second], error=error, method=sets, uniform=uniform, seed=seed
        )
        low, high = conformal.expected_coverage()
        if high - low > _WIDE:
            warnings.warn(f"{_of_sets(conformal)}; {cure}", stacklevel=2)
        return dataclasses.replace(post_hoc, conformal=conformal)

    def apply(self, probs: np.ndarray) -> np.ndarray:
        """Calibrates probabilities `[..., k]`, with the floor that the fit's examples support, see `with_floor`."""
        if self.calibration is None:
            return probs
        calibrated = self.calibration.apply(probs)
        return calibrated if self.quality is None else with_floor(calibrated, self.quality.examples)

    def sentence(self) -> str:
        """Returns in one line how good the fit is."""
        parts = []
        if self.quality is not None:
            parts.append(self.quality.sentence())
            parts += [] if self.quality.kept else ["the probabilities stay as they are"]
        elif self.calibration is not None:
            method = methods.to_json(self.calibration)["method"]
            parts.append(
                f"{method} is fitted on {self.examples:,} validation examples by an earlier version, which did not "
                f"measure its gain; fit it again with cnnlab evaluate RUN{_flag(self.passes)} --calibrate {method}"
            )
        return "; ".join(parts + ([] if self.conformal is None else [_of_sets(self.conformal)]))

    def require_passes(self, passes: Passes | None) -> None:
        """Raises `ValueError` unless the fit used means over the same number of passes."""
        if passes != self.passes:
            raise ValueError(
                f"{FILE} was fitted with {_option(self.passes)}, "
                f"but the predictions are computed with {_option(passes)}; "
                f"use {_option(self.passes)}, or fit again with cnnlab evaluate RUN --calibrate temperature"
            )


def save_post_hoc(post_hoc: PostHoc, trained: Trained, run: str | Path) -> Path:
    """Writes a fit into `RUN/post_hoc.json` and keeps the file's fits for the same weights and other numbers of passes.

    Warns if it replaces a fit for the same number of passes that contained a calibration or sets which the new fit
    lacks.
    """
    fits = {}
    with contextlib.suppress(ValueError):
        fits = _read(run, trained)
    if post_hoc.passes in fits:
        before = fits[post_hoc.passes]
        refused = post_hoc.quality is not None and not post_hoc.quality.kept
        names = ("conformal",) if refused else ("calibration", "conformal")
        if any(getattr(before, name) and not getattr(post_hoc, name) for name in names):
            warnings.warn(
                f"{Path(run) / FILE} contained {_contents(before)} and now contains {_contents(post_hoc)}; "
                "to have both, fit calibration and sets in one call",
                stacklevel=2,
            )
    fits[post_hoc.passes] = post_hoc
    value = {"weights": _weights(trained), "fits": [_to_json(fit) for fit in fits.values()]}
    with written(Path(run) / FILE) as path:
        write_text(path, json.dumps(value | {"digest": _own_digest(value)}, indent=2) + "\n")
    return path


def load_post_hoc(run: str | Path, trained: Trained, *, passes: Passes | None = None) -> PostHoc:
    """Loads the fit that `save_post_hoc` wrote for a number of passes; None stands for predictions without dropout.

    Raises:
      ValueError: there is no fit for this number of passes, it belongs to other weights, or the file is damaged.
    """
    fits = _read(run, trained)
    if passes not in fits:
        options = " or ".join(map(_option, fits))
        raise ValueError(
            f"{Path(run) / FILE} was fitted with {options}, "
            f"but the predictions are computed with {_option(passes)}; use "
            f"{options}, or fit for these with cnnlab evaluate {run}{_flag(passes)} --calibrate temperature"
        )
    return fits[passes]


def _read(run: str | Path, trained: Trained) -> dict[Passes | None, PostHoc]:
    """Reads all fits of a run, by their number of passes."""
    path = Path(run) / FILE
    again = f"fit it with cnnlab evaluate {run} --calibrate temperature"
    if not path.is_file():
        raise ValueError(f"{run} contains no calibration; {again}")
    try:
        value = read_json(path, limit=MAX_BYTES)
        stored = strict_json.decode(_Stored, value, FILE)
        if stored.digest not in (None, _own_digest(value)):  # files of earlier versions have no digest
            raise ValueError("its digest differs from its content")
        fits = [_from_json(fit) for fit in stored.fits]
    except ValueError as error:
        raise ValueError(f"{path} cannot be read ({error}); {again}") from error
    if stored.weights != _weights(trained):
        raise ValueError(f"{path} was fitted for other weights than the run's current best ones; {again}")
    return {fit.passes: fit for fit in fits}


def _from_json(fit: "_Fit") -> PostHoc:
    calibration = None if fit.calibration is None else methods.from_json(fit.calibration)
    return PostHoc(fit.passes, fit.examples, calibration, fit.conformal, fit.quality)


def _own_digest(value: dict[str, Any]) -> str:
    """Returns the SHA-256 of the file's content without its digest."""
    rest = {name: part for name, part in value.items() if name != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _to_json(fit: PostHoc) -> dict[str, Any]:
    return {
        "passes": fit.passes,
        "examples": fit.examples,
        "calibration": None if fit.calibration is None else methods.to_json(fit.calibration),
        "conformal": None if fit.conformal is None else strict_json.encode(fit.conformal),
        "quality": None if fit.quality is None else strict_json.encode(fit.quality),
    }


@dataclasses.dataclass(frozen=True)
class _Fit:
    """The JSON keys of a fit."""

    passes: int | str | None
    examples: int
    calibration: Any
    conformal: Conformal | None
    quality: Quality | None = None  # files of earlier versions have none


@dataclasses.dataclass(frozen=True)
class _Stored:
    """The JSON keys of the file."""

    weights: str
    fits: tuple[_Fit, ...]
    digest: str | None = None


def _weights(trained: Trained) -> str:
    """Returns a digest of the variables, because a fit holds only for the variables that it was fitted to."""
    return hashlib.sha256(json.dumps(digest(trained.variables), sort_keys=True).encode()).hexdigest()[:16]


def _check_size(method: str | None, error: float | None, shape: tuple[int, int], cure: str) -> None:
    """Raises `ValueError`, with what n examples of k classes support, if they are too few for the requested fit."""
    n, k = shape
    needed = 0 if method is None else CALIBRATIONS[method].smallest(k)
    others = 0 if error is None else smallest_split(error)
    if n >= needed + others:
        return
    needs = [f"{method} needs {needed} validation examples"] if needed else []
    needs += [f"sets with an error of {error} need {others}{' others' if needed else ' validation examples'}"] * (
        others > 0
    )
    able = [name for name, kind in CALIBRATIONS.items() if kind.smallest(k) <= n]
    able += [f"sets with an error of {1 / (n + 1):.2g} or more"] * (n > 0)
    only = ", but not both" if needed and others and n >= max(needed, others) else ""
    supports = f"which support {' or '.join(able) or 'nothing'}{only}"
    raise ValueError(f"{' and '.join(needs)}, found {n} in all, {supports}; {cure}")


def _of_sets(conformal: Conformal) -> str:
    low, high = conformal.expected_coverage()
    return (
        f"sets that may miss {conformal.error:g} of the labels rest on {conformal.examples:,} validation examples: "
        f"95 of 100 such fits hold {low:.3f} to {high:.3f} of the labels"
    )


def _contents(post_hoc: PostHoc) -> str:
    parts = [name for name, part in (("a calibration", post_hoc.calibration), ("sets", post_hoc.conformal)) if part]
    return f"{' and '.join(parts) or 'nothing'} for predictions with {_option(post_hoc.passes)}"


def _option(passes: Passes | None) -> str:
    return _flag(passes).strip() or "no --mc"


def _flag(passes: Passes | None) -> str:
    return "" if passes is None else f" --mc {passes}"
