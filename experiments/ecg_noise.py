"""Noise added to a recorded electrocardiogram, and removed by linear kernels, by wavelets and by a network.

    pip install PyWavelets
    python experiments/ecg_noise.py [--seeds 5] [--first 10] [--output runs/ecg_noise] [--record]

The record is the one that PyWavelets bundles (`pywt.data.ecg()`): 1,024 samples of one person, whose rate and unit are
not stated. It holds three beats: the first two (700 samples) are for training and validation, the third is for the
test. So the result says how well a smoother carries over to the next beat of one record, no more. Training stretches
are scaled by .5 to 1.5 and shifted, because beats differ in height and the baseline wanders. Normal noise with a third
of the record's standard deviation is added; the record, with its own noise, counts as the truth. No smoother has to be
causal: each sees at most 30 samples on both sides, except the wavelets, which see the whole test part.

- `fixed kernel`: the binomial kernel of five weights, 1, 4, 6, 4, 1 over 16.
- `best linear kernel`: 61 weights by least squares on the training part.
- `wavelets`: soft thresholds at sigma sqrt(2 log n) on the coefficients of `sym4` (Donoho and Johnstone, Ideal Spatial
  Adaptation by Wavelet Shrinkage, Biometrika 1994), with sigma from the median of the finest ones.
- `network`: dilated convolutions on both sides with dropout that predict mean and variance, over 50 MC-Dropout passes.

`noise left` is the root mean squared error divided by the standard deviation of the added noise. `OUTPUT/ecg.png` shows
the test part.
"""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import tyro
from position_sensor import best_kernel, smoothed
from results import OFF, Options
from study import Table, show

import cnnlab
from cnnlab.data import Dataset, from_arrays
from cnnlab.metrics.regression import central_interval
from cnnlab.plots.traces import traces

SIDE, STEPS = 30, 128  # samples that a smoother sees on each side, and of a training signal
BEATS = 700  # samples of the first two beats
BINOMIAL = np.array([1, 4, 6, 4, 1]) / 16
EXPERIMENT = cnnlab.Experiment(
    model=cnnlab.Choice("tcn_steps", features=24, dilations=(1, 2, 4, 8), causal=False, dropout=0.05),
    task=cnnlab.Choice("denoising", kind="gaussian"),
    optimizer=cnnlab.Optimizer(name="adamw", learning_rate=3e-3, schedule="cosine", warmup_steps=60, clip=1.0),
    training=cnnlab.Training(epochs=20, batch_size=16),
)


def record() -> np.ndarray:
    """Returns the electrocardiogram `[1024]` that PyWavelets bundles."""
    try:
        import pywt
    except ImportError as error:
        raise ValueError("the record comes with PyWavelets; pip install PyWavelets") from error
    return np.asarray(pywt.data.ecg(), np.float64)


