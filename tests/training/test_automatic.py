import dataclasses

import numpy as np
import pytest
from PIL import Image

import cnnlab
from cnnlab.commands.options import parse_experiment
from cnnlab.data import Augmentation
from cnnlab.training.automatic import PHOTOS, may_flip
from cnnlab.training.plan import make_plan


def folder(root, *, size, mode, names=("cat", "dog")):
    """Writes eight noisy images for each class and returns the folder."""
    random = np.random.default_rng(0)
    for name in names:
        (root / name).mkdir()
        for i in range(8):
            pixels = random.integers(0, 256, (size, size, 3), np.uint8)
            Image.fromarray(pixels).convert(mode).save(root / name / f"{i}.png")
    return root


def experiment(path, **options):
    training = cnnlab.Training(batch_size=8, **options)
    return cnnlab.Experiment(data=cnnlab.Choice("auto", path=str(path)), training=training)


@pytest.mark.parametrize(("size", "mode", "stem"), [(24, "RGB", "small"), (40, "L", "small"), (80, "RGB", "photo")])
def test_photos_get_a_residual_network_with_augmentation_and_a_sentence(tmp_path, size, mode, stem):
    plan = make_plan(experiment(folder(tmp_path, size=size, mode=mode)))
    assert (plan.experiment.model.name, plan.experiment.model.stem) == ("resnet8", stem)
    assert plan.training.augmentation == dataclasses.replace(PHOTOS, horizontal_flip=0.5)
    assert "--model.name and --training.augmentation.* choose others" in plan.dataset.remarks[-1]


def test_many_photos_get_a_deeper_network(tmp_path, monkeypatch):
    monkeypatch.setattr("cnnlab.training.automatic.MANY", 8)
    plan = make_plan(experiment(folder(tmp_path, size=40, mode="RGB")))
    assert plan.experiment.model.name == "resnet20"
    assert "photos: resnet20 with" in plan.dataset.remarks[-1]


def test_small_grey_images_keep_lenet5_without_augmentation(tmp_path):
    plan = make_plan(experiment(folder(tmp_path, size=28, mode="L")))
    assert plan.experiment.model.name == "lenet5"
    assert plan.training.augmentation == Augmentation()
    assert "chosen for small grey images of 28×28 pixels: lenet5" in plan.dataset.remarks[-1]


def images(root, names):
    """Writes eight noisy images into the folder and returns their names."""
    random = np.random.default_rng(0)
    root.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(random.integers(0, 256, (48, 48, 3), np.uint8)).save(root / name)
    return names


def masks(root, names):
    images(root / "images", names)
    for name in names:
        (root / "masks").mkdir(exist_ok=True)
        Image.fromarray(np.eye(48, dtype=np.uint8)).save(root / "masks" / name)


def boxes(root, names):
    images(root, names)
    rows = [f"{name},4,4,20,20,{'cat' if i % 2 else 'dog'}" for i, name in enumerate(names)]
    (root / "boxes.csv").write_text("\n".join(["file,xmin,ymin,xmax,ymax,class", *rows]))


def table(header, cells):
    def write(root, names):
        images(root, names)
        rows = [f"{name},{cells[i % 2]}" for i, name in enumerate(names)]
        (root / "targets.csv").write_text("\n".join([header, *rows]))

    return write


def signals(*folders):
    def write(root, names):
        for folder in folders:
            (root / folder).mkdir(parents=True)
            for i, name in enumerate(names):
                np.save(root / folder / name.replace("png", "npy"), np.sin(np.arange(32.0) + i)[:, None])

    return write


@pytest.mark.parametrize(
    ("write", "source", "task", "network"),
    [
        (masks, "pairs", "segmentation", "unet"),
        (boxes, "boxes", "detection", "yolo_small"),
        (table("file,label", ("cat", "dog")), "folder", "classification", "resnet8"),
        (table("file,labels", ("cat;dog", "dog")), "folder", "classification", "resnet8"),
        (table("file,age,weight", ("3,70.5", "4,60")), "folder", "regression", "resnet8"),
        (table("file,text", ("1926", "abc")), "folder", "sequence", "reader"),
        (signals("quiet", "loud"), "signals", "classification", "tcn"),
        (signals("signals", "targets"), "signals", "denoising", "tcn_steps"),
    ],
)
def test_a_folder_alone_decides_task_and_network(tmp_path, write, source, task, network):
    write(tmp_path, [f"{i}.png" for i in range(20)])
    plan = make_plan(dataclasses.replace(experiment(tmp_path), task="auto"))
    command, _ = parse_experiment(["--data.path", str(tmp_path)])
    assert (plan.experiment.data.name, plan.experiment.task.name, plan.experiment.model.name) == (source, task, network)
    by_images = network == "resnet8"
    assert (command.data.name, command.task.name) == (source, task)
    assert command.model.name == ("auto" if by_images else network)
    options = {name: plan.experiment.task.options[name] for name in command.task.options}
    assert options == command.task.options, "the command chooses the same options as Python"


