"""Rows of different lengths behave like the padded array."""

import hashlib

import numpy as np
import pytest

from cnnlab.data.ragged import Ragged

ROWS = [np.array([[1.0, 2]]), np.zeros((0, 2)), np.array([[3.0, 4], [5, 6], [7, 8]])]
DENSE = np.array([[[1, 2], [-1, -1], [-1, -1]], [[-1, -1]] * 3, [[3, 4], [5, 6], [7, 8]]], float)
INDICES = [slice(None), [2, 0], np.array([True, False, True]), np.array([], int), slice(1, None), [-1], 2, -3]


@pytest.fixture
def column():
    return Ragged.from_rows(ROWS, fill=-1, width=3)


@pytest.mark.parametrize("indices", INDICES, ids=str)
def test_indexing_gives_what_the_padded_array_gives(column, indices):
    np.testing.assert_array_equal(column[indices], DENSE[indices])
    assert column.shape == DENSE.shape
    np.testing.assert_array_equal(np.asarray(column), DENSE)


@pytest.mark.parametrize("indices", INDICES[:-2], ids=str)
def test_taken_rows_stay_ragged_and_keep_the_width(column, indices):
    taken = column.take(indices)
    assert isinstance(taken, Ragged)
    np.testing.assert_array_equal(taken[:], DENSE[indices])


def test_the_digest_is_that_of_the_padded_array(column):
    digest = hashlib.sha256()
    column.update(digest)
    assert digest.hexdigest() == hashlib.sha256(DENSE.tobytes()).hexdigest()
