"""Parts of a frame have the dtypes that were promised before a row was read."""

import pickle

import pandas as pd
import pyarrow as pa
import pytest

from pgmagic.columns import FixedFrame, FrameOptions
from pgmagic.columns.copybinary import arrow_type
from pgmagic.columns.pgtypes import BUILTIN, layout_of
from pgmagic.errors import CellError
from pgmagic.outcome import Column, PgType

MOOD = PgType(oid=70000, name="mood", schema="public", kind="enum", labels=("sad", "glad"))
TYPES = {
    "int2": "Int16",
    "int4": "Int32",
    "int8": "Int64",
    "bool": "boolean",
    "float8": "float64",
    "numeric": "float64",
    "text": "str",
    "uuid": "str",
    "date": "datetime64[s]",
    "timestamp": "datetime64[us]",
    "timestamptz": "datetime64[us, UTC]",
    "interval": "str",
    "time": "object",
    "jsonb": "object",
    "int4[]": "object",
}
BY_NAME = {type_.name: type_ for type_ in BUILTIN.values()}


def fixed(*columns, tag="database", **options):
    return FixedFrame(
        columns=tuple(Column(name=name, type=type_) for name, type_ in columns),
        databases=("one", "two"),
        tag=tag,
        options=FrameOptions(**options),
    )


def rows(frame, *values):
    columns = [
        pa.chunked_array([pa.array(each, arrow_type(layout_of(column.type)))])
        for each, column in zip(values, frame.columns, strict=True)
    ]
    return pa.table(columns, names=[str(number) for number in range(len(columns))])


@pytest.mark.parametrize(("name", "dtype"), TYPES.items())
def test_dtypes_of_no_rows_and_of_nulls_are_the_same(name, dtype):
    frame = pickle.loads(pickle.dumps(fixed(("c", BY_NAME[name]))))
    assert frame.empty()["c"].dtype == dtype
    nulls = frame.part(rows(frame, [None, None]), frame.columns, "two")
    pd.testing.assert_series_equal(nulls.dtypes, frame.empty().dtypes)
    assert nulls["c"].isna().all()
    assert nulls["database"].tolist() == ["two", "two"]


def test_integers_with_and_without_nulls():
    frame = fixed(("n", BY_NAME["int4"]))
    whole = frame.part(rows(frame, [1, 2]), frame.columns, "one")
    holed = frame.part(rows(frame, [None, 2**31 - 1]), frame.columns, "two")
    both = pd.concat([whole, holed])
    assert both["n"].dtype == "Int32"
    assert both["n"].sum() == 3 + 2**31 - 1


def test_an_enum_has_its_labels_without_a_row():
    frame = fixed(("mood", MOOD), tag=None)
    assert list(frame.empty()["mood"].cat.categories) == ["sad", "glad"]
    part = frame.part(rows(frame, ["glad"]), frame.columns, "one")
    assert part["mood"].dtype == frame.empty()["mood"].dtype
    with pytest.raises(CellError, match="mood can't be the same in every partition"):
        frame.part(rows(frame, ["new"]), frame.columns, "one")


def test_what_a_dtype_cannot_hold_is_an_error():
    frame = fixed(("d", BY_NAME["date"]))
    with pytest.raises(CellError, match=r"column d can't .*infinity is no date") as caught:
        frame.part(rows(frame, [2**31 - 1]), frame.columns, "one")
    assert "d::text" in caught.value.hint


def test_a_database_may_have_narrower_columns_in_another_order():
    frame = fixed(("a", BY_NAME["int8"]), ("b", BY_NAME["text"]))
    found = (
        Column(name="b", type=BY_NAME["varchar"]),
        Column(name="a", type=BY_NAME["int2"]),
    )
    table = pa.table({"0": pa.array(["x"], pa.large_string()), "1": pa.array([7], pa.int16())})
    part = frame.part(table, found, "one")
    assert part[["a", "b"]].to_numpy().tolist() == [[7, "x"]]
    pd.testing.assert_series_equal(part.dtypes, frame.empty().dtypes)


@pytest.mark.parametrize(
    "found",
    [(), (("b", "int4"),), (("a", "int8"),), (("a", "int4"), ("b", "int4")), (("a", "text"),)],
)
def test_other_columns_than_planned_are_an_error(found):
    frame = fixed(("a", BY_NAME["int4"]))
    now = tuple(Column(name=name, type=BY_NAME[type_]) for name, type_ in found)
    nothing = pa.table(
        [pa.array([], arrow_type(layout_of(each.type))) for each in now],
        names=list("01"[: len(now)]),
    )
    with pytest.raises(CellError, match="in one are not those") as caught:
        frame.part(nothing, now, "one")
    assert caught.value.database == "one"


def test_only_the_tag_counts_the_rows():
    frame = fixed(("a", BY_NAME["int4"]))
    seen = (Column(name="bool", type=BY_NAME["bool"]),)
    part = frame.part(pa.table({"0": [True, True, True]}), seen, "two", ["database"])
    assert list(part.columns) == ["database"]
    assert len(part) == 3


def test_what_the_server_may_leave_out():
    frame = fixed(("a", BY_NAME["int4"]), ("b", BY_NAME["int4"]))
    assert frame.selectable(["b", "database"]) == ("b",)
    assert frame.selectable(["database"]) == ()
    assert frame.selectable(["database", "b", "a"]) is None
    twice = fixed(("a", BY_NAME["int4"]), ("a", BY_NAME["int4"]))
    assert twice.names == ("a", "a_1")
    assert twice.selectable(["a"]) is None
