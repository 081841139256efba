"""What a frame is to PostgreSQL, before there is a server: its types, and what is refused."""

import enum
import random
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgmagic.columns import outgoing
from pgmagic.columns.arrays import unpack
from pgmagic.columns.copyin import _arrays
from pgmagic.columns.numeric import from_decimal, to_decimal
from pgmagic.columns.rectangles import shapes
from pgmagic.errors import CellError

ONE = UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")
NOON = datetime(2024, 1, 1, 12)
PERIODS = pd.period_range("2013-01", periods=2, freq="M")
INTERVALS = pd.arrays.IntervalArray.from_tuples([(1, 2), (2, 3)])


class Level(enum.IntEnum):
    LOW = 1


class Colour(enum.StrEnum):
    RED = "red"


def objects(*values):
    return pd.DataFrame({"x": pd.Series(values, dtype=object)})


@pytest.mark.parametrize(
    ("values", "type_", "arrow"),
    [
        ([], "text", pa.large_string()),
        ([None, np.nan, pd.NA, pd.NaT], "text", pa.large_string()),
        ([True, np.True_], "boolean", pa.bool_()),
        ([1, np.int8(2), np.uint64(3), Level.LOW], "bigint", pa.int64()),
        ([2**63 - 1, -(2**63)], "bigint", pa.int64()),
        ([2**63, 1], "numeric", pa.large_binary()),
        ([np.uint64(2**64 - 1)], "numeric", pa.large_binary()),
        ([1, 2.5, np.float32(0.5), 2**53], "double precision", pa.float64()),
        ([Decimal("1.5"), 1, Decimal("NaN")], "numeric", pa.decimal128(38, 1)),
        ([Decimal("1.5"), Decimal("Infinity")], "numeric", pa.large_binary()),
        ([Decimal("1e40"), 2**70], "numeric", pa.large_binary()),
        ([[Decimal("1e40")], [Decimal("NaN")]], "numeric[]", pa.list_(pa.large_binary())),
        (["x", np.str_("y"), Colour.RED], "text", pa.large_string()),
        ([b"x", bytearray(b"y"), memoryview(b"z")], "bytea", pa.large_binary()),
        ([NOON, pd.Timestamp(NOON), np.datetime64("2024-01-01")], *2 * ("timestamp",)),
        ([NOON.replace(tzinfo=UTC), pd.Timestamp(NOON, tz="Asia/Tokyo")], *2 * ("zoned",)),
        ([date(2024, 1, 1)], "date", pa.date32()),
        ([time(12, 30)], "time without time zone", pa.time64("us")),
        ([timedelta(1), pd.Timedelta(1, "s"), np.timedelta64(1, "s")], *2 * ("interval",)),
        ([ONE, None], "uuid", pa.large_binary()),
        ([(ONE,), {ONE}, None], "uuid[]", pa.list_(pa.large_binary())),
        ([{"a": 1}, None, [{"b": ONE}]], "jsonb", pa.large_string()),
        ([[1, None], (2,), {3}, []], "bigint[]", pa.list_(pa.int64())),
        ([[], [None]], "text[]", pa.list_(pa.large_string())),
        ([np.array([1.5, np.nan], "float32"), []], "real[]", pa.list_(pa.float32())),
        ([np.array([1]), np.array([1.5])], "double precision[]", pa.list_(pa.float64())),
        ([np.array([]), ["a"]], "text[]", pa.list_(pa.large_string())),
        ([np.array([2**63], "uint64")], "numeric[]", pa.list_(pa.large_binary())),
        ([[[1, 2], [3, 4]], []], "bigint[]", pa.list_(pa.list_(pa.int64()))),
        ([np.array([[1, 2], [3, 4]], "int16")], "smallint[]", pa.list_(pa.list_(pa.int16()))),
        ([[pd.Series([1]), pd.array([2])]], "bigint[]", pa.list_(pa.list_(pa.int64()))),
    ],
)
def test_a_column_of_objects_has_the_type_of_all_its_values(values, type_, arrow):
    long = {
        "timestamp": ("timestamp without time zone", pa.timestamp("us")),
        "zoned": ("timestamp with time zone", pa.timestamp("us", "UTC")),
        "interval": ("interval", pa.duration("us")),
    }
    for order in (values, values[::-1]):  # what comes first decides nothing
        ready = outgoing(objects(*order))
        assert (ready.types["x"], ready.table["x"].type) == long.get(type_, (type_, arrow))
        assert ready.table.num_rows == len(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([NOON, NOON.replace(tzinfo=UTC)], "times with a time zone and times without"),
        ([[NOON], [NOON.replace(tzinfo=UTC)]], "times with a time zone and times without"),
        ([date(2024, 1, 1), NOON], "several kinds: date, times without a time zone"),
        ([1, "a"], "several kinds: int, str"),
        ([True, 1], "several kinds: bool, int"),
        ([1.5, Decimal(1)], "several kinds: Decimal, float"),
        ([ONE, str(ONE)], "several kinds: UUID, str"),
        ([b"x", "x"], "several kinds: bytes, str"),
        ([2**53 + 1, 1.5], "can't hold exactly"),
        ([pd.Timestamp(1, unit="ns")], "can't hold exactly"),
        ([pd.Timedelta(1, unit="ns")], "can't hold exactly"),
        ([Decimal("1e-20000")], "can't hold exactly"),
        ([time(12, tzinfo=UTC)], "no type of PostgreSQL is known for a time of day with"),
        ([1 + 2j], "no type of PostgreSQL is known for complex"),
        ([np.longdouble(1)], "no type of PostgreSQL is known for longdouble"),
        ([range(3)], "no type of PostgreSQL is known for range"),
        (["ok", "a\ud800b"], r"a text with U\+D800 in it, half of a character"),
        ([["\udfff"]], r"a text with U\+DFFF in it, half of a character"),
        ([[1], 1], "not all of one depth"),
        ([[[1]], [1]], "not all of one depth"),
        ([np.array([1]), [[2]]], "not all of one depth"),
        ([[[1], [2, 3]]], "several lengths"),
        ([[[1], None]], "several lengths"),
        ([[[]]], "in which nothing is"),
        ([[[[[[[[1]]]]]]]], "more than 6 dimensions"),
    ],
)
def test_a_column_of_objects_is_refused_by_its_reason(values, message):
    for order in (values, values[::-1]):
        with pytest.raises(CellError, match=f"column x: .*{message}"):
            outgoing(objects(*order))


