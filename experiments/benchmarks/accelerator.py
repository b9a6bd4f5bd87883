"""Train steps on an accelerator: ResNet-50 in bfloat16, and small networks over images that stay on the device.

    pip install ".[peers]" && python experiments/benchmarks/accelerator.py [--json]

The small networks take `steps` steps a call, as one program (`cnnlab`) or a program and a batch of the host's a step
(`cnnlab sent`); PyTorch's images stay on its device too, and `torch.compile` records its kernels as a CUDA graph. The
large one takes one step a call; PyTorch computes it under bfloat16 autocast, channels last. `ratio` is the best PyTorch
time divided by cnnlab's; products of single precision are TF32's for both where the device has it. `peak_share` is the
rate of multiply-adds (three times those of the forward pass) over that of a product of two bfloat16 matrices.
`seeds_cost` is what so many networks, trained at once as `cnnlab train --training.seeds` does there, take in multiples
of one. Inference is `inference.py`'s, MC-Dropout's cost against T `mc_cost.py`'s.

Not measured yet: no accelerator was at hand.
"""

import functools
from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import tyro
from networks import LARGE, ROWS, Row
from timing import matrix_rate, print_rows, row, take_turns
from train_step import LEARNING_RATE, calls, train_program

import cnnlab
from cnnlab.training.epoch import take_steps

SMALL = ("lenet5", "keras_mnist", "resnet18")
OWN = ("cnnlab", "cnnlab sent", "cnnlab seeds")  # the variants that are no peers


def scanned(one: Row, steps: int, seeds: int | None = None) -> Callable[[], None]:
    """So many steps as one program; of several networks at once, each a step of its own."""
    order = jnp.arange(steps * one.batch).reshape(steps, one.batch)

    def compiler(step: Callable, **options: Any) -> Callable:
        each = step if seeds is None else jax.vmap(step)
        program = cnnlab.jit(functools.partial(take_steps, lambda state, batch, _: each(state, batch)), **options)
        return lambda state, columns: program(state, columns, order, None)

    program, state, columns = train_program(one._replace(batch=steps * one.batch), compiler)
    if seeds is not None:
        order = jnp.stack([order] * seeds, 1)
        state = jax.tree.map(lambda leaf: jnp.stack([leaf] * seeds), state)
    return calls(program, state, columns)


def resident(one: Row) -> Callable[[], None]:
    """One step, its batch on the device."""
    return calls(*train_program(one, cnnlab.jit))


def sent(one: Row, steps: int) -> Callable[[], None]:
    """A program a step, its batch sent to the device."""
    program, state, batch = train_program(one, cnnlab.jit)
    batch = jax.device_get(batch)

    def run() -> None:
        nonlocal state
        for _ in range(steps):
            state, metrics = program(state, batch)
        metrics["loss"].block_until_ready()

    return run


def torch_steps(one: Row, steps: int, *, precision: str) -> dict[str, Callable[[], None]]:
    """PyTorch eager and compiled, channels last."""
    import torch
    from torch_networks import DEVICE, synchronise

    torch.set_float32_matmul_precision("high")  # TF32, as XLA by default
    torch.backends.cudnn.benchmark = True
    cuda = DEVICE.type == "cuda"
    x, labels = one.data()
    x = torch.tensor(x).permute(0, 3, 1, 2).to(DEVICE, memory_format=torch.channels_last)
    labels = torch.tensor(labels, dtype=torch.int64, device=DEVICE)

    def build(compiled: bool) -> Callable[[], None]:
        network = one.torch_network().to(DEVICE, memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE, capturable=cuda, fused=cuda)

        def loss() -> torch.Tensor:
            with torch.autocast(DEVICE.type, torch.bfloat16, enabled=precision == "bfloat16"):
                return torch.nn.functional.cross_entropy(network(x), labels)

        forward = torch.compile(loss, mode="reduce-overhead" if steps > 1 else None) if compiled else loss
        update = torch.compile(optimizer.step) if compiled else optimizer.step

        def run() -> None:
            for _ in range(steps):
                optimizer.zero_grad(set_to_none=True)
                forward().backward()
                update()
            synchronise()

        return run

    return {"torch channels-last": build(False), "torch.compile": build(True)}


def main(
    json_only: Annotated[bool, tyro.conf.arg(name="json")] = False,
    networks: tuple[str, ...] = (*SMALL, "resnet50"),
    steps: int = 100,
    seeds: int = 10,
    rounds: int = 5,
    seconds: float = 1.0,
    peers: bool = True,
    batch: int | None = None,
) -> dict:
    """Times every network and prints a table or JSON.

    Args:
        json_only: print one JSON object.
        networks: the small ones, and `resnet50`.
        steps: of a small network in one call.
        seeds: small networks trained at once.
        rounds: turns of each variant.
        seconds: of a turn, which has three calls at least.
        peers: time PyTorch too.
        batch: images of each step, if others than the networks' own.
    """
    side = 8192 if jax.default_backend() != "cpu" else 512
    rate, rows = matrix_rate(side, jnp.bfloat16), []
    for name in networks:
        one = (ROWS | LARGE)[name]
        one = one._replace(batch=batch or one.batch)
        if name in LARGE:
            number, precision, variants = 1, "bfloat16", {"cnnlab": resident(one)}
        else:
            number, precision, variants = steps, "float32", {"cnnlab": scanned(one, steps)}
            variants |= {"cnnlab sent": sent(one, steps), "cnnlab seeds": scanned(one, steps, seeds)}
        variants |= torch_steps(one, number, precision=precision) if peers else {}
        times = take_turns(variants, rounds=rounds, seconds=seconds)
        work = 3 * number * one.batch * cnnlab.summary(one.network, one.size).multiply_adds
        told = {"steps": number, "peak_share": round(work / (times["cnnlab"] / 1000) / rate, 4)}
        if "cnnlab seeds" in times:
            told["seeds_cost"] = round(times["cnnlab seeds"] / times["cnnlab"], 2)
        rows.append(row(name, times, images=number * one.batch, own=OWN) | told)
    return print_rows(rows, as_json=json_only)


if __name__ == "__main__":
    tyro.cli(main)
