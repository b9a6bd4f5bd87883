from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import cnnlab
from cnnlab import tasks
from cnnlab.cli import main
from cnnlab.data import InputSpec
from cnnlab.files.photo import Photo
from cnnlab.training.plan import build_task

ALPHABET = tuple("0123456789")
SPEC = InputSpec((8, 32), classes=ALPHABET, fit="strip")


def frames(path, *, sure=0.9):
    """Returns probabilities `[1, T, 11]` whose most probable path is this one; `-` is the blank."""
    symbols = [10 if symbol == "-" else int(symbol) for symbol in path]
    return jnp.where(jax.nn.one_hot(jnp.array([symbols]), 11) > 0, sure, (1 - sure) / 10)


def dataset(texts, *, width=32, classes=ALPHABET):
    text = np.full((len(texts), max(map(len, texts))), -1)
    for row, string in zip(text, texts, strict=True):
        row[: len(string)] = [int(digit) for digit in string]
    columns = {"image": np.zeros((len(texts), 8, width, 1), np.uint8), "text": text}
    return cnnlab.data.from_arrays(dict.fromkeys(("train", "validation"), columns), classes=classes)


def reading(path, **options):
    task = tasks.Sequence(alphabet=ALPHABET, **options)
    prediction = jax.jit(task.decode)({"probs": frames(path)})
    return task, jax.tree.map(lambda leaf: np.asarray(leaf[0]), prediction)


def test_a_string_is_read_with_the_frames_and_the_confidence_of_each_character():
    _, prediction = reading("--11-2--")
    assert prediction.text[:3].tolist() == [1, 2, -1]
    assert prediction.start[:2].tolist() == [2, 5]
    assert prediction.end[:2].tolist() == [4, 6]
    assert prediction.character_confidence[:3].tolist() == pytest.approx([0.9, 0.9, 0])
    assert 0.9**8 < float(prediction.confidence) < 1  # one path of the many that spell 12


def test_a_record_gives_the_characters_columns_in_pixels_of_the_photo(tmp_path):
    Image.fromarray(np.zeros((16, 64), np.uint8)).save(tmp_path / "strip.png")  # twice the network's input
    task, prediction = reading("--11-2--")  # a frame is 4 pixels of the input, 8 of the photo
    (record,) = task.record(prediction, SPEC, Photo(tmp_path / "strip.png"))
    assert record["text"] == "12"
    assert [(each["left"], each["right"]) for each in record["characters"]] == [(16, 32), (40, 48)]
    assert task.line(record)["characters"] == pytest.approx([0.9, 0.9])


def test_the_drawing_has_the_strip_on_top_and_a_bar_under_each_character(tmp_path):
    Image.fromarray(np.full((84, 336), 7, np.uint8)).save(tmp_path / "strip.png")
    task, prediction = reading("--11-2--")
    drawing = task.draw(prediction, SPEC, Photo(tmp_path / "strip.png"))["reading"]
    assert not drawing.fits
    assert (drawing.pixels[:84] == 7).all()
    coloured = (drawing.pixels[88] != 255).any(-1)
    assert coloured[[100, 220]].tolist() == [True, True]  # of 42 pixels a frame: 84..168 and 210..252
    assert not coloured[[50, 190, 300]].any()


def test_a_restricted_reading_is_the_most_probable_allowed_string():
    _, free = reading("1-2-3---")
    _, years = reading("1-2-3---", pattern="[0-9]{4}")
    _, words = reading("1-2-3---", lexicon=("124", "456"))
    assert [int((each.text >= 0).sum()) for each in (free, years)] == [3, 4]
    assert words.text[:3].tolist() == [1, 2, 4]
    assert float(words.confidence) > 0.99  # relative to the two words


def test_scores_count_edits_and_the_errors_of_the_surest_strings():
    task = tasks.Sequence(alphabet=ALPHABET)
    truth = np.array([[1, 2], [3, -1], [4, 4], [5, 6]])
    text = np.array([[1, 2], [3, 3], [4, -1], [5, 7]])
    rows = {"truth": truth, "text": text, "confidence": np.array([0.9, 0.6, 0.7, 0.8])}
    scores = task.summary(rows)
    assert scores["cer"] == pytest.approx(3 / 7)
    assert scores["exact"] == 0.25
    assert scores["risk_at_90"] == 0.75
    assert task.details(rows)["edits"] == {"substituted": 1, "inserted": 1, "deleted": 1}
    table = task.per_example(rows)
    assert table["prediction"].tolist() == ["12", "33", "4", "57"]
    assert table["edits"].tolist() == [0, 1, 1, 1]


def test_strings_longer_than_the_frames_are_counted_before_the_first_step_and_have_no_weight():
    data, task = dataset(["11111", "12345", "1"]), tasks.Sequence()  # they need 9, 5 and 1 frames
    (remark,) = [each for each in task.remarks(data, (2, 8, 11)) if "not learnt" in each]
    assert remark.startswith("1 of 3 training strings are not learnt: they need more than the 8 frames")
    batch = {"text": jnp.asarray(data["train"].column("text"))}
    value, weight = jax.jit(task.loss)(jnp.zeros((3, 8, 11)), batch)
    assert weight.tolist() == [0, 1, 1]
    assert np.isfinite(value).all()
    with pytest.raises(ValueError, match="no training string .* fits the 0 frames"):
        task.remarks(data, (2, 0, 11))


