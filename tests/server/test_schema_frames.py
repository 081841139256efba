"""%pg_schema and %pg_diff: what databases hold, and how they differ."""

import pytest

from pgmagic.errors import CellError, UnknownDatabase
from pgmagic.schema import differences, schema, targets_and_pattern

BOTH = """
create table same (id int primary key, name text not null default 'x', at date);
create index same_name on same (name);
comment on column same.name is 'what it is called';
create schema sales;
create table sales.orders (id int generated always as identity, total numeric(10, 2));
create view late as select 1 as id;
"""


@pytest.fixture
async def filled(client):
    for name in ("a", "b"):
        await client.query(BOTH, on=name, write=True)
    return client


async def test_columns_of_a_database(filled):
    frame = await schema(filled, ["a"])
    assert list(frame.columns) == [
        "schema", "table", "kind", "column", "type", "nullable", "default", "comment",
    ]  # fmt: skip
    [row] = frame[(frame["table"] == "same") & (frame["column"] == "name")].to_dict("records")
    assert row == {
        "schema": "public",
        "table": "same",
        "kind": "table",
        "column": "name",
        "type": "text",
        "nullable": False,
        "default": "'x'::text",
        "comment": "what it is called",
    }
    assert set(frame["schema"]) == {"public", "sales"}
    assert "view" in set(frame["kind"])


async def test_several_databases_stand_in_one_frame(filled):
    frame = await schema(filled, ["b", "a"], "same")
    assert list(frame["database"].unique()) == ["b", "a"]
    assert len(frame) == 6


@pytest.mark.parametrize(
    ("pattern", "tables"),
    [
        ("same", {"same"}),
        ("sa*", {"same"}),
        ("sam?", {"same"}),
        ("sam_", set()),
        ("sales.*", {"orders"}),
        ("s*.o*", {"orders"}),
        ("pg_catalog.pg_class", {"pg_class"}),
        ("nothing", set()),
        ("x' or true --", set()),
    ],
)
async def test_patterns(filled, pattern, tables):
    assert set((await schema(filled, ["a"], pattern))["table"]) == tables


async def test_equal_databases_do_not_differ(filled):
    frame = await differences(filled, "a", "b")
    assert len(frame) == 0
    assert list(frame.columns) == ["schema", "table", "kind", "name", "difference", "a", "b"]


CHANGES = [
    ("alter table same alter at type timestamp", "column", "at", "type",
     "date", "timestamp without time zone"),
    ("alter table same alter at set not null", "column", "at", "nullable", "true", "false"),
    ("alter table same alter name drop default", "column", "name", "default", "'x'::text", ""),
    ("alter table same drop at", "column", "at", "only in a", "date", ""),
    ("alter table same add more int", "column", "more", "only in b", "", "integer"),
    ("drop index same_name", "index", "same_name", "only in a",
     "CREATE INDEX same_name ON public.same USING btree (name)", ""),
    ("drop index same_name; create index same_name on same (at)", "index", "same_name",
     "definition", "CREATE INDEX same_name ON public.same USING btree (name)",
     "CREATE INDEX same_name ON public.same USING btree (at)"),
    ("alter table same add constraint c check (id > 0)", "constraint", "c", "only in b", "",
     "CHECK ((id > 0))"),
    ("create table new_one (id int, b text)", "table", "", "only in b", "", "table"),
    ("drop view late", "view", "", "only in a", "SELECT 1 AS id;", ""),
    ("create or replace view late as select 2 as id", "view", "", "definition",
     "SELECT 1 AS id;", "SELECT 2 AS id;"),
    ("create sequence s", "sequence", "", "only in b", "", "sequence"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "kind", "name", "difference", "a", "b"), CHANGES, ids=[c[0] for c in CHANGES]
)
async def test_each_difference_is_one_row(filled, change, kind, name, difference, a, b):
    await filled.query(change, on="b", write=True)
    [row] = (await differences(filled, "a", "b")).to_dict("records")
    found = (row["kind"], row["name"], row["difference"], row["a"], row["b"])
    assert found == (kind, name, difference, a, b)
    assert row["schema"] == "public"


async def test_two_databases_are_compared(filled):
    with pytest.raises(CellError, match="two databases"):
        await differences(filled, "a", "a")
    with pytest.raises(UnknownDatabase, match="there is no database c"):
        await differences(filled, "a", "c")


@pytest.mark.parametrize(
    ("words", "targets", "pattern"),
    [
        ([], (), None),
        (["a"], ["a"], None),
        (["a", "b"], ["a", "b"], None),
        (["@both"], ["@both"], None),
        (["a", "sa*"], ["a"], "sa*"),
        (["flights"], [], "flights"),
        (["a", "sales.orders"], ["a"], "sales.orders"),
    ],
)
async def test_targets_and_the_pattern_are_told_apart(client, words, targets, pattern):
    assert targets_and_pattern(client, words) == (targets, pattern)


async def test_an_unknown_group_is_no_pattern(client):
    with pytest.raises(UnknownDatabase, match="@nothing"):
        targets_and_pattern(client, ["@nothing"])
