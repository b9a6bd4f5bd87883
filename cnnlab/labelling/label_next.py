"""Chooses the images of a pool whose labels would tell a network most."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np

from cnnlab.data import Examples
from cnnlab.data.duplicates import make_lookout
from cnnlab.embeddings import extract
from cnnlab.errors import check_known
from cnnlab.files.opening import ImageError
from cnnlab.labelling.acquisition import ACQUISITIONS
from cnnlab.labelling.batch_bald import batch_bald
from cnnlab.labelling.k_centre import k_centre
from cnnlab.labelling.pool import Images, Pool, read_pool
from cnnlab.tasks.task import task_name
from cnnlab.trained import Passes, Trained, outputs
from cnnlab.uncertainty.dropout import has_dropout
from cnnlab.uncertainty.ensemble import members_of

DIVERSE, BATCH_BALD = "diverse", "batch_bald"
CHOICES = (*ACQUISITIONS, DIVERSE, BATCH_BALD)
"""The ways to choose: by a score of each image, or by what many images cover or tell together."""

PASSES = 50  # of a single network, if the choice needs passes
CANDIDATES, LEAST_CANDIDATES = 10, 1000  # images among which `batch_bald` chooses, for each one to choose, and at least


class Suggestions(NamedTuple):
    """The images to label next.

    Attributes:
      table: columns `[k]` by name, the image to label first comes first: `rank` from 1; `file`, or `index` for images
        in memory; `score`; the columns of `Pool`; and `duplicate_of`, the rank of an earlier image that is the same or
        looks the same, 0 for none.
      pool: number of images in the pool.
      repeated: number of images that `diverse` passed over because they look like a chosen one.
    """

    table: dict[str, np.ndarray]
    pool: int
    repeated: int


class _Choice(NamedTuple):
    """Numbers `[k]` of the chosen images in order, their scores `[k]`, and the number that was passed over."""

    index: np.ndarray
    score: np.ndarray
    repeated: int = 0


def label_next(
    trained: Trained | Sequence[Trained],
    images: Images,
    *,
    count: int,
    by: str = "margin",
    mc_samples: Passes | None = None,
    labelled: Examples | np.ndarray | None = None,
    seed: int = 0,
    batch_size: int = 64,
    unreadable: Callable[[ImageError], None] | None = None,
) -> Suggestions:
    """Chooses the images whose labels would tell a network most.

    The images are read once, batch by batch. Memory holds a few numbers of each; with `diverse` also its features, and
    with `batch_bald` the passes of the best candidates: ten for each image to choose, at least 1,000, at most 256 MiB.

    Args:
      trained: one network, or several, whose disagreement takes the place of that of the passes.
      images: image files and folders, or images `[N, H, W, C]` uint8.
      count: number of images to choose; all of them if there are fewer.
      by: a name of `ACQUISITIONS`, by whose score images are chosen one by one; `diverse`, which covers the pool in the
        space of the network's features (`k_centre`) and takes no two images that look the same; or `batch_bald`, which
        chooses images whose labels tell most together. The score of the last two is the distance to the nearest image
        that is labelled or chosen, and the information in nats that an image adds to those before it.
      mc_samples: number of passes with dropout on, or `auto`; by default 50 if one network needs passes.
      labelled: images that have labels, from which `diverse` keeps its distance.
      seed: seed of the dropout masks.
      batch_size: number of images at a time.
      unreadable: callback that gets the error of a file that cannot be read; the file is then left out. Without a
        callback the first such error is raised.

    Raises:
      ValueError: `by` is unknown or does not fit the network (the error says what does), `count` is not positive, or an
        image is missing or cannot be read.

    >>> from cnnlab.data import InputSpec
    >>> from cnnlab.models import create_model
    >>> from cnnlab.tasks import Classification
    >>> net, images = create_model("linear", num_classes=2), np.arange(48, dtype=np.uint8).reshape(3, 4, 4, 1)
    >>> variables = net.init(jax.random.key(0), images / 255)
    >>> trained = Trained(variables, net, Classification(), InputSpec((4, 4), classes="ab"))
    >>> label_next(trained, images, count=2, by="entropy").table["rank"].tolist()
    [1, 2]
    """
    if count < 1:
        raise ValueError(f"count must be 1 or more, found {count}")
    members = members_of(trained, mc_samples=mc_samples)
    pool = read_pool(
        members,
        images,
        acquisition=None if by == DIVERSE else ACQUISITIONS.get(by, ACQUISITIONS["mutual_information"]),
        with_features=by == DIVERSE,
        most_candidates=max(CANDIDATES * count, LEAST_CANDIDATES) if by == BATCH_BALD else 0,
        mc_samples=_fitting_passes(members, by, mc_samples),
        seed=seed,
        batch_size=batch_size,
        unreadable=unreadable,
    )
    count = min(count, len(pool.score))
    if by == DIVERSE:
        has_labels = labelled is not None and len(labelled) > 0
        known = extract(members[0], labelled, batch_size=batch_size) if has_labels else None
        choice = _covering(pool, count, known)
    elif by == BATCH_BALD:
        choice = _together(pool, count, seed)
    else:
        index = np.argsort(-pool.score, kind="stable")[:count]
        choice = _Choice(index, pool.score[index])
    names, *others = pool.columns
    table = {"rank": np.arange(1, len(choice.index) + 1), names: pool.columns[names][choice.index]}
    table |= {"score": choice.score} | {name: pool.columns[name][choice.index] for name in others}
    return Suggestions(table | {"duplicate_of": _earlier(pool, choice.index)}, len(pool.score), choice.repeated)


def _fitting_passes(members: Sequence[Trained], by: str, mc_samples: Passes | None) -> Passes | None:
    """Returns the number of passes of a choice, 50 if it needs them and none is given.

    Raises:
      ValueError: the choice is unknown, or the networks cannot give what it needs.
    """
    check_known("choice", by, CHOICES)
    first = members[0]
    shape = jax.ShapeDtypeStruct((1, *first.spec.shape), np.uint8)
    probs = jax.eval_shape(lambda x: outputs(first, x), shape).get("probs")
    needs_passes = by == BATCH_BALD or (by != DIVERSE and ACQUISITIONS[by].passes)
    if probs is None and (by == BATCH_BALD or (by != DIVERSE and ACQUISITIONS[by].probs)):
        others = [name for name, each in ACQUISITIONS.items() if not each.probs]
        raise ValueError(
            f"{by} needs probabilities of classes, which a network for {task_name(first.task)} does not give; choose "
            f"by {' or '.join([*others, DIVERSE])}"
        )
    if by == BATCH_BALD and probs.ndim != 2:
        raise ValueError(
            f"{BATCH_BALD} needs one distribution over classes for each image, and {task_name(first.task)} here gives "
            f"more; choose by mutual_information or {DIVERSE}"
        )
    if not needs_passes or len(members) > 1:
        return mc_samples
    if not has_dropout(first):
        others = [
            name for name, each in ACQUISITIONS.items() if not each.passes and (each.probs <= (probs is not None))
        ]
        raise ValueError(
            f"{by} compares passes with dropout on, and {type(first.network).__name__} has no active dropout; choose "
            f"by {', '.join([*others, DIVERSE])}, give several runs, whose predictions are compared instead, or train "
            "again with dropout (such as --model.dropout 0.5)"
        )
    if mc_samples == 1:
        raise ValueError(f"{by} compares passes, so mc_samples must be 2 or more, found 1")
    return PASSES if mc_samples is None else mc_samples


def _covering(pool: Pool, count: int, labelled: np.ndarray | None) -> _Choice:
    """Chooses by k-centre, and passes images over that look like one that was chosen."""
    lookout, refused = make_lookout(), []

    def accept(number: int) -> bool:
        repeated = lookout(pool.pixels(number)) is not None
        refused.extend([number] * repeated)
        return not repeated

    chosen = k_centre(pool.features, count, labelled=labelled, accept=accept)
    return _Choice(chosen.index, chosen.distance, len(refused))


def _together(pool: Pool, count: int, seed: int) -> _Choice:
    """Chooses by BatchBALD among the candidates."""
    places, passes = pool.candidates
    batch = batch_bald(passes, min(count, len(places)), seed=seed)
    return _Choice(places[batch.index], batch.gain)


def _earlier(pool: Pool, chosen: np.ndarray) -> np.ndarray:
    """Returns for each chosen image the rank of the first one that it repeats, 0 for none."""
    lookout, first, ranks = make_lookout(), [], []
    for rank, number in enumerate(chosen, 1):
        earlier = lookout(pool.pixels(number))
        ranks.append(0 if earlier is None else first[earlier])
        if earlier is None:
            first.append(rank)
    return np.array(ranks, int)
