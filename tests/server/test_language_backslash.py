r"""`\d` and its kin answer as psql does."""

import csv
import io
import os
import subprocess
from pathlib import Path

import pytest

from pgmagic.client import Client
from pgmagic.language.backslash import read
from pgmagic.language.line import Cell
from pgmagic.sandbox.binaries import Binaries
from tests.servers import TestDatabase, missing

OBJECTS = """
create schema "Sales Data";
create table flights (
    id bigint generated always as identity primary key,
    carrier text collate "C" not null default 'it''s',
    delay int, late boolean generated always as (delay > 15) stored, price numeric(10, 2)
);
comment on table flights is 'what flew';
create table "Sales Data"."Odd.Name" (a int, b varchar(5)[]);
create table parts (a int) partition by range (a);
create table "$money" (a int);
create view late as select * from flights where late;
create materialized view sums as select count(*) from flights;
create sequence numbers;
create index by_carrier on flights (carrier);
create function twice(n int, out m int) language sql as 'select 2 * n';
create procedure nothing() language sql as '';
create temporary table passing (a int);
"""
COMMANDS = [
    r"\d",
    r"\d flights",
    r"\d FLIGHTS",
    r'\d "Sales Data"."Odd.Name"',
    r"\d \$money",
    r"\dt",
    r"\dt f*",
    r"\dt f?ights",
    r"\dt *.*o*",
    r'\dt "Sales Data".*',
    r'\dt "FLIGHTS"',
    r"\dt (flights|parts)",
    r"\dt pg_catalog.pg_cl*",
    r"\dv",
    r"\dm",
    r"\ds",
    r"\di",
    r"\dE",
    r"\dn",
    r"\dn S*",
    r'\dn "Sales Data"',
    r"\df",
    r"\df t*",
    r"\df pg_catalog.array_app*",
]


@pytest.fixture
def psql(pg_binaries: Binaries) -> Path:
    found = pg_binaries.bindir / "psql"
    if not found.exists():
        missing("psql is not beside the server")
    return found


def ask_psql(psql: Path, database: TestDatabase, command: str) -> tuple[list[str], list[list[str]]]:
    asked = subprocess.run(
        [psql, "--no-psqlrc", "--csv", "--quiet", "-c", command],
        env={
            "PATH": os.environ["PATH"],
            "PGHOST": database.host,
            "PGPORT": str(database.port),
            "PGUSER": database.user,
            "PGPASSWORD": database.password,
            "PGDATABASE": database.name,
            "LC_ALL": "C.UTF-8",
        },
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    rows = list(csv.reader(io.StringIO(asked.stdout)))
    return (rows[0], rows[1:]) if rows else ([], [])


async def test_the_answers_are_psqls(database: TestDatabase, psql: Path) -> None:
    async with database.connection() as connection:
        await connection.execute(OBJECTS)
        for command in COMMANDS:
            names, theirs = ask_psql(psql, database, command.replace(r"\$", "$"))
            statement = read(command.replace(r"\$", "$"))
            prepared = await connection.prepare(statement.sql)
            ours = [attribute.name for attribute in prepared.get_attributes()]
            rows = [
                ["" if value is None else value for value in record]
                for record in await prepared.fetch(*statement.arguments)
                if record[0] is None or not str(record[0]).startswith("pg_temp")
            ]
            if names:
                assert ours == names[: len(ours)], command
            assert rows == [row[: len(ours)] for row in theirs], command


@pytest.mark.parametrize("command", [r"\l", r"\du", r"\dg", r"\l postgres", r"\dx"])
async def test_columns_that_every_version_has_are_psqls(
    database: TestDatabase, psql: Path, command: str
) -> None:
    async with database.connection() as connection:
        names, theirs = ask_psql(psql, database, command)
        statement = read(command)
        records = await connection.fetch(statement.sql, *statement.arguments)
        shared = [name for name in records[0].keys() if name in names]  # noqa: SIM118
        assert len(shared) >= 2
        for record, row in zip(records, theirs, strict=True):
            got = dict(zip(names, row, strict=True))
            assert {name: record[name] or "" for name in shared} == {
                name: got[name] for name in shared
            }


async def test_the_longer_forms_run(database: TestDatabase) -> None:
    async with database.connection() as connection:
        await connection.execute(OBJECTS)
        for command in (
            *(r"\d+", r"\dt+", r"\di+", r"\d+ flights", r"\d fl*", r"\dn+", r"\df+ twice"),
            *(r"\du+", r"\l+", r"\dx+", r"\dtS", r"\dfS+ array*", r"\dnS", r"\duS"),
        ):
            statement = read(command)
            assert await connection.fetch(statement.sql, *statement.arguments), command


@pytest.mark.parametrize(
    ("command", "note"),
    [
        (r"\d nope", "found no column of a relation nope"),
        (r'\d "No".x*;', 'found no column of a relation "No".x*'),
        (r"\df nope", "found no function nope"),
        (r"\dv", "found no view"),
        (r"\dt pg_class", None),
    ],
)
async def test_what_is_not_found_is_said(client: Client, command: str, note: str | None) -> None:
    async def notes(*targets: str) -> tuple[str, ...]:
        return (await client.run(client.plan(Cell(sql=command, targets=targets), {}))).notes

    assert await notes("a") == (() if note is None else (note,))
    assert await notes("a", "b") == (() if note is None else (f"a: {note}", f"b: {note}"))
