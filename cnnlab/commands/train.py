"""Train a network: cnnlab train [PRESET] [--model.name ...] [--data.name ...] [--run-dir RUN]."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from cnnlab.commands import several
from cnnlab.commands.common import Misuse, print_json, print_report
from cnnlab.commands.options import Launch, is_distributed, parse_experiment
from cnnlab.files.figures import write_index
from cnnlab.quoting import for_terminal
from cnnlab.runtime import distributed
from cnnlab.runtime.devices import is_first_process
from cnnlab.training.experiment import Experiment

if TYPE_CHECKING:
    from cnnlab.trained import Trained
    from cnnlab.training.plan import Plan


def run(arguments: Sequence[str]) -> None:
    """Trains a network, evaluates it on the test split, draws figures and prints the next commands.

    If several processes train together, the first one alone does what follows the training.
    """
    with distributed.together(is_distributed(arguments)):
        with distributed.failing_together():
            experiment, launch = _parse(arguments)
        if experiment.training.seeds > 1:
            trained = _train_seeds(experiment, launch)
        else:
            plan, trained = _train(experiment, launch)
    if not is_first_process():
        return
    if experiment.training.seeds > 1:
        _report_seeds(experiment, launch, trained)
    else:
        _report(plan, trained, launch)


def _parse(arguments: Sequence[str]) -> tuple[Experiment, Launch]:
    try:
        return parse_experiment(arguments)
    except ValueError as error:
        raise Misuse(str(error)) from error


def _train(experiment: Experiment, launch: Launch) -> tuple["Plan", "Trained"]:
    from cnnlab.training.loop import train_plan
    from cnnlab.training.plan import make_plan

    with distributed.failing_together():
        plan = make_plan(experiment)
    return plan, train_plan(plan, launch.run_dir, init_from=launch.init_from, verbose=launch.verbose)


def _report(plan: "Plan", trained: "Trained", launch: Launch) -> None:
    """Evaluates a network on the test split, draws figures and prints the next commands."""
    from cnnlab.evaluation import evaluate
    from cnnlab.evaluation import figures as run_figures
    from cnnlab.tasks.task import complete
    from cnnlab.uncertainty.dropout import has_dropout

    run_dir, figures, drawn = launch.run_dir, launch.run_dir / "figures", {"figure_format": launch.figure_format}
    report = evaluate(trained, plan.dataset, figures=figures, details=True, **drawn)
    run_figures.training_curves(run_dir, figures, **drawn)
    run_figures.augmentation_sheet(plan.experiment, plan.dataset, figures, **drawn)
    example = run_figures.save_example(plan.dataset, run_dir / "example.png")
    page = write_index(figures, str(run_dir))
    if launch.json:
        print_json(report)
        return
    verdict = complete(trained.task).verdict(report)
    passes = " --mc 50" if has_dropout(trained) else ""
    out = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    if launch.all:
        print_report(report, "test split", verdict)
        out.print()
    else:
        out.print(f"{for_terminal(verdict)}  ({report['examples']:,} test examples; --all prints all numbers)")
    out.print(f"run      {for_terminal(run_dir)}")
    out.print(f"figures  {for_terminal(page)}")
    out.print(f"next     cnnlab evaluate {for_terminal(run_dir)}{passes}")
    if example is not None:
        out.print(f"         cnnlab predict {for_terminal(run_dir)} {for_terminal(example)}{passes}")
        out.print(f"         cnnlab explain {for_terminal(run_dir)} {for_terminal(example)}")


def _train_seeds(experiment: Experiment, launch: Launch) -> list["Trained"]:
    import cnnlab

    if launch.init_from is not None:
        raise Misuse("--init-from is for one seed; leave --training.seeds out")
    return cnnlab.train_seeds(experiment, launch.run_dir, verbose=launch.verbose)


def _report_seeds(experiment: Experiment, launch: Launch, trained: list["Trained"]) -> None:
    """Evaluates the network of each seed, and prints mean and standard deviation of every test metric."""
    import cnnlab
    from cnnlab.evaluation.figures import save_example
    from cnnlab.training.plan import make_plan

    single = dataclasses.replace(experiment, training=dataclasses.replace(experiment.training, seeds=1))
    dataset = make_plan(single).dataset
    reports = [cnnlab.evaluate(network, dataset) for network in trained]
    names = [f"seed{experiment.seed + i}" for i in range(len(trained))]
    (launch.run_dir / names[0]).mkdir(parents=True, exist_ok=True)  # of runs elsewhere each seed has a copy of its own
    summary = several.write_runs(launch.run_dir, names, reports, figure_format=launch.figure_format)
    if launch.json:
        print_json(several.as_json(names, reports))
        return
    several.print_runs(f"test split, {len(trained)} seeds", names, reports, everything=launch.all)
    example = save_example(dataset, launch.run_dir / names[0] / "example.png")
    out = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    out.print(f"runs     {for_terminal(launch.run_dir)}/{names[0]} ... {names[-1]}")
    out.print(f"summary  {for_terminal(summary)}")
    out.print(f"next     cnnlab evaluate {for_terminal(launch.run_dir)} --ensemble")
    if example is not None:
        out.print(f"         cnnlab predict {for_terminal(launch.run_dir)}/seed* {for_terminal(example)}")
