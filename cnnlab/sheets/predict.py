"""Prediction of a sheet of any size, window by window, with only a few windows in memory."""

import contextlib
import functools
import itertools
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cnnlab.anatomy.footprint import sight
from cnnlab.console import console, progress_bar
from cnnlab.files.atomic import lock
from cnnlab.ops.arithmetic import at_least
from cnnlab.sheets.blend import across, down
from cnnlab.sheets.maps import layers, pixel_maps, without_data
from cnnlab.sheets.options import SheetOptions
from cnnlab.sheets.products import LeftOut, polygon_options, small_shapes, write_products
from cnnlab.sheets.rasters import Sheet, open_sheet
from cnnlab.sheets.results import check_own, read_rasters
from cnnlab.sheets.samples import drops_pixels, predictor
from cnnlab.sheets.scratch import Scratch, Stored, finished, note_finished, open_scratch
from cnnlab.sheets.tiles import Axis, check_tile, tile_axis
from cnnlab.trained import Trained, digest_of_network
from cnnlab.uncertainty.dropout import require_dropout

_BLEND = 32  # width in pixels over which two windows are blended if the caller does not choose the overlap


def predict_sheet(
    trained: Trained,
    source: str | Path | np.ndarray,
    output: str | Path,
    *,
    tile: int = 512,
    mc_samples: int | None = None,
    key: jax.Array | None = None,
    quiet: bool = True,
    left_out: LeftOut | None = None,
    **options: Any,
) -> dict[str, Path]:
    """Predicts the maps and polygons of a whole sheet at its own resolution.

    The sheet is cut into overlapping windows. Where two windows meet, they are blended pass by pass, before any mean or
    variance over passes is computed. All windows of a pass share one dropout mask, so that the variance of the blend is
    that of a single network. Dropout of single pixels needs a new mask for each window; then windows are not blended,
    and each pixel comes from one window.

    If the overlap covers what the network sees on both sides of a pixel, and the sheet's sides are multiples of the
    network's stride, the result equals that of the whole sheet in one piece, up to rounding. If the overlap is smaller,
    a warning names a tile size that is large enough.

    Memory holds three windows of all passes on every device, `12 T tile² k` bytes for T passes and k classes, plus a
    small amount. A watershed needs 30 more bytes for every pixel of the sheet. The windows of a batch are spread over
    all devices of this machine, one window per device.

    If the process is stopped, finished rows of windows stay under `output/.partial`, and the same call continues from
    there. A repeated call returns the existing files. If only the options of the polygons differ, the call computes new
    polygons from the existing maps. Maps are published before the polygons, which take long if a sheet has many
    borders.

    Args:
      trained: a segmentation network.
      source: a sheet as in `open_sheet`; its right and bottom edges are padded to a multiple of the network's stride.
      output: output directory; complete new files replace those of an earlier result.
      tile: height and width of a window in pixels, a multiple of the network's stride; a smaller sheet is one window.
        The overlap takes a smaller share of large windows: a U-Net of depth 4 sees 107 pixels to each side, so with
        windows of 512 pixels it computes every pixel four times, and with 1,024 less than twice.
      mc_samples: number of MC-Dropout passes; None predicts once without dropout.
      key: random key of the dropout masks; None means `jax.random.key(0)`.
      quiet: whether to show no progress bar on standard error.
      left_out: callback that gets the number of shapes smaller than `smallest`; by default a warning tells it.
      **options: fields of `SheetOptions`: `overlap`, `bands`, `smallest`, `simplify`, `background`, `watershed`,
        `vectors`. With `watershed`, shapes are basins instead of connected pixels of the mask. Regions in which no
        basin begins (small shapes, wide backgrounds) go to the neighbouring basins. The map `mask` stays the same.

    Returns:
      The files by name: `mean` (the probability of the second of two classes, or a band for each of more classes),
      `entropy`, `mask`, with MC-Dropout also `variance` and `mutual_information`, and `polygons` of all classes but the
      background. A georeferenced sheet (which needs the extra `geo`) gives `.tif` and `.gpkg` files, other sheets
      `.npy`, `.png` and `.geojson`. Pixels without data are NaN, and 255 in the mask.

    Raises:
      ValueError: the sheet, tile size or network do not fit together, the disk has too little space, another process
        predicts into `output`, or `output` holds an unfinished prediction with other arguments.

    >>> import tempfile
    >>> from cnnlab.data import InputSpec
    >>> from cnnlab.models import create_model
    >>> from cnnlab.tasks import TASKS
    >>> net, spec = create_model("encoder_decoder", num_classes=2), InputSpec((32, 32), classes=("paper", "ink"))
    >>> variables = net.init(jax.random.key(0), np.zeros((1, 32, 32, 1)))
    >>> trained = Trained(variables, net, TASKS["segmentation"](), spec)
    >>> sheet = np.random.default_rng(0).integers(0, 256, (70, 90, 1), np.uint8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = predict_sheet(trained, sheet, folder, tile=64, mc_samples=2)
    ...     sorted(files), np.load(files["mean"]).shape
    (['entropy', 'mask', 'mean', 'mutual_information', 'polygons', 'variance'], (70, 90))
    """
    if mc_samples == "auto":
        raise ValueError(
            "mc_samples (--mc) must be a number of passes for a sheet, found 'auto': all windows share the passes, and "
            "the necessary number is known only after all windows; use 30, or the number of cnnlab evaluate --mc auto"
        )
    if mc_samples is not None:
        at_least("mc_samples", mc_samples, 1)
    settings = SheetOptions(**options)
    output = Path(output)
    k = len(trained.spec.classes)
    key = jax.random.key(0) if key is None else key
    with open_sheet(source, channels=trained.spec.channels, bands=settings.bands) as sheet:
        shapes_of = polygon_options(settings, trained.spec.classes, sheet.size, sheet.georeference)
        sampled = mc_samples is not None
        rows, columns = plan_sheet(trained, sheet.size, tile=tile, overlap=settings.overlap, sampled=sampled)
        if mc_samples is not None:
            window = jax.ShapeDtypeStruct((1, rows.tile, columns.tile, trained.spec.channels), np.float32)
            require_dropout(trained.network, trained.variables, window)
        work = {
            "sheet": sheet.identity,
            "windows": [rows, columns],
            "passes": mc_samples,
            "key": np.asarray(jax.random.key_data(key)).tolist(),
            "network": digest_of_network(trained),
        }
        band_counts = layers(k, sampled=sampled)
        shapes = {name: ((n, *sheet.size), _dtype(name)) for name, n in band_counts.items()}
        seam = (mc_samples or 1, rows.ramp, columns.size, k)
        if rows.ramp and len(rows.starts) > 1:
            shapes |= {f"seam-{i}": (seam, np.float32) for i in range(2)}
        output.mkdir(parents=True, exist_ok=True)
        with lock(output, f"another process predicts into {output}; wait for it or choose another directory"):
            if (files := finished(output, work | shapes_of)) is not None:
                return files
            check_own(output)
            scratch = open_scratch(output, work, shapes)
            # The maps of an earlier call exist if only the options of the polygons differ.
            if not scratch.finished and (files := finished(output, work, band_counts)) is not None:
                read_rasters(files, {name: scratch.array(name) for name in band_counts})
                scratch.finish_rows(len(rows.starts))
            with _progress(quiet, len(rows.starts), len(columns.starts), scratch.finished) as tick:
                run = predictor(trained, key, num_samples=mc_samples)
                for i in range(scratch.finished, len(rows.starts)):
                    _predict_row(scratch, sheet, rows, columns, i, run, tick, sampled=sampled)
                    scratch.finish_rows()
            tell = left_out or functools.partial(_warn_of_small, settings.smallest)
            return _finish(scratch, output, sheet, list(band_counts), trained.spec.classes, shapes_of, tell)