def copies(part: np.ndarray, n: int, deviation: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Returns n stretches `[n, STEPS]` of a part of the record, scaled and shifted, each with noise, and without."""
    starts = rng.integers(0, len(part) - STEPS + 1, n)
    clean = part[starts[:, None] + np.arange(STEPS)]
    clean = clean * rng.uniform(0.5, 1.5, (n, 1)) + part.std() * rng.uniform(-1, 1, (n, 1))
    return clean + deviation * rng.normal(size=clean.shape), clean


def wavelets(signals: np.ndarray, name: str = "sym4") -> np.ndarray:
    """Removes noise from signals `[n, T]` by soft thresholds on their wavelet coefficients."""
    import pywt

    coarse, *details = pywt.wavedec(signals, name, axis=1)
    sigma = np.median(np.abs(details[-1]), axis=1, keepdims=True) / 0.6745
    threshold = sigma * np.sqrt(2 * np.log(signals.shape[1]))
    soft = [np.sign(d) * np.maximum(np.abs(d) - threshold, 0) for d in details]
    return pywt.waverec([coarse, *soft], name, axis=1)[:, : signals.shape[1]]


def dataset_of(splits: dict[str, tuple[np.ndarray, np.ndarray]]) -> Dataset:
    """Returns the data; only steps at which a smoother sees all it can have a weight."""
    columns = {
        split: {"image": x, "clean": y, "pixel_weight": np.tile(inside(x.shape[1]), (len(x), 1))}
        for split, (x, y) in splits.items()
    }
    return from_arrays(columns, classes=("electrocardiogram",), name="electrocardiogram", values="signal")


def inside(length: int) -> np.ndarray:
    """Returns which of the time steps have as many samples on both sides as a smoother sees."""
    return (np.minimum(np.arange(length), np.arange(length)[::-1]) >= SIDE).astype(np.float32)


def main(
    seeds: int = 5,
    first: int = 10,
    output: Path = Path("runs/ecg_noise"),
    number: int = 1024,
    epochs: int | None = None,
    samples: int = 50,
    recording: Options = OFF,
) -> Table:
    """Adds noise, removes it and prints errors as shares of the noise, and the coverage of the band.

    Args:
        seeds: number of seeds of noise, initialisation, order and dropout.
        first: first seed. The settings were chosen on the seeds 0 to 4, so results come from others.
        output: folder of the run directories and of the figure.
        number: number of noisy stretches for training.
        epochs: smaller number of epochs, for a test.
        samples: number of MC-Dropout passes.
        recording: whether the results are stored.
    """
    training = EXPERIMENT.training if epochs is None else dataclasses.replace(EXPERIMENT.training, epochs=epochs)
    ecg, rows = record(), []
    deviation = ecg[:BEATS].std() / 3
    for seed in range(first, first + seeds):
        rng = np.random.default_rng(seed)
        splits = {
            split: copies(ecg[:BEATS], n, deviation, rng)
            for split, n in (("train", number), ("validation", number // 8))
        }
        truth = np.tile(ecg[BEATS:], (20, 1))
        noisy = truth + deviation * rng.normal(size=truth.shape)
        scored = (slice(None), slice(SIDE, -SIDE))

        def share(values: np.ndarray, truth: np.ndarray = truth[scored]) -> float:
            return float(np.sqrt(np.mean((values - truth) ** 2)) / deviation)

        row = {"noise left, fixed kernel": share(smoothed(noisy, np.append(BINOMIAL, 0), 2, 2)[:, SIDE - 2 : 2 - SIDE])}
        kernel = best_kernel(*splits["train"], SIDE, SIDE)
        row["noise left, best linear kernel"] = share(smoothed(noisy, kernel, SIDE, SIDE))
        row["noise left, wavelets"] = share(wavelets(noisy)[scored])
        experiment = dataclasses.replace(EXPERIMENT, seed=seed, training=training)
        trained = cnnlab.train(experiment, output / f"seed{seed}", data=dataset_of(splits), quiet=True)
        images = noisy.astype(np.float32)[:, None, :, None]
        passes = cnnlab.mc_predict(trained, images, key=jax.random.key(seed), num_samples=samples)
        value = np.asarray(passes.value)[:, 0, :, 0]
        variance = np.asarray(passes.variance["value"] + passes.mean["noise"])[:, 0, :, 0]
        low, high = central_interval(value[scored], variance[scored])
        row["noise left, network, MC-Dropout"] = share(value[scored])
        row["coverage, network, passes and noise"] = float(((low <= truth[scored]) & (truth[scored] <= high)).mean())
        rows.append(row)
        print(f"seed {seed}: {row}", flush=True)
        if seed == first:
            figure = traces(*(each[scored][:1] for each in (noisy, truth, value, variance)), unit="units of the record")
            figure.savefig(output / "ecg.png")
            print(output / "ecg.png")
    table = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    show("electrocardiogram", table, recording, group="regression")
    return table


if __name__ == "__main__":
    tyro.cli(main)
