"""Stores calibrations and conformal sets in the run, beside its checkpoint."""

import contextlib
import dataclasses
import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from cnnlab.calibration import methods
from cnnlab.calibration.conformal import Conformal, smallest_split
from cnnlab.calibration.methods import Calibration, fit_calibration, known_calibration
from cnnlab.calibration.validation_split import Faultless
from cnnlab.files import strict_json
from cnnlab.files.atomic import write_text
from cnnlab.files.digest import digest
from cnnlab.files.text import read_json
from cnnlab.trained import Passes, Trained

FILE = "post_hoc.json"
MAX_BYTES = 16 << 20  # isotonic maps of a thousand classes take a tenth of it


@dataclasses.dataclass(frozen=True)
class PostHoc:
    """A calibration and a rule for sets of classes; either may be missing.

    Attributes:
      passes: what the probabilities are a mean of: MC-Dropout passes, `auto`, or None for one deterministic pass.
      examples: number of examples of the validation split.
      calibration: maps the probabilities.
      conformal: makes sets of the mapped ones.
    """

    passes: Passes | None
    examples: int
    calibration: Calibration | None = None
    conformal: Conformal | None = None

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
    ) -> "PostHoc":
        """Fitted on a validation split; asked for both, on a part each: sets need fresh examples. The calibration takes
        a random half, or as many as it needs.

        The split also chose the best epoch, which the guarantee of the sets does not allow for; the coverage on a test
        split tells whether it matters.

        Args:
          probs: `[n, k]`.
          labels: `[n]`; examples of label -1 are left out.
          passes: what `probs` is a mean of.
          method: method of `fit_calibration`; none if left out.
          error: error of `Conformal.fit`, the share of labels that a set may miss; no sets if left out.
          sets: method of the sets, as in `Conformal.fit`.
          uniform: `[n]`, as in `Conformal.fit`.
          seed: seed of the parts.

        Where no answer is wrong nothing is calibrated, with a warning.

        Raises:
          ValueError: the split does not do, see `fit_calibration` and `Conformal.fit`.

        >>> probs, labels = np.array([[0.9, 0.1]] * 100), np.array([0] * 75 + [1] * 25)
        >>> PostHoc.fit(probs, labels, method="temperature").apply(probs)[0].round(6).tolist()
        [0.75, 0.25]
        """
        known = np.asarray(labels) >= 0
        probs, labels = np.asarray(probs, np.float64)[known], np.asarray(labels)[known]
        uniform = None if uniform is None else np.asarray(uniform)[known]
        first = second = np.arange(len(labels))
        if method is not None and error is not None:
            needed, others = known_calibration(method).smallest(probs.shape[-1]), smallest_split(error)
            if len(labels) < needed + others:
                raise ValueError(
                    f"{method} needs {needed} validation examples and sets that miss {error} need {others} others, "
                    f"found {len(labels)} in all; use more of them, or ask for one of the two"
                )
            cut = min(max(len(labels) // 2, needed), len(labels) - others)
            first, second = np.split(np.random.default_rng(seed).permutation(first), [cut])
        post_hoc = cls(passes, len(labels))
        if method is not None:
            try:
                calibration = fit_calibration(method, probs[first], labels[first])
                post_hoc = dataclasses.replace(post_hoc, calibration=calibration)
            except Faultless as faultless:
                warnings.warn(f"{faultless}: nothing is calibrated", stacklevel=2)
        if error is None:
            return post_hoc
        uniform = None if uniform is None else uniform[second]
        conformal = Conformal.fit(
            post_hoc.apply(probs[second]), labels[second], error=error, method=sets, uniform=uniform, seed=seed
        )
        return dataclasses.replace(post_hoc, conformal=conformal)

    def apply(self, probs: np.ndarray) -> np.ndarray:
        """Calibrates probabilities `[..., k]`."""
        return probs if self.calibration is None else self.calibration.apply(probs)

    def require_passes(self, passes: Passes | None) -> None:
        """Raises `ValueError` unless it was fitted on means of as many passes."""
        if passes != self.passes:
            raise ValueError(
                f"what {FILE} holds was fitted with {_option(self.passes)}, "
                f"the predictions are computed with {_option(passes)}; "
                f"give {_option(self.passes)}, or fit it again by cnnlab evaluate RUN --calibrate temperature"
            )


def save_post_hoc(post_hoc: PostHoc, trained: Trained, run: str | Path) -> Path:
    """Writes it into `RUN/post_hoc.json`, beside what was fitted to the same weights with other numbers of passes.

    Warns of what the file held for as many passes and holds no more.
    """
    fits = {}
    with contextlib.suppress(ValueError):
        fits = _read(run, trained)
    if post_hoc.passes in fits:
        before = fits[post_hoc.passes]
        if any(getattr(before, name) and not getattr(post_hoc, name) for name in ("calibration", "conformal")):
            warnings.warn(
                f"{Path(run) / FILE} held {_contents(before)}; it now holds {_contents(post_hoc)}: "
                "ask in one call for all that predict should apply",
                stacklevel=2,
            )
    fits[post_hoc.passes] = post_hoc
    path = Path(run) / FILE
    value = {"weights": _weights(trained), "fits": [_to_json(fit) for fit in fits.values()]}
    write_text(path, json.dumps(value | {"digest": _own_digest(value)}, indent=2) + "\n")
    return path


def load_post_hoc(run: str | Path, trained: Trained, *, passes: Passes | None = None) -> PostHoc:
    """Loads what `save_post_hoc` wrote for predictions of so many passes, or of one pass without dropout.

    Raises:
      ValueError: nothing was fitted for such answers, or for other weights than these, or the file is damaged.
    """
    fits = _read(run, trained)
    if passes not in fits:
        options = " or ".join(map(_option, fits))
        raise ValueError(
            f"what {Path(run) / FILE} holds was fitted with {options}, "
            f"the predictions are computed with {_option(passes)}; give "
            f"{options}, or fit it for these by cnnlab evaluate {run}{_flag(passes)} --calibrate temperature"
        )
    return fits[passes]


def _read(run: str | Path, trained: Trained) -> dict[Passes | None, PostHoc]:
    """Reads all fits of a run, by the number of passes of the predictions."""
    path = Path(run) / FILE
    again = f"fit it by cnnlab evaluate {run} --calibrate temperature"
    if not path.is_file():
        raise ValueError(f"{run} holds no calibration; {again}")
    try:
        value = read_json(path, limit=MAX_BYTES)
        stored = strict_json.decode(_Stored, value, FILE)
        if stored.digest not in (None, _own_digest(value)):  # files of earlier versions have none
            raise ValueError("its digest differs from its content")
        fits = [_from_json(fit) for fit in stored.fits]
    except ValueError as error:
        raise ValueError(f"{path} cannot be read ({error}); {again}") from error
    if stored.weights != _weights(trained):
        raise ValueError(f"{path} was fitted for other weights than the run's best ones now; {again}")
    return {fit.passes: fit for fit in fits}


def _from_json(fit: "_Fit") -> PostHoc:
    calibration = None if fit.calibration is None else methods.from_json(fit.calibration)
    return PostHoc(fit.passes, fit.examples, calibration, fit.conformal)


def _own_digest(value: dict[str, Any]) -> str:
    """Returns the SHA-256 of everything but the digest itself."""
    rest = {name: part for name, part in value.items() if name != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _to_json(fit: PostHoc) -> dict[str, Any]:
    return {
        "passes": fit.passes,
        "examples": fit.examples,
        "calibration": None if fit.calibration is None else methods.to_json(fit.calibration),
        "conformal": None if fit.conformal is None else strict_json.encode(fit.conformal),
    }


@dataclasses.dataclass(frozen=True)
class _Fit:
    """The keys of one fit."""

    passes: int | str | None
    examples: int
    calibration: Any
    conformal: Conformal | None


@dataclasses.dataclass(frozen=True)
class _Stored:
    """The keys of the file."""

    weights: str
    fits: tuple[_Fit, ...]
    digest: str | None = None


def _weights(trained: Trained) -> str:
    """Returns a digest of the variables, because a fit holds only for the variables that it was fitted to."""
    return hashlib.sha256(json.dumps(digest(trained.variables), sort_keys=True).encode()).hexdigest()[:16]


def _contents(post_hoc: PostHoc) -> str:
    parts = [name for name, part in (("a calibration", post_hoc.calibration), ("sets", post_hoc.conformal)) if part]
    return f"{' and '.join(parts) or 'nothing'} for predictions with {_option(post_hoc.passes)}"


def _option(passes: Passes | None) -> str:
    return _flag(passes).strip() or "no --mc"


def _flag(passes: Passes | None) -> str:
    return "" if passes is None else f" --mc {passes}"
