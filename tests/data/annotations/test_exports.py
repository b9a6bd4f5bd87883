"""What annotation tools write, each for the same 16 photos: equal classes, boxes and masks, whatever the format."""

import base64
import io
import json
import math

import numpy as np
import pytest
from PIL import Image

from cnnlab.data import kind_of, load
from cnnlab.data.annotations import find_format, read_annotations
from cnnlab.data.annotations.drawing import draw_mask, mask_classes
from cnnlab.data.annotations.label_studio import decode_brush
from cnnlab.geometry.outlines import runs_of

WIDTH, HEIGHT = 64, 48
NAMES = [f"{i:02}" for i in range(16)]
SPLIT = {name: "train" if i < 10 else "valid" if i < 13 else "test" for i, name in enumerate(NAMES)}
OBJECTS = {
    name: [("cat", 4, 6, 20 + i, 30), *([("dog", 10, 20, 60, 40 + i % 8)] if i % 2 else [])]
    for i, name in enumerate(NAMES)
}
"""The objects of each photo: a class and the corners of a rectangle in whole pixels."""


def photos(folder, names=NAMES):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", (WIDTH, HEIGHT), (200, 10, 10)).save(folder / f"{name}.jpg")


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def of(split):
    return [name for name in NAMES if SPLIT[name] == split]


def corners(x1, y1, x2, y2):
    return [[x1, y1], [x2, y1], [x2, y2], [x1, y2]]


def coco_table(
    names=NAMES, prefix="", segmentation=lambda *box: [[value for point in corners(*box) for value in point]]
):
    objects = [(i, *entry) for i, name in enumerate(names) for entry in OBJECTS[name]]
    return {
        "categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}],
        "images": [
            {"id": i, "file_name": f"{prefix}{name}.jpg", "width": WIDTH, "height": HEIGHT}
            for i, name in enumerate(names)
        ],
        "annotations": [
            {
                "id": k,
                "image_id": i,
                "category_id": {"cat": 3, "dog": 7}[label],
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "segmentation": segmentation(x1, y1, x2, y2),
                "iscrowd": 0,
            }
            for k, (i, label, x1, y1, x2, y2) in enumerate(objects)
        ],
    }


def coco_roboflow(root):
    for split in ("train", "valid", "test"):
        photos(root / split, of(split))
        write(root / split / "_annotations.coco.json", coco_table(of(split)))


def coco_label_studio(root):
    photos(root / "images")
    write(root / "result.json", coco_table(prefix="images/"))


def coco_cvat(root):
    photos(root / "images")
    write(root / "annotations/instances_default.json", coco_table())


def coco_at_the_root(root):
    photos(root)
    write(root / "my labels.json", coco_table())


def coco_of_another_machine(root):
    photos(root / "photos")
    write(root / "export.json", coco_table(prefix="C:\\work\\"))


def coco_run_lengths(root):
    def counts(x1, y1, x2, y2):
        mask = np.zeros((HEIGHT, WIDTH), bool)
        mask[y1:y2, x1:x2] = True
        return {"size": [HEIGHT, WIDTH], "counts": runs_of(mask).counts.tolist()}

    photos(root / "images")
    write(root / "annotations/train.json", coco_table(segmentation=counts))


def xml(name):
    objects = "".join(
        f"<object><name>{label}</name><bndbox><xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin><xmax>{x2}</xmax>"
        f"<ymax>{y2}</ymax></bndbox></object>"
        for label, x1, y1, x2, y2 in OBJECTS[name]
    )
    return f"<annotation>\n<folder>f</folder><filename>{name}.jpg</filename>{objects}</annotation>"


def voc_labelimg(root):
    photos(root)
    for name in NAMES:
        write(root / f"{name}.xml", xml(name))


def voc_roboflow(root):
    for name in NAMES:
        photos(root / SPLIT[name], [name])
        write(root / SPLIT[name] / f"{name}.xml", xml(name))


def voc_devkit(root):
    photos(root / "VOC2012/JPEGImages")
    for name in NAMES:
        write(root / f"VOC2012/Annotations/{name}.xml", xml(name))


