"""What becomes of dicts: json, or a refusal."""

import json
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from pgmagic.columns import outgoing
from pgmagic.errors import CellError
from tests.unit.test_outgoing import objects


def test_documents_have_numbers_as_numbers():
    value = {"n": np.int64(5), "f": np.float64(0.5), "v": np.array([1, 2]), "na": pd.NA}
    (text,) = outgoing(objects(value)).table["x"].to_pylist()
    assert json.loads(text) == {"n": 5, "f": 0.5, "v": [1, 2], "na": None}


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_documents_have_times_as_text_in_every_unit(unit):
    moment = np.datetime64("2024-01-01T12:00", unit)
    span = np.timedelta64(86_401, "s").astype(f"m8[{unit}]")
    value = {
        "m": moment,
        "s": span,
        "ms": np.array([moment, np.datetime64("NaT")]),
        "ss": np.array([[span]]),
        "zero": np.array(moment),
        "far": np.datetime64("20200-01-01"),
        "nat": np.timedelta64("NaT"),
    }
    (text,) = outgoing(objects(value)).table["x"].to_pylist()
    assert json.loads(text) == {
        "m": "2024-01-01 12:00:00",
        "s": "1 days 00:00:01",
        "ms": ["2024-01-01 12:00:00", None],
        "ss": [["1 days 00:00:01"]],
        "zero": "2024-01-01 12:00:00",
        "far": "20200-01-01 00:00:00",
        "nat": None,
    }


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([{"a": object()}], "can't be written as json: it has no form for object"),
        ([{(1, 2): 3}], "can't be written as json"),
        ([{"a": float("nan")}], "can't be written as json"),
        ([{"a": np.float32("nan")}], "can't be written as json"),
        ([{"a": np.array([np.nan])}], "can't be written as json"),
        ([{"a": Decimal("NaN")}], "can't be written as json: it has no form for NaN"),
        ([{"a": np.longdouble(1)}], "can't be written as json: it has no form for longdouble"),
        ([{"a": np.array([1], "longdouble")}], "it has no form for longdouble"),
        ([{"a": np.timedelta64(1, "M")}], "can't be written as json"),
    ],
)
def test_what_json_cannot_say_is_refused(values, message):
    for order in (values, values[::-1]):
        with pytest.raises(CellError, match=f"column x: .*{message}"):
            outgoing(objects(*order))
