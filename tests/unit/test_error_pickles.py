"""Every error comes out of a pickle as it went in: workers raise in other processes."""

import inspect
import pickle

import pytest

from pgmagic import errors
from pgmagic.columns import ColumnsDiffer

KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.PgMagicError) and kind is not errors.FanOutError
]


def made(kind):
    """Make one with something in every place there is."""
    values = {"hint": "do that", "database": "north", "cell": "select", "offset": 3, "position": 3}
    values |= {"table": ["a b"], "sent": False, "retry_in": 2.5, "sqlstate": "42P01"}
    wanted = inspect.signature(kind).parameters
    return kind("it failed", **{name: value for name, value in values.items() if name in wanted})


@pytest.mark.parametrize("kind", [*KINDS, ColumnsDiffer], ids=lambda kind: kind.__name__)
def test_an_error_says_the_same_after_a_pickle(kind):
    error = made(kind)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert again.report() == error.report()
    assert vars(again) == vars(error)
    assert again.args == error.args
