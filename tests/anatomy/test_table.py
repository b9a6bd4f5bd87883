import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnlab
from cnnlab import models
from cnnlab import nn as cnn
from cnnlab.anatomy.blocks import blocks
from cnnlab.cli import main
from cnnlab.ops.arithmetic import Field, receptive_fields

LENET5 = [
    # name, kind, output shape, kernel, stride, parameters, multiply-adds, size of the field; computed by hand
    ("conv1", "Conv", (28, 28, 6), (5, 5), (1, 1), 5 * 5 * 6 + 6, 28 * 28 * 6 * 25, 5),
    ("", "max_pool", (14, 14, 6), (2, 2), (2, 2), 0, 0, 5 + 1),
    ("conv2", "Conv", (10, 10, 16), (5, 5), (1, 1), 25 * 6 * 16 + 16, 10 * 10 * 16 * 150, 6 + 4 * 2),
    ("", "max_pool", (5, 5, 16), (2, 2), (2, 2), 0, 0, 14 + 2),
    ("dense1", "Dense", (120,), (), (), 400 * 120 + 120, 400 * 120, 28),
    ("dense2", "Dense", (84,), (), (), 120 * 84 + 84, 120 * 84, 28),
    ("dense3", "Dense", (10,), (), (), 84 * 10 + 10, 84 * 10, 28),
]


class Own(nn.Module):
    """A network without cnnlab's layers: pooling functions, a depthwise and a transposed convolution."""

    @nn.compact
    def __call__(self, x, train: bool = False):
        x = nn.Conv(8, (3, 3), strides=2, name="stem")(x)
        x = nn.BatchNorm(use_running_average=not train, name="norm")(x)
        x = nn.relu(x)
        x = nn.Conv(8, (3, 3), feature_group_count=8, name="depthwise")(x)
        x = nn.max_pool(x, (3, 3), strides=(2, 2))
        return nn.ConvTranspose(4, (2, 2), strides=(2, 2), name="up")(x)


