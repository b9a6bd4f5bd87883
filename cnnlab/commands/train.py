"""Train a network: cnnlab train [PRESET] [--model.name ...] [--data.name ...] [--run-dir RUN]."""

import dataclasses
from collections.abc import Sequence

from rich.console import Console

from cnnlab.commands.common import Misuse, print_json, print_report
from cnnlab.commands.options import Wanted, parse_experiment
from cnnlab.training.experiment import Experiment


def run(arguments: Sequence[str]) -> None:
    """Trains, evaluates on the test split, draws the pictures and tells the next commands."""
    try:
        experiment, wanted = parse_experiment(arguments)
    except ValueError as error:
        raise Misuse(str(error)) from error
    from cnnlab.evaluation import evaluate, pictures
    from cnnlab.training.loop import train_plan
    from cnnlab.training.plan import plan
    from cnnlab.uncertainty.dropout import has_dropout

    if experiment.training.seeds > 1:
        _over_seeds(experiment, wanted)
        return
    run_dir, figures = wanted.run_dir, wanted.run_dir / "figures"
    made = plan(experiment)
    trained = train_plan(made, run_dir, init_from=wanted.init_from)
    report = evaluate(trained, made.dataset, figures=figures)
    pictures.training_curves(run_dir, figures)
    pictures.augmentation_sheet(made.experiment, made.dataset, figures)
    example = pictures.save_example(made.dataset, run_dir / "example.png")
    if wanted.json:
        print_json(report)
        return
    print_report(report, "test split")
    passes = " --mc 50" if has_dropout(trained) else ""
    out = Console(highlight=False, soft_wrap=True)
    out.print(f"\ncheckpoint  {run_dir}")
    out.print(f"pictures    {', '.join(str(path) for path in sorted(figures.glob('*.png')))}")
    out.print(f"next        cnnlab evaluate {run_dir}{passes}")
    out.print(f"            cnnlab predict {run_dir} {example}{passes}")
    out.print("            cnnlab list")


def _over_seeds(experiment: Experiment, wanted: Wanted) -> None:
    """Trains once a seed, and prints mean and standard deviation of every test metric."""
    import numpy as np

    import cnnlab
    from cnnlab.evaluation.pictures import save_example
    from cnnlab.training.plan import plan

    if wanted.init_from is not None:
        raise Misuse("--init-from is for one seed; leave --training.seeds out")
    trained = cnnlab.train_seeds(experiment, wanted.run_dir)
    single = dataclasses.replace(experiment, training=dataclasses.replace(experiment.training, seeds=1))
    dataset = plan(single).dataset
    reports = [cnnlab.evaluate(one, dataset) for one in trained]
    table = {name: np.array([report[name] for report in reports]) for name in reports[0] if name != "examples"}
    if wanted.json:
        mean = {name: float(values.mean()) for name, values in table.items()}
        spread = {f"{name}_sd": float(values.std(ddof=1)) for name, values in table.items()}
        print_json(mean | spread | {"seeds": len(trained), "examples": reports[0]["examples"]})
        return
    out = Console(highlight=False, soft_wrap=True)
    out.print(f"test split, {len(trained)} seeds, mean ± standard deviation")
    for name, values in table.items():
        out.print(f"{name.replace('_', ' '):18} {values.mean():.4f} ± {values.std(ddof=1):.4f}")
    example = save_example(dataset, wanted.run_dir / f"seed{experiment.seed}" / "example.png")
    out.print(f"\ncheckpoints {wanted.run_dir}/seed{experiment.seed} ... seed{experiment.seed + len(trained) - 1}")
    out.print(f"next        cnnlab evaluate {wanted.run_dir}/seed*   (their mean, as an ensemble)")
    out.print(f"            cnnlab predict {wanted.run_dir}/seed* {example}")
