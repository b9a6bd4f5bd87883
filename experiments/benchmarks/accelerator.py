"""Train steps on an accelerator: ResNet-50 in bfloat16, and small networks whose images stay on the device.

    pip install ".[peers]" && python experiments/benchmarks/accelerator.py [--json] [--record]

The small networks take `steps` steps in a call, either as one program (`cnnlab`), or as one program a step with a batch
sent from the host (`cnnlab sent`). PyTorch's images stay on its device too, and `torch.compile` records its kernels as
a CUDA graph. The large network takes one step in a call. PyTorch computes it under bfloat16 autocast, channels last.
Both libraries use TF32 for products of single precision where the device has it.

`ratio` is the time of the fastest PyTorch divided by cnnlab's. `peak_share` is the rate of multiply-adds (three times
those of the forward pass) divided by that of a product of two bfloat16 matrices. `seeds_cost` is the time of `seeds`
networks that are trained at once, as `cnnlab train --training.seeds` does on an accelerator, in multiples of the time
of a single network. `inference.py` compares inference, and `mc_cost.py` the cost of MC-Dropout passes.
"""

import functools
from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import tyro
from networks import LARGE, ROWS, Row
from timing import OFF, Options, matrix_rate, print_rows, row, take_turns
from train_step import LEARNING_RATE, calls, train_program

import cnnlab
from cnnlab.training.epoch import take_steps

SMALL = ("lenet5", "keras_mnist", "resnet18")
OWN = ("cnnlab", "cnnlab sent", "cnnlab seeds")  # the variants that are not peers


def scanned(network: Row, steps: int, seeds: int | None = None) -> Callable[[], None]:
    """Returns a call that takes several steps as one program, of one network or of several at once."""
    order = jnp.arange(steps * network.batch).reshape(steps, network.batch)

    def compiler(step: Callable, **options: Any) -> Callable:
        each = step if seeds is None else jax.vmap(step)
        program = cnnlab.jit(functools.partial(take_steps, lambda state, batch, _: each(state, batch)), **options)
        return lambda state, columns: program(state, columns, order, None)

    program, state, columns = train_program(network._replace(batch=steps * network.batch), compiler)
    if seeds is not None:
        order = jnp.stack([order] * seeds, 1)
        state = jax.tree.map(lambda leaf: jnp.stack([leaf] * seeds), state)
    return calls(program, state, columns)


def resident(network: Row) -> Callable[[], None]:
    """Returns a call that takes one step with a batch that is on the device."""
    return calls(*train_program(network, cnnlab.jit))


def sent(network: Row, steps: int) -> Callable[[], None]:
    """Returns a call that runs one program a step and sends its batch to the device."""
    program, state, batch = train_program(network, cnnlab.jit)
    batch = jax.device_get(batch)

    def run() -> None:
        nonlocal state
        for _ in range(steps):
            state, metrics = program(state, batch)
        metrics["loss"].block_until_ready()

    return run


def torch_steps(row: Row, steps: int, *, precision: str) -> dict[str, Callable[[], None]]:
    """Returns a call for PyTorch eager and one for PyTorch compiled, both channels last."""
    import torch
    from torch_networks import DEVICE, synchronise

    torch.set_float32_matmul_precision("high")  # TF32, as XLA by default
    torch.backends.cudnn.benchmark = True
    cuda = DEVICE.type == "cuda"
    x, labels = row.data()
    x = torch.tensor(x).permute(0, 3, 1, 2).to(DEVICE, memory_format=torch.channels_last)
    labels = torch.tensor(labels, dtype=torch.int64, device=DEVICE)

    def build(compiled: bool) -> Callable[[], None]:
        network = row.torch_network().to(DEVICE, memory_format=torch.channels_last)
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
    recording: Options = OFF,
) -> dict:
    """Times every network and prints a table or JSON.

    Args:
        json_only: print one JSON object.
        networks: names of small networks, and `resnet50`.
        steps: steps of a small network in one call.
        seeds: number of small networks that are trained at once.
        rounds: turns of each variant.
        seconds: length of a turn, which has at least three calls.
        peers: time PyTorch too.
        batch: images of each step, in place of the network's own batch size.
        recording: whether the results are stored.
    """
    side = 8192 if jax.default_backend() != "cpu" else 512
    rate, rows = matrix_rate(side, jnp.bfloat16), []
    for name in networks:
        network = (ROWS | LARGE)[name]
        network = network._replace(batch=batch or network.batch)
        if name in LARGE:
            number, precision, variants = 1, "bfloat16", {"cnnlab": resident(network)}
        else:
            number, precision, variants = steps, "float32", {"cnnlab": scanned(network, steps)}
            variants |= {"cnnlab sent": sent(network, steps), "cnnlab seeds": scanned(network, steps, seeds)}
        variants |= torch_steps(network, number, precision=precision) if peers else {}
        times = take_turns(variants, rounds=rounds, seconds=seconds)
        work = 3 * number * network.batch * cnnlab.summary(network.network, network.size).multiply_adds
        fields = {"steps": number, "peak_share": round(work / (times["cnnlab"] / 1000) / rate, 4)}
        if "cnnlab seeds" in times:
            fields["seeds_cost"] = round(times["cnnlab seeds"] / times["cnnlab"], 2)
        rows.append(row(name, times, images=number * network.batch, own=OWN) | fields)
    return print_rows(rows, as_json=json_only, title="accelerator, train step", recording=recording)


if __name__ == "__main__":
    tyro.cli(main)
