import numpy as np
import pytest

from cnnlab import data


def arrays(n=40, **columns):
    rng = np.random.default_rng(0)
    return {"image": rng.integers(0, 256, (n, 8, 8), np.uint8), "label": np.arange(n) % 4} | columns


def test_digits_are_scikit_learns_1797_split_70_10_20_and_stratified():
    digits = data.digits()
    sizes = {split: len(examples) for split, examples in digits.splits.items()}
    assert sum(sizes.values()) == 1797
    for split, share in {"train": 0.7, "validation": 0.1, "test": 0.2}.items():
        count = np.bincount(digits[split].column("label"), minlength=10)
        # scikit-learn's documentation: 174 to 183 examples a digit
        assert (abs(count - share * 180) <= 4).all()


def test_splits_are_disjoint_complete_and_a_function_of_the_seed():
    columns = arrays(50) | {"place": np.arange(50)}
    first = data.split_columns(columns, {"train": 0.6, "test": 0.4}, seed=3)
    again = data.split_columns(columns, {"train": 0.6, "test": 0.4}, seed=3)
    other = data.split_columns(columns, {"train": 0.6, "test": 0.4}, seed=4)
    assert sorted([*first["train"]["place"], *first["test"]["place"]]) == list(range(50))
    assert (first["train"]["place"] == again["train"]["place"]).all()
    assert (first["train"]["place"] != other["train"]["place"]).any()


def test_normalisation_is_measured_on_the_training_split_alone():
    dark, bright = np.zeros((10, 4, 4), np.uint8), np.full((10, 4, 4), 255, np.uint8)
    mixed = np.concatenate([dark, bright])
    parts = {
        name: {"image": image, "label": np.arange(len(image)) % 2}
        for name, image in {"train": mixed, "validation": bright, "test": bright}.items()
    }
    spec = data.from_arrays(parts).spec
    assert spec.mean == (0.5,)
    assert spec.std == (0.5,)
    assert data.normalise(mixed[..., None], spec).mean() == 0


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (arrays(label=np.full(40, 12)), "label must lie in 0..3 for 4 classes, found 12 at mine/train"),
        (arrays(label=np.full(40, -1)), r"found -1 at mine/train\[0\]"),
        (arrays(label=np.arange(39) % 4), "must have one length, found {'image': 40, 'label': 39}"),
        (arrays(image=np.zeros((40, 8))), r"must be \[n, H, W\] or \[n, H, W, C\], found \[40, 8\]"),
        (arrays(image=np.full((40, 8, 8), 7.0)), r"must lie in \[0, 1\], found 7..7"),
        (arrays(image=np.zeros((40, 8, 8), np.int64)), "must be uint8 or floating point, found int64"),
        (arrays(image=np.full((40, 8, 8), np.nan)), r"must lie in \[0, 1\]"),
        (arrays(mask=np.zeros((40, 4, 4))), r"masks of mine/train must be \[40, 8, 8\], found \[40, 4, 4\]"),
        (arrays(label=np.zeros((40, 1))), r"label of mine/train must be \[n\], found \[40, 1\]"),
        (arrays(label=np.full(40, 0.5)), "label of mine/train must be whole numbers, found 0.5"),
        (arrays(label=np.full(40, "cat")), "label of mine/train must hold numbers, found <U3"),
        (arrays(labels=np.full((40, 4), 7)), "labels of mine/train must be 0 or 1 in 4 columns"),
        (arrays(labels=np.ones((40, 3))), "found 3 columns"),
        (arrays(target=np.full((40, 1), np.inf)), "target of mine/train must be finite, found inf"),
        (arrays(weight=np.full(40, -2.0)), "weight of mine/train must be 0 or more, found -2.0"),
        (arrays(boxes=np.zeros((40, 2, 5))), r"boxes of mine/train must be \[n, m, 4\], found \[40, 2, 5\]"),
        ({"label": np.zeros(3)}, "has no column 'image'; found label"),
        ({"image": np.zeros((0, 8, 8), np.uint8), "label": np.zeros(0)}, "mine/train is empty"),
    ],
)
def test_arrays_that_do_not_fit_are_named_with_their_value(columns, message):
    with pytest.raises(ValueError, match=message):
        data.from_arrays({"train": columns}, classes="abcd", name="mine")


def test_splits_of_different_image_sizes_are_refused():
    with pytest.raises(ValueError, match="must share one image shape"):
        data.from_arrays({"train": arrays(), "test": arrays() | {"image": np.zeros((40, 9, 8), np.uint8)}})


