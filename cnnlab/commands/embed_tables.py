"""What a network predicts for the images that `cnnlab embed` maps, by which they are coloured."""

from collections.abc import Mapping, Sequence

import jax
import numpy as np

from cnnlab.commands.embed_inputs import Part
from cnnlab.evaluation.per_example import Table, example_table
from cnnlab.evaluation.rows import UNCERTAINTY, row_function
from cnnlab.tasks.task import complete
from cnnlab.trained import Trained, evaluation_rows, predict
from cnnlab.uncertainty.dropout import require_dropout
from cnnlab.uncertainty.monte_carlo import mc_predict

_BATCH = 256
_COLOURS = {"truth": "class", "correct": "right or wrong", "probability": "confidence"}
_NO_COLOURS = ("file", "index", "split", "num_samples", "standard_error")


def predictions(trained: Trained, part: Part, *, mc: int | None, seed: int) -> tuple[Table, np.ndarray | None]:
    """Returns a table with one row per image, and the probabilities `[n, K]` of a network that predicts one class.

    The columns are those of the task, with `entropy` and `mutual_information` over MC-Dropout passes; of images without
    labels only those that need no truth.

    Args:
      trained: the network.
      part: the images.
      mc: number of MC-Dropout passes; None for one pass with dropout off.
      seed: seed of the dropout masks.
    """
    decides = complete(trained.task).decides
    if part.labelled:
        size = min(_BATCH, len(part.examples))
        rows = row_function([trained], mc_samples=mc, seed=seed, batch_size=size)(part.examples)
        table = example_table(trained.task, rows, part.dataset, part.split)
        numbers = {"index": part.numbers} if "index" in table else {}
        return table | numbers, rows["probs"] if decides else None
    rows = _unlabelled(trained, part, mc, seed)
    table = {"file": part.examples.files, "split": np.full(len(part.examples), part.split, object)}
    values = rows.pop("value", np.zeros((0, 0)))
    if values.shape == (len(part.examples), len(trained.spec.classes)):
        table |= {f"prediction.{name}": values[:, i] for i, name in enumerate(trained.spec.classes)}
    if not decides:
        return table | rows, None
    probs = rows.pop("probs")
    guess = np.array(trained.spec.classes, object)[probs.argmax(-1)]
    return table | {"prediction": guess, "probability": probs.max(-1)} | rows, probs


def joined(tables: Sequence[Table]) -> Table:
    """Returns the rows of several tables below each other, in the columns that all have."""
    return {
        name: np.concatenate([table[name] for table in tables]) for name in tables[0] if all(name in t for t in tables)
    }


def colours(table: Mapping[str, np.ndarray], *, several: bool) -> dict[str, Sequence[str] | np.ndarray]:
    """Returns what images can be coloured by: texts `[N]` or numbers `[N]`, NaN where unknown.

    Args:
      table: the columns.
      several: whether there are several splits, which then have colours too.
    """
    out = {}
    for name, column in table.items():
        if name in _NO_COLOURS and not (name == "split" and several):
            continue
        title = _COLOURS.get(name, name.replace("_", " "))
        if column.dtype == bool:
            out[title] = ["right" if each else "wrong" for each in column]
        elif column.dtype == object:
            out[title] = [str(each) for each in column]
        else:
            out[title] = np.asarray(column, np.float64)
    return dict(sorted(out.items(), key=lambda item: item[0] == "split"))


def _unlabelled(trained: Trained, part: Part, mc: int | None, seed: int) -> dict[str, np.ndarray]:
    """Computes probabilities `[n, K]` or values `[n, d]`, and the mean uncertainty over passes, of each image."""
    wanted = (*(["probs"] if complete(trained.task).decides else []), "value", *UNCERTAINTY)
    if mc is not None:
        shape = jax.ShapeDtypeStruct((1, *trained.spec.shape), np.float32)
        require_dropout(trained.network, trained.variables, shape)

    def rows(trained: Trained, batch: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        images = np.asarray(batch["image"])
        if mc is None:
            found = predict(trained, images)
        else:
            found = mc_predict(trained, images, key=jax.random.key(seed), num_samples=mc)
        return {name: found[name] for name in wanted if name in found}

    columns = evaluation_rows(trained, part.examples, batch_size=min(_BATCH, len(part.examples)), rows=rows)
    doubts = {name: columns[name].reshape(len(part.examples), -1).mean(1) for name in UNCERTAINTY if name in columns}
    return {name: columns[name] for name in ("probs", "value") if name in columns} | doubts
