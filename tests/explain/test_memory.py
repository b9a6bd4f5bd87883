"""Many calls of explanations leave nothing behind, and compile once a shape."""

import warnings

import jax
import numpy as np
import pytest

from cnnlab import Trained, create_model
from cnnlab.data import InputSpec
from cnnlab.explain import METHODS, compute, explain, gradients, perturbation, verdict
from cnnlab.tasks import Classification

PROGRAMS = (
    *(compute._explain, compute._is_empty, gradients._add_gradient),
    *(perturbation._add, perturbation._value, verdict._compute),
)
OPTIONS = {"smooth_grad": {"samples": 2}, "integrated_gradients": {"steps": 2}, "rise": {"masks": 4}}
IMAGES = np.random.default_rng(0).random((200, 2, 16, 16, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def trained():
    network, spec = create_model("lenet5", num_classes=3), InputSpec((16, 16), classes="abc")
    return Trained(network.init(jax.random.key(0), IMAGES[0]), network, Classification(), spec)


def kept():
    """Arrays on the device, and compiled programs."""
    return len(jax.live_arrays()), [program.cache_size() for program in PROGRAMS]


@pytest.mark.parametrize("name", METHODS)
def test_calls_leave_no_array_and_no_program_behind(name, trained):
    warnings.simplefilter("ignore")  # maps of zeros
    for i in range(4):
        METHODS[name].explain(trained, IMAGES[i], [i % 3, 0], **OPTIONS.get(name, {}))
    before = kept()
    for i in range(20):
        METHODS[name].explain(trained, IMAGES[i], [i % 3, i % 2], **OPTIONS.get(name, {}))
    assert kept() == before


def test_two_hundred_judged_maps_leave_nothing_behind_and_compile_once(trained):
    warnings.simplefilter("ignore")
    for i in range(2):
        explain("grad_cam", trained, IMAGES[i], [0, 1], verdict=("deletion",), steps=2)
    before = kept()
    for i, images in enumerate(IMAGES):
        explain("grad_cam", trained, images, [i % 3, 1], verdict=("deletion",), steps=2)
    assert kept() == before
