"""Tests of photos with boxes that TFDS prepared, read without TensorFlow."""

import io

import numpy as np
import pytest
from PIL import Image

import cnnlab
from cnnlab.data.sources.tfds import tfds

CAT = {"bbox": (0.25, 0.25, 0.5, 0.5), "label": 0}  # of 40 x 20 pixels: x 10..20, y 5..10
DOG = {"bbox": (0.0, 0.5, 1.0, 1.0), "label": 1}  # x 20..40, y 0..20


def png(width, height):
    file = io.BytesIO()
    Image.new("RGB", (width, height), (200, 10, 10)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Returns a function that prepares a set `tiny` of photos, 40 x 20 pixels by default, with objects."""
    import tensorflow_datasets as tfds

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    kinds = {"is_difficult": np.bool_, "is_crowd": np.bool_, "area": np.int64}
    names = ("cat", "dog")

    def write(splits, *marks, sequence="objects", size=(40, 20), form="REL_YXYX", image=None, **more):
        kind = tfds.features.ClassLabel(names=names)
        parts = {"bbox": tfds.features.BBoxFeature(bbox_format=form), "label": kind}
        objects = tfds.features.Sequence(parts | {mark: kinds[mark] for mark in marks})
        features = {"image": tfds.features.Image(), "image/filename": tfds.features.Text(), sequence: objects}
        features |= {"labels": tfds.features.Sequence(kind)} | dict.fromkeys(more, kind)

        class Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
            VERSION = tfds.core.Version("1.0.0")

            def _info(self):
                kinds = tfds.features.FeaturesDict(features)
                return tfds.core.DatasetInfo(builder=self, features=kinds, disable_shuffling=True)

            def _split_generators(self, dl_manager):
                return {split: self._generate_examples(photos) for split, photos in splits.items()}

            def _generate_examples(self, photos):
                for i, photo in enumerate(photos):
                    objects_by_name = [{name: np.array(one[name]) for name in objects.feature} for one in photo]
                    record = {
                        "image/filename": f"{i}.png",
                        sequence: objects_by_name,
                        "labels": [one["label"] for one in photo],
                    }
                    yield i, {"image": io.BytesIO(image or png(*size))} | record | more

        Tiny(data_dir=tmp_path).download_and_prepare(file_format="array_record")

    return write


def every(*photos):
    """Returns the same photos for all three splits."""
    return dict.fromkeys(("train", "validation", "test"), photos)


def first(**options):
    return tfds("tiny", **({"size": 32} | options))["train"][np.arange(1)]


def test_relative_boxes_become_pixels_of_the_letterbox(store):
    store(every([CAT, DOG], []))  # 40 x 20 becomes 32 x 16, eight rows of grey above and below
    one = first()
    assert one["boxes"].tolist() == [[[8, 12, 16, 16], [16, 8, 32, 24]]]
    assert one["classes"].tolist() == [[0, 1]]
    assert one["area"].tolist() == [[50, 400]]
    assert one["photo_size"].tolist() == [[20, 40]]
    assert one["frame"].tolist() == [[0, 8, 32, 24]]
    assert (one["image"][0, :8] == 127).all()
    assert (one["image"][0, 8:24] == (200, 10, 10)).all()
    assert (one["image"][0, 24:] == 127).all()


def test_the_spec_has_the_classes_by_name_and_a_photo_without_objects_stays(store):
    store(every([CAT, DOG], []))
    data = tfds("tiny", size=(16, 32))
    assert (data.name, data.spec.classes, data.spec.fit) == ("tiny", ("cat", "dog"), "letterbox")
    assert data.spec.mean == (0.784314, 0.039216, 0.039216)  # 200 and 10 of 255, and no grey
    assert data["test"].column("classes").tolist() == [[0, 1], [-1, -1]]
    assert data["test"].in_memory


def test_a_tall_photo_has_grey_at_its_sides(store):
    store(every([CAT]), size=(10, 20))  # 16 x 32, eight columns of grey on both sides
    assert first()["boxes"].tolist() == [[[12, 8, 16, 16]]]


def test_difficult_objects_are_marked_and_need_not_be_learnt(store):
    store(every([CAT | {"is_difficult": False}, DOG | {"is_difficult": True}]), "is_difficult")
    assert first()["difficult"].tolist() == [[False, True]]
    assert first()["learnt"].all()
    with pytest.warns(UserWarning, match="boxes of tiny: 3 difficult, not learnt"):
        one = first(difficult=False)
    assert one["learnt"].tolist() == [[True, False]]


def test_crowds_are_not_learnt_and_a_sets_own_areas_count(store):
    mark = {"is_crowd": True, "area": 33}
    store(every([CAT | {"is_crowd": False, "area": 7}, DOG | mark]), "is_crowd", "area")
    with pytest.warns(UserWarning, match="boxes of tiny: 3 crowds, not learnt"):
        one = first()
    assert one["crowd"].tolist() == [[False, True]]
    assert one["learnt"].tolist() == [[True, False]]
    assert one["area"].tolist() == [[7, 33]]


def test_missing_splits_are_set_aside_from_the_training_photos(store):
    store({"train": [[CAT]] * 20})
    splits = tfds("tiny", size=32, validation=0.1, test=0.3).splits
    assert {name: len(split) for name, split in splits.items()} == {"train": 12, "validation": 2, "test": 6}


def test_a_split_that_is_there_stays_as_it_is(store):
    store({"train": [[CAT]] * 10, "val": [[DOG]] * 3, "unsupervised": [[]]})
    splits = tfds("tiny", size=32, test=0.2).splits
    assert {name: len(split) for name, split in splits.items()} == {"train": 8, "validation": 3, "test": 2}
    assert (splits["validation"].column("classes") == 1).all()


def test_a_split_that_nobody_annotated_counts_as_missing(store):
    store({"train": [[CAT]] * 8, "validation": [[DOG], []], "test": [[], [], []]})
    with pytest.warns(UserWarning, match="no photo of tiny's split test has an object; photos of train are set aside"):
        splits = tfds("tiny", size=32, test=0.25).splits
    assert {name: len(split) for name, split in splits.items()} == {"train": 6, "validation": 2, "test": 2}


def test_boxes_are_mended_by_the_rules_of_folders(store):
    corners = [(0.5, 0.5, 0.25, 0.25), (0.25, 0.5, 0.5, 1.25), (0.5, 0.5, 0.5, 0.5), (0.0, 1.5, 1.0, 2.0)]
    store(every([CAT | {"bbox": one} for one in corners]), form=None)
    message = "3 reversed, put in order; 3 outside, dropped; 3 reaching out, clipped; 3 without area, kept"
    with pytest.warns(UserWarning, match=message):
        one = first(size=(20, 40))
    assert one["boxes"].tolist() == [[[10, 5, 20, 10], [20, 5, 40, 10], [20, 10, 20, 10], [0, 0, 0, 0]]]
    assert one["classes"].tolist() == [[0, 0, 0, -1]]


def test_a_set_with_classes_and_objects_is_read_by_what_label_names(store):
    store({"train": [[CAT]] * 10}, label=1)
    data = tfds("tiny")
    assert data["train"].column("label").tolist() == [1] * 7
    assert data.spec.size == (64, 64)
    data = tfds("tiny", label="objects")
    assert data["train"].column("classes").tolist() == [[0]] * 7
    assert data.spec.size == (416, 416)


def test_objects_may_have_another_name(store):
    store(every([CAT]), sequence="faces")
    with pytest.raises(ValueError, match="tiny has no feature 'label' or 'objects'; it has faces, image, .*objects$"):
        first()
    assert first(objects="faces")["classes"].tolist() == first(label="faces")["classes"].tolist() == [[0]]


def test_a_label_that_is_no_feature_is_not_taken_for_the_objects(store):
    store(every([CAT]))
    with pytest.raises(ValueError, match="tiny has no feature 'mask'"):
        first(label="mask")


def test_objects_without_boxes_are_named(store):
    store(every([CAT]))
    with pytest.raises(ValueError, match="the feature 'labels' of tiny has no bbox and no label; it has no parts"):
        first(label="labels")


def test_boxes_in_another_format_are_refused(store):
    store(every([CAT]), form="REL_XYXY")
    with pytest.raises(ValueError, match=r"bbox of .* of tiny must be .*\(REL_YXYX\), found BBoxFormat.REL_XYXY"):
        first()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bbox": (5.0, 10.0, 10.0, 20.0)}, r"bbox of tiny train\[1\] must be relative .*, found \[\[5.0, 10.0"),
        ({"bbox": (0.0, 0.0, float("nan"), 1.0)}, r"bbox of tiny train\[1\] must be relative"),
        ({"label": -1}, r"label of tiny train\[1\] must lie in 0..1, found \[-1\]"),
    ],
)
def test_a_wrong_object_is_named_by_its_place(store, change, message):
    store(every([DOG], [CAT | change]), form=None)
    with pytest.raises(ValueError, match=message):
        first()


def test_a_set_without_any_object_is_refused(store):
    store({"train": [[], []], "test": [[CAT]]})
    with pytest.raises(ValueError, match="no photo of tiny's split 'train' has an object"):
        first()


def test_a_damaged_photo_is_named(store):
    store(every([CAT]), image=png(40, 20)[:50])
    with pytest.raises(ValueError, match=r"cannot read train\[0\] as an image"):
        first()


def test_sizes_and_shares_out_of_range_and_too_little_memory_are_refused(store):
    store(every([CAT]))
    with pytest.raises(ValueError, match="size must lie in 1..4096 pixels, found "):
        first(size=(0, 8))
    with pytest.raises(ValueError, match="must be shares above 0, together below 1, found 0.5, 0.5"):
        first(validation=0.5, test=0.5)
    with pytest.raises(ValueError, match="tiny has 3 examples, more than 1 MB at 416x416x3; lower --data.size"):
        first(size="auto", memory_megabytes=1)


def test_a_detector_is_trained_on_a_prepared_set_by_its_name(store, tmp_path):
    from cnnlab.commands.options import parse_experiment

    store({"train": [[CAT, DOG], [DOG], []] * 4, "validation": [[CAT]] * 4, "test": [[DOG]] * 4})
    data, network = "--data.name tiny --data.size 16", "--model.name grid_detector --model.features 4 4"
    task, training = "--task.name detection --task.max-boxes 5", "--training.epochs 1 --training.batch-size 4"
    experiment, _ = parse_experiment(f"{data} {network} {task} {training}".split())
    trained = cnnlab.train(experiment, tmp_path / "run", quiet=True)
    report = cnnlab.evaluate(trained, cnnlab.data.load_data(experiment.data.name, **experiment.data.options))
    assert report["examples"] == 4
    assert "map50" in report
