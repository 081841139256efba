"""Both decoders of COPY streams, against each other and against what must not be."""

import itertools
import math
import struct
from collections.abc import Sequence
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgmagic.columns import DecodeError, accelerated
from pgmagic.columns.copybinary import BATCH_ROWS, HEADER, TRAILER, PythonDecoder
from pgmagic.columns.numeric import to_decimal, to_double
from pgmagic.columns.pgtypes import WIDTHS, Layout

decoders = [PythonDecoder]
if accelerated:
    from pgmagic.columns._decoder import CompiledDecoder, doubles

    decoders.append(CompiledDecoder)

both = pytest.mark.parametrize("decoder", decoders)
compiled = pytest.mark.skipif(not accelerated, reason="the compiled decoder was not built")

ALL = tuple(Layout)


def field(value: bytes | None) -> bytes:
    return struct.pack(">i", -1) if value is None else struct.pack(">i", len(value)) + value


def stream(rows: Sequence[Sequence[bytes | None]]) -> bytes:
    body = (struct.pack(">h", len(row)) + b"".join(map(field, row)) for row in rows)
    return HEADER + b"".join(body) + TRAILER


def decode(decoder, layouts, data: bytes, cuts: Sequence[int] = (), keep: int | None = None):
    """The table that a stream makes, given in pieces, and how many rows it had."""
    reader = decoder(layouts, keep=keep)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, stop in itertools.pairwise(edges):
        reader.feed(data[start:stop])
    reader.close()
    batches = reader.batches()
    for batch in batches:
        batch.validate(full=True)
    return (pa.Table.from_batches(batches) if batches else None), reader.rows


def outcome(decoder, layouts, data: bytes, cuts: Sequence[int] = ()):
    try:
        table, rows = decode(decoder, layouts, data, cuts)
    except DecodeError:
        return "refused"
    # As bytes, because NaN is not equal to itself.
    columns = [] if table is None else [column.to_pylist() for column in table.columns]
    return rows, repr(columns)


def values(layout: Layout) -> st.SearchStrategy[bytes | None]:
    if layout in WIDTHS:
        size = WIDTHS[layout]
        made = st.binary(min_size=size, max_size=size)
    elif layout is Layout.BYTES:
        made = st.binary(max_size=20)
    else:
        made = st.text(max_size=10).map(str.encode)
    if layout is Layout.JSONB:
        made = made.map(lambda text: b"\x01" + text)
    return st.none() | made


@st.composite
def results(draw):
    layouts = draw(st.lists(st.sampled_from(ALL), max_size=5))
    rows = draw(st.lists(st.tuples(*map(values, layouts)), max_size=20))
    return layouts, rows


@both
@given(results(), st.lists(st.integers(0, 400), max_size=8))
def test_pieces_of_any_size_make_the_same_rows(decoder, result, cuts):
    layouts, rows = result
    data = stream(rows)
    whole, count = decode(decoder, layouts, data)
    assert count == len(rows)
    assert (whole.num_rows if whole else 0) == len(rows)
    assert outcome(decoder, layouts, data, cuts) == outcome(decoder, layouts, data)
    for index, layout in enumerate(layouts):
        if whole and layout in (Layout.BYTES, Layout.FIXED16):
            assert whole.column(index).to_pylist() == [row[index] for row in rows]


@compiled
@given(results(), st.lists(st.integers(0, 400), max_size=4))
def test_both_decoders_read_the_same(result, cuts):
    layouts, rows = result
    data = stream(rows)
    expected = outcome(PythonDecoder, layouts, data)
    assert outcome(CompiledDecoder, layouts, data, cuts) == expected


@compiled
@given(st.data())
def test_both_decoders_refuse_the_same(data):
    layouts, rows = data.draw(results())
    damaged = bytearray(stream(rows))
    for _ in range(data.draw(st.integers(1, 3))):
        where = data.draw(st.integers(0, len(damaged) - 1))
        damaged[where] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
    wrong = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    cuts = data.draw(st.lists(st.integers(0, len(wrong)), max_size=3))
    assert outcome(CompiledDecoder, layouts, wrong, cuts) == outcome(PythonDecoder, layouts, wrong)


@both
@given(st.binary(max_size=200), st.lists(st.sampled_from(ALL), max_size=3))
def test_noise_is_refused(decoder, noise, layouts):
    assert outcome(decoder, layouts, noise) == "refused"
    assert outcome(decoder, layouts, HEADER + noise + b"\0") == "refused"


@both
@given(results(), st.data())
def test_a_stream_that_breaks_off_is_refused(decoder, result, data):
    whole = stream(result[1])
    part = whole[: data.draw(st.integers(0, len(whole) - 1))]
    assert outcome(decoder, result[0], part) == "refused"


@both
@pytest.mark.parametrize(
    ("layouts", "data", "message"),
    [
        ([], b"x" * 30, "the stream has no COPY signature"),
        ([], HEADER[:11] + b"\0\1\0\0" + bytes(4) + TRAILER, "unknown COPY flags 0x10000"),
        ([], HEADER[:15] + b"\xff\xff\xff\xff", "a COPY header of 4294967295 bytes more"),
        ([], HEADER, "the stream breaks off"),
        ([], HEADER + TRAILER + b"\0", "the stream goes on behind its end"),
        ([0], stream([[b"\1", b"\1"]]), "a row of 2 fields where 1 were described"),
        ([8], HEADER + b"\0\1\xff\xff\xff\xfe", "a field of -2 bytes"),
        ([2], stream([[b"\0\0\0"]]), "3 bytes where a INT32 has 4"),
        ([10], stream([[b"\2{}"]]), "jsonb of an unknown version"),
        ([9], stream([[b"\xff"]]), "text that is not UTF-8"),
    ],
)
def test_what_is_wrong_is_said(decoder, layouts, data, message):
    with pytest.raises(DecodeError, match=message):
        decode(decoder, [Layout(layout) for layout in layouts], data)


