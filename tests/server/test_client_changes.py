"""What changes on the server between two cells never shows an error, nor an old picture."""

import pandas as pd
import pytest

CHANGES = {
    "column added": "alter table t add column extra text",
    "column dropped": "alter table t drop column n",
    "column of another type": "alter table t alter column n type text",
    "table made anew": "drop table t; create table t (other date)",
    "attribute added to a type": "alter type pair add attribute c int",
    "label added": "alter type mood add value 'happy'",
    "search path": "create schema s; create table s.t (x int)",
}


@pytest.fixture
async def table(client):
    await client.query(
        "create type mood as enum ('sad', 'ok'); create type pair as (a int, b text);"
        "create table t (n int, m mood, p pair, ps pair[]);"
        "insert into t values (1, 'ok', (1, 'x'), array[(2, 'y')::pair])",
        on="a",
        write=True,
    )


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.usefixtures("table")
async def test_the_next_cell_sees_the_change(client, change):
    for _ in range(2):
        await client.query("select * from t where {n} is not null", on="a", values={"n": 1})
    await client.query(CHANGES[change], on="a", write=True)
    frame = await client.query("select * from t where {n} is not null", on="a", values={"n": 1})
    fresh = await client.query("select * from t", on="a")
    pd.testing.assert_frame_equal(frame, fresh)


@pytest.mark.usefixtures("table")
async def test_labels_of_an_enum_are_those_of_now(client):
    before = await client.query("select m from t", on="a")
    assert list(before["m"].cat.categories) == ["sad", "ok"]
    await client.query("alter type mood add value 'meh' before 'ok'", on="a", write=True)
    await client.query("alter type mood rename value 'sad' to 'blue'", on="a", write=True)
    after = await client.query("select m from t", on="a")
    assert list(after["m"].cat.categories) == ["blue", "meh", "ok"]
    assert after["m"].cat.ordered
