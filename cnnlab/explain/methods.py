"""The table of explanation methods, and one function that runs any of them and judges its maps."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax.tree_util import Partial

from cnnlab.errors import check_known
from cnnlab.explain import cam, gradients, perturbation, targets
from cnnlab.explain.compute import Networks, prepare
from cnnlab.explain.explanation import Explanation
from cnnlab.explain.scores import SCORES
from cnnlab.explain.verdict import judge
from cnnlab.trained import Trained


class Method(NamedTuple):
    """A method of explanation.

    Attributes:
      explain: function `(trained, images, target, *, layer, mc_samples, key)` that returns an `Explanation`.
      title: its name as its paper writes it.
      shows: what its map shows, in one line.
      paper: its source.
      cost: its cost in passes of the network; a gradient costs about three passes.
      sane: whether nine of ten maps change if the network's weights are random, as a map must that explains the network
        and not only the image (Adebayo et al., 2018); `experiments/mnist_explain.py` measures it. None if unmeasured.
      reads_layer: whether it takes the name of a layer.
      shows_progress: whether it takes `quiet`, and shows its progress if that is false.
      program: function of a `Pass` and normalised images, for methods of one forward and one backward pass.
    """

    explain: Callable[..., Explanation]
    title: str
    shows: str
    paper: str
    cost: str
    sane: bool | None = None
    reads_layer: bool = False
    program: Callable[..., tuple[jax.Array, jax.Array]] | None = None
    shows_progress: bool = False


METHODS: dict[str, Method] = {
    "grad_cam": Method(
        cam.grad_cam,
        "Grad-CAM",
        "regions whose features speak for the target",
        "Selvaraju et al., ICCV 2017",
        "1 gradient",
        reads_layer=True,
        program=cam.grad_cam_map,
        sane=True,
    ),
    "hires_cam": Method(
        cam.hires_cam,
        "HiResCAM",
        "places that the network uses for the target",
        "Draelos and Carin, 2020",
        "1 gradient",
        reads_layer=True,
        program=cam.hires_cam_map,
        sane=True,
    ),
    "grad_cam_plus_plus": Method(
        cam.grad_cam_plus_plus,
        "Grad-CAM++",
        "regions of all objects of a class",
        "Chattopadhay et al., WACV 2018",
        "1 gradient",
        reads_layer=True,
        program=cam.grad_cam_plus_plus_map,
        sane=True,
    ),
    "layer_cam": Method(
        cam.layer_cam,
        "LayerCAM",
        "places that speak for the target, also in early layers",
        "Jiang et al., TIP 2021",
        "1 gradient",
        reads_layer=True,
        program=cam.layer_cam_map,
        sane=True,
    ),
    "eigen_cam": Method(
        cam.eigen_cam,
        "Eigen-CAM",
        "what stands out in a layer, for whatever class",
        "Muhammad and Yeasin, IJCNN 2020",
        "1 pass",
        reads_layer=True,
        sane=False,
    ),
    "score_cam": Method(
        cam.score_cam,
        "Score-CAM",
        "regions that keep the target if they alone are visible",
        "Wang et al., CVPRW 2020",
        "1 pass a channel",
        reads_layer=True,
        sane=True,
    ),
    "saliency": Method(
        gradients.saliency,
        "saliency",
        "pixels to which the target is sensitive",
        "Simonyan et al., ICLRW 2014",
        "1 gradient",
        program=gradients.saliency_map,
        sane=True,
    ),
    "input_x_gradient": Method(
        gradients.input_x_gradient,
        "input × gradient",
        "each pixel's share in a linear approximation",
        "Shrikumar et al., 2016",
        "1 gradient",
        program=gradients.input_x_gradient_map,
        sane=False,
    ),
    "smooth_grad": Method(
        gradients.smooth_grad,
        "SmoothGrad",
        "the saliency, averaged over noisy copies of the image",
        "Smilkov et al., 2017",
        "50 gradients",
        sane=True,
    ),
    "integrated_gradients": Method(
        gradients.integrated_gradients,
        "integrated gradients",
        "each pixel's share in the change from a baseline",
        "Sundararajan et al., ICML 2017",
        "50 gradients",
        sane=False,
    ),
    "guided_backpropagation": Method(
        gradients.guided_backpropagation,
        "guided backpropagation",
        "edges that the network reads",
        "Springenberg et al., ICLRW 2015",
        "1 gradient",
        sane=False,
    ),
    "deconvolution": Method(
        gradients.deconvolution,
        "deconvolution",
        "edges that the network reads",
        "Zeiler and Fergus, ECCV 2014",
        "1 gradient",
        sane=True,
    ),
    "occlusion": Method(
        perturbation.occlusion,
        "occlusion",
        "how far the target falls where a window is covered",
        "Zeiler and Fergus, ECCV 2014",
        "1 pass a window, about 170",
        shows_progress=True,
        sane=False,
    ),
    "rise": Method(
        perturbation.rise,
        "RISE",
        "pixels that raise the target if they are visible",
        "Petsiuk et al., BMVC 2018",
        "1 pass a mask, 1,000",
        sane=False,
        shows_progress=True,
    ),
}
"""The methods by name. A new one is a function in one of the files beside this one, and a line here."""


def explain(
    method: str,
    trained: Networks,
    images: jax.Array,
    target: Any = None,
    *,
    layer: str | None = None,
    mc_samples: int = 0,
    key: jax.Array | None = None,
    verdict: bool | str | tuple[str, ...] = True,
    steps: int = 16,
    quiet: bool = True,
) -> Explanation:
    """Explains by a method of `METHODS`, and judges the maps.

    Args:
      method: name of the method.
      trained: a network, or the members of an ensemble.
      images: `[B, H, W, C]`, uint8 or floating point in [0, 1].
      target: what to explain, by default the network's own answer; see `cnnlab.explain.choice.choose_target`.
      layer: name of the layer, for class activation maps.
      mc_samples: number of MC-Dropout passes over which the map is averaged.
      key: random key.
      verdict: whether to add scores that say how far to trust each map, each beside the same score of a random map and
        of an edge detector; or names of `SCORES`. A class's logit is judged by its probability,
        and an ensemble's map by the first member.
      steps: number of steps of the curves of deletion and insertion.
      quiet: whether to show no progress of occlusion and RISE.

    Raises:
      ValueError: there is no such method, score, layer or class.
    """
    check_known("method", method, METHODS)
    verdict = (verdict,) if isinstance(verdict, str) else verdict
    chosen = tuple(SCORES) if verdict is True else tuple(verdict or ())
    for name in chosen:
        check_known("score", name, SCORES)
    entry = METHODS[method]
    key = jax.random.key(0) if key is None else key
    options = {"layer": layer, "mc_samples": mc_samples, "key": key}
    members, goal, _ = prepare(trained, images, target, layer, reads_layer=entry.reads_layer, mc_samples=mc_samples)
    shown = {"quiet": quiet} if entry.shows_progress else {}
    result = entry.explain(trained, images, goal, **options, **shown)
    if not chosen:
        return result

    again = Partial(_recompute(method, layer), goal, key)
    scored = targets.as_probability(members[0], goal)
    scores = judge(members[0], images, result.map, scored, explain=again, key=key, scores=chosen, steps=steps)
    return result.replace(verdict=(result.verdict or {}) | scores)


@functools.lru_cache(maxsize=64)  # the same function each time, so that nothing is compiled again
def _recompute(method: str, layer: str | None) -> Callable:
    """Returns a function that computes a method's maps in one pass, for the scores that change image or network."""

    def recompute(target: targets.Target, key: jax.Array, trained: Trained, images: jax.Array) -> jax.Array:
        return METHODS[method].explain(trained, images, target, layer=layer, key=key).map

    return recompute
