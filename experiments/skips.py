"""What skip connections do to gradients: the gradient's norm in every layer over training, with and without skips.

    cnnlab data prepare fashion_mnist
    python experiments/skips.py [--seeds 3] [--steps 150] [--output runs/skips] [--record]

The lecture says that residual connections mitigate vanishing gradients. The script trains ResNet-56 on Fashion-MNIST
with and without the shortcuts of its blocks (He et al. 2016 call the latter plain networks) and U-Net without batch
norm on drawn shapes with and without the skips across. At every step it stores the norm of the loss's gradient by each
layer's kernel. The figure shows the norms by depth at the start, in the middle and at the end of training, and the
training loss.

With batch norm the gradients of a plain ResNet do not vanish: they explode towards the image, and it hardly learns.
U-Net's skips carry the gradient past the bottleneck.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from results import OFF, Options
from study import Table, show

import cnnlab
from cnnlab.data import training_batches
from cnnlab.plots.canvas import new_figure
from cnnlab.runtime.compile_cache import keep_compilations
from cnnlab.training.loop import prepare_batch
from cnnlab.training.plan import Plan, make_plan
from cnnlab.training.step import State, create_state, train_step

AUGMENTATION = cnnlab.data.Augmentation()
TRAINING = cnnlab.Training(batch_size=32)
FASHION = cnnlab.Experiment(data=cnnlab.Choice("fashion_mnist"), training=TRAINING)
SHAPES = cnnlab.Experiment(
    data=cnnlab.Choice("shapes", annotation="mask", size=64), task=cnnlab.Choice("segmentation"), training=TRAINING
)
UNET = cnnlab.Choice("unet", width=8, norm=False, up="transposed")
NETWORKS = {
    "ResNet-56": (FASHION, cnnlab.Choice("resnet56"), {"shortcut": "none"}),
    "U-Net": (SHAPES, UNET, {"skip": "none"}),
}
"""The experiment, the network with skips, and the option that removes them."""

COLOURS = {"with skips": "tab:blue", "without": "tab:orange"}


def norms_of_gradients() -> optax.GradientTransformation:
    """Creates a transformation that changes no gradient and whose state is the norm of every parameter's gradient."""

    def norms(tree: Any) -> Any:
        return jax.tree.map(jnp.linalg.norm, tree)

    return optax.GradientTransformation(norms, lambda gradients, state, params=None: (gradients, norms(gradients)))


def steps_of(plan: Plan, steps: int) -> Iterator[tuple[float, Any]]:
    """Trains for some steps; yields the loss and the tree of gradient norms of each."""
    optimizer = optax.chain(norms_of_gradients(), plan.optimizer())
    spec = plan.dataset.spec

    @cnnlab.jit(donate_argnums=0)
    def step(state: State, batch: dict[str, jax.Array]) -> tuple[State, dict[str, jax.Array]]:
        options = {"network": plan.network, "task": plan.task, "optimizer": optimizer, "key": plan.key}
        return train_step(
            state, batch, prepare=lambda b, key: prepare_batch(b, key, spec=spec, augmentation=AUGMENTATION), **options
        )

    state, epoch = None, 0
    while True:
        order = {"batch_size": plan.training.batch_size, "seed": plan.experiment.seed, "epoch": epoch}
        for batch in training_batches(plan.dataset["train"], **order):
            if state is None:
                state = create_state(plan.network, optimizer, batch["image"], plan.key)
            if (done := int(state.step)) == steps:
                return
            state, metrics = step(state, batch)
            if done % 50 == 0:
                print(f"  step {done} of {steps}, loss {float(metrics['loss']):.3f}", flush=True)
            yield float(metrics["loss"]), jax.device_get(state.optimizer[0])
        epoch += 1


