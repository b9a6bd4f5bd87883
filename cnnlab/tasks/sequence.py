"""Sequence: reading a string of any length from a strip, by one distribution over symbols for each frame."""

from __future__ import annotations

import dataclasses
from collections import abc
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab import losses
from cnnlab.data import Dataset, InputSpec
from cnnlab.errors import check_known
from cnnlab.files.photo import Photo
from cnnlab.files.png import PngImage
from cnnlab.geometry.letterbox import place_strip, strip_canvas
from cnnlab.metrics.calibration import errors as calibration
from cnnlab.metrics.selective import risk_at_coverage, risk_coverage
from cnnlab.metrics.sequence import edits, string_scores
from cnnlab.plots.overlay import draw_reading
from cnnlab.plots.readings import Reading, readings
from cnnlab.plots.reliability import reliability_diagram
from cnnlab.plots.risk_coverage import risk_coverage_curves
from cnnlab.tasks import sequence_decoding as decoding
from cnnlab.tasks.sequence_automaton import Automaton, automaton
from cnnlab.tasks.task import Batch, Outputs, Prediction, Record, Rows, Task

BINS = 15
COVERAGE = 0.9
_DRAWN = 12  # strips in the figure `readings`
_DOUBTS = ("entropy", "mutual_information")


@dataclasses.dataclass(frozen=True)
class Sequence(Task):
    """A task that reads the string on a strip, of any length, without knowing where its characters are.

    It reads the column `text` `[B, N]` of indices into the alphabet, -1 = padding. Logits are `[B, T, K + 1]` for T
    frames and K characters; the last symbol is the blank. The loss is connectionist temporal classification (Graves et
    al., ICML 2006).

    `link` returns `probs` `[B, T, K + 1]`, a distribution for each frame. Their mean over passes is again one, and the
    string is decoded once, from the mean: its probability is that under the mean of the frames, which does not know
    that a pass moves several frames together. A mean of the strings' probabilities would need the same string in every
    pass. `decode` returns `text` `[B, T]`, -1 = padding; `confidence` `[B]`, the probability of the string, a sum over
    all paths; and, for each character, `start` and `end` `[B, T]`, its frames on the most probable path, and
    `character_confidence` `[B, T]`, the largest probability that one of these frames gives it.

    Attributes:
      alphabet: the characters, in the order of the logits; `auto` takes the data's classes.
      decoder: `greedy` takes the most probable symbol of each frame; `beam` searches the most probable string. A
        pattern or a lexicon always needs `beam`.
      beams: number of prefixes that `beam` keeps after each frame.
      pattern: regular expression of the strings that are allowed, such as `[0-9]{4}`; see `sequence_automaton`. The
        confidence is then relative to all allowed strings.
      lexicon: strings that are allowed; with a pattern, those of them that match it.
    """

    alphabet: Literal["auto"] | tuple[str, ...] = "auto"
    decoder: Literal["greedy", "beam"] = "greedy"
    beams: int = 16
    pattern: str | None = None
    lexicon: tuple[str, ...] = ()

    logits = "time"
    noun = "character"
    columns = ("text",)
    monitor = "cer"
    example_score = "edits"
    predict_options = ("lexicon", "pattern")

    def __post_init__(self):
        check_known("decoder", self.decoder, ("greedy", "beam"))
        if not 1 <= self.beams <= 1000:
            raise ValueError(f"beams must lie in 1..1000, found {self.beams}")

    def resolve(self, dataset: Dataset) -> Sequence:
        if not (classes := dataset.spec.classes):
            raise ValueError(f"{dataset.name} names no characters; give them as its classes")
        if self.alphabet not in ("auto", classes):
            raise ValueError(f"alphabet must be that of {dataset.name}, {''.join(classes)!r}, found {self.alphabet}")
        resolved = dataclasses.replace(self, alphabet=tuple(classes))
        resolved._allowed()  # raises the errors of a pattern or a lexicon
        return resolved

    def restrict(self, *, pattern: str | None = None, lexicon: tuple[str, ...] = ()) -> Sequence:
        restricted = dataclasses.replace(self, pattern=pattern or self.pattern, lexicon=lexicon or self.lexicon)
        restricted._allowed()
        return restricted

    def remarks(self, dataset: Dataset, shape: tuple[int, ...]) -> list[str]:
        text, frames = np.asarray(dataset["train"].column("text")), shape[1]
        longer = int((losses.needed_frames(text) > frames).sum())
        if longer == len(text):
            raise ValueError(
                f"no training string of {dataset.name} fits the {frames} frames of the network; take wider images "
                "(--data.size) or a network with more frames"
            )
        out = []
        if longer:
            out.append(
                f"{longer:,} of {len(text):,} training strings are not learnt: they need more than the {frames} frames "
                "of the network (one a character, and one between two equal ones); take wider images (--data.size)"
            )
        if unseen := sorted(set(range(len(dataset.spec.classes))) - set(np.unique(text).tolist())):
            names = " ".join(dataset.spec.classes[i] for i in unseen)
            out.append(f"no training string has the characters {names}, so the network cannot learn them")
        return out

    def head(self, spec: InputSpec) -> int:
        return len(spec.classes) + 1

    def loss(self, logits: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        feasible = losses.needed_frames(batch["text"]) <= logits.shape[1]
        return losses.ctc(logits, batch["text"], infeasible="zero"), feasible.astype(jnp.float32)

    def link(self, logits: jax.Array) -> Outputs:
        return {"probs": jax.nn.softmax(logits)}

    def decode(self, outputs: Outputs) -> Prediction:
        probs = outputs["probs"]
        blank, allowed = probs.shape[-1] - 1, self._allowed()
        if allowed is None and self.decoder == "greedy":
            text = decoding.greedy(probs, blank=blank)
        else:
            table = {} if allowed is None else allowed._asdict()
            text, confidence = decoding.prefix_beam(probs, blank=blank, beams=self.beams, **table)
        if allowed is None:  # all paths, also those that the search dropped
            confidence = decoding.string_probability(probs, text, blank=blank)
        spans = decoding.align(probs, text, blank=blank)
        return Prediction(
            outputs,
            text=text,
            confidence=confidence,
            start=spans.start,
            end=spans.end,
            character_confidence=spans.confidence,
        )

    def rows(self, outputs: Outputs, batch: Batch) -> Rows:
        prediction = self.decode(outputs)
        names = ("confidence", "start", "end", "character_confidence")
        return {"truth": batch["text"], "text": prediction.text} | {name: prediction[name] for name in names}

    def summary(self, rows: abc.Mapping[str, np.ndarray]) -> dict[str, float]:
        """Computes `cer`, `wer`, `exact`, `risk_at_90`, and the strings' `ece` with its `ece_floor`.

        `cer` and `wer` are the edits of characters and of words, divided by their true number. `exact` is the share of
        strings without an error. `risk_at_90` is the share of strings with an error among the most confident 90 %.
        """
        predicted, true, confidence, correct = self._strings(rows)
        return string_scores(predicted, true) | {
            "risk_at_90": risk_at_coverage(confidence, correct, COVERAGE),
            "ece": calibration.expected_calibration_error(confidence, correct, BINS),
            "ece_floor": calibration.ece_floor(confidence, BINS),
        }

    def details(self, rows: abc.Mapping[str, np.ndarray]) -> dict:
        """Returns the ends `ece_low` and `ece_high` of the ECE's 95 % interval, and the table `edits`.

        `edits` counts the characters that were `substituted`, `inserted` and `deleted`.
        """
        predicted, true, confidence, correct = self._strings(rows)
        ece = calibration.ece_estimate(confidence, correct, BINS)
        each = np.array([edits(p, t) for p, t in zip(predicted, true, strict=True)]).sum(0)
        counts = dict(zip(("substituted", "inserted", "deleted"), each.tolist(), strict=True))
        return {"ece_low": ece.low, "ece_high": ece.high, "edits": counts}

    def verdict(self, report: abc.Mapping[str, Any]) -> str:
        """Says the share of strings without an error and of wrong characters, and how far off the confidence is."""
        read = f"reads {100 * report['exact']:.1f} % of the strings without an error, CER {100 * report['cer']:.2f} %"
        if "ece_low" not in report:
            return read
        if report["ece_low"] == 0:
            return f"{read}; well calibrated as far as {report['examples']:,} strings can tell"
        return f"{read}; its confidence is off by {100 * report['ece']:.1f} points on average"

    def per_example(self, rows: abc.Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns truth and prediction, whether they are equal, the number of `edits`, and the confidence."""
        predicted, true, confidence, correct = self._strings(rows)
        wrong = np.array([sum(edits(p, t)) for p, t in zip(predicted, true, strict=True)])
        table = {"truth": np.array(true, object), "prediction": np.array(predicted, object)}
        return table | {"correct": correct, "edits": wrong, "confidence": confidence}

    def figures(self, rows: abc.Mapping[str, np.ndarray]) -> dict:
        """Draws the reliability of whole strings, their risk against coverage, and some strips with their alignment.

        The most confident mistakes come first, then the least confident strings.
        """
        predicted, true, confidence, correct = self._strings(rows)
        ece = calibration.ece_estimate(confidence, correct, BINS)
        bins, curve = calibration.reliability(confidence, correct, BINS), risk_coverage(confidence, correct)
        order = np.argsort(np.where(correct, 2 + confidence, 1 - confidence), kind="stable")[:_DRAWN]
        frames = rows["text"].shape[1]
        drawn = []
        for i in order:
            image, n = rows["image"][i], len(predicted[i])
            columns = (np.asarray(rows[name][i])[:n] * image.shape[1] / frames for name in ("start", "end"))
            spans = list(zip(predicted[i], *columns, rows["character_confidence"][i][:n], strict=True))
            drawn.append(Reading(image, spans, true[i], float(confidence[i])))
        title = f"{(~correct).sum():,} of {len(correct):,} strings wrong"
        return {
            "reliability": reliability_diagram(bins, ece.value, ece.floor, interval=(ece.low, ece.high)),
            "risk_coverage": risk_coverage_curves({"confidence": curve}, coverage=COVERAGE),
            "readings": readings(drawn, title=title),
        }

    def record(self, prediction: Prediction, spec: InputSpec, photo: Photo) -> list[Record]:
        """Returns one record: the string, its confidence, and each character with its confidence and columns.

        `left` and `right` are columns of the photo, in pixels. Over several passes `entropy` and `mutual_information`
        are means over the frames, in nats.
        """
        text, start, end, sure = (
            np.asarray(prediction[name]) for name in ("text", "start", "end", "character_confidence")
        )
        canvas = strip_canvas(photo.size, spec.size)
        scale = canvas[1] / len(text) * photo.size[1] / place_strip(photo.size, canvas).width
        characters = [
            {
                "character": spec.classes[text[i]],
                "confidence": float(sure[i]),
                "left": float(min(start[i] * scale, photo.size[1])),
                "right": float(min(end[i] * scale, photo.size[1])),
            }
            for i in np.flatnonzero(text >= 0)
        ]
        out: Record = {"file": str(photo.path), "text": "".join(each["character"] for each in characters)}
        out |= {"confidence": float(prediction["confidence"]), "characters": characters}
        out |= {name: float(np.mean(prediction[name])) for name in _DOUBTS if name in prediction}
        of_passes = [name for name in ("standard_error", "num_samples") if name in prediction]
        return [out | {name: np.asarray(prediction[name]).item() for name in of_passes}]

    def line(self, record: Record) -> Record:
        """Returns the record with the confidences of the characters in place of the characters."""
        return record | {"characters": [each["confidence"] for each in record["characters"]]}

    def draw(self, prediction: Prediction, spec: InputSpec, photo: Photo) -> dict[str, PngImage]:
        """Returns the drawing `reading`: the strip, and under it each character below its columns."""
        (record,) = self.record(prediction, spec, photo)
        return {"reading": PngImage(draw_reading(photo.pixels, record), fits=False)}

    def _allowed(self) -> Automaton | None:
        """Returns the automaton of the allowed strings; None if all are."""
        if self.pattern is None and not self.lexicon:
            return None
        if self.alphabet == "auto":
            raise ValueError("alphabet is still 'auto'; set it, or train by cnnlab.train, which takes the data's")
        return automaton(self.alphabet, pattern=self.pattern, lexicon=self.lexicon)

    def _strings(self, rows: abc.Mapping[str, np.ndarray]) -> tuple[list[str], list[str], np.ndarray, np.ndarray]:
        """Returns predicted and true strings, the confidences `[n]`, and which strings are equal `[n]`."""
        names = rows["class_names"] if self.alphabet == "auto" else self.alphabet
        predicted, true = (
            ["".join(names[i] for i in row if i >= 0) for row in np.asarray(rows[column])]
            for column in ("text", "truth")
        )
        correct = np.array([p == t for p, t in zip(predicted, true, strict=True)], bool)
        return predicted, true, np.asarray(rows["confidence"], np.float64), correct
