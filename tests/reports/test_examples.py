import pytest

from cnnlab.metrics.names import larger_is_better
from cnnlab.tasks import TASKS


@pytest.mark.parametrize("name", [name for name, task in TASKS.items() if task.example_score])
def test_the_score_of_an_example_has_a_better_side(name):
    assert larger_is_better(TASKS[name].example_score) is not None
