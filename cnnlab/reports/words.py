"""Says in words what was trained on what, and how."""

from collections.abc import Mapping
from typing import Any

from cnnlab.metrics.names import title
from cnnlab.metrics.tables import cell
from cnnlab.quoting import counted, cut
from cnnlab.reports.measure import Story
from cnnlab.tasks.task import complete, task_name
from cnnlab.training.run import flat

_NAMES = 200  # letters of the classes in a sentence


def name_of(story: Story) -> str:
    """Returns what a run is in a few words: network, data and task."""
    return f"{type(story.trained.network).__name__} on {story.config['data']['name']}"


def what(story: Story, parameters: int) -> str:
    """Says which network learnt what from which data."""
    spec, sizes = story.trained.spec, story.config["data"]["sizes"]
    task = complete(story.trained.task)
    kind = "signal" if spec.values == "signal" else "image"
    size = "×".join(map(str, spec.shape))
    return (
        f"{type(story.trained.network).__name__}, a network of {parameters:,} parameters, learnt "
        f"{task_name(story.trained.task)} of {counted(len(spec.classes), task.noun)} "
        f"({cut(', '.join(spec.classes), _NAMES)}) from {counted(sizes['train'], kind)} of {size} of the data "
        f"{story.config['data']['name']}."
    )


def how(story: Story) -> str:
    """Says how it was trained, and which step the report is about."""
    training, optimizer = story.experiment.training, story.experiment.optimizer
    monitor, best = story.config["monitor"]["metric"], story.best
    rate = f"a learning rate of {optimizer.learning_rate:g} ({optimizer.schedule})"
    text = (
        f"It was trained by {optimizer.name} with {rate} on batches of {training.batch_size}, for "
        f"{counted(len(story.history), 'epoch')}{_time(story)}."
    )
    changes = flat(story.config["experiment"]["training"]["augmentation"])
    active = [f"{name.replace('_', ' ')} {value:g}" for name, value in changes.items() if _changes(name, value)]
    text += f" The training images were changed at random: {', '.join(active)}." if active else ""
    if best:
        value = cell(monitor, best[f"validation_{monitor}"])
        text += (
            f" This report is about epoch {best['epoch']:.0f}, whose {title(monitor)} on the validation split was the "
            f"best: {value}."
        )
    return text


def unfinished(story: Story) -> str:
    """Says that a training ended before its last epoch; an empty text if it did not."""
    done, planned = len(story.history), story.experiment.training.epochs
    if done >= planned:
        return ""
    if story.experiment.training.patience is not None:
        return f"Training ended after epoch {done} of at most {planned}."
    return f"Training was interrupted after epoch {done} of {planned}: cnnlab train --resume {story.run} continues it."


def beyond_settings(story: Story) -> list[str]:
    """Returns sentences on what made a run beside its settings: the caller's own functions, and initial parameters."""
    hooks = {name: value for name, value in story.config.get("hooks", {}).items() if value and name != "callbacks"}
    shown = [f"{name} {', '.join(value) if isinstance(value, list) else value}" for name, value in hooks.items()]
    sentences = [f"{story.run} was trained with functions of your own ({'; '.join(shown)}): pass them to cnnlab.train."]
    start = story.config.get("init_from")
    return sentences * bool(shown) + [f"{story.run} began from {start}: add --init-from."] * bool(start)


def settings(story: Story) -> dict[str, str]:
    """Returns all settings of a run by their dotted names, as text."""
    return {name: _setting(value) for name, value in flat(story.config["experiment"]).items()}


def facts_of(report: Mapping[str, Any], monitor: str) -> tuple[tuple[str, str], ...]:
    """Returns the first numbers of a report, the monitored one among them, by their titles."""
    numbers = [name for name, value in report.items() if isinstance(value, float) and not _is_end(name, report)]
    chosen = sorted(numbers, key=lambda name: name != monitor)[:4]
    return tuple((title(name), cell(name, report[name])) for name in numbers if name in chosen)


def _time(story: Story) -> str:
    seconds = sum(row.get("seconds", 0.0) for row in story.history)
    return f" in {duration(seconds)}" if seconds > 0 else ""


def duration(seconds: float) -> str:
    """Returns a time in its usual unit.

    >>> duration(0.25), duration(90), duration(7300)
    ('0.25 s', '1.5 minutes', '2.0 hours')
    """
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} minutes" if seconds < 3600 else f"{seconds / 3600:.1f} hours"


def _changes(name: str, value: Any) -> bool:
    return bool(value) and not isinstance(value, str) and name != "min_visible"


def _setting(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _is_end(name: str, report: Mapping[str, Any]) -> bool:
    whole, _, ending = name.rpartition("_")
    return ending in ("low", "high", "floor") and whole in report
