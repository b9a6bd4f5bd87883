import pytest

from cnnlab.files.figures import save_figures, write_index
from cnnlab.plots.curves import curves


@pytest.fixture
def figure():
    return curves([{"epoch": 1, "loss": 1.0, "validation_loss": 1.0}], "loss", maximise=False)


@pytest.mark.parametrize(("figure_format", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_a_figure_is_written_in_each_format(figure, tmp_path, figure_format, magic):
    (path,) = save_figures({"curves": figure}, tmp_path, figure_format=figure_format)
    assert path.suffix == f".{figure_format}"
    assert path.read_bytes().startswith(magic)


def test_a_png_has_300_dots_per_inch_unless_matplotlibs_settings_say_otherwise(figure, tmp_path):
    import matplotlib
    from PIL import Image

    (path,) = save_figures({"curves": figure}, tmp_path)
    with Image.open(path) as image:
        assert round(image.info["dpi"][0]) == 300
    with matplotlib.rc_context({"savefig.dpi": 100}):
        save_figures({"curves": figure}, tmp_path)
    with Image.open(path) as image:
        assert round(image.info["dpi"][0]) == 100


def test_the_index_shows_all_figures_by_relative_links_and_quotes_text(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("curves.png", "images/0001.png", "a <b> #1.svg", "paper.pdf"):
        (tmp_path / name).touch()
    text = write_index(tmp_path, "<script>").read_text()
    for part in ('src="curves.png"', 'src="images/0001.png"', 'src="a%20%3Cb%3E%20%231.svg"', 'href="paper.pdf">PDF'):
        assert part in text
    assert "<script>" not in text
    assert "<b>" not in text
    assert "images/0001" in text
