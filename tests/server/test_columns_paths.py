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


def column(name: str, type_: str, values: list[str]) -> str:
    """Write a column in which these values repeat, or nothing but NULLs where there are none."""
    cases = " ".join(f"when {n} then {value}" for n, value in enumerate(values))
    cases = f"case n % {len(values)} {cases} end" if values else "null"
    return f'({cases})::{type_} as "{name.replace(chr(34), chr(34) * 2)}"'


def written(type_: str) -> list[str]:
    return [*(literal(value, type_) for value in VALUES[type_]), "null"]


EACH = [column(type_, type_, written(type_)) for type_ in VALUES]


@st.composite
def columns(draw: st.DrawFn) -> str:
    """One column of any type and name, NULLs among its values or not."""
    type_ = draw(st.sampled_from(sorted(VALUES)))
    values = draw(st.lists(st.sampled_from(written(type_)), max_size=5))
    return column(draw(st.sampled_from(["a", "b", "A", "a_2", 'q"q', "n", "größe"])), type_, values)


RESULTS = st.tuples(
    st.lists(columns(), min_size=1, max_size=8),
    # A cursor gives 8 rows at first, then 80, then 800, then 1,000 at once.
    st.sampled_from([7, 1, 2, 8, 9, 87, 88, 89, 888, 889, 1889, 2500, 0]),
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
@example(result=(EACH, 2500), options=FrameOptions())
@example(result=(EACH, 2500), options=FrameOptions(numeric="exact", json="text", dtypes="arrow"))
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
        if options.dtypes == "numpy":  # pandas can't compare dates before Christ that are Arrow's
            pd.testing.assert_frame_equal(table, first[0])
        assert table.dtypes.equals(first[0].dtypes)
        assert notes == first[1]
        assert arrow.equals(first[2])
