"""Two results of the same statement, compared: planted differences are found, and no others."""

import struct
from collections import Counter
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgmagic.columns import compare
from pgmagic.columns.changes import Verdict
from pgmagic.columns.copybinary import arrow_type
from pgmagic.columns.pgtypes import BUILTIN, layout_of
from pgmagic.outcome import Column, PgType, Result, Rows

TYPES = {type_.name: type_ for type_ in BUILTIN.values()}
MOOD = PgType(oid=70001, name="mood", schema="public", kind="enum", labels=("sad", "ok"))


def result(rows, chunk=None, **types) -> Result:
    """Make a result of rows as they lie in memory; `types` are names of types, or types."""
    types = {name: TYPES.get(type_, type_) for name, type_ in types.items()}
    arrays = [
        pa.array([row[i] for row in rows], arrow_type(layout_of(type_)))
        for i, type_ in enumerate(types.values())
    ]
    size = chunk or max(1, len(rows))
    columns = [
        pa.chunked_array([a.slice(at, size) for at in range(0, max(1, len(a)), size)])
        for a in arrays
    ]
    return Result(
        tag=f"SELECT {len(rows)}",
        columns=tuple(Column(name=name, type=type_) for name, type_ in types.items()),
        table=Rows(pa.table(columns, names=[str(i) for i in range(len(columns))])),
    )


def numeric(text: str) -> bytes:
    """Write a small numeric as the server sends it."""
    value = Decimal(text)
    if value.is_nan():
        return struct.pack(">hhHh", 0, 0, 0xC000, 0)
    scale = -value.as_tuple().exponent
    whole, part = divmod(abs(value), 1)
    digits = [int(whole), int(part * 10000)]
    while digits and not digits[-1]:
        digits.pop()
    weight = 0
    if digits and not digits[0]:
        digits, weight = digits[1:], -1
    sign = 0x4000 if value < 0 else 0
    return struct.pack(
        f">hhHh{len(digits)}h", len(digits), weight if digits else 0, sign, scale, *digits
    )


def told(difference):
    return [(c.what, c.row, c.column, c.before, c.after) for c in difference.changes]


AIRLINES = [(1, "AA", 9.5), (2, "B6", 12.0), (3, None, 7.25)]
ROW = {"id": "int4", "carrier": "text", "delay": "float8"}


# -- verdicts


def test_the_same_in_other_chunks():
    difference = compare(result(AIRLINES, **ROW), result(AIRLINES, chunk=1, **ROW))
    assert difference.verdict is Verdict.SAME
    assert not difference.changes


def test_another_order():
    there = result(AIRLINES[::-1], **ROW)
    assert compare(result(AIRLINES, **ROW), there).verdict is Verdict.REORDERED


def test_another_order_of_a_statement_that_orders_is_a_change():
    difference = compare(result(AIRLINES, **ROW), result(AIRLINES[::-1], **ROW), ordered=True)
    assert difference.verdict is Verdict.CHANGED
    assert told(difference) == [("rows in another order", None, None, None, None)]


@pytest.mark.parametrize("rows", [[], [()], [(), ()]])
def test_no_columns(rows):
    def bare(count):
        table = pa.Table.from_batches(
            [pa.RecordBatch.from_struct_array(pa.array([{}] * count, pa.struct([])))]
        )
        return Result(tag="SELECT", table=Rows(table))

    assert compare(bare(len(rows)), bare(len(rows))).verdict is Verdict.SAME
    difference = compare(bare(len(rows)), bare(len(rows) + 1))
    assert (difference.verdict, difference.new) == (Verdict.CHANGED, 1)


# -- values


def test_one_value_is_named_with_its_row_and_column():
    changed = [AIRLINES[0], (2, "B6", 12.5), AIRLINES[2]]
    difference = compare(result(AIRLINES, **ROW), result(changed, **ROW))
    assert told(difference) == [("value", "id = 2", "delay", "12", "12.5")]
    assert difference.summary == "1 row of 3 changed in delay"
    assert (difference.altered, difference.gone, difference.new) == (1, 0, 0)


