"""The rows of a cell are the rows that psql shows for the same text."""
# ruff: noqa: E501, ISC004

import asyncio
import os
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgmagic.client import Client
from pgmagic.errors import CellError
from tests.corpus.cells import CELLS as NASTY
from tests.servers import missing

TRANSACTION = re.compile(r"\b(begin|commit|rollback)\b(?! atomic| perform| return| select)")
ANEW = """
do $$ declare name text; begin
  for name in select nspname from pg_namespace where nspname !~ '^(pg_|information_schema)' loop
    execute format('drop schema %I cascade', name);
  end loop;
end $$; create schema public
"""
# Times that differ from run to run, and a date, which is no text in a frame.
UNLIKE = ("explain (analyze", "select date '2024")
FIELD, NULL = "\x1f", "∅"

# fmt: off

CELLS = [
    "select 1",
    "select 1;",
    ";;select 1;;select 2;;",
    "select 1 as a, null as b, '' as c, true as d",
    "select 'it''s', E'a\\'b', E'\\\\', 'a\\b'",
    "select 'a'\n'b' -- c;\n'd'; select 2",
    "select $$a;'b$$, $tag$ $$;$$ $tag$, $é$;$é$; select 2",
    "select $a$$b$;$b$$a$; select 2",
    "select U&'d\\0061t\\+000061;', U&\"d!0061\" uescape '!' from (select 1 as \"da\") x",
    'select 1 as "a;b", 2 as "c""d"; select 3',
    "select /* ; /* nested; */ ; */ 1; select 2",
    "select 1 /* ' */; select 2 -- '\n; select 3",
    "/*+ hint; */ select 1; -- trailing; comment",
    "select b'101', x'1F', 1 --;\n; select 2",
    "select (select ';'), (';'); select ((1)); select 2",
    "select '{1,{2}'::text, '{}'::int[] is null, array[1,2]::text, '{a,\"b;c\"}'::text[]::text",
    "select '[]'::jsonb ? 'a;', '{\"a\": 1}'::jsonb ->> 'a', '{\"a\": {\"b\": 2}}'::jsonb #>> '{a,b}'",
    "select 5 % 2, 7 & 3, 2 ^ 3 = 8, 1 << 4, ~5, -(-1), - 1",
    "select '12:30'::time::text, '2024-01-01'::date::text, now()::text = current_timestamp::text",
    "select 1::int, 1 :: text, cast(1 as text), text '1', int4(1)",
    "select (array[1,2,3])[2], (array[1,2,3])[1:2]::text",
    "create temp table t (a text default ';'); insert into t values (default); table t; drop table t",
    "create temp table t (begin_ int, \"end\" int); insert into t values (1, 2); select * from t",
    "create function f() returns text language sql as $$ select ';' $$; select f(); select 2",
    "create function f(x int) returns int language sql begin atomic select case when x > 1 then 2"
    " else 3 end; end; select f(1), f(2); select 3",
    "create or replace procedure p() language sql begin atomic; select 1; end; call p(); select 2",
    "do $$ begin perform 1; if true then perform 2; end if; end $$; select 3",
    "create function f() returns int language plpgsql as 'begin return 1; end'; select f()",
    "with a as (select ';' as x), b as (values ('y')) select * from a, b; select 2",
    "with recursive t(n) as (values (1) union all select n + 1 from t where n < 5) table t",
    "values (1, 'a;'), (2, null); values (3)",
    "create temp table t (n int); insert into t values (1), (2) returning n; select count(*) from t",
    "create temp table t (n int); with d as (insert into t values (7) returning n) select * from d;"
    " table t",
    "begin; create temp table t (n int); insert into t values (1); rollback; select 1",
    "begin; savepoint s; select 1; rollback to s; release s; commit; select 2",
    "set work_mem = '5MB'; show work_mem; reset work_mem",
    # psql looks at the setting at the beginning of a line
    "set escape_string_warning = off; set standard_conforming_strings = off;\nselect 'a\\'b;'",
    "set standard_conforming_strings to on;\nselect 'a\\'; select 2",
    "set escape_string_warning = off; set standard_conforming_strings = off;\nselect 'a\\';';"
    " set standard_conforming_strings = on;\nselect 'b\\'; select 3",
    "prepare q as select $1 || ';'; execute q('x'); execute q(';'); deallocate q",
    "prepare q(int) as select $1 + 1; execute q(41)",
    "begin; declare c cursor for select generate_series(1, 5); fetch 2 from c; fetch 9 from c; commit",
    "select from generate_series(1, 0); select 1",
    "select generate_series(1, 3), 'x' order by 1 desc limit 2",
    "select 1 where false; select 2",
    "select 'é', '日本', '😀', 'a\tb', ' padded '",
    "select chr(9), chr(10), length(E'\\n'), E'\\u00e9\\x41\\101'",
    "select\r\n1\r\n;\r\nselect\r\n2",
    "explain (costs off) select 1; select 2",
    "select case when 1 = 1 then 'a;' else 'b' end; select 2",
    "select null, null::text, ''::text, ' '::char(3), 'abc'::varchar(2)",
    "select 9223372036854775807, -9223372036854775808, 32767::int2, 4294967295::oid",
    "select 'f'::bool, 't'::bool, null::bool, not true",
    "select 'a' || 'b'\n'c'; select 2",
    "comment on schema public is 'a;b'; select obj_description('public'::regnamespace)",
    "select string_agg(x, ';' order by x) from (values ('b'), ('a')) v(x); select 2",
]
# fmt: on


