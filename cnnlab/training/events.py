"""Event files for TensorBoard: the numbers of each epoch as scalars.

They are written whenever the extra `tensorboard` is installed. To install it is the request; an option would be a
setting of every experiment without an effect on its network.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from cnnlab.runtime.devices import is_first_process


@contextlib.contextmanager
def event_writer(directory: Path, step: int) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """Yields a function that writes a row of the history; without the extra `tensorboard` it writes nothing.

    Args:
      directory: directory of the event files; each training adds one.
      step: step at which training begins. TensorBoard forgets later steps of earlier files, which were not saved.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        SummaryWriter = None
    if SummaryWriter is None or not is_first_process():
        yield lambda row: None
        return
    with SummaryWriter(str(directory), purge_step=step + 1) as writer:

        def write(row: Mapping[str, float]) -> None:
            for name in row.keys() - {"epoch", "step"}:
                tag = name.replace("validation_", "validation/") if "validation_" in name else f"training/{name}"
                if math.isfinite(row[name]):
                    writer.add_scalar(tag, row[name], row["step"])
            writer.flush()

        yield write
