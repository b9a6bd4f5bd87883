import numpy as np

from cnnlab.metrics.calibration.errors import reliability
from cnnlab.plots.curves import curves
from cnnlab.plots.reliability import reliability_diagram
from cnnlab.plots.segmentation import prediction_grid


def test_epochs_have_whole_numbers_and_names_no_underscores():
    history = [{"epoch": e, "loss": 1.0, "validation_loss": 1.0, "validation_mean_iou": 0.5} for e in (1, 2, 3)]
    _, right = curves(history, "mean_iou", maximise=True).axes
    assert all(float(tick).is_integer() for tick in right.get_xticks())
    assert right.get_ylabel() == "validation mean iou"


def test_bins_of_few_examples_are_hollow_and_not_on_the_line():
    confidence = np.array([0.95] * 20 + [0.55] * 3)
    bins = reliability(confidence, np.ones(23, bool), 10)
    lines = {line.get_label(): line for line in reliability_diagram(bins, 0.1, 0.1).axes[0].lines}
    np.testing.assert_allclose(lines["this model"].get_xdata(), [0.95])
    np.testing.assert_allclose(lines["fewer than 10 examples"].get_xdata(), [0.55])


def test_a_segmentation_has_a_legend_of_its_classes():
    mask = np.eye(4, dtype=int)
    figure = prediction_grid([np.zeros((4, 4, 1))], [mask], [mask], {}, ["_ground", "road"])
    (legend,) = figure.legends
    assert [text.get_text().strip("\u200b") for text in legend.get_texts()] == ["_ground", "road"]
    np.testing.assert_allclose(legend.get_patches()[1].get_facecolor()[:3], np.array([230, 159, 0]) / 255)
