import io

import pytest

from cnnlab.predictions.records import readable, write_csv
from cnnlab.tasks import TASKS


def text(records, task):
    file = io.StringIO()
    write_csv(records, file, TASKS[task]())
    return file.getvalue().splitlines()


def test_columns_stand_in_the_order_of_reading_and_say_what_is_not_calibrated():
    record = {"file": "a.png", "label": "cat", "set": ["cat", "dog"], "entropy": 0.123456789}
    record |= {"probs": {"cat": 0.87654321, "dog": 0.12345679}, "variance": {"cat": 0.01, "dog": 0.01}}
    head, line = text([record | {"uncalibrated": ["variance"]}], "classification")
    assert head == (
        "file,label,confidence,set,entropy,probs.cat,probs.dog,uncalibrated.variance.cat,uncalibrated.variance.dog"
    )
    assert line == "a.png,cat,0.8765,cat;dog,0.1235,0.8765,0.1235,0.01,0.01"


def test_a_box_has_a_column_for_each_of_its_numbers():
    record = {"file_name": "a.png", "category": "cat", "score": 0.5, "bbox": [1.0, 2.0, 3.0, 1234.56789]}
    head, line = text([record | {"image_id": 1}], "detection")
    assert head == "file_name,category,score,bbox.x,bbox.y,bbox.width,bbox.height,image_id"
    assert line == "a.png,cat,0.5,1.0,2.0,3.0,1234.57,1"


@pytest.mark.parametrize(
    ("value", "cell"), [(0.999987654, 0.99998765), (0.00012345678, 0.0001235), (-0.5, -0.5), (0.0, 0.0), (1.0, 1.0)]
)
def test_a_number_keeps_four_digits_of_its_distance_from_0_or_1(value, cell):
    assert readable(value) == cell