class Branches(nn.Module):
    """A network with two branches on a resized image, whose windows of 2x2 pixels become channels."""

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(4, (3, 3), strides=2, name="stem")(x)
        x = jax.image.resize(x, (len(x), 2 * x.shape[1], 2 * x.shape[2], 4), "bilinear")
        x = jnp.concatenate([nn.Conv(4, (1, 1), name="small")(x), nn.Conv(4, (5, 5), name="large")(x)], -1)
        b, h, w, c = x.shape
        x = x.reshape(b, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5).reshape(b, h // 2, w // 2, 4 * c)
        return nn.ConvTranspose(2, (3, 3), strides=(2, 2), name="up")(x)


def rows(summary):
    return {row.name: row for row in summary.rows if row.name}


def test_the_rows_of_lenet5_equal_the_arithmetic():
    summary = cnnlab.summary("lenet5")
    got = [(*row[:5], row.parameters, row.multiply_adds, row.fields[0].size) for row in summary.rows]
    assert got == LENET5
    assert [row.sees_all for row in summary.rows] == [False] * 4 + [True] * 3
    assert summary.rows[3].fields == (Field(16, 4, 5.5),) * 2  # the padding of 2 moves the first centre from 7.5
    assert (summary.parameters, summary.multiply_adds) == (61_706, 416_520)


def test_xlas_count_leaves_out_the_padding_of_lenet5():
    # A row of 28 pixels with a padding of 2 has 28 windows of 5: 140 taps, of which 2 + 1 at each end are padding.
    assert cnnlab.summary("lenet5").xla_multiply_adds == 416_520 - 6 * (140**2 - 134**2)


def test_any_linen_network_is_read_grouped_and_transposed_convolutions_included():
    summary = cnnlab.summary(Own(), (16, 16, 3))
    stem, norm, depthwise, pool, up = summary.rows
    assert (stem.shape, stem.stride, stem.parameters, stem.multiply_adds) == ((8, 8, 8), (2, 2), 224, 64 * 8 * 27)
    assert (norm.kind, norm.parameters, norm.statistics, norm.multiply_adds) == ("BatchNorm", 16, 16, 0)
    assert (depthwise.groups, depthwise.parameters, depthwise.multiply_adds) == (8, 80, 64 * 8 * 9)
    assert (pool.name, pool.kind, pool.shape, pool.kernel, pool.stride) == ("", "max_pool", (3, 3, 8), (3, 3), (2, 2))
    assert (up.shape, up.parameters, up.multiply_adds) == (
        (6, 6, 4),
        132,
        9 * 4 * 8 * 4,
    )  # 3x3 inputs, 2x2x8x4 each
    assert up.stride == (0.5, 0.5)
    assert [row.fields[0].size for row in summary.rows] == [3, 3, 3 + 2 * 2, 7 + 2 * 2, 11]
    assert [row.fields[0].stride for row in summary.rows] == [2, 2, 2, 4, 2]
    assert [row.inputs for row in summary.rows] == [(-1,), (0,), (1,), (2,), (3,)]


def test_receptive_fields_of_a_chain_equal_the_arithmetic_on_integers():
    class Chain(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.Conv(2, (7, 7), strides=2, padding=3, name="wide")(x)
            x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
            x = nn.Conv(2, (3, 3), kernel_dilation=2, padding=2, name="dilated")(x)
            return nn.avg_pool(x, (2, 2), (2, 2))

    layers = [
        {"kernel": 7, "stride": 2, "padding": 3},
        {"kernel": 3, "stride": 2, "padding": 1},
        {"kernel": 3, "dilation": 2, "padding": 2},
        {"kernel": 2, "stride": 2},
    ]
    assert [row.fields[0] for row in cnnlab.summary(Chain(), (64, 64, 1)).rows] == receptive_fields(layers)


def measured_field(network, size):
    """Returns the largest extent of a central unit's gradient along each axis, with positive weights."""
    x = jax.random.uniform(jax.random.key(0), (8, *size))  # several images, because a maximum depends on one pixel
    variables = jax.jit(lambda x: cnn.init(network, x, jax.random.key(1)))(x)
    variables = jax.tree.map(lambda leaf: jnp.abs(leaf) + 0.01, variables)

    @jax.jit
    def gradient(x, row, column):
        return jax.grad(lambda x: cnn.apply(network, variables, x)[:, row, column].sum())(x)

    middle = [n // 2 for n in jax.eval_shape(lambda x: cnn.apply(network, variables, x), x).shape[1:3]]
    gradients = [np.asarray(gradient(x, middle[0] + unit, middle[1] + unit)) for unit in range(4)]
    extents = [[np.ptp(np.flatnonzero(g.any(axes))) + 1 for axes in ((0, 2, 3), (0, 1, 3))] for g in gradients]
    return tuple(np.max(extents, 0).tolist())


@pytest.mark.parametrize(
    ("network", "size"),
    [
        (cnnlab.create_model("encoder_decoder", num_classes=1, features=1), (48, 48, 1)),
        (Own(), (40, 40, 1)),
        (Branches(), (40, 40, 1)),
    ],
    ids=lambda part: type(part).__name__,
)
def test_receptive_fields_are_the_extents_of_gradients(network, size):
    *_, last = cnnlab.summary(network, size).rows
    assert tuple(field.size for field in last.fields) == measured_field(network, size)


def test_skips_concatenate_layers_of_both_paths():
    summary = cnnlab.summary("encoder_decoder", (32, 32, 3))
    joins = [(index, row) for index, row in enumerate(summary.rows) if row.kind == "concatenate"]
    assert [row.shape for _, row in joins] == [(16, 16, 72), (32, 32, 36)]
    assert [[summary.rows[i].name for i in row.inputs if summary.rows[i].name] for _, row in joins] == [
        ["down2_norm"],
        ["down1_norm"],
    ]


@pytest.mark.parametrize("name", ["linear", "keras_mnist", "encoder_decoder", "grid_detector"])
def test_totals_are_the_sums_of_the_variables(name):
    summary = cnnlab.summary(name, (32, 32, 3), num_classes=5)
    network = cnnlab.create_model(name, num_classes=5)
    variables = jax.eval_shape(lambda x: cnn.init(network, x, jax.random.key(0)), jnp.zeros((1, 32, 32, 3)))
    params = variables.pop("params")
    assert summary.parameters == sum(leaf.size for leaf in jax.tree.leaves(params))
    assert summary.statistics == sum(leaf.size for leaf in jax.tree.leaves(variables))


def test_a_shared_layer_counts_its_parameters_once_and_an_unused_one_is_listed():
    class Shared(nn.Module):
        @nn.compact
        def __call__(self, x):
            self.param("idle", nn.initializers.ones, (7,))
            conv = nn.Conv(3, (1, 1), name="conv")
            return conv(nn.relu(nn.remat(nn.Conv)(3, (3, 3), name="middle")(conv(x)))) + x

    summary = cnnlab.summary(Shared(), (8, 8, 3))
    assert [row.name for row in summary.rows] == ["conv", "middle", "conv", "", "idle"]
    assert [row.parameters for row in summary.rows] == [12, 84, 0, 0, 7]
    assert [row.multiply_adds for row in summary.rows] == [64 * 9, 64 * 81, 64 * 9, 0, 0]
    assert summary.rows[3].inputs == (-1, 2)
    assert summary.rows[4].kind == "unused"


def test_normalising_by_the_image_does_not_widen_the_field_and_gating_by_it_does():
    class Gated(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.GroupNorm(num_groups=2, name="norm")(nn.Conv(4, (3, 3), name="conv")(x))
            return x * nn.sigmoid(nn.Dense(4, name="gate")(x.mean((1, 2))))[:, None, None]

    summary = cnnlab.summary(Gated(), (16, 16, 3))
    assert [(row.kind, row.fields[0].size, row.sees_all) for row in summary.rows] == [
        ("Conv", 3, False),
        ("GroupNorm", 3, False),
        ("avg_pool", 16, True),
        ("Dense", 16, True),
        ("mul", 16, True),
    ]


def test_a_kernel_larger_than_its_padded_input_is_named_with_its_layer():
    class Strided(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.Conv(4, (5, 5), strides=2, padding="VALID", name="conv")(x)
            return nn.Dense(2, name="dense")(cnn.flatten(x))

    with pytest.raises(ValueError, match=r"conv: a kernel of 5x5 pixels, padding 'VALID', is larger .* \[3, 4, 1\]"):
        cnnlab.summary(Strided(), (3, 4, 1))
    with pytest.raises(ValueError, match="conv2: a kernel of 5 pixels is larger than its padded input of 3"):
        cnnlab.summary("lenet5", (6, 28, 1))
    with pytest.raises(ValueError, match=r"1 or more each, found \(28, 0, 1\)"):
        cnnlab.summary("lenet5", (28, 0, 1))


def test_the_command_prints_a_table_of_100_columns_and_writes_a_figure(capsys, tmp_path):
    assert main(["summary", "encoder_decoder", "--input", "640", "480", "3", "--output", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert max(len(line) for line in out.splitlines() if str(tmp_path) not in line) <= 100
    for word in ("up1_conv", "640×480×12", "3,888", f"{640 * 480 * 12 * 36 * 9:,}", "moving averages"):
        assert word in out
    assert (tmp_path / "encoder_decoder.png").stat().st_size > 10_000


def test_the_command_prints_one_json_object_alone(capsys):
    assert main(["summary", "lenet5", "--num-classes", "4", "--json"]) == 0
    output = json.loads(capsys.readouterr().out)
    assert output["parameters"] == 61_706 - 6 * 85
    assert output["rows"][2]["fields"] == [{"size": 14, "stride": 2.0, "centre": 4.5}] * 2


def test_a_run_is_summarised_with_its_own_input_and_classes(run, capsys):
    assert main(["summary", str(run), "--json"]) == 0
    output = json.loads(capsys.readouterr().out)
    assert (output["input"], output["output"]) == ([16, 16, 1], [3])
    assert main(["summary", str(run), "--num-classes", "4"]) == 2
    assert "whose classes are its own" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["lenet"], 2, "unknown model 'lenet'; did you mean 'lenet5'"),
        (["lenet5", "--input", "4", "4", "1"], 1, "conv2: a kernel of 5 pixels is larger than its padded input of 2"),
        (["lenet5", "--input", "28", "28"], 2, "--input"),
    ],
)
def test_bad_arguments_exit_with_a_message(arguments, code, message, capsys):
    assert main(["summary", *arguments]) == code
    assert message in capsys.readouterr().err


def test_the_figure_has_one_solid_per_layer_and_the_skips():
    solids = blocks(cnnlab.summary("encoder_decoder", (32, 32, 3), num_classes=2))
    shapes = [(32, 32, 3), (32, 32, 12), (16, 16, 12), (16, 16, 24), (8, 8, 24), (8, 8, 48), (16, 16, 72)]
    assert [solid.shape for solid in solids[:7]] == shapes
    assert [solid.inputs for solid in solids] == [(), (0,), (1,), (2,), (3,), (4,), (3, 5), (6,), (1, 7), (8,), (9,)]
    assert [solid.above for solid in solids[4:8]] == ["max 2×2", "conv 3×3", "concatenate", "conv 3×3"]


def test_the_figure_of_a_long_network_merges_equal_layers():
    class Long(nn.Module):
        @nn.compact
        def __call__(self, x):
            for i in range(40):
                x = nn.relu(nn.Conv(4, (3, 3), strides=2 if i == 20 else 1, name=f"conv{i}")(x))
            return x

    image, wide, small = blocks(cnnlab.summary(Long(), (8, 8, 1)))
    assert (wide.shape, wide.above, wide.below, wide.inputs) == ((8, 8, 4), "20 conv", "conv0 …\nconv19", (0,))
    assert (small.shape, small.inputs, image.shape) == ((4, 4, 4), (1,), (8, 8, 1))


def test_a_registered_network_is_summarised_with_its_usual_input_and_classes(monkeypatch):
    monkeypatch.setattr(models, "MODELS", dict(models.MODELS))
    models.register("mine", models.Linear, input=(4, 5, 3), classes=2)
    summary = cnnlab.summary("mine")
    assert (summary.input, summary.output, summary.parameters) == ((4, 5, 3), (2,), 4 * 5 * 3 * 2 + 2)
    assert cnnlab.summary("mine", (1, 1, 1), num_classes=7).parameters == 7 + 7


def test_a_summary_without_xlas_analysis_has_all_but_its_count(monkeypatch, capsys):
    monkeypatch.setattr(jax.stages.Lowered, "cost_analysis", lambda _: None)
    assert cnnlab.summary("lenet5").xla_multiply_adds is None
    assert main(["summary", "lenet5"]) == 0
    assert "by XLA       unknown" in capsys.readouterr().out