@pytest.mark.parametrize(
    ("column", "message", "hint"),
    [
        (PERIODS, r"period\[M\]", "to_timestamp"),
        (pd.Series(PERIODS, dtype=object), "Period", "to_timestamp"),
        (INTERVALS, r"interval\[int64, right\]", "its two ends"),
        (pd.cut([1, 2], 2), r"interval\[float64, right\]", "its two ends"),
        (pd.Categorical(PERIODS), r"period\[M\]", "to_timestamp"),
        (np.array([1 + 2j] * 2), "complex128", "astype"),
        (pd.Categorical([1, "a"]), "int, str", "astype"),
    ],
    ids=str,
)
def test_what_a_frame_calls_a_type_of_its_own_is_refused(column, message, hint):
    with pytest.raises(CellError, match=f"column x: .*{message}") as caught:
        outgoing(pd.DataFrame({"x": column}))
    assert hint in caught.value.hint


class Money(pa.ExtensionType):
    def __init__(self):
        super().__init__(pa.int64(), "money")

    def __arrow_ext_serialize__(self):
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage, serialized):
        return cls()


def test_an_extension_of_arrow_is_never_taken_for_what_it_is_stored_as():
    stored = pa.array([1, 2])
    for type_ in (Money(), pa.opaque(pa.int64(), "money", "elsewhere")):
        with pytest.raises(CellError, match="no type of PostgreSQL is known"):
            outgoing(pa.table({"x": pa.ExtensionArray.from_storage(type_, stored)}))
    for column, name in ((PERIODS, "period"), (pd.cut([1, 2], 2), "interval")):
        with pytest.raises(CellError, match=rf"pandas\.{name}"):
            outgoing(pa.Table.from_pandas(pd.DataFrame({"x": column})))
    uuids = pd.Categorical([ONE, None, ONE])
    ready = outgoing(pd.DataFrame({"x": uuids}))
    assert (ready.types["x"], ready.table["x"].to_pylist()) == (
        "uuid",
        [ONE.bytes, None, ONE.bytes],
    )