def test_characters_that_no_training_string_has_are_named():
    (remark,) = tasks.Sequence().remarks(dataset(["0123", "4567"]), (2, 8, 11))
    assert remark == "no training string has the characters 8 9, so the network cannot learn them"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pattern": "[0-9"}, "its end too early"),
        ({"lexicon": ("1a",)}, "the word '1a' of the lexicon has 'a'"),
        ({"alphabet": ("a", "b")}, "alphabet must be that of arrays, '0123456789'"),
        ({"decoder": "best"}, "decoder"),
        ({"beams": 0}, "beams must lie in 1..1000, found 0"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_training(options, message):
    with pytest.raises(ValueError, match=message):
        build_task(None, dataset(["12"]), tasks.Sequence(**options))


def test_a_label_equal_to_the_blank_is_outside_the_alphabet():
    with pytest.raises(ValueError, match="text must lie in -1..1 for 2 classes, found 2"):
        dataset(["12"], classes=("0", "1"))


def test_an_alphabet_is_needed_to_restrict_the_strings():
    with pytest.raises(ValueError, match="alphabet is still 'auto'"):
        tasks.Sequence().restrict(pattern="1")


def test_the_verdict_says_the_share_of_strings_and_whether_the_confidence_fits():
    report = {"exact": 0.984, "cer": 0.0031, "ece": 0.02, "examples": 2000}
    read = "reads 98.4 % of the strings without an error, CER 0.31 %"
    assert tasks.Sequence().verdict(report) == read
    calibrated = f"{read}; well calibrated as far as 2,000 strings can tell"
    assert tasks.Sequence().verdict(report | {"ece_low": 0}) == calibrated
    assert tasks.Sequence().verdict(report | {"ece_low": 0.01}).endswith("off by 2.0 points on average")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Trains a reader of one or two digits for one epoch and returns its run directory."""
    path = tmp_path_factory.mktemp("runs") / "strips"
    data = {"lengths": (1, 2), "width": 48, "train": 32, "validation": 8, "test": 8}
    experiment = cnnlab.Experiment(
        model=cnnlab.Choice("reader", features=(4, 4, 8), context=16, dilations=(1,)),
        data=cnnlab.Choice("strips", **data),
        task=cnnlab.Choice("sequence"),
        training=cnnlab.Training(epochs=1, batch_size=16),
    )
    cnnlab.train(experiment, path, quiet=True)
    return path


def test_predict_prints_the_string_of_a_strip_of_any_width_and_keeps_to_a_pattern(run, tmp_path, capsys):
    import json

    strip = np.random.default_rng(0).integers(0, 255, (28, 120)).astype(np.uint8)
    Image.fromarray(strip).save(tmp_path / "strip.png")
    assert main(["predict", str(run), str(tmp_path / "strip.png"), "--pattern", "[0-9]{7}"]) == 0
    (record,) = json.loads(capsys.readouterr().out)["predictions"]
    assert len(record["text"]) == len(record["characters"]) == 7
    assert record["characters"][-1]["right"] <= 120
    (tmp_path / "words.txt").write_text("123\n99\n")
    assert main(["predict", str(run), str(tmp_path / "strip.png"), "--lexicon", str(tmp_path / "words.txt")]) == 0
    assert json.loads(capsys.readouterr().out)["predictions"][0]["text"] in ("123", "99")


def test_a_pattern_is_for_networks_that_read_strips(run, tmp_path, capsys):
    (tmp_path / "empty.txt").write_text("\n\n")
    strip = tmp_path / "strip.png"
    Image.fromarray(np.zeros((28, 40), np.uint8)).save(strip)
    assert main(["predict", str(run), str(strip), "--lexicon", str(tmp_path / "empty.txt")]) == 1
    assert "has no string; write one a line" in capsys.readouterr().err
    from cnnlab.predictions.options import require_option

    with pytest.raises(ValueError, match=r"--pattern is for networks that read strips \(sequence\), this run is reg"):
        require_option(tasks.Regression(), "pattern", "--pattern")


def test_passes_are_averaged_frame_by_frame(run):
    trained = cnnlab.load(run)
    images = np.zeros((2, 28, 48, 1), np.uint8)
    mc = cnnlab.mc_predict(trained, images, key=jax.random.key(0), num_samples=3)
    np.testing.assert_allclose(mc.mean.sum(-1), 1, rtol=1e-5)
    (record,) = trained.task.record(
        jax.tree.map(lambda leaf: np.asarray(leaf[0]), mc), trained.spec, Photo(Path("a.png"), frame=images[0])
    )
    assert record["num_samples"] == 3
    assert record["entropy"] >= record["mutual_information"] >= 0


def test_a_strip_of_another_height_is_refused(run):
    with pytest.raises(ValueError, match=r"must be \[B, 28, W, 1\]"):
        cnnlab.predict(cnnlab.load(run), np.zeros((1, 32, 48, 1), np.uint8))