def test_the_key_is_found_where_order_changes_as_well():
    changed = [(3, "UA", 7.25), AIRLINES[0], (2, "B6", 12.5)]
    difference = compare(result(AIRLINES, **ROW), result(changed, **ROW))
    assert told(difference) == [
        ("value", "id = 2", "delay", "12", "12.5"),
        ("value", "id = 3", "carrier", "NULL", "UA"),
    ]


def test_two_columns_are_a_key_together():
    rows = [(carrier, hour, 1.0) for carrier in "ab" for hour in range(3)]
    changed = [row if row[:2] != ("b", 1) else ("b", 1, 2.0) for row in rows]
    types = {"carrier": "text", "hour": "int4", "delay": "float8"}
    difference = compare(result(rows, **types), result(changed, **types))
    assert told(difference) == [("value", "carrier = b, hour = 1", "delay", "1", "2")]


def test_without_a_key_the_place_names_the_row():
    difference = compare(result([(1.5,)], a="float8"), result([(2.5,)], a="float8"))
    assert told(difference) == [("value", "row 0", "a", "1.5", "2.5")]


def test_rows_that_came_and_went():
    changed = [AIRLINES[0], (4, "DL", 1.0), AIRLINES[2], (5, "UA", 2.0)]
    difference = compare(result(AIRLINES, **ROW), result(changed, **ROW))
    assert (difference.altered, difference.gone, difference.new) == (0, 1, 2)
    assert difference.summary == "1 row gone; 2 rows new; 3 → 4 rows"
    assert {(change.what, change.before, change.after) for change in difference.changes} == {
        ("row gone", "id = 2, carrier = B6, delay = 12", None),
        ("row new", None, "id = 4, carrier = DL, delay = 1"),
        ("row new", None, "id = 5, carrier = UA, delay = 2"),
    }


def test_duplicates_are_counted():
    one, other = result([(1,), (1,), (2,)], a="int4"), result([(2,), (1,)], a="int4")
    assert told(compare(one, other)) == [("row gone", "row 0", None, "a = 1", None)]


@pytest.mark.parametrize(
    ("type_", "one", "other"),
    [
        ("float8", 0.0, -0.0),
        ("float4", 0.0, -0.0),
        ("float8", float("nan"), None),
        ("float8", 0.1, 0.1 + 2**-56),
        ("int8", 2**53, 2**53 + 1),
        ("text", None, ""),
        ("text", None, "NULL"),
        ("text", "a", "a "),
        ("text", "é", "e\u0301"),
        ("bytea", b"\0", b"\0\0"),
        ("jsonb", '{"a": 1}', '{"a": 1.0}'),
        ("bool", False, None),
        ("numeric", numeric("1.5"), numeric("1.6")),
        ("numeric", numeric("1"), numeric("-1")),
        ("numeric", numeric("NaN"), None),
        ("interval", struct.pack(">qii", 0, 30, 0), struct.pack(">qii", 0, 0, 1)),
        (MOOD, "sad", "ok"),
        (
            "int4[]",
            struct.pack(">iiIiiii", 1, 0, 23, 1, 1, 4, 7),
            struct.pack(">iiIiiii", 1, 0, 23, 1, 1, 4, 8),
        ),
    ],
)
def test_values_that_differ(type_, one, other):
    difference = compare(result([(one,)], a=type_), result([(other,)], a=type_))
    [change] = difference.changes
    assert (change.what, change.row, change.column) == ("value", "row 0", "a")
    assert change.before != change.after
    assert compare(result([(one,)], a=type_), result([(one,)], a=type_)).verdict is Verdict.SAME


def test_not_a_number_is_itself_whatever_its_bits():
    odd = struct.unpack("d", struct.pack("Q", 0xFFF8_0000_0000_0001))[0]
    one, other = result([(float("nan"),)], a="float8"), result([(odd,)], a="float8")
    assert compare(one, other).verdict is Verdict.SAME