@both
def test_a_header_may_have_an_extension(decoder):
    extended = HEADER[:15] + struct.pack(">I", 3) + b"abc" + stream([[b"x"]])[len(HEADER) :]
    for cut in range(len(extended)):
        table, _ = decode(decoder, [Layout.TEXT], extended, [cut])
        assert table.column(0).to_pylist() == ["x"]


@both
def test_rows_without_columns_are_rows(decoder):
    table, rows = decode(decoder, [], stream([[]] * 3))
    assert (table.num_rows, table.num_columns, rows) == (3, 0, 3)


@both
def test_batches_are_bounded(decoder):
    reader = decoder([Layout.BOOL])
    reader.feed(HEADER + stream([[b"\1"]] * (BATCH_ROWS + 5))[len(HEADER) :])
    assert [batch.num_rows for batch in reader.batches()] == [BATCH_ROWS]
    reader.close()
    assert [batch.num_rows for batch in reader.batches()] == [5]
    assert reader.rows == BATCH_ROWS + 5


@both
def test_rows_beyond_what_is_kept_are_counted(decoder):
    table, rows = decode(
        decoder, [Layout.TEXT, Layout.BOOL], stream([[b"a", b"\0"]] * 700), keep=600
    )
    assert (table.num_rows, rows) == (600, 700)
    assert decode(decoder, [Layout.TEXT], stream([[b"a"]]), keep=0) == (None, 1)


@both
def test_a_large_field_comes_in_many_pieces(decoder):
    large = bytes(range(256)) * 20_000
    data = stream([[large], [None]])
    table, _ = decode(decoder, [Layout.BYTES], data, range(0, len(data), 65_536))
    assert table.column(0).to_pylist() == [large, None]


def numeric(decimal: Decimal) -> bytes:
    """The wire form of a number, written independently of the reader."""
    sign, digits, exponent = decimal.as_tuple()
    scale = max(0, -exponent)
    digits = [*digits, *[0] * max(0, exponent)]
    whole = len(digits) - scale
    digits = [0] * (-whole % 4) + digits
    whole_groups = math.ceil(whole / 4)
    digits += [0] * (-len(digits) % 4)
    groups = [int("".join(map(str, digits[i : i + 4]))) for i in range(0, len(digits), 4)]
    weight = whole_groups - 1
    while groups and groups[0] == 0:
        groups.pop(0)
        weight -= 1
    while groups and groups[-1] == 0:
        groups.pop()
    header = struct.pack(">hhHH", len(groups), weight if groups else 0, sign << 14, scale)
    return header + struct.pack(f">{len(groups)}H", *groups)


decimals = st.decimals(allow_nan=False, allow_infinity=False, places=None).filter(
    lambda d: -300 < d.adjusted() < 300 and d.as_tuple().exponent > -320
) | st.builds(
    lambda n, scale: Decimal(n).scaleb(-scale), st.integers(-(10**20), 10**20), st.integers(0, 25)
)


@given(decimals)
def test_a_numeric_is_read_exactly(decimal):
    found = to_decimal(numeric(decimal))
    assert found == decimal
    assert -found.as_tuple().exponent == max(0, -decimal.as_tuple().exponent)


@given(st.lists(st.none() | decimals, max_size=5))
def test_a_double_is_the_nearest_one_or_none(numbers):
    for number in numbers:
        if number is not None:
            double = to_double(numeric(number))
            whole = number == number.to_integral_value()
            lost = whole and number.copy_abs() > 2**53
            assert double == (None if lost or (number and not float(number)) else float(number))


@compiled
@given(st.lists(st.none() | decimals.map(numeric), max_size=5))
def test_the_compiled_numerics_are_the_same(wires):
    expected = [None if wire is None else to_double(wire) for wire in wires]
    array = pa.array(wires, pa.large_binary())
    found = doubles(array, to_double)
    if [value is None for value in expected] != [wire is None for wire in wires]:
        assert found is None
    else:
        assert repr(found.to_pylist()) == repr(expected)
        assert repr(doubles(array.slice(1), to_double).to_pylist()) == repr(expected[1:])


@compiled
def test_the_compiled_numerics_are_the_same_at_the_edges():
    texts = ["3.3333333333333333", "-0.1428571428571428571428571428", "1e-320", "1e-400"]
    texts += ["9007199254740992.5", "9007199254740993.5", f"1.{'0' * 150}1", f"0.{'9' * 250}"]
    texts += ["9007199254740992", "9007199254740993", "99999999999999999999.5", "1e19", "1e15"]
    for wire in map(numeric, map(Decimal, texts)):
        found = doubles(pa.array([wire], pa.large_binary()), to_double)
        assert (None if found is None else found[0].as_py()) == to_double(wire)


@compiled
@given(st.binary(max_size=24))
def test_the_compiled_numerics_refuse_the_same(wire):
    def read(one) -> object:
        try:
            return repr(one())
        except DecodeError:
            return "refused"

    def by_compiled() -> float | None:
        found = doubles(pa.array([wire], pa.large_binary()), to_double)
        return None if found is None else found[0].as_py()

    assert read(by_compiled) == read(lambda: to_double(wire))
