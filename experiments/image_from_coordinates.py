"""An image learnt as a function of its pixels' coordinates, with and without positional encoding.

    python experiments/image_from_coordinates.py [--image FILE] [--steps 800] [--output DIR] [--record]

A network of ReLUs (three hidden layers of 256) learns a random half of the pixels and is measured on the other half.
Lecture 1 shows the effect, and Tancik et al. 2020 explain it.

Positional encoding lets the network learn finer detail.
"""

from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from PIL import Image
from results import OFF, Options
from rich.progress import track
from sklearn.datasets import load_sample_image
from study import show

import cnnlab
from cnnlab.nn import pixel_positions, positional_encoding
from cnnlab.plots.gallery import gallery

SIDE = 128
FREQUENCIES = 6  # the fastest wave, 2^5 pi p, has 32 periods across the image: 4 pixels each


class Pixels(nn.Module):
    """A network from positions `[n, d]`, encoded or not, to colours `[n, 3]` in 0..1."""

    features: tuple[int, ...] = (256, 256, 256)

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for i, features in enumerate(self.features, 1):
            x = nn.relu(nn.Dense(features, name=f"dense{i}")(x))
        return nn.sigmoid(nn.Dense(3, name="colour")(x))


def fit(inputs: jax.Array, colours: jax.Array, learnt: jax.Array, *, steps: int, seed: int, title: str) -> jax.Array:
    """Trains a network on some of the pixels and predicts all of them.

    Adam minimises the mean squared error.

    Args:
      inputs: positions `[n, d]` of all pixels.
      colours: colours `[n, 3]` of all pixels.
      learnt: indices of the pixels to train on.
      steps: number of training steps.
      seed: seed of the initialisation.
      title: title of the progress bar.
    """
    network, optimizer = Pixels(), optax.adam(optax.cosine_decay_schedule(2e-3, steps))
    params = network.init(jax.random.key(seed), inputs)
    positions, targets = inputs[learnt], colours[learnt]

    @cnnlab.jit
    def step(params, state):
        gradients = jax.grad(lambda p: ((network.apply(p, positions) - targets) ** 2).mean())(params)
        updates, state = optimizer.update(gradients, state)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    for _ in track(range(steps), title):
        params, state = step(params, state)
    return network.apply(params, inputs)


def psnr(guess: jax.Array, truth: jax.Array) -> float:
    """Computes the peak signal-to-noise ratio in dB of values in 0..1."""
    return float(-10 * jnp.log10(((guess - truth) ** 2).mean()))


def main(
    image: Path | None = None,
    steps: int = 800,
    seeds: int = 3,
    side: int = SIDE,
    output: Path = Path("runs/image_from_coordinates"),
    recording: Options = OFF,
) -> dict[str, np.ndarray]:
    """Learns an image with and without encoding for each seed, prints the PSNRs of unseen pixels, and draws the last.

    Args:
        image: image file; scikit-learn's flower if left out.
        steps: number of training steps, each on all learnt pixels.
        seeds: number of seeds of initialisation and of the choice of pixels.
        side: height and width in pixels to which the photo is resized.
        output: folder of the figure.
        recording: whether the results are stored.
    """
    photo = Image.open(image) if image else Image.fromarray(load_sample_image("flower.jpg"))
    photo = photo.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
    truth = jnp.asarray(photo, jnp.float32).reshape(-1, 3) / 255
    positions = pixel_positions(side, side).reshape(-1, 2)
    inputs = {"coordinates": positions, "positional encoding": positional_encoding(positions, FREQUENCIES)}
    scores: dict[str, list[float]] = {name: [] for name in inputs}
    for seed in range(seeds):
        order = jax.random.permutation(jax.random.key(seed), len(truth))
        learnt, unseen = jnp.split(order, 2)
        guesses = {n: fit(x, truth, learnt, steps=steps, seed=seed, title=f"{n}, {seed}") for n, x in inputs.items()}
        for name, guess in guesses.items():
            scores[name].append(psnr(guess[unseen], truth[unseen]))
    table = {name: np.array(values) for name, values in scores.items()}
    for name, values in table.items():
        show(f"an image from {name}", {"PSNR of unseen pixels (dB)": values}, recording, group="regression")
    titles = ["photo", *(f"{name}\n{values[-1]:.1f} dB" for name, values in table.items())]
    images = [np.asarray(pixels).reshape(side, side, 3) for pixels in (truth, *guesses.values())]
    output.mkdir(parents=True, exist_ok=True)
    gallery(images, titles).savefig(output / "images.png", dpi=150)
    print(output / "images.png")
    return table


if __name__ == "__main__":
    tyro.cli(main)
