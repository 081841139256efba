"""--explain and --analyze on real servers."""

import pytest

from pgmagic.errors import CellError, FanOutError, QueryError


@pytest.fixture
async def filled(client):
    for name in ("a", "b"):
        await client.query(
            "create table t as select i, i % 10 as g from generate_series(1, 2000) i;"
            "create view v as select * from t; analyze t",
            on=name,
            write=True,
        )
    return client


async def count(client, where):
    frame = await client.query(f"select count(*) from t where {where}", on="a")
    return frame.iloc[0, 0]


async def test_explain_runs_nothing(filled):
    plans = await filled.query("select g, count(*) from t group by g", on="a", explain=True)
    assert list(plans) == ["a"]
    assert not plans["a"].measured
    assert "Seq Scan on t" in str(plans)
    assert plans.json[0]["Plan"]["Node Type"] == "Aggregate"


async def test_analyze_measures_several_databases(filled):
    plans = await filled.query(
        "select * from t where i > {low} order by i",
        on=["b", "a"],
        values={"low": 10},
        analyze=True,
    )
    assert list(plans) == ["b", "a"]
    assert str(plans).startswith("the same plan on b, a\n")
    assert plans["a"].measured
    assert plans["a"].root.rows == 1_990
    assert plans["a"].root.buffers is not None
    assert not plans.rolled_back


@pytest.mark.parametrize("on", ["a", ["a", "b"]])
async def test_analyze_of_a_write_is_undone(filled, on):
    plans = await filled.query("update t set g = 77", on=on, analyze=True, write=True)
    assert plans["a"].root.title == "Update on t"
    assert plans.rolled_back
    assert str(plans).endswith("run, and rolled back")
    assert await count(filled, "g = 77") == 0


async def test_analyze_of_a_write_needs_write(filled):
    with pytest.raises(QueryError, match="read-only") as caught:
        await filled.query("delete from t", on="a", analyze=True)
    assert "--write" in caught.value.hint
    assert await count(filled, "true") == 2_000


async def test_explain_of_a_write_needs_nothing(filled):
    plans = await filled.query("delete from t where i = 1", on="a", explain=True)
    assert plans["a"].root.title == "Delete on t"


async def test_rows_that_are_limited_change_no_plan(filled):
    plans = await filled.query("select * from t", on="a", analyze=True, limit=0)
    assert plans["a"].root.rows == 2_000


async def test_errors_point_into_the_cell(filled):
    cell = "select 1,\n  nosuch from t"
    with pytest.raises(QueryError) as caught:
        await filled.query(cell, on="a", analyze=True)
    assert caught.value.position == cell.index("nosuch")


async def test_plans_of_those_that_answered_are_kept(filled):
    with pytest.raises(FanOutError) as caught:
        await filled.query("select * from t", on=["a", "down"], explain=True)
    assert list(caught.value.partial) == ["a"]


async def test_a_session_explains_what_it_alone_has(filled):
    await filled.query("create temp table own (i int)", on="a", session="s", write=True)
    plans = await filled.query("select * from own", on="a", session="s", analyze=True)
    assert plans["a"].root.title == "Seq Scan on own"
    await filled.close_session("s")


async def test_what_has_no_plan(filled):
    with pytest.raises(CellError, match="VACUUM has no plan"):
        await filled.query("vacuum t", on="a", explain=True)
