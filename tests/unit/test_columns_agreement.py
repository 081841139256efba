"""What columns several databases have in common, and one frame of them."""

import struct

import pandas as pd
import pyarrow as pa
import pytest

from pgmagic.columns import ColumnsDiffer, FrameOptions, agree, combine
from pgmagic.columns import pgtypes as t
from pgmagic.columns.copybinary import column_of
from pgmagic.columns.names import unique_names
from pgmagic.columns.pgtypes import BUILTIN, array_of, layout_of
from pgmagic.outcome import Column, PgType


def columns(**types: PgType | int) -> tuple[Column, ...]:
    return tuple(
        Column(name=name, type=type_ if isinstance(type_, PgType) else BUILTIN[type_])
        for name, type_ in types.items()
    )


def enum(*labels: str, oid: int, name: str = "size") -> PgType:
    return PgType(oid=oid, name=name, schema="public", kind="enum", labels=labels)


def test_the_same_columns_agree_without_a_word():
    described = columns(a=t.INT4, b=t.TEXT)
    agreement = agree({"ewr": described, "jfk": described})
    assert agreement.columns == described
    assert agreement.order == {"ewr": (0, 1), "jfk": (0, 1)}
    assert agreement.notes == ()


def test_the_first_database_decides_the_order():
    agreement = agree({"ewr": columns(a=t.INT4, b=t.TEXT), "jfk": columns(b=t.TEXT, a=t.INT4)})
    assert [column.name for column in agreement.columns] == ["a", "b"]
    assert agreement.order["jfk"] == (1, 0)
    assert agreement.notes == ("jfk: columns in another order",)


@pytest.mark.parametrize(
    ("one", "other", "common"),
    [
        (t.INT2, t.INT4, t.INT4),
        (t.INT4, t.INT8, t.INT8),
        (t.INT8, t.NUMERIC, t.NUMERIC),
        (t.INT2, t.NUMERIC, t.NUMERIC),
        (t.FLOAT4, t.FLOAT8, t.FLOAT8),
        (t.INT4, t.FLOAT8, t.FLOAT8),
        (t.INT4, t.FLOAT4, t.FLOAT8),
        (t.INT2, t.FLOAT4, t.FLOAT4),
        (t.VARCHAR, t.TEXT, t.TEXT),
        (t.BPCHAR, t.NAME, t.TEXT),
        (t.DATE, t.TIMESTAMP, t.TIMESTAMP),
        (t.INT8, t.FLOAT8, None),
        (t.NUMERIC, t.FLOAT8, None),
        (t.TIMESTAMP, t.TIMESTAMPTZ, None),
        (t.DATE, t.TIMESTAMPTZ, None),
        (t.INT4, t.TEXT, None),
        (t.JSON, t.JSONB, None),
        (t.BOOL, t.INT2, None),
    ],
)
def test_a_type_widens_only_where_nothing_is_lost(one, other, common):
    for a, b in ((one, other), (other, one)):
        described = {"ewr": columns(v=a), "jfk": columns(v=b)}
        if common is None:
            with pytest.raises(ColumnsDiffer):
                agree(described)
        else:
            assert agree(described).columns == columns(v=common)
            assert len(agree(described).notes) == 1


def test_the_note_says_who_has_what():
    described = {"ewr": columns(delay=t.INT4), "lga": columns(delay=t.INT4)}
    agreement = agree(described | {"jfk": columns(delay=t.INT8)})
    assert agreement.notes == ("delay: int4 in ewr, lga, int8 in jfk, read as int8",)


def test_three_databases_widen_to_what_all_can_be_read_as():
    described = {
        name: columns(v=oid) for name, oid in zip("abc", (t.INT8, t.INT2, t.NUMERIC), strict=True)
    }
    assert agree(described).columns == columns(v=t.NUMERIC)