def test_a_missing_split_is_named_with_those_there_are():
    with pytest.raises(ValueError, match="has no split 'tset'; it has train, validation"):
        data.from_arrays({"train": arrays()})["tset"]


def test_training_batches_are_a_pure_function_of_seed_and_epoch_without_the_remainder():
    examples = data.Examples(arrays(10))
    order = [b["label"].tolist() for b in data.training_batches(examples, batch_size=3, seed=0, epoch=1)]
    again = [b["label"].tolist() for b in data.training_batches(examples, batch_size=3, seed=0, epoch=1)]
    later = [b["label"].tolist() for b in data.training_batches(examples, batch_size=3, seed=0, epoch=2)]
    assert order == again
    assert order != later
    assert len(order) == 3


def test_groups_of_a_class_stand_together_and_no_example_occurs_twice():
    label = np.repeat([0, 1, 2], [8, 7, 1])
    examples = data.Examples({"image": np.zeros((16, 1, 1, 1), np.uint8), "label": label})
    options = {"batch_size": 8, "seed": 0, "images_per_class": 4}
    orders = [data.epoch_order(examples, epoch=epoch, **options) for epoch in (0, 0, 1)]
    assert orders[0].tolist() == orders[1].tolist() != orders[2].tolist()
    assert sorted(orders[0].ravel()) == list(range(16))
    changes = (np.diff(label[orders[0].ravel()]) != 0).sum()
    assert changes <= 4  # of five groups: 4 + 4, 4 + 3, 1
    later = list(data.training_batches(examples, epoch=0, start=1, **options))
    assert [batch["label"].tolist() for batch in later] == label[orders[0][1:]].tolist()


def test_evaluation_counts_every_example_exactly_once():
    examples = data.Examples(arrays(10) | {"place": np.arange(10)})
    batches = list(data.evaluation_batches(examples, batch_size=4))
    assert {len(b["image"]) for b in batches} == {4}
    assert [p for b in batches for p, w in zip(b["place"], b["weight"], strict=True) if w] == list(range(10))


def test_training_weighs_examples_by_their_column_and_the_evaluation_does_not():
    examples = data.Examples(arrays(10) | {"place": np.arange(10), "weight": np.arange(10, dtype=np.float32)})
    for batch in data.training_batches(examples, batch_size=4, seed=0, epoch=0):
        assert (batch["weight"] == batch["place"]).all()
    (batch,) = data.evaluation_batches(examples, batch_size=10)
    assert (batch["weight"] == 1).all()


def test_a_batch_larger_than_the_data_names_both():
    with pytest.raises(ValueError, match="must lie in 1..10, the number of training examples, found 11"):
        data.steps_per_epoch(data.Examples(arrays(10)), 11)


def test_the_fingerprint_sees_one_changed_pixel():
    one, two = arrays(), arrays()
    two["image"][3, 2, 1] ^= 1
    before, after = (data.from_arrays({"train": columns}).fingerprint() for columns in (one, two))
    assert before != after


def test_unknown_data_names_the_nearest():
    with pytest.raises(ValueError, match="unknown data 'digit'; did you mean 'digits'"):
        data.load_data("digit")


def test_a_rare_one_of_several_labels_reaches_every_split():
    labels = np.zeros((300, 3), np.int32)
    labels[:, 0] = 1  # all have it
    labels[::30, 2] = 1  # ten have it
    for seed in range(20):
        columns = {"image": np.zeros((300, 1, 1, 1), np.uint8), "labels": labels}
        parts = data.split_columns(columns, {"train": 0.7, "validation": 0.1, "test": 0.2}, seed=seed)
        assert [part["labels"][:, 2].sum() for part in parts.values()] == [7, 1, 2]


@pytest.mark.parametrize("size", [1, 3, 4, 8])
def test_many_small_classes_fill_every_split(size):
    label = np.repeat(np.arange(100), size)
    columns = {"image": np.zeros((len(label), 1, 1, 1), np.uint8), "label": label}
    if size == 1:  # the single example of each class stays in training
        with pytest.raises(ValueError, match="100 examples are too few to split .* add some, or give it more"):
            data.split_columns(columns, {"train": 0.7, "validation": 0.1, "test": 0.2}, seed=0)
        return
    parts = data.split_columns(columns, {"train": 0.7, "validation": 0.1, "test": 0.2}, seed=0)
    shares = {split: len(part["label"]) / len(label) for split, part in parts.items()}
    assert shares == pytest.approx({"train": 0.7, "validation": 0.1, "test": 0.2}, abs=0.05)
    assert set(parts["train"]["label"]) == set(range(100))