def test_uuids_and_json_of_arrow():
    uuids, texts = pa.array([ONE.bytes, None], pa.binary(16)), pa.array(['{"a": 1}', None])
    ready = outgoing(
        pa.table(
            {
                "u": pa.ExtensionArray.from_storage(pa.uuid(), uuids),
                "j": pa.ExtensionArray.from_storage(pa.json_(), texts),
            }
        )
    )
    assert ready.types == {"u": "uuid", "j": "jsonb"}
    assert ready.table["u"].to_pylist() == [ONE.bytes, None]
    assert ready.table["j"].to_pylist() == ['{"a": 1}', None]


def test_one_moment_in_two_zones():
    there = NOON.replace(tzinfo=timezone(timedelta(hours=2)))
    ready = outgoing(objects(there, there.astimezone(UTC), pd.Timestamp(there)))
    assert set(ready.table["x"].to_pylist()) == {there}


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"v": [1]}, index=pd.Index([2], name="v")),
        pd.DataFrame({"x": [1]}, index=pd.MultiIndex.from_tuples([(1, 2)], names=["v", "v"])),
        pd.DataFrame({"1": [1]}, index=pd.Index([2], name=1)),
    ],
)
def test_an_index_with_the_name_of_a_column_is_one_column_too_many(frame):
    with pytest.raises(CellError, match=r"the frame has two columns '[v1]'") as caught:
        outgoing(frame)
    assert "rename_axis" in caught.value.hint


def test_the_levels_of_an_index_come_first_and_keep_their_types():
    index = pd.MultiIndex.from_arrays(
        [["a"], [1], pd.to_datetime(["2024-01-01"]), [2]], names=["k", None, "at", "n"]
    )
    ready = outgoing(pd.DataFrame({"v": [1.5]}, index=index))
    assert ready.types == {
        "k": "text",
        "at": "timestamp without time zone",
        "n": "bigint",
        "v": "double precision",
    }


def test_the_name_of_a_column_may_be_no_text():
    with pytest.raises(CellError, match=r"U\+D800"):
        outgoing(pd.DataFrame([[1]], columns=pd.Index(["a\ud800"], dtype=object)))


def test_sparse_columns_are_filled():
    ready = outgoing(pd.DataFrame({"x": pd.arrays.SparseArray([0, 1])}))
    assert (ready.types, ready.table["x"].to_pylist()) == ({"x": "bigint"}, [0, 1])


@given(st.decimals(allow_nan=False) | st.integers(-(10**40), 10**40).map(Decimal))
def test_a_numeric_is_written_as_it_is_read(number):
    if number.is_finite() and (number.adjusted() > 9999 or number.as_tuple().exponent < -9999):
        return
    back = to_decimal(from_decimal(number))
    assert back == number
    if number.is_finite():
        assert back.as_tuple().exponent == min(0, number.as_tuple().exponent)


def test_a_numeric_has_a_limit():
    assert to_decimal(from_decimal(Decimal("1e131071"))) == Decimal("1e131071")
    for beyond in ("1e131072", "1e-16384"):
        with pytest.raises(ValueError, match="more digits"):
            from_decimal(Decimal(beyond))


def test_rectangles_of_any_depth_keep_their_shapes_and_elements():
    chance = random.Random(1)
    for _ in range(200):
        depth = chance.randint(2, 6)
        wanted, values, flat = [], [], []
        for _ in range(chance.randint(0, 4)):
            kind = chance.random()
            if kind < 0.3:
                wanted.append(None if kind < 0.15 else ())
                values.append(None if kind < 0.15 else [])
                continue
            shape = tuple(chance.randint(1, 3) for _ in range(depth))
            numbers = np.array([chance.randint(-9, 9) for _ in range(np.prod(shape))])
            wanted.append(shape)
            values.append(numbers.reshape(shape).tolist())
            flat.append([int(number).to_bytes(8, signed=True) for number in numbers])
        type_ = pa.int64()
        for _ in range(depth):
            type_ = pa.list_(type_)
        array = pa.array([[[]], *values], type_).slice(1)  # as a part of another
        assert shapes(array) == wanted
        packed = [value for value in _arrays(array, "bigint[]").to_pylist() if value is not None]
        found = [unpack(value) for value in packed]
        assert [shape for shape, _ in found] == [shape for shape in wanted if shape is not None]
        assert [elements for shape, elements in found if shape] == flat
