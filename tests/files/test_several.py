"""A function that is called with many names: results in order, and an end at the first error."""

import time

import pytest

from cnnlab.files.several import call_each, shown


def test_results_are_in_the_order_of_the_names():
    def slower_first(name):
        time.sleep(0.02 if name == "0" else 0)
        return int(name)

    pauses = []
    out = call_each([str(i) for i in range(2000)], slower_first, "test", shown(1, 1), lambda: pauses.append(1))
    assert (out, len(pauses)) == (list(range(2000)), 2)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_after_an_error_the_rest_is_not_called(error):
    called = []

    def fail_first(name):
        called.append(name)
        if name == "0":
            raise error
        time.sleep(0.01)

    with pytest.raises(error):
        call_each([str(i) for i in range(1000)], fail_first, "test", shown(1, 1))
    assert len(called) < 200