async def psql(database, cell: str) -> list[list[str]]:
    """Give the rows that psql writes for a cell."""
    program = shutil.which("psql")
    if program is None:
        missing("psql is not installed")
    process = await asyncio.create_subprocess_exec(
        program, "-XqAt0", "-F", FIELD, "-P", f"null={NULL}", database.dsn,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE, env=os.environ | {"PGCLIENTENCODING": "UTF8"},
    )  # fmt: skip
    out, err = await process.communicate(cell.encode())
    assert not err, err.decode()
    return [record.split(FIELD) for record in out.decode().split("\0")[:-1]]


async def ours(client: Client, cell: str) -> list[list[str]]:
    """Give the rows of all frames of a cell, as psql would write them."""
    session = "psql" if TRANSACTION.search(cell) else None
    frames = await client.query(
        cell, on="a", all=True, write=True, autocommit=session is None, session=session,
        numeric="exact", json="text",
    )  # fmt: skip
    rows = []
    for frame in frames:
        rows += [
            [text(frame.iloc[n, c]) for c in range(frame.shape[1])] or [""]
            for n in range(len(frame))
        ]
    return rows


def text(value: object) -> str:
    if value is None or value is pd.NA or value != value:
        return NULL
    if isinstance(value, bool | np.bool_):
        return "t" if value else "f"
    return str(value)


@pytest.mark.parametrize("cell", CELLS)
async def test_rows_are_those_of_psql(client, database, cell):
    expected = await psql(database, cell)
    await client.query(ANEW, on="a", write=True)
    assert await ours(client, cell) == expected


@pytest.mark.timeout(180)
async def test_rows_of_every_nasty_cell_are_those_of_psql(client, database):
    """Of those that run at all: most are nasty to cut and mean nothing to a server."""
    ran = 0
    for cell in NASTY:
        if any(said in cell.text for said in UNLIKE):
            continue
        await client.query(ANEW, on="a", write=True)
        try:
            expected = await psql(database, cell.text)
        except AssertionError:  # psql wrote an error
            continue
        await client.query(ANEW, on="a", write=True)
        try:
            got = await ours(client, cell.text)
        except CellError as error:
            got = [] if "holds no statement" in error.message else [[str(error)]]
        assert got == expected, cell
        ran += 1
    assert ran > 130


LITERALS = st.sampled_from(
    [
        "1",
        "null",
        "'a;b'",
        "'it''s'",
        "E'\\';'",
        "$$;'$$",
        "$t$ $$ $t$",
        "true",
        "';'",
        "U&'\\0061'",
    ]
)
GAPS = st.sampled_from([" ", "\n", "\t", " /* ; ' */ ", " /* /* ; */ */ ", " -- ;'\n", "\r\n"])


@st.composite
def cells(draw) -> str:
    """Several statements, with all that may stand between their tokens."""
    written = []
    for _ in range(draw(st.integers(1, 4))):
        gap = draw(GAPS)
        values = f",{gap}".join(draw(st.lists(LITERALS, min_size=1, max_size=4)))
        written.append(f"{gap}select{gap}{values}{draw(GAPS)}")
    return ";".join(written) + draw(st.sampled_from(["", ";", " ; ;", " -- end"]))


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(cell=cells())
async def test_rows_of_any_cell_are_those_of_psql(cell, database, client):
    assert await ours(client, cell) == await psql(database, cell)
