"""Recordings whose JSON somebody has damaged: one error that names the file and the place."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgmagic.client import Client
from pgmagic.columns.pgtypes import BUILTIN, array_of
from pgmagic.errors import ConnectionLost, PgMagicError, QueryError, RecordingError
from pgmagic.language.line import Cell
from pgmagic.language.options import Options
from pgmagic.language.plan import Plan, plan
from pgmagic.language.statements import read
from pgmagic.outcome import Answer, Column, Failure, Notice, PgType, Position, Result, Rows
from pgmagic.receipts import Origin
from pgmagic.recording import Index, Recordings, Room, question_of

REAL = Path(__file__).parents[2] / "notebooks"
NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
MOOD = PgType(oid=70_001, name="mood", schema="public", kind="enum", labels=("sad", "ok"))
YEAR = PgType(oid=70_003, name="year", schema="public", kind="domain", element=BUILTIN[23])
TYPES = (MOOD, array_of(MOOD, oid=70_002), YEAR, BUILTIN[1184], BUILTIN[1700])


class Kept(NamedTuple):
    """A recording in a folder of its own, the plan that asks for it, and its receipt."""

    folder: Path
    path: Path
    plan: Plan
    written: dict[str, Any]

    def __repr__(self) -> str:
        return self.path.stem


def made(folder: Path) -> None:
    """Record a cell whose receipt has all that a receipt can have."""
    targets = ("a", "b", "c")
    options = Options(all=True, partial=True, timeout=5.0, tag="where")
    sql = "select * from t; copy t to stdout; create table x (); select * from large"
    cell = Cell(sql=sql, targets=targets, options=options)
    reading = read(sql, {})
    asked = plan(cell, reading.statements, targets, dict.fromkeys(targets, True))
    columns = tuple(Column(name=each.name, type=each) for each in TYPES)
    rows = Rows(
        pa.table(
            [
                pa.array(["ok"], pa.large_string()),
                pa.array([bytes(12)], pa.large_binary()),
                pa.array([2013], pa.int32()),
                pa.array([0], pa.int64()),
                pa.array([bytes(8)], pa.large_binary()),
            ],
            [str(index) for index in range(len(TYPES))],
        )
    )
    answer = Answer(
        database="a",
        results=(
            Result(tag="SELECT 1", columns=columns, table=rows, notes=("first row",)),
            Result(tag="COPY 1", text="1\n"),
            Result(tag="CREATE TABLE"),
            Result(tag="SELECT 9", columns=columns[:1], exported=9),
        ),
        elapsed=0.5,
        notices=(Notice(severity="NOTICE", message="hm", hint="so"),),
        server_version="18.1",
        position=Position(snapshot="10:20:11", wal=None, at=NOW),
    )
    refused = QueryError("no", database="b", sqlstate="42P01", cell="select", position=3)
    lost = ConnectionLost("gone", database="c", sent=False)
    Recordings(folder).write(
        asked,
        question_of(asked),
        1,
        (
            answer,
            Failure(database="b", error=refused, elapsed=0.1),
            Failure(database="c", error=lost, elapsed=0.1),
        ),
        sql=sql,
        fingerprint="0123456789ab",
        origin=Origin(number=7, id="cell"),
        started=NOW,
        elapsed=0.5,
        index=Index(databases=dict.fromkeys(targets, True), groups={"g": ("a",)}, default="a"),
        room=Room(),
    )


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> list[Kept]:
    """Give a recording that has everything, and the recordings of a real notebook."""
    folder = tmp_path_factory.mktemp("made")
    made(folder)
    folders = [folder]
    for path in sorted((REAL / "outage.recordings").glob("*.json")):
        if path.name != "index.json":
            alone = tmp_path_factory.mktemp("real")
            for file in (path, *path.parent.glob(f"{path.stem}.*"), path.parent / "index.json"):
                shutil.copy(file, alone)
            folders.append(alone)
    return [
        Kept(folder, each.path, each.plan(), json.loads(each.path.read_text()))
        for folder in folders
        for each in Recordings(folder)
    ]


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give the way to every node below one."""
    members: Any = ()
    if isinstance(node, dict):
        members = node.items()
    elif isinstance(node, list):
        members = enumerate(node)
    for name, child in members:
        yield (*path, name)
        yield from places(child, (*path, name))


def damaged(written: Any, path: tuple[Any, ...], *instead: Any) -> Any:
    """Give a copy of which one node is deleted, or is something else."""
    copy = deepcopy(written)
    node = copy
    for name in path[:-1]:
        node = node[name]
    if instead:
        [node[path[-1]]] = instead
    else:
        del node[path[-1]]
    return copy


async def use(kept: Kept) -> None:
    """Do all that can be done with a recording."""
    for each in Recordings(kept.folder):
        assert question_of(each.plan()).key == each.key
        assert [each.name, each.fingerprint, each.sql, each.origin, each.contents]
        assert isinstance(each.left_out, dict)
        for name in each.targets:
            try:
                each.outcome(name)
            except RecordingError as error:
                assert name in each.left_out or str(kept.folder) in error.message  # noqa: PT017
    async with Client() as client:
        client.replay(kept.folder)
        answers = await client.run(kept.plan)
        assert repr(answers.value)
        assert all(failure.error.report() for failure in answers.failures)


