"""Agreement with other libraries, the extra `peers`; each test is skipped where its library is not installed.

`python tests/peers/certificate.py` prints the same comparisons as a table.
"""

import importlib.util

import numpy as np
import pytest
from certificate import COMPARISONS, difference

pytestmark = pytest.mark.filterwarnings("ignore")


def outcome_of(comparison):
    if importlib.util.find_spec(comparison.library) is None:
        pytest.skip(f"{comparison.library} is not installed")
    return comparison.run()


@pytest.mark.parametrize("comparison", COMPARISONS, ids=str)
def test_numbers_agree_to_1e_6_and_sets_are_identical_or_the_definition_tells_why(comparison):
    outcome = outcome_of(comparison)
    ours = np.asarray(outcome.ours if outcome.put is None else outcome.put)
    if ours.dtype == bool:
        assert difference(ours, outcome.theirs) == "identical"
    else:
        np.testing.assert_allclose(ours, np.asarray(outcome.theirs), rtol=0, atol=comparison.tolerance)
    differs = outcome.put is not None or comparison.tolerance > 1e-6
    assert differs == bool(comparison.why)


@pytest.mark.parametrize("comparison", [c for c in COMPARISONS if c.quantity.startswith("NLL a")], ids=str)
def test_our_calibration_is_at_least_as_likely(comparison):
    outcome = outcome_of(comparison)
    assert outcome.ours <= outcome.theirs
