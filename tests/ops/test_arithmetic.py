import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from cnnlab.ops import arithmetic, cross_correlate
from cnnlab.ops.arithmetic import Field, next_field, output_size, receptive_fields, transposed_output_size


@pytest.mark.parametrize("padding", ["valid", "same", "full", 1, (0, 2)])
def test_output_sizes_count_the_places_where_the_kernel_fits(padding):
    for n, k, s, d in itertools.product((5, 6, 9), (1, 2, 3), (1, 2, 4), (1, 2)):
        before, after = arithmetic.axis_padding(k, padding, dilation=d)
        places = [i for i in range(0, before + n + after, s) if i + d * (k - 1) < before + n + after]
        assert output_size(n, k, stride=s, padding=padding, dilation=d) == len(places)


def test_same_padding_keeps_the_size_at_stride_1():
    for n, k, d in itertools.product((7, 8), range(1, 6), (1, 2, 3)):
        assert output_size(n, k, padding="same", dilation=d) == n


def test_transposed_sizes_lead_back_with_what_the_stride_left_over():
    for n, k, s, p in itertools.product((7, 8), (2, 3), (1, 2, 3), (0, 1)):
        extra = (n + 2 * p - k) % s
        out = output_size(n, k, stride=s, padding=p)
        assert transposed_output_size(out, k, stride=s, padding=p, extra=extra) == n


def test_parameters_of_groups_see_their_share_of_the_inputs():
    assert arithmetic.parameters(96, 256, (5, 5), groups=2) == 256 * 48 * 25 + 256
    assert arithmetic.parameters(32, 32, (3, 3), groups=32, bias=False) == 32 * 9
    assert arithmetic.multiply_adds(32, 64, (3, 3), (10, 5), groups=32) == 64 * 9 * 50
    assert arithmetic.multiply_adds(400, 120) == 48_000


def test_multiply_adds_without_padding_are_those_that_xla_counts():
    def layer(x, kernel):
        return lax.conv_general_dilated(x, kernel, (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    cost = jax.jit(layer).lower(jnp.ones((1, 13, 12, 3)), jnp.ones((3, 3, 3, 8))).cost_analysis()
    assert cost["flops"] == 2 * arithmetic.multiply_adds(3, 8, (3, 3), (6, 5))


def vgg16():
    for convolutions in (2, 2, 3, 3, 3):
        yield from [{"kernel": 3, "padding": 1}] * convolutions
        yield {"kernel": 2, "stride": 2}


def alexnet():
    pool = {"kernel": 3, "stride": 2}
    three = [{"kernel": 3, "padding": 1}] * 3
    return [{"kernel": 11, "stride": 4}, pool, {"kernel": 5, "padding": 2}, pool, *three, pool]


def resnet50():
    yield {"kernel": 7, "stride": 2, "padding": 3}
    yield {"kernel": 3, "stride": 2}
    for blocks, stride in ((3, 2), (4, 2), (6, 2), (3, 1)):  # as in TF-Slim, the last block of a stage has the stride
        yield from [{"kernel": 3, "padding": 1}] * (blocks - 1)
        yield {"kernel": 3, "padding": 1, "stride": stride}


# Size, stride and effective padding by the table of Araujo, Norris and Sim, Distill 2019.
@pytest.mark.parametrize(
    ("layers", "size", "stride", "padding"),
    [(alexnet(), 195, 32, 64), (vgg16(), 212, 32, 90), (resnet50(), 483, 32, 239)],
)
def test_receptive_fields_of_known_networks(layers, size, stride, padding):
    assert receptive_fields(layers)[-1] == Field(size, stride, (size - 1) / 2 - padding)


def test_the_field_is_where_the_gradient_is_not_zero():
    layers = [
        {"kernel": 3, "stride": 2, "padding": 1},
        {"kernel": 2, "dilation": 3, "padding": 2},
        {"kernel": 4, "stride": 3},
    ]

    def unit(x, i):
        for layer in layers:
            x = cross_correlate(x, np.ones(layer["kernel"]), **{k: v for k, v in layer.items() if k != "kernel"})
        return x[i]

    size, stride, centre = receptive_fields(layers)[-1]
    fields = [np.flatnonzero(jax.grad(unit)(jnp.ones(60), i)) for i in (2, 3)]
    assert [pixels[-1] - pixels[0] + 1 for pixels in fields] == [size, size]
    assert [(pixels[0] + pixels[-1]) / 2 for pixels in fields] == [centre + 2 * stride, centre + 3 * stride]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: output_size(4, 5), "kernel of 5 pixels is larger than its padded input of 4"),
        (lambda: output_size(4, 3, stride=0), "stride must be a whole number of at least 1, found 0"),
        (lambda: output_size(4, 3, dilation=-1), "dilation must be a whole number of at least 1, found -1"),
        (lambda: transposed_output_size(0, 3), "size must be a whole number of at least 1, found 0"),
        (lambda: arithmetic.parameters(3, 8, (3, 3), groups=2), "2 does not divide 3 input channels"),
        (lambda: next_field(Field(), kernel=3, stride=0), "stride must be a whole number of at least 1, found 0"),
    ],
)
def test_messages_contain_the_name_and_the_number(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_kernel_as_large_as_its_padded_input_gives_one_output():
    assert output_size(4, 5, padding=(0, 1), stride=7) == 1
