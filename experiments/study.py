"""What the experiments share: training over several seeds, and the table of results."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from results import OFF, Group, Options, Recording

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
    """Trains one network for each seed and evaluates it on the test split.

    Each network is evaluated in one pass without dropout. If it has dropout, it is also evaluated over MC-Dropout
    passes.

    Args:
      experiment: the experiment to repeat.
      runs: folder of the run directories. A finished run is not trained again.
      seeds: number of seeds: 0, 1, ...
      epochs: number of epochs, in place of the experiment's own.
      mc_samples: number of MC-Dropout passes.
      vary: function that changes more of the experiment for a seed.
      calibrate: calibration method of `cnnlab.evaluate`, fitted on the validation split separately for each evaluation.
      views: views of `cnnlab.evaluate`, averaged in one more evaluation.

    Returns:
      One array `[seeds]` for each metric.
    """
    if epochs is not None:
        experiment = dataclasses.replace(experiment, training=dataclasses.replace(experiment.training, epochs=epochs))
    rows = []
    for seed in range(seeds):
        seeded = dataclasses.replace(experiment, seed=seed)
        plan = make_plan(vary(seeded, seed) if vary else seeded)
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
    names = [name for name in rows[0] if all(name in row for row in rows)]  # some metrics need a wrong prediction
    return {name: np.array([row[name] for row in rows]) for name in names}


def study(
    title: str, experiment: cnnlab.Experiment, *, runs: str, views: str | None = None, group: Group = "classification"
) -> Callable[..., Table]:
    """Returns the `main` of a script that trains one experiment over several seeds."""

    def main(seeds: int = 3, runs: Path = Path(runs), epochs: int | None = None, recording: Options = OFF) -> Table:
        """Trains one network for each seed and prints every metric.

        Args:
            seeds: number of seeds of initialisation, order, augmentation and dropout.
            runs: folder of the run directories.
            epochs: smaller number of epochs, for a test.
            recording: whether the results are stored.
        """
        table = over_seeds(experiment, runs, seeds=seeds, epochs=epochs, views=views)
        show(title, table, recording, group=group)
        return table

    return main


def mc_study(title: str, experiments: Mapping[str, cnnlab.Experiment], *, runs: str) -> Callable[..., dict[str, Table]]:
    """Returns the `main` of a script that compares networks with and without MC-Dropout and temperature scaling."""

    def main(
        seeds: int = 5,
        runs: Path = Path(runs),
        epochs: int | None = None,
        samples: int = 50,
        recording: Options = OFF,
    ) -> dict[str, Table]:
        """Trains each network over several seeds and prints accuracy, NLL and ECE in one pass and over many.

        NLL and ECE are printed before and after calibration by a temperature.

        Args:
            seeds: number of seeds of initialisation, order, augmentation and dropout.
            runs: folder of the run directories.
            epochs: smaller number of epochs, for a test.
            samples: number of MC-Dropout passes.
            recording: whether the results are stored.
        """
        tables = {}
        for name, experiment in experiments.items():
            options = {"seeds": seeds, "epochs": epochs, "mc_samples": samples, "calibrate": "temperature"}
            metrics = over_seeds(experiment, runs / name, **options)
            prefixes = ("", "MC ")
            scores = [
                (f"{prefix}{score}", f"{prefix}uncalibrated_{score}") for prefix in prefixes for score in ("nll", "ece")
            ]
            table = {f"{prefix}accuracy": metrics[f"{prefix}accuracy"] for prefix in prefixes}
            table |= {score: metrics.get(uncalibrated, metrics[score]) for score, uncalibrated in scores}
            table |= {f"{score} calibrated": metrics[score] for score, _ in scores}
            table |= {f"{prefix}ece_floor": metrics[f"{prefix}ece_floor"] for prefix in prefixes}
            tables[name] = table
            show(f"{title}, {name}", table, recording, group="uncertainty")
        return tables

    return main


def show(title: str, table: Mapping[str, Any], recording: Recording = OFF, *, group: Group) -> None:
    """Prints the mean and standard deviation of each metric over the runs, and stores them if asked to.

    Args:
      title: name of the results.
      table: one array `[runs]` for each metric, or a number.
      recording: whether the results are stored.
      group: section of docs/results.md.
    """
    runs = max(np.size(values) for values in table.values())
    print(f"{title}: {runs} runs, mean ± standard deviation" if runs > 1 else f"{title}: one run")
    for name, values in table.items():
        spread = f" ± {np.std(values, ddof=1):.4f}" if runs > 1 else ""
        print(f"  {name:32} {np.mean(values):10.4f}{spread}")
    recording.add(title, {name: np.atleast_1d(values) for name, values in table.items()}, group=group)
