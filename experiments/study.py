"""What the experiments share: one experiment over seeds, and its table."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

import cnnlab
from cnnlab.training.loop import train_plan
from cnnlab.training.plan import make_plan
from cnnlab.uncertainty.dropout import has_dropout

Table = dict[str, np.ndarray]


def over_seeds(
    experiment: cnnlab.Experiment,
    runs: Path,
    *,
    seeds: int,
    epochs: int | None = None,
    mc_samples: int = 50,
    vary: Callable[[cnnlab.Experiment, int], cnnlab.Experiment] | None = None,
    calibrate: str | None = None,
    views: str | None = None,
) -> Table:
    """Trains once a seed and measures the test split once, in one pass and over many where there is dropout.

    Args:
      experiment: what is trained.
      runs: where the run directories go; a finished one is not trained again.
      seeds: how many: 0, 1, ...
      epochs: fewer, for a test; the experiment's if left out.
      mc_samples: stochastic passes.
      vary: what else a seed changes.
      calibrate: the map of `cnnlab.evaluate`, fitted on the validation split anew for each way to answer.
      views: of `cnnlab.evaluate`, averaged in a third way to answer.

    Returns:
      One array `[seeds]` a metric.
    """
    if epochs is not None:
        experiment = dataclasses.replace(experiment, training=dataclasses.replace(experiment.training, epochs=epochs))
    rows = []
    for seed in range(seeds):
        one = dataclasses.replace(experiment, seed=seed)
        plan = make_plan(vary(one, seed) if vary else one)
        started = time.perf_counter()
        trained = train_plan(plan, runs / f"seed{seed}")
        row = {"train seconds": time.perf_counter() - started} | cnnlab.evaluate(
            trained, plan.dataset, calibrate=calibrate
        )
        if has_dropout(trained):
            many = cnnlab.evaluate(trained, plan.dataset, mc_samples=mc_samples, calibrate=calibrate)
            row |= {f"MC {name}": value for name, value in many.items() if name != "examples"}
        if views is not None:
            mean = cnnlab.evaluate(trained, plan.dataset, views=views)
            row |= {f"{views} {name}": value for name, value in mean.items() if name != "examples"}
        rows.append(row)
    names = [name for name in rows[0] if all(name in row for row in rows)]  # some need a wrong answer
    return {name: np.array([row[name] for row in rows]) for name in names}


def study(title: str, experiment: cnnlab.Experiment, *, runs: str, views: str | None = None) -> Callable[..., Table]:
    """The command of a script with nothing to choose but seeds."""

    def main(seeds: int = 3, runs: Path = Path(runs), epochs: int | None = None) -> Table:
        """Trains once a seed and prints every metric.

        Args:
            seeds: of initialisation, order, augmentation and dropout.
            runs: where the run directories go.
            epochs: fewer, for a test.
        """
        table = over_seeds(experiment, runs, seeds=seeds, epochs=epochs, views=views)
        show(title, table)
        return table

    return main


def mc_study(title: str, experiments: Mapping[str, cnnlab.Experiment], *, runs: str) -> Callable[..., dict[str, Table]]:
    """The command of a script that compares networks by what MC-Dropout and a temperature make of their doubt."""

    def main(seeds: int = 5, runs: Path = Path(runs), epochs: int | None = None, samples: int = 50) -> dict[str, Table]:
        """Trains each once a seed and prints accuracy, NLL and ECE in one pass and over many, each also calibrated.

        Args:
            seeds: of initialisation, order, augmentation and dropout.
            runs: where the run directories go.
            epochs: fewer, for a test.
            samples: MC-Dropout passes.
        """
        tables = {}
        for name, experiment in experiments.items():
            options = {"seeds": seeds, "epochs": epochs, "mc_samples": samples, "calibrate": "temperature"}
            found = over_seeds(experiment, runs / name, **options)
            ways = ("", "MC ")
            plain = [(f"{way}{score}", f"{way}uncalibrated_{score}") for way in ways for score in ("nll", "ece")]
            chosen = {f"{way}accuracy": found[f"{way}accuracy"] for way in ways}
            chosen |= {told: found.get(key, found[told]) for told, key in plain}
            chosen |= {f"{told} calibrated": found[told] for told, _ in plain}
            chosen |= {f"{way}ece_floor": found[f"{way}ece_floor"] for way in ways}
            tables[name] = chosen
            show(f"{title}, {name}", chosen)
        return tables

    return main


def show(title: str, table: Table) -> None:
    """Prints mean ± standard deviation over runs of every metric; of a single one its value."""
    runs = len(next(iter(table.values())))
    print(f"{title}: {runs} runs, mean ± standard deviation" if runs > 1 else f"{title}: one run")
    for name, values in table.items():
        spread = f" ± {values.std(ddof=1):.4f}" if runs > 1 else ""
        print(f"  {name:32} {values.mean():10.4f}{spread}")
