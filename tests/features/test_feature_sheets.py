import numpy as np

from cnnlab.plots.features import Unit, _enlarged, bar_sheet, pair_sheet, tile_sheet, unit_sheet

ORANGE, BLUE = np.array([213, 94, 0]) / 255, np.array([0, 114, 178]) / 255


def page(figure):
    """Returns the pixels of a sheet."""
    return np.asarray(figure.axes[0].images[0].get_array())


def has(pixels, colour):
    return bool((np.abs(pixels - colour) < 1e-3).all(-1).any())


def test_small_tiles_grow_by_whole_pixels_and_large_ones_are_averaged():
    tile = np.arange(12.0).reshape(2, 2, 3)
    np.testing.assert_allclose(_enlarged(tile, 4), tile.repeat(2, 0).repeat(2, 1))
    large = np.random.default_rng(0).random((7, 14, 3))
    small = _enlarged(large, 4)
    assert small.shape == (2, 4, 3)
    np.testing.assert_allclose(small.mean((0, 1)), large.mean((0, 1)))


def test_each_unit_has_its_own_scale_or_all_have_one():
    tiles = [np.full((2, 2), 1.0), np.full((2, 2), -4.0)]
    alone, together = page(tile_sheet(tiles, "ab", title="t")), page(tile_sheet(tiles, "ab", title="t", scale="layer"))
    assert has(alone, ORANGE)
    assert has(alone, BLUE)
    assert has(together, BLUE)
    assert has(together, 1 - (1 - ORANGE) / 4)
    assert not has(together, ORANGE)


def test_a_pair_of_grey_kernels_three_pixels_wide_is_no_picture_in_colours():
    kernel = np.diag([1.0, -1.0, 0.0])
    pixels = page(pair_sheet([kernel], [2 * kernel], ["unit 0"], title="t"))
    assert has(pixels, ORANGE)
    assert has(pixels, BLUE)
    assert has(pixels, 1 - (1 - ORANGE) / 2)  # before, on the scale of the pair


def test_an_activation_map_of_zeros_is_white_in_a_grey_frame():
    pixels = page(tile_sheet([np.zeros((3, 3))], ["unit 0"], title="t"))
    assert ((pixels == 1) | np.isclose(pixels, 0.8)).all()
    assert np.isclose(pixels, 0.8).any(-1).sum() == 4 * 60 + 4  # around 60 x 60 pixels


def test_a_unit_that_never_fires_has_an_orange_label():
    patches = np.zeros((2, 4, 4, 1), np.uint8)
    figure = unit_sheet([Unit("unit 0", patches), Unit("unit 1: never fires", patches, marked=True)], title="t")
    assert [text.get_color() for text in figure.axes[0].texts] == ["black", "black", "#d55e00"]


def test_a_vector_is_a_bar_for_each_unit_in_rows_with_one_axis():
    values = np.linspace(-1, 2, 50)
    figure = bar_sheet(values, [f"unit {i}" for i in range(50)], title="t", image=np.zeros((4, 4, 1), np.uint8))
    rows = [axis for axis in figure.axes if axis.patches]
    assert [len(row.patches) for row in rows] == [25, 25]  # at most 40 in a row
    np.testing.assert_allclose([bar.get_height() for row in rows for bar in row.patches], values)
    assert rows[0].get_ylim() == rows[1].get_ylim()
    assert rows[0].patches[0].get_facecolor()[:3] == tuple(BLUE)
    assert rows[1].get_xticklabels()[-1].get_text() == "unit 49"


def test_a_vector_of_zeros_has_bars_without_height():
    figure = bar_sheet(np.zeros(3), "abc", title="t", image=np.zeros((4, 4, 3), np.uint8))
    assert [bar.get_height() for bar in figure.axes[1].patches] == [0, 0, 0]
