"""The folder of recordings: what is put in comes out, whatever happens in between."""

import asyncio
import json
import math
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from uuid import UUID

import asyncpg
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgmagic.columns import content, pack, unpack
from pgmagic.columns.copybinary import arrow_type, batch_of
from pgmagic.columns.pgtypes import BUILTIN, array_of, layout_of
from pgmagic.database.arguments import from_json, to_json
from pgmagic.errors import CircuitOpen, ConnectionLost, QueryError, RecordingError
from pgmagic.language.line import Cell
from pgmagic.language.options import Options
from pgmagic.language.plan import Plan, plan
from pgmagic.language.statements import read
from pgmagic.outcome import (
    Answer,
    Column,
    Failure,
    Notice,
    PgType,
    Position,
    Result,
    Rows,
)
from pgmagic.receipts import Origin
from pgmagic.recording import Index, Recordings, Room, question_of

NOW = datetime(2026, 3, 1, 12, 30, 15, 250_000, tzinfo=UTC)


def planned(sql: str, *targets: str, values=None, **options) -> Plan:
    targets = targets or ("a",)
    cell = Cell(sql=sql, targets=targets, options=Options(**options))
    reading = read(sql, values or {})
    return plan(cell, reading.statements, targets, dict.fromkeys(targets, True))


def rows_of(*numbers: int | None) -> Result:
    return Result(
        tag=f"SELECT {len(numbers)}",
        columns=(Column(name="n", type=BUILTIN[23]),),
        table=Rows(pa.table({"0": pa.array(numbers, pa.int32())})),
    )


def answer(*results: Result, database: str = "a") -> Answer:
    return Answer(database=database, results=results, elapsed=0.25)


def keep(folder: Path, asked: Plan, *outcomes, occurrence: int = 1, room: Room | None = None):
    return Recordings(folder).write(
        asked,
        question_of(asked),
        occurrence,
        outcomes,
        sql=asked.cell.sql,
        fingerprint="0123456789ab",
        origin=Origin(number=7, id="cell"),
        started=NOW,
        elapsed=0.5,
        index=Index(databases=dict.fromkeys(asked.targets, True)),
        room=room or Room(),
    )