def test_zeros_behind_the_point_count_only_where_they_are_shown():
    one = result([(numeric("1.50"),), (numeric("0"),)], a="numeric")
    other = result([(numeric("1.5"),), (numeric("0.00"),)], a="numeric")
    assert compare(one, other).verdict is Verdict.SAME
    difference = compare(one, other, exact=True)
    assert told(difference)[0] == ("value", "row 0", "a", "1.50", "1.5")


def test_text_is_compared_line_by_line():
    one = Result(tag="COPY 3", text="a\nb\nc\n")
    other = Result(tag="COPY 3", text="a\nx\nc\n")
    assert told(compare(one, other)) == [("value", "row 1", "line", "b", "x")]


def test_a_text_that_could_be_taken_for_null_stands_in_quotes():
    one, other = result([(None,), (None,)], a="text"), result([("NULL",), ("",)], a="text")
    assert [c[3:] for c in told(compare(one, other))] == [("NULL", '"NULL"'), ("NULL", '""')]


# -- columns


def test_a_column_was_added():
    there = result([(*row, True) for row in AIRLINES], **ROW, late="bool")
    difference = compare(result(AIRLINES, **ROW), there)
    assert told(difference) == [("column added", None, "late", None, "bool")]
    assert difference.summary == "late added"


def test_a_column_was_removed_and_the_others_are_still_compared():
    there = result([row[:2] for row in AIRLINES[:2]] + [(3, "UA")], id="int4", carrier="text")
    assert told(compare(result(AIRLINES, **ROW), there)) == [
        ("column removed", None, "delay", "float8", None),
        ("value", "id = 3", "carrier", "NULL", "UA"),
    ]


def test_a_column_has_another_type():
    difference = compare(result(AIRLINES, **ROW), result(AIRLINES, **ROW | {"id": "int8"}))
    assert told(difference) == [("column retyped", None, "id", "int4", "int8")]
    assert difference.summary == "id: int4 → int8"


def test_columns_in_another_order():
    there = result([(c, i, d) for i, c, d in AIRLINES], carrier="text", id="int4", delay="float8")
    difference = compare(result(AIRLINES, **ROW), there)
    assert difference.verdict is Verdict.CHANGED
    assert told(difference) == [
        ("columns reordered", None, None, "id, carrier, delay", "carrier, id, delay")
    ]


def test_a_column_has_another_name():
    there = result(AIRLINES, id="int4", airline="text", delay="float8")
    difference = compare(result(AIRLINES, **ROW), there)
    assert told(difference) == [("column renamed", None, None, "carrier", "airline")]


def test_an_enum_is_known_by_its_name_and_its_labels():
    recreated = PgType(oid=80002, name="mood", schema="public", kind="enum", labels=MOOD.labels)
    one = result([("sad",)], a=MOOD)
    assert compare(one, result([("sad",)], a=recreated)).verdict is Verdict.SAME
    longer = PgType(oid=70001, name="mood", schema="public", kind="enum", labels=("sad", "ok", "x"))
    assert told(compare(one, result([("sad",)], a=longer))) == [
        ("column retyped", None, "a", "sad, ok", "sad, ok, x")
    ]


def test_an_array_of_an_enum_is_the_same_after_a_restore():
    def array_of(oid):
        return struct.pack(">iiIiii", 1, 0, oid, 1, 1, 3) + b"sad"

    moods = PgType(oid=70002, name="mood[]", schema="public", kind="array", element=MOOD)
    one, other = result([(array_of(70001),)], a=moods), result([(array_of(80001),)], a=moods)
    assert compare(one, other).verdict is Verdict.SAME


# -- bounds


def test_only_the_first_differences_are_told_and_the_others_counted():
    rows = [(i, i) for i in range(1000)]
    difference = compare(
        result(rows, id="int4", a="int4"), result([(i, -a) for i, a in rows], id="int4", a="int4")
    )
    assert len(difference.changes) == 20
    assert difference.altered == 999
    assert difference.left_out == 979


