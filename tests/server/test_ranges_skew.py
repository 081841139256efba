"""Parts by the values of a column, however unevenly these are spread."""

import asyncpg
import pytest

from pgmagic.database.ranges import column_ranges, page_ranges
from pgmagic.language.division import divisible
from pgmagic.language.statements import read

ROWS = 40_000
COLUMNS = {
    "even": "n",
    "squared": "n::int8 * n * n",  # a range of min to max would put most into the first part
    "common": "case when n % 10 < 3 then 17 else n end",
    "few": "n % 5",
    "nulls": "case when n % 2 = 0 then n end",
    "texts": "md5(n::text)",
    "padded": "lpad(n::text, 6, '0')::char(12)",
    "moments": "timestamptz '2020-01-01' + n * interval '7 minutes'",
}


@pytest.fixture(params=["analysed", "sampled"])
async def connection(database, request):
    async with database.connection(
        server_settings={"datestyle": "ISO, DMY", "timezone": "Asia/Kolkata"}
    ) as connection:
        columns = ", ".join(f"{made} as {name}" for name, made in COLUMNS.items())
        await connection.execute(
            f"create table t as select n, {columns} from generate_series(1, {ROWS}) n"
        )
        if request.param == "analysed":
            await connection.execute("analyze t")
        yield connection


def whole(sql="select * from t"):
    [statement] = read(sql, {}).statements
    return divisible(statement)


async def sizes(connection: asyncpg.Connection, cut) -> list[int]:
    return [
        await connection.fetchval(f"select count(*) from t where {each.predicate}")
        for each in cut.ranges
    ]


@pytest.mark.parametrize("parts", [2, 7, 16])
@pytest.mark.parametrize("column", COLUMNS)
async def test_every_row_is_in_one_part_and_no_part_is_a_giant(connection, column, parts):
    cut = await column_ranges(connection, whole(), column, parts)
    found = await sizes(connection, cut)
    assert sum(found) == ROWS
    assert len(found) <= parts
    # The largest value that can't be cut, or a little over the average.
    largest = await connection.fetchval(
        f"select max(count) from (select count(*) from t group by {column}) as c"
    )
    assert max(found) < max(1.6 * ROWS / parts, largest + 0.6 * ROWS / parts)
    assert abs(sum(each.share for each in cut.ranges) - 1) < 1e-6


@pytest.mark.parametrize("column", ["even", "squared", "texts", "moments"])
async def test_shares_are_what_the_parts_hold(connection, column):
    cut = await column_ranges(connection, whole(), column, 8)
    found = await sizes(connection, cut)
    assert len(found) == 8
    for size, each in zip(found, cut.ranges, strict=True):
        assert abs(size / ROWS - each.share) < 0.06


async def test_more_parts_than_the_statistics_tell_apart(connection):
    cut = await column_ranges(connection, whole(), "few", 50)
    assert len(cut.ranges) == 5
    assert "allow 5 parts, not 50" in cut.note


async def test_many_parts_by_pages_name_two_bounds_each(connection):
    cut = await page_ranges(connection, whole(), 300)
    found = await sizes(connection, cut)
    assert sum(found) == ROWS
    assert len(found) > 200  # as many as there are pages, which are not as full in every version
    assert max(len(each.predicate) for each in cut.ranges) < 100