def test_types_of_the_users_own_agree_by_name_not_by_oid():
    pair = PgType(oid=20_000, name="pair", schema="public", kind="composite")
    same = PgType(oid=30_000, name="pair", schema="public", kind="composite")
    other = PgType(oid=20_000, name="pair", schema="app", kind="composite")
    assert agree({"ewr": columns(v=pair), "jfk": columns(v=same)}).notes == ()
    with pytest.raises(ColumnsDiffer):
        agree({"ewr": columns(v=pair), "jfk": columns(v=other)})


def test_enums_agree_by_their_labels():
    one = enum("s", "l", oid=20_000)
    assert agree(
        {"ewr": columns(v=one), "jfk": columns(v=enum("s", "l", oid=30_000))}
    ).columns == columns(v=one)
    differing = agree({"ewr": columns(v=one), "jfk": columns(v=enum("s", oid=30_000))})
    assert differing.columns == columns(v=t.TEXT)


def test_arrays_agree_where_their_elements_do():
    agreement = agree(
        {
            "ewr": columns(v=array_of(BUILTIN[t.INT4])),
            "jfk": columns(v=array_of(BUILTIN[t.INT8])),
        }
    )
    assert agreement.columns[0].type.element == BUILTIN[t.INT8]
    with pytest.raises(ColumnsDiffer):
        agree({"ewr": columns(v=t.INT4), "jfk": columns(v=array_of(BUILTIN[t.INT4]))})


def test_names_that_stand_twice_agree_by_position():
    def twice(*types):
        return tuple(Column(name="a", type=BUILTIN[type_]) for type_ in types)

    agreement = agree({"ewr": twice(t.INT4, t.TEXT), "jfk": twice(t.INT4, t.TEXT)})
    assert agreement.order["jfk"] == (0, 1)
    with pytest.raises(ColumnsDiffer):
        agree({"ewr": twice(t.INT4), "jfk": twice(t.INT4, t.INT4)})


def test_what_differs_is_shown_as_a_table():
    with pytest.raises(ColumnsDiffer) as failure:
        agree(
            {
                "ewr": columns(same=t.INT4, when=t.DATE, gone=t.TEXT),
                "jfk": columns(same=t.INT4, when=t.TEXT),
            }
        )
    assert failure.value.report()[1:4] == [
        "        ewr   jfk",
        "  when  date  text",
        "  gone  text  -",
    ]
    assert failure.value.report()[-1].startswith("hint: ")


def table(described: tuple[Column, ...], *rows: tuple[bytes | None, ...]) -> pa.Table:
    arrays = [
        column_of(layout_of(column.type), [row[index] for row in rows])
        for index, column in enumerate(described)
    ]
    return pa.table(arrays, names=[str(index) for index in range(len(arrays))])


def int4(value: int) -> bytes:
    return struct.pack(">i", value)


def int8(value: int) -> bytes:
    return struct.pack(">q", value)


def test_rows_stand_in_the_order_written_under_their_databases():
    described = {
        "ewr": columns(n=t.INT4, s=t.TEXT),
        "jfk": columns(s=t.TEXT, n=t.INT8),
        "lga": columns(n=t.INT4, s=t.TEXT),
    }
    tables = {
        "ewr": table(described["ewr"], (int4(1), b"a"), (None, b"b")),
        "jfk": table(described["jfk"], (b"c", int8(2**40))),
        "lga": table(described["lga"]),
    }
    made, notes = combine(tables, agree(described), options=FrameOptions())
    assert list(made) == ["database", "n", "s"]
    assert made["database"].dtype == pd.CategoricalDtype(["ewr", "jfk", "lga"], ordered=False)
    assert made["database"].tolist() == ["ewr", "ewr", "jfk"]
    assert made["n"].dtype == "Int64"
    assert made["n"].tolist() == [1, pd.NA, 2**40]
    assert made["s"].tolist() == ["a", "b", "c"]
    assert notes == (
        "jfk: columns in another order",
        "n: int4 in ewr, lga, int8 in jfk, read as int8",
    )