def _warn_of_small(smallest: int, number: int) -> None:
    if number:
        warnings.warn(small_shapes(number, smallest), stacklevel=4)


def plan_sheet(
    trained: Trained, size: tuple[int, int], *, tile: int, overlap: int | None = None, sampled: bool = False
) -> tuple[Axis, Axis]:
    """Returns the windows along the rows and columns of a sheet, for the arguments of `predict_sheet`."""
    at_least("tile", tile, 1)
    margin, stride = sight(trained, tile)
    check_tile(tile, stride)
    mix = not (sampled and drops_pixels(trained, tile))
    if overlap is None:
        field = tile // 4 if margin is None else 2 * margin
        overlap = min(tile // 2, field + (_BLEND if mix else 0))
    if margin is not None and overlap < 2 * margin and tile < max(size):
        exact_tile = -(-2 * (2 * margin + _BLEND) // stride) * stride
        warnings.warn(
            f"the network sees {margin} pixels to each side, but windows of {tile} pixels overlap by {overlap}, so "
            f"blended predictions differ from those of the sheet in one piece; use tile {exact_tile} to avoid this",
            stacklevel=3,
        )
    options = {"tile": tile, "overlap": overlap, "margin": margin or 0, "stride": stride, "mix": mix}
    return tile_axis(size[0], **options), tile_axis(size[1], **options)


def _predict_row(
    scratch: Scratch,
    sheet: Sheet,
    rows: Axis,
    columns: Axis,
    i: int,
    run: Callable,
    tick: Callable,
    *,
    sampled: bool,
) -> None:
    """Predicts row i of the windows, writes the finished pixels and stores the seam for the next row."""
    windows = (_window(sheet, (rows.starts[i], rows.tile), (start, columns.tile)) for start in columns.starts)
    top = rows.used(i)[0]
    for left, piece in across(_tick_each(run(windows), tick), columns):
        span = (slice(None), slice(None), slice(left, left + piece.shape[2]))
        above = scratch.read(f"seam-{(i - 1) % 2}", span) if i and rows.ramp else None
        done, seam = down(piece, rows, i, above)
        if seam.size:
            scratch.write(f"seam-{i % 2}", span, seam)
        place = (
            slice(top, min(top + done.shape[1], sheet.size[0])),
            slice(left, min(left + done.shape[2], sheet.size[1])),
        )
        if any(part.start >= part.stop for part in place):
            continue  # the piece lies in the padding
        done = done[:, : place[0].stop - top, : place[1].stop - left]
        maps = without_data(pixel_maps(done, sampled=sampled), sheet.read(*place)[1])
        for name, values in maps.items():
            scratch.write(name, (slice(None), *place), values)


def _window(sheet: Sheet, rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
    """Reads the pixels `[h, w, C]` of a window; beyond the sheet's edge its last row and column are repeated."""
    within = [slice(start, min(start + n, size)) for (start, n), size in zip((rows, columns), sheet.size, strict=True)]
    pixels, _ = sheet.read(*within)
    height, width, _ = pixels.shape
    return np.pad(pixels, [(0, rows[1] - height), (0, columns[1] - width), (0, 0)], "edge")


def _finish(
    scratch: Scratch,
    output: Path,
    sheet: Sheet,
    names: list[str],
    classes: Sequence[str],
    options: Mapping,
    left_out: LeftOut,
) -> dict[str, Path]:
    maps = {name: Stored(scratch.folder / f"{name}.npy") for name in names}
    folder = scratch.folder / "files"
    folder.mkdir(exist_ok=True)
    try:
        files = write_products(folder, output, maps, sheet.georeference, classes, options, left_out)
    except (OSError, RuntimeError) as error:  # pyogrio raises RuntimeErrors
        shutil.rmtree(folder, ignore_errors=True)
        raise ValueError(
            f"cannot write the results of the sheet into {output} ({error}); make room there and call again: the "
            f"predicted maps stay in {scratch.folder}"
        ) from error
    note_finished(output, {**scratch.work, **options}, files)
    scratch.remove()
    return files


def _dtype(name: str) -> type:
    return np.uint8 if name == "mask" else np.float32


@contextlib.contextmanager
def _progress(quiet: bool, rows: int, columns: int, finished: int) -> Iterator[Callable]:
    done = itertools.count(finished * columns + 1)
    texts = {"label": "windows"}
    with progress_bar(console(quiet), texts=texts, total=rows * columns, completed=finished * columns) as update:
        yield lambda: update(completed=next(done))


def _tick_each(windows: Iterator[np.ndarray], tick: Callable) -> Iterator[np.ndarray]:
    for window in windows:
        yield window
        tick()
