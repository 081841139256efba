"""Frames of polars and tables of Arrow on their way to a table."""

from decimal import Decimal

import polars as pl
import pyarrow as pa
import pytest

from pgmagic.columns import copyin, outgoing
from pgmagic.columns.numeric import to_decimal
from pgmagic.columns.outgoing import _columns
from pgmagic.columns.rectangles import leaves
from pgmagic.errors import CellError
from tests.unit.test_outgoing import NOON, ONE


def test_objects_of_polars_are_looked_at_as_those_of_pandas():
    ready = outgoing(pl.DataFrame({"x": pl.Series([ONE, None], dtype=pl.Object), "n": [1, 2]}))
    assert ready.types == {"x": "uuid", "n": "bigint"}
    assert ready.table["x"].to_pylist() == [ONE.bytes, None]
    with pytest.raises(CellError, match="no type of PostgreSQL is known for object"):
        outgoing(pl.DataFrame({"x": pl.Series([object()], dtype=pl.Object)}))


def test_objects_of_polars_are_told_by_their_type_and_not_by_a_name():
    named = pl.Series("x", ["Object"], dtype=pl.Enum(["Object"]))
    for series, type_ in ((named, "text"), (pl.Series("x", [{"Object": 1}]), "jsonb")):
        frame = series.to_frame()
        assert outgoing(frame).types == {"x": type_}
        whole = frame.to_arrow()["x"]
        (column,) = (values for _, values in _columns(frame))
        assert (column.type, column.to_pylist()) == (whole.type, whole.to_pylist())


@pytest.mark.parametrize(
    ("value", "type_"),
    [(1, pl.Int128), ([1], pl.List(pl.Int128)), ({"a": 1}, pl.Struct({"a": pl.Int128}))],
)
def test_what_polars_cannot_tell_arrow_is_refused_by_its_column(value, type_):
    frame = pl.DataFrame({"n": [1], "x": pl.Series([value], dtype=type_)})
    with pytest.raises(CellError, match=r"column x: no type of PostgreSQL is known for .*Int128"):
        outgoing(frame)


def test_lists_of_structs_are_documents():
    for frame in (
        pl.DataFrame({"x": [[{"a": 1}], [], None]}),
        pa.table({"x": [[{"a": 1}], [], None]}),
    ):
        ready = outgoing(frame)
        assert ready.types == {"x": "jsonb"}
        assert ready.table["x"].to_pylist() == ['[{"a": 1}]', "[]", None]
    deep = pa.table({"x": pa.array([[[{"a": NOON}]]])})
    assert outgoing(deep).table["x"].to_pylist() == ['[[{"a": "2024-01-01 12:00:00"}]]']


@pytest.mark.parametrize(
    ("element", "type_"),
    [(1, pa.int64()), ([1], pa.list_(pa.int64())), (b"x", pa.large_binary())],
)
def test_large_lists_are_cut_by_their_elements(element, type_, monkeypatch):
    monkeypatch.setattr(copyin, "ELEMENTS_AT_ONCE", 100)
    lengths = [1, 0, 30, 500, 2, 99, 0, 101, *[10] * 40]
    values = [None if length == 2 else [element] * length for length in lengths]
    table = pa.table({"n": range(len(values)), "x": pa.array(values, pa.list_(type_))})
    batches = list(copyin._batches(table))
    assert pa.Table.from_batches(batches) == table
    sizes = [len(leaves(batch["x"])) for batch in batches]
    rows = [batch.num_rows for batch in batches]
    assert all(size <= 100 or of == 1 for size, of in zip(sizes, rows, strict=True))
    assert len(batches) < len(values) / 2


def test_polars_has_lists_of_lists_and_long_decimals():
    frame = pl.DataFrame({"x": [[[1, 2], [3, 4]]], "c": pl.Series(["a"], dtype=pl.Categorical)})
    assert outgoing(frame).types == {"x": "bigint[]", "c": "text"}
    long = pa.table({"x": pa.array([Decimal(10) ** 60], pa.decimal256(61))})
    (packed,) = outgoing(long).table["x"].to_pylist()
    assert to_decimal(packed) == Decimal(10) ** 60
