"""Any result is the same by COPY and by records: any types, any shape."""

from collections.abc import AsyncIterator

import asyncpg
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pgmagic.columns import FrameOptions, to_frame
from tests.server.test_columns_values import ORDINARY, PATHS, STRANGE, literal, ordinary, reading
from tests.servers import TestDatabase

CUSTOM = {
    "mood": ["sad", "ok"],
    "mood[]": ["{sad,NULL,ok}", "{}"],
    "pair": ["(1,x)", "(,)"],
    "pair[]": ['{"(1,x)",NULL}'],
    "positive": ["7"],
    "tsquery": ["a & b"],
    "document": ["{}"],
}
TYPES = "create type mood as enum ('sad', 'ok'); create type pair as (a int, b text);"
TYPES += "create domain positive as int check (value > 0); create domain document as jsonb;"

VALUES = {type_: values for type_, (values, _, _) in ORDINARY.items()} | CUSTOM
for _type, _values in STRANGE.items():
    VALUES[_type] = [*VALUES.get(_type, ()), *_values]


@pytest.fixture
async def connection(database: TestDatabase) -> AsyncIterator[asyncpg.Connection]:
    async with database.connection() as connection:
        await connection.execute(TYPES)
        yield connection


@st.composite
def columns(draw: st.DrawFn) -> str:
    """One column: values that repeat, NULLs among them or nothing but NULLs, any name."""
    type_ = draw(st.sampled_from(sorted(VALUES)))
    written = [literal(value, type_) for value in VALUES[type_]]
    values = draw(st.lists(st.sampled_from([*written, "null"]), max_size=5))
    cases = " ".join(f"when {n} then {value}" for n, value in enumerate(values))
    cases = f"case n % {len(values)} {cases} end" if values else "null"
    name = draw(st.sampled_from(["a", "b", "A", "a_2", 'q"q', "n", "größe"]))
    return f'({cases})::{type_} as "{name.replace(chr(34), chr(34) * 2)}"'


RESULTS = st.tuples(
    st.lists(columns(), max_size=8),
    st.sampled_from([0, 1, 2, 7, 999, 1000, 1001, 2500]),  # a cursor gives 1,000 rows at once
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    result=RESULTS,
    options=st.builds(
        FrameOptions,
        numeric=st.sampled_from(["float", "exact"]),
        json=st.sampled_from(["objects", "text"]),
        tz=st.sampled_from([None, "Asia/Kathmandu"]),
        limit=st.sampled_from([None, 1, 1000]),
        dtypes=st.sampled_from(["numpy", "arrow"]),
    ),
)
@example(result=([f"'{n}'::text as c{n}" for n in range(1600)], 3), options=FrameOptions())
@example(result=(["n", "n", "n as m", "null as n"], 2), options=FrameOptions())
@example(result=([], 2500), options=FrameOptions(limit=1000))
@example(result=([], 0), options=FrameOptions())
async def test_every_way_gives_the_same(
    connection: asyncpg.Connection, result: tuple[list[str], int], options: FrameOptions
) -> None:
    selected, rows = result
    known = await ordinary(connection)
    selected = [column for column in selected if "xml" in known or "::xml" not in column]
    sql = f"select {', '.join(selected)} from generate_series(1, {rows}) n"
    made = []
    for path in PATHS:
        got, described = await reading(connection, sql, path=path, options=options)
        assert got.rows == min(rows, options.limit or rows)
        table, notes = to_frame(got.table, described, options)
        made.append((table, (*got.notes, *notes), got.table))
    first, *others = made
    assert first[0].shape == (min(rows, options.limit or rows), len(selected))
    for table, notes, arrow in others:
        pd.testing.assert_frame_equal(table, first[0])
        assert notes == first[1]
        assert arrow.equals(first[2])