# -- values of parameters

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.dates()
    | st.datetimes().map(lambda value: value.replace(fold=0))
    | st.datetimes(
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=-3, minutes=-30))])
    ).map(lambda value: value.replace(fold=0))
    | st.times().map(lambda value: value.replace(fold=0))
    | st.timedeltas()
    | st.uuids()
    | st.ip_addresses(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def again(value: object) -> object:
    return from_json(json.loads(json.dumps(to_json(value), allow_nan=False)))


@given(PLAIN)
def test_every_value_comes_back_with_its_type(value):
    assert repr(again(value)) == repr(value)


@pytest.mark.parametrize(
    "value",
    [
        -0.0,
        math.inf,
        math.nan,
        Decimal("NaN"),
        Decimal("1.10"),
        time(1, 2, 3, 4, tzinfo=timezone(timedelta(hours=2))),
        date.max,
        UUID(int=1),
        ip_address("::1"),
        ip_interface("10.0.0.1/8"),
        ip_network("10.0.0.0/8"),
        asyncpg.Point(1, 2),
        asyncpg.Box((1, 2), (3, 4)),
        asyncpg.Line(1, 2, 3),
        asyncpg.LineSegment((1, 2), (3, 4)),
        asyncpg.Circle((1, 2), 3),
        asyncpg.BitString("00101"),
        asyncpg.Range(1, 5, upper_inc=True),
        asyncpg.Range(None, date(2013, 1, 1)),
        asyncpg.Range(empty=True),
    ],
    ids=repr,
)
def test_values_that_json_has_not(value):
    assert type(again(value)) is type(value)
    assert repr(again(value)) == repr(value)


@pytest.mark.parametrize("closed", [True, False])
def test_paths(closed):
    path = again(asyncpg.Path((1, 2), (3, 4), is_closed=closed))
    assert path == asyncpg.Path((1, 2), (3, 4), is_closed=closed)
    assert path.is_closed is closed
    polygon = asyncpg.Polygon((1, 2), (3, 4))
    assert type(again(polygon)) is asyncpg.Polygon
    assert again(polygon) == polygon


def test_what_is_no_value_is_refused():
    with pytest.raises(TypeError, match="object"):
        to_json(object())
    with pytest.raises(ValueError, match="'nothing'"):
        from_json({"nothing": 1})


# -- rows

ENUM = PgType(oid=70_001, name="mood", schema="public", kind="enum", labels=("sad", "ok"))
SCALARS = [type_ for type_ in BUILTIN.values() if type_.kind == "scalar"]
TYPES = [*BUILTIN.values(), ENUM, array_of(ENUM, oid=70_002)]
VALUES = {
    pa.bool_(): st.booleans(),
    pa.int16(): st.integers(-(2**15), 2**15 - 1),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint32(): st.integers(0, 2**32 - 1),
    pa.float32(): st.floats(width=32),
    pa.float64(): st.floats(),
    pa.binary(16): st.binary(min_size=16, max_size=16),
    pa.large_binary(): st.binary(min_size=20),
    pa.large_string(): st.text(),
}


@st.composite
def tables(draw, among=TYPES, fewest=0):
    """Draw a table as the decoder gives it: any types, any names, several batches."""
    types = draw(st.lists(st.sampled_from(among), min_size=fewest, max_size=5))
    columns = tuple(
        Column(name=draw(st.sampled_from(["a", "b", "a_1", ""])), type=t) for t in types
    )
    arrow = [arrow_type(layout_of(type_)) for type_ in types]
    batches = [
        batch_of(
            [
                pa.array(
                    draw(st.lists(st.none() | VALUES[each], min_size=count, max_size=count)), each
                )
                for each in arrow
            ],
            count,
        )
        for count in draw(st.lists(st.integers(1, 4), max_size=3))
    ]
    if batches:
        return pa.Table.from_batches(batches), columns
    if not arrow:
        return pa.Table.from_batches([batch_of([], 0)]), columns
    return pa.schema([(str(i), each) for i, each in enumerate(arrow)]).empty_table(), columns


def bits(table: pa.Table) -> list[list[object]]:
    return [[repr(value) for value in column.to_pylist()] for column in table.itercolumns()]


@given(tables())
def test_rows_come_back_to_the_last_bit(drawn):
    table, columns = drawn
    data = pack(table, columns) if columns else b""
    found = unpack(data, columns, table.num_rows)
    assert found.schema == table.schema
    assert found.num_rows == table.num_rows
    assert bits(found) == bits(table)
    for ordered in (True, False):
        assert content(found, columns, ordered=ordered) == content(table, columns, ordered=ordered)


@given(tables(among=[*SCALARS, ENUM], fewest=1), st.randoms(use_true_random=False))
def test_the_hash_knows_rows_and_only_where_it_should_their_order(drawn, random):
    table, columns = drawn
    order = list(range(table.num_rows))
    random.shuffle(order)
    shuffled = table.take(pa.array(order, pa.int64()))
    assert content(shuffled, columns, ordered=False) == content(table, columns, ordered=False)
    moved = bits(shuffled) != bits(table)
    in_order = content(table, columns, ordered=True)
    assert (content(shuffled, columns, ordered=True) != in_order) == moved
    if table.num_rows:
        fewer = table.slice(1)
        assert content(fewer, columns, ordered=False) != content(table, columns, ordered=False)


def test_the_hash_knows_names_types_nulls_and_who_stands_beside_whom():
    def of(values, other, *, names=("a", "b"), oids=(25, 23)):
        table = pa.table(
            [pa.array(values, pa.large_string()), pa.array(other, pa.int32())], ["0", "1"]
        )
        columns = tuple(
            Column(name=name, type=BUILTIN[oid]) for name, oid in zip(names, oids, strict=True)
        )
        return content(table, columns, ordered=False)

    one = of(["x", "y"], [1, 2])
    assert one == of(["y", "x"], [2, 1])
    others = [
        of(["x", "y"], [2, 1]),
        of(["x", "y"], [1, None]),
        of(["x", "y"], [1, 0]),
        of(["x", "y"], [1, 2], names=("a", "c")),
        of(["x", "y"], [1, 2], oids=(1043, 23)),
        of(["x", "x"], [1, 1]),
        of(["", None], [1, 2]),
        of([None, ""], [1, 2]),
    ]
    assert len({one, *others}) == len(others) + 1


def test_the_hash_of_many_rows_does_not_depend_on_where_they_are_cut():
    numbers = pa.array(range(600_000), pa.int64())
    columns = (Column(name="n", type=BUILTIN[20]),)
    whole, turned = pa.table({"0": numbers}), pa.table({"0": numbers[::-1]})
    for ordered in (True, False):
        one, other = (content(each, columns, ordered=ordered) for each in (whole, turned))
        assert (one == other) is not ordered


@pytest.mark.parametrize("data", [b"", b"PAR1", b"nonsense" * 100])
def test_a_damaged_file_is_an_error(data):
    with pytest.raises(ValueError, match="no Parquet"):
        unpack(data, (Column(name="n", type=BUILTIN[23]),), 3)


# -- questions


def test_the_key_is_of_what_decides():
    values = {"limit": 5}
    one = question_of(planned("select {limit}", "a", "b", values=values))
    same = planned("select {limit}", "a", "b", values=values, tag="where", split=True, timeout=5.0)
    assert question_of(same).key == one.key
    others = [
        planned("select {limit}", "a", "b", values={"limit": 6}),
        planned("select {limit}", "a", "b", values={"limit": 5.0}),
        planned("select {limit}", "b", "a", values=values),
        planned("select  {limit}", "a", "b", values=values),
        planned("select {limit}", "a", "b", values=values, limit=3),
        planned("select {limit}", "a", "b", values=values, explain=True),
    ]
    assert len({one.key, *(question_of(each).key for each in others)}) == len(others) + 1


def test_a_set_of_texts_has_one_key_in_every_kernel(tmp_path):
    """A kernel hashes texts by a number of its own, and so orders sets."""
    words = {f"word {n}" for n in range(50)}
    asked = planned("select * from t where w = any({words})", values={"words": words})
    [values] = [each.values for each in question_of(asked).statements]
    assert values[0] == sorted(words)


def test_a_plan_is_made_again(tmp_path):
    asked = planned(
        "select {day}; -- then\nselect {n} + 1", "a", "b", values={"day": date(2013, 7, 1), "n": 2}
    )
    none = Result(tag="SELECT 1")
    keep(tmp_path, asked, answer(none, rows_of(1)), answer(none, rows_of(1), database="b"))
    [recording] = Recordings(tmp_path)
    made = recording.plan()
    assert question_of(made) == question_of(asked)
    assert [each.arguments for each in made.statements] == [(date(2013, 7, 1),), (2,)]
    assert [each.kind for each in made.statements] == [each.kind for each in asked.statements]
    assert (made.steps, made.transaction) == (asked.steps, asked.transaction)
    assert made.repeatable
    assert recording.sql == asked.cell.sql


# -- the folder


def test_outcomes_come_back_as_they_were(tmp_path):
    asked = planned("select n from t; copy t to stdout; create table x ()", "a", "b", "c", all=True)
    position = Position(snapshot="10:20:11", wal="0/1A", at=NOW)
    full = replace(
        answer(
            replace(rows_of(1, None), notes=("first 2 rows",)),
            Result(tag="COPY 1", text="1\tgrün\r\n"),
            Result(tag="CREATE TABLE"),
        ),
        notices=(Notice(severity="NOTICE", message="hm", hint="so"),),
        server_version="18.1",
        position=position,
    )
    error = QueryError(
        "no such thing",
        database="b",
        sqlstate="42P01",
        condition="undefined_table",
        cell="x",
        position=3,
        detail="of",
        hint="look",
    )
    refused = CircuitOpen("is open", database="c", retry_in=2.5)
    keep(
        tmp_path,
        asked,
        full,
        Failure(database="b", error=error, elapsed=1.5),
        Failure(database="c", error=refused, elapsed=0.0),
    )
    [recording] = Recordings(tmp_path)
    first, second, third = recording.outcomes()
    assert isinstance(first, Answer)
    assert (first.notices, first.server_version, first.position) == (
        full.notices,
        "18.1",
        position,
    )
    assert [each.tag for each in first.results] == ["SELECT 2", "COPY 1", "CREATE TABLE"]
    assert first.results[0].table.arrow == pa.table({"0": pa.array([1, None], pa.int32())})
    assert first.results[0].notes == ("first 2 rows",)
    assert first.results[1].text == "1\tgrün\r\n"
    assert isinstance(second, Failure)
    assert type(second.error) is QueryError
    assert second.error.report() == error.report()
    assert str(second.error) == str(error)
    assert type(third.error) is CircuitOpen
    assert third.error.retry_in == 2.5
    assert recording.failed == ("b", "c")


def test_an_error_keeps_what_it_knows(tmp_path):
    asked = planned("select 1")
    lost = ConnectionLost("gone", database="a", sent=False)
    keep(tmp_path, asked, Failure(database="a", error=lost, elapsed=0))
    [recording] = Recordings(tmp_path)
    [failure] = recording.outcomes()
    assert failure.error.sent is False


def test_a_name_tells_and_holds_no_literal(tmp_path):
    asked = planned(
        "select carrier, avg(delay) from flights where code = 'hunter2'", "Ewr", "j/f.k"
    )
    recording = keep(
        tmp_path,
        asked,
        answer(rows_of(1), database="Ewr"),
        answer(rows_of(2), database="j/f.k"),
    )
    assert recording.name.startswith("ewr-j_f_k-select-carrier-avg-delay-")
    assert "hunter2" not in recording.name
    assert sorted(path.name.split(".")[1] for path in tmp_path.glob("*.parquet")) == [
        "ewr",
        "j_f_k",
    ]


def test_recording_again_replaces(tmp_path):
    asked = planned("select n from t")
    first = keep(tmp_path, asked, answer(rows_of(1)))
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    keep(tmp_path, asked, answer(rows_of(1)))
    assert {path.name for path in tmp_path.iterdir()} == before.keys()
    keep(tmp_path, asked, answer(rows_of(2)))
    assert len(list(tmp_path.glob("*.parquet"))) == 1
    [recording] = Recordings(tmp_path)
    assert recording.name == first.name
    assert recording.outcomes()[0].results[0].table.arrow.to_pydict() == {"0": [2]}
    keep(tmp_path, asked, answer(rows_of(3)), occurrence=2)
    assert [each.occurrence for each in Recordings(tmp_path).of(recording.key)] == [1, 2]


@pytest.mark.parametrize("step", range(1, 5))
def test_a_crash_leaves_the_old_recording_or_the_new_one(tmp_path, monkeypatch, step):
    asked = planned("select n from t", "a", "b")
    keep(tmp_path, asked, answer(rows_of(1)), answer(rows_of(1), database="b"))
    replaced = 0
    real = Path.replace

    def crash(self, target):
        nonlocal replaced
        replaced += 1
        if replaced == step:
            raise OSError(28, "No space left on device")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", crash)
    if step < 4:  # two files, and the receipt
        with pytest.raises(RecordingError, match="No space left"):
            keep(tmp_path, asked, answer(rows_of(2)), answer(rows_of(3), database="b"))
    else:
        keep(tmp_path, asked, answer(rows_of(2)), answer(rows_of(3), database="b"))
    monkeypatch.undo()
    store = Recordings(tmp_path)
    [recording] = store
    values = [each.results[0].table.arrow.to_pydict()["0"] for each in recording.outcomes()]
    assert values == ([[1], [1]] if step < 4 else [[2], [3]])
    store.sweep()
    assert len(list(tmp_path.glob("*.parquet"))) == len(set(recording.files))
    assert not list(tmp_path.glob(".*"))


def test_what_was_changed_by_hand_is_an_error(tmp_path):
    recording = keep(tmp_path, planned("select n from t"), answer(rows_of(1)))
    [path] = tmp_path.glob("*.parquet")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RecordingError, match="not as it was recorded"):
        recording.outcomes()
    path.unlink()
    with pytest.raises(RecordingError, match="can't be read"):
        recording.outcomes()
    recording.path.write_text("{")
    with pytest.raises(RecordingError, match="it is no JSON"):
        list(Recordings(tmp_path))