def yolo_lines(name, kind="box"):
    out = []
    for label, x1, y1, x2, y2 in OBJECTS[name]:
        box = [(x1 + x2) / 2 / WIDTH, (y1 + y2) / 2 / HEIGHT, (x2 - x1) / WIDTH, (y2 - y1) / HEIGHT]
        outline = [value for x, y in corners(x1, y1, x2, y2) for value in (x / WIDTH, y / HEIGHT)]
        out.append(" ".join(map(str, [["cat", "dog"].index(label), *(box if kind == "box" else outline)])))
    return "\n".join(out)


def yolo_roboflow(root):
    for name in NAMES:
        photos(root / SPLIT[name] / "images", [name])
        write(root / SPLIT[name] / f"labels/{name}.txt", yolo_lines(name, "outline"))
    write(root / "data.yaml", "train: ../train/images\nval: ../valid/images\nnc: 2\nnames: ['cat', 'dog']\n")
    write(root / "README.roboflow.txt", "exported\n")


def yolo_ultralytics(root):
    for name in NAMES:
        photos(root / f"images/{SPLIT[name]}", [name])
        write(root / f"labels/{SPLIT[name]}/{name}.txt", yolo_lines(name))
    write(root / "my.yaml", "path: /content/mine\ntrain: images/train\nval: images/valid\nnames: {0: cat, 1: dog}\n")


def yolo_of_own_folders(root):
    for name in NAMES:
        photos(root / f"{SPLIT[name]}ing/images", [name])
        write(root / f"{SPLIT[name]}ing/labels/{name}.txt", yolo_lines(name))
    paths = "".join(
        f"{key}: /home/me/set/{split}ing/images\n"
        for key, split in (("train", "train"), ("val", "valid"), ("test", "test"))
    )
    write(root / "data.yaml", paths + "names: [cat, dog]\n")


def yolo_label_studio(root):
    photos(root / "images")
    for name in NAMES:
        write(root / f"labels/{name}.txt", yolo_lines(name))
    write(root / "classes.txt", "cat\ndog\n")
    write(root / "notes.json", {"categories": [{"id": 0, "name": "cat"}], "info": {}})


def yolo_cvat(root):
    photos(root / "obj_train_data")
    for name in NAMES:
        write(root / f"obj_train_data/{name}.txt", yolo_lines(name))
    write(root / "obj.names", "cat\ndog\n")
    write(root / "obj.data", "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\n")
    write(root / "train.txt", "".join(f"data/obj_train_data/{name}.jpg\n" for name in NAMES))


def yolo_labelimg(root):
    photos(root)
    for name in NAMES:
        write(root / f"{name}.txt", yolo_lines(name))
    write(root / "classes.txt", "cat\ndog\n")


def labelme(root):
    photos(root / "photos")
    for i, name in enumerate(NAMES):
        shapes = [
            {"label": label, "points": corners(*box), "shape_type": "polygon", "group_id": None, "flags": {}}
            if i % 3
            else {"label": label, "points": [[box[2], box[1]], [box[0], box[3]]], "shape_type": "rectangle"}
            for label, *box in OBJECTS[name]
        ]
        table = {"version": "5.4.1", "shapes": shapes, "imagePath": f"..\\photos\\{name}.jpg", "imageData": None}
        write(root / f"json/{name}.json", table | {"imageHeight": HEIGHT, "imageWidth": WIDTH})