def check(kept: Kept, path: Path, changed: Any) -> PgMagicError | None:
    """Use a recording of which one file has been changed; give the error, if it is ours."""
    before = path.read_bytes()
    path.write_text(json.dumps(changed))
    try:
        asyncio.run(use(kept))
    except PgMagicError as error:
        assert str(error)  # noqa: PT017
        return error
    finally:
        path.write_bytes(before)
    return None


ODD = st.sampled_from(
    [
        None,
        True,
        False,
        0,
        1,
        -1,
        7,
        2**62,
        2**70,
        0.5,
        1e999,
        "",
        "a",
        "x" * 500,
        "\0",
        "2026-03-01",
    ]
) | st.sampled_from([[], {}, [[]], {"a": 1}, ["a"], [None], [{}], {"int": "zz"}])


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_whatever_is_wrong_with_a_receipt_is_one_error_of_pgmagic(recordings, data):
    kept = data.draw(st.sampled_from(recordings), label="recording")
    path = data.draw(st.sampled_from(list(places(kept.written))), label="place")
    instead = data.draw(st.one_of(st.just(()), st.tuples(ODD)), label="instead")
    check(kept, kept.path, damaged(kept.written, path, *instead))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_is_wrong_with_an_index_is_one_error_of_pgmagic(recordings, data):
    kept = recordings[0]
    index = kept.folder / "index.json"
    written = json.loads(index.read_text())
    path = data.draw(st.sampled_from(list(places(written))), label="place")
    instead = data.draw(st.one_of(st.just(()), st.tuples(ODD)), label="instead")
    check(kept, index, damaged(written, path, *instead))


@pytest.mark.parametrize(
    ("path", "instead", "said"),
    [
        (("key",), (), "key is missing"),
        (("outcomes", 0, "results", 0, "tag"), (), "outcomes[0].results[0].tag is missing"),
        (("outcomes", 0, "results", 0, "rows"), (), "outcomes[0].results[0].rows is missing"),
        (("outcomes", 0, "results", 0, "file"), (), "outcomes[0].results[0].file is missing"),
        (("outcomes", 0, "results", 1), (), "outcomes[0].results are not one for each statement"),
        (("outcomes", 0, "elapsed"), ("1",), "outcomes[0].elapsed is text, not a number"),
        (("outcomes", 0, "outcome"), ("lost",), "outcomes[0].outcome is none that is known"),
        (("outcomes", 1), (), "outcomes are not those of the databases in question.targets"),
        (("outcomes", 1, "error", "values", "message"), (), "error.values.message is missing"),
        (("outcomes", 1, "error", "values", "position"), ("3",), "is text, not a whole number"),
        (("outcomes", 2, "error", "values", "sent"), (None,), "is null, not true or false"),
        (("outcomes", 0, "position", "at"), ("2026-03-01",), "no moment with its time zone"),
        (("started",), ("yesterday",), "started is no moment"),
        (("sql",), ("select 1",), "sql is text, not a list"),
        (("question", "options", "timeout"), ("x",), "question.options.timeout is text, not"),
        (("question", "statements", 0, "sql", 0), ("select 2",), "question is not the one"),
        (("steps", "transaction"), ("some",), "steps.transaction is none of all, each, session"),
        (("steps", "read_only", 0), (), "steps.read_only is not one for each"),
        (("occurrence",), (True,), "occurrence is true or false, not a whole number"),
        (("occurrence",), (2**70,), "occurrence is a number out of range"),
        (("format",), (), "format is missing"),
        (("format",), (2,), "format is 2, of another pgmagic; this one reads 1"),
        (
            ("outcomes", 0, "results", 0, "columns", 3, "type", "oid"),
            (1114,),
            "columns[3].type is not that of the oid 1114, timestamp",
        ),
        (
            ("outcomes", 0, "results", 0, "columns", 1, "type", "element"),
            (),
            "columns[1].type.element is missing",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_file(recordings, path, instead, said):
    kept = recordings[0]
    error = check(kept, kept.path, damaged(kept.written, path, *instead))
    assert isinstance(error, RecordingError)
    assert error.message.startswith(f"{kept.path} is damaged: ")
    assert said in error.message
    assert error.hint == "delete it, and record again"


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"format": 1', "\xff"])
def test_what_is_no_json_is_named(recordings, text):
    kept = recordings[0]
    before = kept.path.read_bytes()
    kept.path.write_bytes(text.encode("latin-1"))
    try:
        with pytest.raises(RecordingError, match=r"\.json is damaged: it is no JSON"):
            list(Recordings(kept.folder))
    finally:
        kept.path.write_bytes(before)


def test_what_a_newer_pgmagic_adds_is_passed_over(recordings):
    kept = recordings[0]
    added = deepcopy(kept.written)
    for node in (added, added["cell"], added["outcomes"][0], added["outcomes"][0]["notices"][0]):
        node["added"] = {"more": 1}
    added["question"]["options"]["added"] = 1
    added["outcomes"][1]["error"]["values"]["added"] = 1
    error = check(kept, kept.path, added)
    assert error is not None
    assert "rows were not recorded" in error.message