def test_what_is_too_large_is_kept_without_rows(tmp_path):
    asked = planned("select n from t")
    for room in (Room(result=10), Room(in_all=10)):
        recording = keep(tmp_path, asked, answer(rows_of(*range(100))), room=room)
        assert not list(tmp_path.glob("*.parquet"))
        assert "MB" in recording.left_out["a"]
        assert recording.contents["a"][0]
        with pytest.raises(RecordingError, match="were not recorded"):
            recording.outcomes()


def test_a_receipt_from_elsewhere_reaches_no_file_outside_its_folder(tmp_path):
    outside = tmp_path / "precious.txt"
    outside.write_text("precious")
    folder = tmp_path / "recordings"
    asked = planned("select n from t")
    recording = keep(folder, asked, answer(rows_of(1)))
    [name] = recording.files
    recording.path.write_text(recording.path.read_text().replace(name, "../precious.txt"))
    [changed] = Recordings(folder)
    with pytest.raises(RecordingError, match="can't be read"):
        changed.outcomes()
    keep(folder, asked, answer(rows_of(2)))
    Recordings(folder).delete(changed)
    assert outside.read_text() == "precious"


def test_receipts_have_sorted_keys_and_one_item_a_line(tmp_path):
    recording = keep(tmp_path, planned("select n\nfrom t"), answer(rows_of(1)))
    text = recording.path.read_text()
    written = json.loads(text)
    assert text == json.dumps(written, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    assert written["sql"] == ["select n", "from t"]


async def test_several_are_written_at_once(tmp_path):
    store = Recordings(tmp_path)

    def write(number: int) -> None:
        asked = planned(f"select {number}")
        store.write(
            asked,
            question_of(asked),
            1,
            [answer(rows_of(number))],
            sql=asked.cell.sql,
            fingerprint="",
            origin=Origin(),
            started=NOW,
            elapsed=0.0,
            index=Index(databases={f"db{number}": True}),
            room=Room(),
        )

    await asyncio.gather(*(asyncio.to_thread(write, number) for number in range(8)))
    again = Recordings(tmp_path)
    assert len(again) == 8
    assert len(again.index.databases) == 8