def via_regions(name):
    out = []
    for i, (label, x1, y1, x2, y2) in enumerate(OBJECTS[name]):
        xs, ys = zip(*corners(x1, y1, x2, y2), strict=True)
        shape = {"name": "polygon", "all_points_x": [*xs], "all_points_y": [*ys]}
        if i:
            shape = {"name": "rect", "x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1}
        out.append({"shape_attributes": shape, "region_attributes": {"kind": label}})
    return out


def via_json(root):
    photos(root)
    entries = {
        f"{name}.jpg123": {"filename": f"{name}.jpg", "size": 123, "regions": via_regions(name), "file_attributes": {}}
        for name in NAMES
    }
    write(root / "via_project.json", {"_via_settings": {}, "_via_img_metadata": entries, "_via_attributes": {}})


def via_first_version(root):
    for name in NAMES:
        photos(root / SPLIT[name], [name])
    for split in ("train", "valid", "test"):
        entries = {
            name: {
                "filename": f"{name}.jpg",
                "regions": {str(i): region for i, region in enumerate(via_regions(name))},
                "file_attributes": {},
            }
            for name in of(split)
        }
        write(root / split / "via_region_data.json", entries)


def via_csv(root):
    photos(root)
    rows = ["filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"]
    for name in NAMES:
        for i, region in enumerate(via_regions(name)):
            cells = [json.dumps(region[key]).replace('"', '""') for key in ("shape_attributes", "region_attributes")]
            rows.append(f'{name}.jpg,1,"{{}}",2,{i},"{cells[0]}","{cells[1]}"')
    write(root / "via.csv", "\n".join(rows))


def studio_regions(name):
    out = []
    for i, (label, x1, y1, x2, y2) in enumerate(OBJECTS[name]):
        x, y = 100 / WIDTH, 100 / HEIGHT
        value = {"points": [[a * x, b * y] for a, b in corners(x1, y1, x2, y2)], "polygonlabels": [label]}
        kind = "polygonlabels"
        if i:
            value = {"x": x1 * x, "y": y1 * y, "width": (x2 - x1) * x, "height": (y2 - y1) * y, "rotation": 0}
            value["rectanglelabels"] = [label]
            kind = "rectanglelabels"
        out.append({"type": kind, "from_name": "label", "to_name": "image", "value": value, "original_width": WIDTH})
    return out


def label_studio(root):
    photos(root / "upload")
    tasks = [
        {
            "id": i,
            "data": {"image": f"/data/upload/1/0a1b2c3d-{name}.jpg"},
            "annotations": [{"was_cancelled": True, "result": []}, {"result": studio_regions(name)}],
        }
        for i, name in enumerate(NAMES)
    ]
    write(root / "project-1-at-2026.json", tasks)


def label_studio_short(root):
    photos(root)
    tasks = [
        {
            "image": f"/data/local-files/?d=maps/{name}.jpg",
            "label": [
                region["value"] | {"original_width": WIDTH, "original_height": HEIGHT}
                for region in studio_regions(name)
            ],
        }
        for name in NAMES
    ]
    write(root / "min.json", tasks)


def csv_retinanet(root):
    photos(root / "images")
    rows = [
        f"images/{name}.jpg,{x1},{y1},{x2},{y2},{label}" for name in NAMES for label, x1, y1, x2, y2 in OBJECTS[name]
    ]
    write(root / "annotations.csv", "\n".join(rows))
    write(root / "classes.csv", "cat,0\ndog,1\n")


def csv_tensorflow(root):
    for split in ("train", "valid", "test"):
        photos(root / split, of(split))
        rows = [f"{n}.jpg,{WIDTH},{HEIGHT},{o[0]},{o[1]},{o[2]},{o[3]},{o[4]}" for n in of(split) for o in OBJECTS[n]]
        write(root / split / "_annotations.csv", "\n".join(["filename,width,height,class,xmin,ymin,xmax,ymax", *rows]))


def csv_open_images(root):
    codes = {"cat": "/m/01yrx", "dog": "/m/0bt9lr"}
    for split in ("train", "valid", "test"):
        photos(root / "data", of(split))
        rows = [
            f"{name},xclick,{codes[label]},1,{x1 / WIDTH},{x2 / WIDTH},{y1 / HEIGHT},{y2 / HEIGHT},0,0,0,0"
            for name in of(split)
            for label, x1, y1, x2, y2 in OBJECTS[name]
        ]
        header = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction"
        names = {"train": "oidv6-train", "valid": "validation", "test": "test"}
        write(root / f"{names[split]}-annotations-bbox.csv", "\n".join([header, *rows]))
    write(root / "class-descriptions-boxable.csv", "/m/01yrx,cat\n/m/0bt9lr,dog\n")


EXPORTS = {
    coco_roboflow: ("coco", True, True),
    coco_label_studio: ("coco", False, True),
    coco_cvat: ("coco", False, True),
    coco_at_the_root: ("coco", False, True),
    coco_of_another_machine: ("coco", False, True),
    coco_run_lengths: ("coco", None, True),
    voc_labelimg: ("voc", False, False),
    voc_roboflow: ("voc", True, False),
    voc_devkit: ("voc", False, False),
    yolo_roboflow: ("yolo", True, True),
    yolo_ultralytics: ("yolo", True, False),
    yolo_of_own_folders: ("yolo", True, False),
    yolo_label_studio: ("yolo", False, False),
    yolo_cvat: ("yolo", None, False),
    yolo_labelimg: ("yolo", False, False),
    labelme: ("labelme", False, True),
    via_json: ("via", False, True),
    via_first_version: ("via", True, True),
    via_csv: ("via", False, True),
    label_studio: ("labelstudio", False, True),
    label_studio_short: ("labelstudio", False, True),
    csv_retinanet: ("csv", False, False),
    csv_tensorflow: ("csv", True, False),
    csv_open_images: ("csv", True, False),
}
"""Each export with its format, whether it has splits (None: all of it is one), and whether it has outlines."""


@pytest.mark.filterwarnings("ignore:.*left out")
@pytest.mark.parametrize("export", EXPORTS, ids=lambda export: export.__name__)
def test_every_export_of_the_same_photos_gives_the_same_classes_boxes_and_masks(export, tmp_path):
    export(tmp_path)
    name, splits, outlines = EXPORTS[export]
    assert find_format(tmp_path) == name
    found = read_annotations(tmp_path)
    assert sorted(photo.photo.stem for photo in found.objects) == NAMES
    assert found.classes in (None, ("cat", "dog"))
    if splits is not None:
        names = {"valid": "validation"}
        expected = [names.get(SPLIT[photo.photo.stem], SPLIT[photo.photo.stem]) for photo in found.objects]
        assert found.split == (expected if splits else None)
    for photo in found.objects:
        assert photo.names == tuple(label for label, *_ in OBJECTS[photo.photo.stem])
        np.testing.assert_allclose(photo.boxes, [box for _, *box in OBJECTS[photo.photo.stem]], atol=1e-9)
        assert (photo.outlines is not None) == outlines
        if outlines:
            mask = draw_mask(photo, mask_classes(("cat", "dog")), order="file")
            np.testing.assert_array_equal(mask, expected_mask(photo.photo.stem))


def expected_mask(name):
    mask = np.zeros((HEIGHT, WIDTH), int)
    for label, x1, y1, x2, y2 in OBJECTS[name]:
        mask[y1:y2, x1:x2] = ["background", "cat", "dog"].index(label)
    return mask


@pytest.mark.parametrize(("task", "source"), [("detection", "boxes"), ("segmentation", "outlines"), (None, "boxes")])
def test_the_task_steers_what_a_folder_of_outlines_is_read_as(task, source, tmp_path):
    coco_roboflow(tmp_path)
    kind = kind_of(tmp_path, task)
    assert (kind.source, kind.format) == (source, "coco")
    assert kind.reason == "test/_annotations.coco.json, train/_annotations.coco.json and 1 more"


def test_two_formats_in_one_folder_are_both_named_with_the_option_that_decides(tmp_path):
    coco_label_studio(tmp_path)
    voc_labelimg(tmp_path)
    assert kind_of(tmp_path).others == ("coco (result.json), read by --data.format coco",)
    with pytest.warns(
        UserWarning, match=r"holds annotations of voc and coco: reads voc; --data.format coco reads the other"
    ):
        read_annotations(tmp_path)
    assert [len(read_annotations(tmp_path, format=name).objects) for name in ("voc", "coco")] == [16, 16]


def test_a_folder_without_annotations_is_told_what_was_looked_for(tmp_path):
    photos(tmp_path)
    with pytest.raises(
        ValueError, match=r"holds no annotations; looked for Annotations/\*\.xml .*\(LabelMe\).*RetinaNet"
    ):
        read_annotations(tmp_path)
    with pytest.raises(ValueError, match=r"The smallest layout is images/1\.jpg, labels/1\.txt and classes\.txt"):
        load(tmp_path, task="detection")
    with pytest.raises(ValueError, match=r"The smallest layout is images/1\.jpg and masks/1\.png"):
        load(tmp_path, task="segmentation")
    with pytest.raises(ValueError, match="unknown format 'cocoo'"):
        read_annotations(tmp_path, format="cocoo")


def labelme_shape(root, shape):
    photos(root, ["00"])
    write(root / "00.json", {"shapes": [{"label": "cat"} | shape], "imagePath": "00.jpg"})
    return read_annotations(root)


def test_a_circle_covers_its_area_to_a_percent(tmp_path):
    photo = labelme_shape(tmp_path, {"points": [[30, 24], [30, 4]], "shape_type": "circle"}).objects[0]
    assert abs((draw_mask(photo, mask_classes(["cat"])) == 1).sum() - math.pi * 20**2) < 0.01 * math.pi * 20**2
    np.testing.assert_allclose(photo.boxes, [[10, 4, 50, 44]])


def test_a_line_has_the_width_that_is_asked_for(tmp_path):
    photos(tmp_path, ["00"])
    shape = {"label": "road", "points": [[10, 20], [50, 20]], "shape_type": "line"}
    write(tmp_path / "00.json", {"shapes": [shape], "imagePath": "00.jpg"})
    photo = read_annotations(tmp_path, line_width=4).objects[0]
    assert (draw_mask(photo, mask_classes(["road"])) == 1).sum() == 40 * 4


def test_a_mask_in_base64_lies_where_its_corner_says(tmp_path):
    content = io.BytesIO()
    Image.fromarray(np.full((3, 5), 255, np.uint8)).save(content, "PNG")
    shape = {"shape_type": "mask", "points": [[62, 4], [66, 6]], "mask": base64.b64encode(content.getvalue()).decode()}
    photo = labelme_shape(tmp_path, shape).objects[0]
    assert np.argwhere(draw_mask(photo, mask_classes(["cat"]))).tolist() == [
        [r, c] for r in (4, 5, 6) for c in (62, 63)
    ]


def test_shapes_of_one_group_are_one_object(tmp_path):
    photos(tmp_path, ["00"])
    shapes = [{"label": "cat", "points": corners(x, 0, x + 4, 4), "group_id": 1} for x in (0, 20)]
    write(tmp_path / "00.json", {"shapes": shapes, "imagePath": "00.jpg"})
    assert read_annotations(tmp_path).objects[0].boxes.tolist() == [[0, 0, 24, 4]]


def test_a_turned_rectangle_of_label_studio_turns_clockwise_about_its_corner(tmp_path):
    photos(tmp_path, ["00"])
    value = {"x": 50, "y": 0, "width": 25, "height": 50, "rotation": 90, "rectanglelabels": ["cat"]}
    result = [{"type": "rectanglelabels", "from_name": "l", "value": value}]
    write(tmp_path / "a.json", [{"data": {"image": "00.jpg"}, "annotations": [{"result": result}]}])
    np.testing.assert_allclose(read_annotations(tmp_path).objects[0].boxes, [[8, 0, 32, 16]], atol=1e-9)


def test_a_brush_of_label_studio_is_decoded_bit_by_bit():
    # 4 values of 8 bits, lengths of 4 bits; a piece of 2 equal values 7, then one of 2 values 1 and 2.
    bits = f"{4:032b}" + f"{7:05b}" + f"{3:04b}" * 4 + "1" + "00" + f"{1:04b}" + f"{7:08b}"
    bits += "0" + "00" + f"{1:04b}" + f"{1:08b}" + f"{2:08b}"
    content = np.packbits([int(bit) for bit in bits]).tobytes()
    assert decode_brush(content, 4).tolist() == [7, 7, 1, 2]
    with pytest.raises(ValueError, match="is cut off"):
        decode_brush(content[:-2], 4)
    with pytest.raises(ValueError, match="holds 4 values of 8 bits, the photo needs 8 of 8"):
        decode_brush(content, 8)


@pytest.mark.parametrize(
    ("points", "boxes"),
    [([[1, 1], [5, 5]], 0), ([[1, 1], [9, 9], [9, 1], [1, 9]], 1), (corners(200, 200, 300, 300), 1)],
)
def test_polygons_of_two_points_crossing_ones_and_ones_outside_are_read_or_counted(points, boxes, tmp_path):
    found = labelme_shape(tmp_path, {"points": points, "shape_type": "polygon"})
    assert len(found.objects[0].boxes) == boxes
    assert found.left_out == ({} if boxes else {"polygon without an area": 1})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "https://example.org/photos/77.jpg?x=1",
            "names a photo by its URL, which is not fetched: https://example.org",
        ),
        ("77.jpg", "names a photo that is missing"),
        ("../../../etc/77.jpg", "must lie inside"),
        ("", "text that is not empty"),
    ],
)
def test_photos_that_are_missing_or_elsewhere_are_named(name, message, tmp_path):
    table = coco_table()
    table["images"][3]["file_name"] = name
    photos(tmp_path)
    write(tmp_path / "a.json", table)
    with pytest.raises(ValueError, match=rf"a\.json: images\[3\].*{message}"):
        read_annotations(tmp_path)