def test_a_task_that_is_named_is_kept(tmp_path):
    masks(tmp_path, [f"{i}.png" for i in range(20)])
    command, _ = parse_experiment(["--data.path", str(tmp_path), "--task.name", "classification"])
    assert (command.data.name, command.task.name) == ("folder", "classification")


def test_dropout_of_an_automatic_unet_drops_whole_maps(tmp_path):
    masks(tmp_path, [f"{i}.png" for i in range(20)])
    settings = dataclasses.replace(experiment(tmp_path), task="auto", model=cnnlab.Choice("auto", dropout=0.25))
    assert make_plan(settings).network.spatial_dropout == 0.25


def test_data_without_annotations_has_no_automatic_task():
    pixels = {"image": np.zeros((4, 8, 8, 1), np.float32)}
    spec = cnnlab.data.InputSpec((8, 8), 1, (0.0,), (1.0,), ())
    data = cnnlab.data.Dataset("plain", spec, dict.fromkeys(("train", "validation"), cnnlab.data.Examples(pixels)))
    with pytest.raises(ValueError, match="plain has none of the columns pair, boxes, mask, .*, which decide the task"):
        make_plan(cnnlab.Experiment(task="auto"), data=data)


def test_an_augmentation_of_the_user_is_kept(tmp_path):
    own = Augmentation(rotation=5.0)
    plan = make_plan(experiment(folder(tmp_path, size=40, mode="RGB"), augmentation=own))
    assert plan.training.augmentation == own
    assert "resnet8 with your augmentation" in plan.dataset.remarks[-1]


def test_digits_letters_and_directions_are_not_mirrored(tmp_path):
    plan = make_plan(experiment(folder(tmp_path, size=40, mode="RGB", names=("1", "2"))))
    assert plan.training.augmentation == PHOTOS
    assert [may_flip(names) for names in (("p", "q"), ("left", "ahead"), ("clefts", "alright"))] == [False, False, True]


def test_a_named_network_gets_no_augmentation_of_its_own(tmp_path):
    named = dataclasses.replace(experiment(folder(tmp_path, size=40, mode="RGB")), model="keras_vgg")
    assert make_plan(named).training.augmentation == Augmentation()


def test_arrays_and_built_in_data_keep_lenet5():
    plan = make_plan(cnnlab.Experiment(data=cnnlab.Choice("shapes", size=16, train=64, validation=8, test=8)))
    assert (plan.experiment.model.name, plan.training.augmentation) == ("lenet5", Augmentation())


def test_the_command_line_leaves_the_network_of_a_folder_open_unless_it_is_named(tmp_path):
    path = str(folder(tmp_path, size=40, mode="RGB"))
    parsed = [parse_experiment(["--data.path", path, *more])[0] for more in ([], ["--model.name", "lenet5"])]
    assert [one.model.name for one in parsed] == ["auto", "lenet5"]
    assert parse_experiment(["--data.path", path, "--model.dropout", "0.5"])[0].model.dropout == 0.5
    assert make_plan(parsed[0]).experiment.model.dropout == 0.3


def test_the_choice_is_stored_in_the_run_so_that_it_resumes_and_loads(tmp_path):
    (tmp_path / "digits").mkdir()
    exp = experiment(folder(tmp_path / "digits", size=12, mode="L"), epochs=1)
    cnnlab.train(exp, tmp_path / "run", quiet=True)
    assert cnnlab.Experiment.from_json((tmp_path / "run" / "experiment.json").read_text()).model.name == "lenet5"
    assert type(cnnlab.train(exp, tmp_path / "run", quiet=True).network).__name__ == "LeNet5"