@pytest.mark.parametrize("as_", ["pandas", "arrow"])
def test_no_rows_and_no_columns_still_name_their_databases(as_):
    options = FrameOptions(as_=as_)
    described = columns(n=t.INT4)
    both = {"ewr": described, "jfk": described}
    made, _ = combine({name: table(described) for name in both}, agree(both), options=options)
    assert made.shape == (0, 2)
    nothing = {"ewr": (), "jfk": ()}
    rows = pa.Table.from_batches(
        [pa.RecordBatch.from_struct_array(pa.array([{}] * 2, pa.struct([])))]
    )
    made, _ = combine({"ewr": rows, "jfk": rows}, agree(nothing), options=options)
    assert made.shape == (4, 1)
    names = made["database"]
    assert (names.tolist() if as_ == "pandas" else names.to_pylist()) == ["ewr"] * 2 + ["jfk"] * 2


def test_one_value_that_must_stay_exact_makes_every_databases_numbers_exact():
    described = {"ewr": columns(n=t.INT8), "jfk": columns(n=t.NUMERIC)}
    half = struct.pack(">hhHHH", 1, -1, 0, 1, 5000)
    for large, dtype in ((2**53, "float64"), (2**53 + 1, "decimal128(38, 1)[pyarrow]")):
        tables = {
            "ewr": table(described["ewr"], (int8(large),)),
            "jfk": table(described["jfk"], (half,)),
        }
        made, _ = combine(tables, agree(described), options=FrameOptions())
        assert str(made["n"].dtype) == dtype
        assert [int(made["n"][0]), float(made["n"][1])] == [large, 0.5]


def test_a_date_becomes_midnight_and_infinity_stays_infinity():
    described = {"ewr": columns(d=t.DATE), "jfk": columns(d=t.TIMESTAMP)}
    tables = {
        "ewr": table(described["ewr"], (int4(-1),), (None,)),
        "jfk": table(described["jfk"], (int8(1),)),
    }
    made, notes = combine(tables, agree(described), options=FrameOptions())
    assert made["d"].dtype == "datetime64[us]"
    assert made["d"].astype(str).tolist()[0] == "1999-12-31 00:00:00.000000"
    assert made["d"].isna().tolist() == [False, True, False]
    tables["ewr"] = table(described["ewr"], (int4(2**31 - 1),), (int4(0),))
    made, notes = combine(tables, agree(described), options=FrameOptions())
    assert made["d"].tolist() == [
        "infinity",
        "2000-01-01 00:00:00",
        "2000-01-01 00:00:00.000001",
    ]
    assert notes[-1] == "d: text, because infinity is no time"


def test_a_result_may_have_a_column_of_the_tags_name():
    described = columns(database=t.TEXT)
    both = {"ewr": described, "jfk": described}
    tables = {name: table(described, (b"x",)) for name in both}
    made, notes = combine(tables, agree(both), options=FrameOptions())
    assert list(made) == ["database", "database_1"]
    assert len(notes) == 1
    made, notes = combine(tables, agree(both), tag="airport", options=FrameOptions())
    assert list(made) == ["airport", "database"]
    assert notes == ()


def test_enums_of_several_databases_are_one_category():
    described = {
        "ewr": columns(v=enum("s", "l", oid=20_000)),
        "jfk": columns(v=enum("s", "l", oid=30_000)),
    }
    tables = {
        "ewr": table(described["ewr"], (b"l",)),
        "jfk": table(described["jfk"], (None,), (b"s",)),
    }
    made, notes = combine(tables, agree(described), options=FrameOptions())
    assert made["v"].dtype == pd.CategoricalDtype(["s", "l"], ordered=True)
    assert made["v"].isna().tolist() == [False, True, False]
    assert notes == ()


def test_numbers_of_names_are_never_another_columns_name():
    assert unique_names(["a", "a_1", "a", "a"])[0] == ["a", "a_1", "a_2", "a_3"]
    assert unique_names(["a", "a"]) == (
        ["a", "a_1"],
        ('"a" is there twice: the second is a_1',),
    )
    assert unique_names(["", ""])[0] == ["", "_1"]
