"""Train a network: cnnlab train [PRESET] [--model.name ...] [--data.name ...] [--run-dir RUN]."""

from collections.abc import Sequence

from rich.console import Console

from cnnlab.commands.common import Misuse, print_json, print_report
from cnnlab.commands.options import parse_experiment


def run(arguments: Sequence[str]) -> None:
    """Trains, evaluates on the test split, draws the pictures and tells the next commands."""
    try:
        experiment, wanted = parse_experiment(arguments)
    except ValueError as error:
        raise Misuse(str(error)) from error
    from cnnlab import evaluation, pictures
    from cnnlab.training.loop import train_plan
    from cnnlab.training.plan import plan
    from cnnlab.uncertainty.dropout import has_dropout

    run_dir, figures = wanted.run_dir, wanted.run_dir / "figures"
    made = plan(experiment)
    trained = train_plan(made, run_dir, init_from=wanted.init_from)
    report = evaluation.evaluate(trained, made.dataset, figures=figures)
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
