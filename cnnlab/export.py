"""Export of a trained network's forward pass, including normalisation, as StableHLO or ONNX."""

import json
import logging
from pathlib import Path
from typing import Literal, get_args

import jax
import jax.numpy as jnp

from cnnlab.files.atomic import write_bytes
from cnnlab.tasks.task import Outputs
from cnnlab.trained import Trained, outputs

Kind = Literal["stablehlo", "onnx"]

PLATFORMS = ("cpu", "cuda", "tpu")


def export_stablehlo(trained: Trained, *, platforms: tuple[str, ...] = PLATFORMS) -> bytes:
    """Serialises the forward pass with `jax.export`, for any batch size; loading it needs only jax and flatbuffers.

        program = jax.export.deserialize(open("model.stablehlo", "rb").read())
        program.call(images)["probs"]        # images [B, H, W, C] uint8; signals [B, 1, T, C] float32

    Args:
      trained: the network; its variables become constants of the program.
      platforms: platforms that can run the program: `cpu`, `cuda`, `rocm`, `tpu`.

    Returns:
      The serialised program. It maps uint8 images, or float32 signals in their own unit, to the task's outputs:
      probabilities, values, or boxes.

    Raises:
      ValueError: the network needs the batch size as a number, as `len(x)` does.
    """
    (batch,) = jax.export.symbolic_shape("b")
    images = jax.ShapeDtypeStruct((batch, *trained.spec.shape), _dtype(trained))
    program = jax.jit(lambda images: _forward(trained, images))
    try:
        return jax.export.export(program, platforms=platforms)(images).serialize()
    except TypeError as error:
        if "_DimExpr" not in str(error):
            raise
        name = type(trained.network).__name__
        cure = "write x.shape[0] in place of len(x)"
        raise ValueError(f"{name} needs the batch size as a number, but the program takes any; {cure}") from error


def export_onnx(trained: Trained) -> bytes:
    """Converts the forward pass to an ONNX model with jax2onnx (extra `onnx`).

    The input is `images` `[B, H, W, C]`, float32 in [0, 1]; signals are in their own unit. The outputs have the same
    names as in `export_stablehlo`.

    Raises:
      ValueError: jax2onnx is not installed.
    """
    try:
        from jax2onnx import to_onnx
    except ImportError as error:
        raise ValueError("ONNX needs the extra onnx: pip install 'cnnlab[onnx]'") from error
    logger, shape = logging.getLogger("onnx_ir"), ("B", *trained.spec.shape)
    level = logger.level
    logger.setLevel(logging.ERROR)  # it warns of each shape that it leaves out, which is none of the model's inputs
    try:
        return to_onnx(
            lambda images: jax.tree.leaves(_forward(trained, images)),
            inputs=[shape],
            input_names=["images"],
            output_names=list(_shapes(trained)),
        ).SerializeToString()
    finally:
        logger.setLevel(level)


def export(trained: Trained, path: str | Path, *, kind: Kind | None = None) -> dict[str, list[int | str]]:
    """Writes the forward pass to a file and describes its input and outputs in `FILE.json`; both are atomic writes.

    Args:
      trained: the network.
      path: file to write.
      kind: `stablehlo` or `onnx`; by default the suffix `.stablehlo` or `.onnx` decides, and any other file becomes
        StableHLO.

    Returns:
      The shape of each output; `B` is the batch size.

    Raises:
      ValueError: the suffix is that of the other kind, or `onnx` needs its extra.
    """
    path = Path(path)
    kind = _kind(path, kind)
    content = export_stablehlo(trained) if kind == "stablehlo" else export_onnx(trained)
    dtype, scale = ("uint8", "0..255") if kind == "stablehlo" else ("float32", "0..1")
    if trained.spec.values == "signal":
        dtype, scale = "float32", "the unit of the training signals"
    shapes = _shapes(trained)
    description = {
        "images": {"shape": ["B", *trained.spec.shape], "dtype": dtype, "range": scale},
        "outputs": shapes,
        "classes": trained.spec.classes,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(description, indent=2)
    for target, data in ((path, content), (path.with_name(f"{path.name}.json"), text.encode())):
        write_bytes(target, data)
    return shapes


def _kind(path: Path, kind: Kind | None) -> Kind:
    """Returns the kind of a file by its suffix, or the one that is given."""
    own = path.suffix.lower().removeprefix(".")
    if own not in get_args(Kind):
        return kind or "stablehlo"
    if kind is not None and kind != own:
        raise ValueError(
            f"{path} ends in {path.suffix}, but kind is {kind}; name it {path.stem}.{kind}, or leave kind out"
        )
    return own


def _shapes(trained: Trained) -> dict[str, list[int | str]]:
    """Returns the shape of each output, sorted by name like the leaves of a pytree."""
    images = jax.ShapeDtypeStruct((1, *trained.spec.shape), _dtype(trained))
    shapes = jax.eval_shape(lambda images: _forward(trained, images), images)
    return {name: ["B", *shapes[name].shape[1:]] for name in sorted(shapes)}


def _dtype(trained: Trained) -> type:
    """Returns the dtype of the images, or signals, that a program takes."""
    return jnp.float32 if trained.spec.values == "signal" else jnp.uint8


def _forward(trained: Trained, images: jax.Array) -> Outputs:
    result = outputs(trained, images)
    return result if isinstance(result, dict) else {"outputs": result}