def test_a_url_whose_photo_lies_in_the_folder_is_that_photo(tmp_path):
    photos(tmp_path / "x")
    write(tmp_path / "a.json", coco_table(prefix="https://example.org/set/"))
    assert len(read_annotations(tmp_path).objects) == 16


def test_two_photos_of_the_name_that_an_annotation_gives_are_named(tmp_path):
    photos(tmp_path / "a")
    photos(tmp_path / "b")
    write(tmp_path / "c.json", coco_table())
    with pytest.raises(ValueError, match=r"a/00\.jpg and .*b/00\.jpg have that name"):
        read_annotations(tmp_path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"counts": [5], "size": [2, 3]}, "together cover the 6 pixels"),
        ({"counts": "PPPP", "size": [2, 3]}, "cut off"),
        ({"counts": [6], "size": [2]}, "run lengths with their size"),
        ([[1, 2, 3]], "polygons of an even number of numbers"),
        ("x", "a list of polygons, or an object"),
    ],
)
def test_a_wrong_segmentation_is_named(value, message, tmp_path):
    table = coco_table()
    table["annotations"][2]["segmentation"] = value
    photos(tmp_path)
    write(tmp_path / "a.json", table)
    with pytest.raises(ValueError, match=rf"annotations\[2\]\.segmentation must be .*{message}"):
        read_annotations(tmp_path)