def test_many_rows():
    import numpy as np

    count = 300_000
    generator = np.random.default_rng(7)
    columns = {
        "flight": pa.array(generator.integers(0, 5000, count, dtype=np.int32)),
        "delay": pa.array(generator.normal(size=count)),
        "name": pa.array(generator.integers(0, 300, count)).cast(pa.large_string()),
        "id": pa.array(np.arange(count, dtype=np.int64)),
    }
    described = tuple(
        Column(name=name, type=TYPES[type_])
        for name, type_ in zip(columns, ("int4", "float8", "text", "int8"), strict=True)
    )
    table = pa.table(columns)

    def of(table):
        return Result(tag="SELECT", columns=described, table=Rows(table))

    shuffled = table.take(generator.permutation(count))
    assert compare(of(table), of(shuffled)).verdict is Verdict.REORDERED
    delays = columns["delay"].to_numpy().copy()
    delays[123_456] = 99
    changed = table.set_column(1, "delay", pa.array(delays)).take(generator.permutation(count))
    [change] = compare(of(table), of(changed)).changes
    assert (change.row, change.column, change.after) == ("id = 123456", "delay", "99")


# -- any tables


KINDS = {
    "int4": st.integers(-3, 3),
    "float8": st.sampled_from([0.0, -0.0, 1.5, float("nan"), float("inf")]),
    "text": st.sampled_from(["", "a", "b", "NULL"]),
    "bool": st.booleans(),
    "numeric": st.sampled_from(["0", "0.00", "1.5", "1.50", "-2", "NaN"]).map(numeric),
}


@st.composite
def tables(draw):
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=4))
    types = {f"c{i}": kind for i, kind in enumerate(kinds)}
    row = st.tuples(*(st.none() | KINDS[kind] for kind in kinds))
    return types, draw(st.lists(row, max_size=8)), draw(st.lists(row, max_size=8))


def canonical(row):
    """What makes a value another one, told in Python: its text, and of numerics their value."""
    return tuple(
        value[:6] + value[8:] if isinstance(value, bytes) else repr(value) for value in row
    )


@given(tables(), st.randoms(use_true_random=False))
def test_shuffled_rows_are_another_order(table, random):
    types, rows, _ = table
    shuffled = random.sample(rows, len(rows))
    same = list(map(canonical, rows)) == list(map(canonical, shuffled))
    difference = compare(result(rows, **types), result(shuffled, chunk=3, **types))
    assert difference.verdict is (Verdict.SAME if same else Verdict.REORDERED)


@given(tables())
def test_rows_that_differ_are_counted_exactly(table):
    types, rows, others = table
    difference = compare(result(rows, **types), result(others, chunk=2, **types), most=1000)
    before, after = Counter(map(canonical, rows)), Counter(map(canonical, others))
    gone, new = (before - after).total(), (after - before).total()
    assert difference.gone + difference.altered == gone
    assert difference.new + difference.altered == new
    assert (difference.verdict is Verdict.CHANGED) == bool(gone or new)
    assert difference.left_out == 0


@given(st.data())
def test_planted_changes_are_found_and_no_others(data):
    count = data.draw(st.integers(1, 30))
    rows = [
        [i, data.draw(KINDS["float8"]), data.draw(st.none() | KINDS["text"])] for i in range(count)
    ]
    changed = [list(row) for row in rows]
    planted = data.draw(
        st.sets(st.tuples(st.integers(0, count - 1), st.sampled_from([1, 2])), min_size=1)
    )
    for row, column in planted:
        changed[row][column] = 77.0 if column == 1 else "planted"
    there = data.draw(st.permutations(changed))
    types = {"id": "int4", "a": "float8", "b": "text"}
    difference = compare(result(rows, **types), result(there, **types), most=100)
    names = ["id", "a", "b"]
    assert {(c.row, c.column) for c in difference.changes} == {
        (f"id = {row}", names[column]) for row, column in planted
    }
    assert difference.altered == len({row for row, _ in planted})
