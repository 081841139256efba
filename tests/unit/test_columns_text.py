"""Values written as PostgreSQL writes them, arrays taken apart, statements put into COPY."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgmagic.columns import DecodeError
from pgmagic.columns import pgtypes as t
from pgmagic.columns.arrays import array_text, pack_texts, parse, unpack
from pgmagic.columns.copying import copy_statement
from pgmagic.columns.inlining import _replace
from pgmagic.columns.pgtypes import BUILTIN
from pgmagic.columns.scalars import text_of
from pgmagic.columns.text import date_text, interval_text, time_text, timestamp_text
from pgmagic.outcome import Column

MICROSECOND = dt.timedelta(microseconds=1)


@given(st.dates())
def test_dates_are_pythons_within_its_years(date):
    assert date_text((date - dt.date(2000, 1, 1)).days) == date.isoformat()


@given(st.datetimes())
def test_timestamps_are_pythons_within_its_years(moment):
    since_2000 = (moment - dt.datetime(2000, 1, 1)) // MICROSECOND
    text = moment.isoformat(" ")
    assert timestamp_text(since_2000) == (text.rstrip("0") if moment.microsecond else text)


@pytest.mark.parametrize(
    ("days", "text"),
    [
        (-730_119, "0001-01-01"),
        (-730_120, "0001-12-31 BC"),
        (-2_451_507, "4713-01-01 BC"),
        (2_145_031_948, "5874897-12-31"),
        (2**31 - 1, "infinity"),
        (-(2**31), "-infinity"),
    ],
)
def test_dates_beyond_pythons_years(days, text):
    assert date_text(days) == text


def test_times_and_zones():
    assert time_text(86_400_000_000) == "24:00:00"
    assert timestamp_text(1_500_000, zone="+00") == "2000-01-01 00:00:01.5+00"
    assert timestamp_text(-(2**63), zone="+00") == "-infinity"
    assert timestamp_text(-63_082_281_600_000_000 - 1, zone="+00") == (
        "0001-12-31 23:59:59.999999+00 BC"
    )


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ((0, 0, 0), "00:00:00"),
        ((14, 1, 0), "1 year 2 mons 1 day"),
        ((-14, 3, -1), "-1 years -2 mons +3 days -00:00:00.000001"),
        ((0, -1, 1_000_000), "-1 days +00:00:01"),
        ((2**31 - 1, 2**31 - 1, 2**63 - 1), "infinity"),
    ],
)
def test_intervals(parts, text):
    assert interval_text(*parts) == text


@pytest.mark.parametrize(
    ("oid", "value", "text"),
    [
        (t.FLOAT8, 1e15, "1e+15"),
        (t.FLOAT8, 123456789012345.0, "123456789012345"),
        (t.FLOAT8, 0.0001, "0.0001"),
        (t.FLOAT8, 0.00001, "1e-05"),
        (t.FLOAT8, -0.0, "-0"),
        (t.FLOAT8, 1.5e300, "1.5e+300"),
        (t.FLOAT8, float("nan"), "NaN"),
        (t.FLOAT8, float("-inf"), "-Infinity"),
        (t.FLOAT4, 1e6, "1e+06"),
        (t.FLOAT4, 0.10000000149011612, "0.1"),
        (t.BOOL, True, "t"),
        (t.BYTEA, b"\0\xff", "\\x00ff"),
        (t.CHAR, b"\xe9", "\\351"),
        (t.INT4, -1, "-1"),
    ],
)
def test_text_of_scalars(oid, value, text):
    assert text_of(BUILTIN[oid])(value) == text


def shaped(elements: st.SearchStrategy[str | None]):
    """The shape of an array, and as many elements as it has."""
    sizes = st.lists(st.integers(1, 3), min_size=1, max_size=3).map(tuple)

    def of(shape):
        count = 1
        for length in shape:
            count *= length
        return st.tuples(st.just(shape), st.lists(elements, min_size=count, max_size=count))

    return st.just(((), [])) | sizes.flatmap(of)


@given(shaped(st.none() | st.text(max_size=5) | st.sampled_from(["NULL", "null", "{", '"', "\\"])))
def test_an_arrays_text_is_read_as_it_was_written(array):
    shape, elements = array
    text = array_text(shape, elements, str)
    assert parse(text) == (shape, elements)
    assert parse("[0:1]=" + text) == (shape, elements)


@given(shaped(st.none() | st.text(max_size=5)))
def test_an_arrays_bytes_are_read_as_they_were_written(array):
    shape, elements = array
    found, raw = unpack(pack_texts(shape, elements))
    assert found == shape
    assert raw == [None if element is None else element.encode() for element in elements]


@given(st.binary(max_size=60))
def test_noise_is_no_array(noise):
    try:
        shape, elements = unpack(noise)
    except DecodeError:
        return
    count = 1
    for length in shape:
        count *= length
    assert len(elements) == (count if shape else 0)


@given(st.text(alphabet='{},"\\a N', max_size=12))
def test_the_text_of_an_array_is_read_or_refused(text):
    try:
        _, elements = parse(text)
    except DecodeError:
        return
    assert all(element is None or isinstance(element, str) for element in elements)


def columns(*oids: int) -> list[Column]:
    return [Column(name="a", type=BUILTIN[oid]) for oid in oids]


def test_a_statement_is_wrapped_only_where_it_must_be():
    plain = copy_statement("select 1 -- x ;", columns(t.INT4))
    assert plain.sql == "COPY (select 1 -- x \n) TO STDOUT (FORMAT binary)"
    limited = copy_statement("select 1;\n", columns(t.INT4), limit=6)
    assert limited.sql == (
        "COPY (SELECT * FROM (select 1\n) AS t LIMIT 6\n) TO STDOUT (FORMAT binary)"
    )
    cast = copy_statement("select", columns(t.INT4, 790, 1041))
    assert cast.sql == (
        "COPY (SELECT c1, CASE WHEN c2 IS DISTINCT FROM NULL THEN concat(c2) END, c3 "
        "FROM (select\n) AS t(c1, c2, c3)\n) TO STDOUT (FORMAT binary)"
    )
    for copy in (plain, limited, cast):
        assert copy.sql[copy.prefix :].startswith("select")


def test_an_offset_finds_its_way_back_over_literals():
    sql = "select $1, '$1', x, $2"
    inlined = _replace(sql, ["('long one'::text)", "(1::int4)"], standard_strings=True)
    assert inlined.sql == "select ('long one'::text), '$1', x, (1::int4)"
    for piece in ("select", "'$1'", "x,"):
        assert inlined.locate(inlined.sql.index(piece)) == sql.index(piece)
    assert inlined.locate(inlined.sql.index("one")) == sql.index("$1")
    assert inlined.locate(inlined.sql.index("int4")) == sql.index("$2")