def test_several_attributes_need_the_name_of_the_one_of_the_class(tmp_path):
    via_json(tmp_path)
    table = json.loads((tmp_path / "via_project.json").read_text())
    for entry in table["_via_img_metadata"].values():
        entry["regions"][0]["region_attributes"]["colour"] = "red"
    write(tmp_path / "via_project.json", table)
    with pytest.raises(ValueError, match="attributes colour, kind; name the one of the class by --data.label"):
        read_annotations(tmp_path)
    assert {name for photo in read_annotations(tmp_path, label="kind").objects for name in photo.names} == {
        "cat",
        "dog",
    }


def test_a_category_that_only_heads_others_is_no_class(tmp_path):
    photos(tmp_path)
    table = coco_table()
    heads = [{"id": 0, "name": "pets", "supercategory": "none"}]
    table["categories"] = heads + [entry | {"supercategory": "pets"} for entry in table["categories"]]
    write(tmp_path / "a.json", table)
    assert read_annotations(tmp_path).classes == ("cat", "dog")


def test_an_empty_export_is_refused(tmp_path):
    photos(tmp_path)
    write(tmp_path / "a.json", {"images": [], "annotations": [], "categories": []})
    with pytest.raises(ValueError, match=r"a\.json lists no photo"):
        read_annotations(tmp_path)