def measure(plan: Plan, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the losses `[steps]` and the kernels' gradient norms `[steps, layers]`, in the order of the pass."""
    rows = cnnlab.summary(plan.network, plan.dataset.spec.shape).rows
    names = [row.name for row in rows if row.kernel and row.parameters and "shortcut" not in row.name]
    losses, norms = zip(*steps_of(plan, steps), strict=True)
    return np.array(losses), np.array([[_kernel(tree, name) for name in names] for tree in norms])


def _kernel(tree: Any, name: str) -> float:
    for part in name.split("/"):
        tree = tree[part]
    return float(tree["kernel"])


def draw(curves: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]], output: Path) -> None:
    """Draws the norms by depth at three times and the losses; bands reach from the least to the largest seed."""
    figure, axes = new_figure(len(curves), 4, size=(15, 3.6 * len(curves)))
    for row, (network, kinds) in zip(axes, curves.items(), strict=True):
        steps = next(iter(kinds.values()))[0].shape[1]
        for kind, (losses, norms) in kinds.items():
            window = max(1, steps // 10)
            for axis, start, when in zip(row, (0, (steps - window) // 2, steps - window), TIMES, strict=False):
                band(axis, np.median(norms[:, start : start + window], 1), kind, first=1)
                axis.set(title=f"{network}, {when}", xlabel="layer, from the image on", yscale="log")
            smooth = losses[:, : steps // window * window].reshape(len(losses), -1, window).mean(-1)
            places = window * (np.arange(smooth.shape[1]) + 0.5)
            row[3].plot(places, smooth.mean(0), color=COLOURS[kind], label=kind)
            row[3].fill_between(places, smooth.min(0), smooth.max(0), color=COLOURS[kind], alpha=0.2)
            row[3].set(title=f"{network}, training loss", xlabel="step")
        row[0].set_ylabel("gradient norm of the kernel")
        row[3].legend()
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "skips.png")
    print(output / "skips.png")


TIMES = ("at the start", "halfway", "at the end")


def band(axis: Any, values: np.ndarray, kind: str, *, first: int) -> None:
    """Draws the geometric mean over seeds of values `[seeds, n]`, and the range of the seeds."""
    places, values = first + np.arange(values.shape[1]), np.maximum(values, 1e-12)
    axis.plot(places, np.exp(np.log(values).mean(0)), color=COLOURS[kind], label=kind)
    axis.fill_between(places, values.min(0), values.max(0), color=COLOURS[kind], alpha=0.2)


def main(
    seeds: int = 3,
    steps: int = 150,
    output: Path = Path("runs/skips"),
    networks: tuple[str, ...] = tuple(NETWORKS),
    data: str | None = None,
    recording: Options = OFF,
) -> dict[tuple[str, str], Table]:
    """Trains each network with and without skips, draws the gradient norms, and prints how far they fall with depth.

    Args:
        seeds: number of seeds of initialisation and order.
        steps: number of training steps.
        output: directory of the figure.
        networks: names of the networks.
        data: another data set for the classification, such as the embedded digits for a test.
        recording: whether the results are stored.
    """
    keep_compilations()
    curves, tables = {}, {}
    for network in networks:
        experiment, model, removal = NETWORKS[network]
        if data is not None and experiment is FASHION:
            experiment = dataclasses.replace(experiment, data=cnnlab.Choice(data))
        curves[network] = {}
        for kind, choice in {"with skips": model, "without": model.replace(**removal)}.items():
            print(f"{network}, {kind}", flush=True)
            plans = [make_plan(dataclasses.replace(experiment, model=choice, seed=seed)) for seed in range(seeds)]
            losses, norms = (np.stack(each) for each in zip(*(measure(plan, steps) for plan in plans), strict=True))
            curves[network][kind] = losses, norms
            last = max(1, steps // 10)
            tables[network, kind] = {
                "first layer's gradient norm, at the start": np.median(norms[:, :last, 0], 1),
                "first layer's gradient norm, at the end": np.median(norms[:, -last:, 0], 1),
                "largest by smallest norm, at the start": _range(norms[:, :last]),
                "largest by smallest norm, at the end": _range(norms[:, -last:]),
                "training loss": losses[:, -last:].mean(1),
            }
            show(f"{network}, {kind}", tables[network, kind], recording, group="features")
    draw(curves, output)
    return tables


def _range(norms: np.ndarray) -> np.ndarray:
    """Returns the ratio of the largest to the smallest layer's norm `[seeds]`, from norms `[seeds, steps, layers]`."""
    medians = np.median(norms, 1)
    return medians.max(1) / np.maximum(medians.min(1), 1e-12)


if __name__ == "__main__":
    tyro.cli(main)
