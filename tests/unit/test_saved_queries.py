"""Saved queries stand in front of what reads them, and nothing else changes."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgmagic.errors import CellError, QueryError
from pgmagic.language.completion import complete_sql
from pgmagic.language.composing import compose
from pgmagic.language.inventory import Attribute, Inventory, Relation
from pgmagic.language.saved import SavedQueries
from pgmagic.language.scanner import TokenKind, tokens
from pgmagic.language.statement import Statement
from pgmagic.language.statements import read
from tests.corpus.cells import CELLS

LATE = "select * from flights where delay > {limit}"
WITH_LATE = "with late as (\nselect * from flights where delay > $1\n)"


@pytest.fixture
def saved() -> SavedQueries:
    queries = SavedQueries()
    queries.save("late", LATE, {"limit": 60})
    queries.save("worst", "select carrier, count(*) from late group by 1 -- the worst")
    queries.save("one", "select 1 as x")
    return queries


def composed(saved: SavedQueries, cell: str, **values: object) -> Statement:
    return read(cell, values, saved=saved).statements[-1]


@pytest.mark.parametrize(
    "cell",
    [
        "select * from late",
        "select * from LATE l",
        'select * from "late"',
        "select * from only late",
        "table late",
        "select 1 from t join late using (x)",
        "select 1 from t cross join lateral (select * from late) q",
        "select 1 from ((select 1) a join late on true)",
        "select 1 from (t join (u join late on true) on true)",
        "select 1 from f(1, array[2, 3]) g, late",
        "select 1 from rows from (f(1), g(2)) with ordinality, late",
        "select 1 from t where x in (select y from late)",
        "select 1 from t where x = any (table late)",
        "select (select count(*) from late)",
        "select 1 from t order by (select max(x) from late)",
        "select 1 union all select x from late",
        "(select 1) union (select x from late)",
        "(select x from late) order by 1 limit 1",
        "insert into t select * from late",
        "insert into t (a, b) table late",
        "insert into t with a as (select 1) select * from a, late",
        "insert into t values ((select count(*) from late))",
        "update t set x = 1, y = 2 from u, late where true",
        "update t set x = (select count(*) from late)",
        "delete from t using u join late using (x)",
        "delete from t where x in (select x from late) returning x",
        "merge into t using late on t.x = late.x when matched then delete",
        "select case when a then b end from t join u on case when a then b end, late",
        "select 1 from t tablesample bernoulli (1), late",
        "select 1 from t as a (b, c), late as d (e)",
        "select a.from, late.x as from from t a, late",
        "select x is distinct from y from late",
        "values ((select count(*) from late))",
    ],
)
def test_a_with_stands_in_front(saved: SavedQueries, cell: str) -> None:
    statement = composed(saved, cell)
    assert statement.sql == f"{WITH_LATE}\n{cell}"
    assert statement.arguments == (60,)
    assert statement.parameters == ("limit",)
    assert [each.name for each in statement.saved] == ["late"]


@pytest.mark.parametrize(
    "cell",
    [
        "select late from t",
        "select late.x, t.late from t as late",
        "select * from public.late",
        "select * from late.t",
        "select * from late(1)",
        'select * from "Late"',
        "select 'from late'",
        "select 1 -- from late",
        "select $$ from late $$ from t",
        "with late as (select 1) select * from late",
        "with late (x) as materialized (select 1) select * from late",
        "with recursive late as (select 1 union all select x from late) select * from late",
        "select (with late as (select 1) select * from late)",
        "insert into t with late as (select 1) select * from late",
        "insert into late values (1)",
        "insert into late as l (x) select 1 from t",
        "update late set x = 1",
        "delete from late",
        "delete from only late where x = 1",
        "merge into late using t on true when matched then update set a = 1, b = late",
        "insert into t select a from u on conflict (a) do update set b = 1, c = late",
        "select extract(year from late), trim((a) from late), x is distinct from late from t",
        "select 1 from t order by a, late",
        "select 1 from t group by a, late having true",
        "select 1 from t window w as (order by a), late as (order by b)",
        "select 1 from t for update of t, late",
        "select 1 from t, u as late",
        "select 1 from t join u using (late)",
        "delete from t using u join v using (late)",
        "create table late (x int)",
        "create index on late (x)",
        "create function f() returns int language sql begin atomic select 1 from late; end",
        "drop table late",
        "truncate late",
        "lock table late",
        "comment on table late is ''",
        "copy late to stdout",
        "select a.from, late from t",
        "create temp table late as select 1 as x; select * from late",
        "create view late as select 1 as x; select * from late",
        "select 1 as x into temp late; select * from late",
    ],
)
def test_other_names_are_left_alone(saved: SavedQueries, cell: str) -> None:
    plain = read(cell, {}).statements
    assert read(cell, {}, saved=saved).statements == plain


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("explain select * from one", "explain {w}\nselect * from one"),
        ("explain analyze verbose table one", "explain analyze verbose {w}\ntable one"),
        ("explain (costs off) select 1 from one", "explain (costs off) {w}\nselect 1 from one"),
        ("explain (select * from one)", "explain {w}\n(select * from one)"),
        ("copy (select * from one) to stdout", "copy ({w}\nselect * from one) to stdout"),
        ("create table t as select * from one", "create table t as {w}\nselect * from one"),
        (
            "create temp view v (a) as (select x from one)",
            "create temp view v (a) as {w}\n(select x from one)",
        ),
        ("prepare p as select * from one", "prepare p as {w}\nselect * from one"),
        (
            "declare c cursor with hold for select * from one",
            "declare c cursor with hold for {w}\nselect * from one",
        ),
        ("with a as (select 1) table one", "{w}, a as (select 1) table one"),
        ('with"a"as (select 1) table one', '{w}, "a"as (select 1) table one'),
        ("(with a as (select 1) table one)", "({w}, a as (select 1) table one)"),
        (
            "with recursive a as (select 1 union select x from one) table a",
            "{r}, a as (select 1 union select x from one) table a",
        ),
        (
            "(with a as (select 1) table one) union table one",
            "{w}\n(with a as (select 1) table one) union table one",
        ),
        ("/*+ hint */ select * from one", "/*+ hint */ {w}\nselect * from one"),
        (
            "with a as (with one as (select 2) table one) select * from a, one",
            "{w}, a as (with one as (select 2) table one) select * from a, one",
        ),
        (
            "with recursive a as (select 1) search depth first by x, y set s, "  # noqa: ISC004
            "one as (select 2) cycle x, y set c using p select 1 from one",
            None,
        ),
    ],
)
def test_it_stands_where_a_with_can_stand(saved: SavedQueries, cell: str, expected: str) -> None:
    one = "one as (\nselect 1 as x\n)"
    sql = composed(saved, cell).sql
    assert sql == (expected or cell).format(w=f"with {one}", r=f"with recursive {one}")


def test_a_merge_ends_its_tables_before_its_actions(saved: SavedQueries) -> None:
    cell = (
        "merge into t using late on case when a then true end "
        "when matched then update set x = 1, y = worst"
    )
    assert [each.name for each in composed(saved, cell).saved] == ["late"]


def test_what_is_read_stands_before_what_reads_it(saved: SavedQueries) -> None:
    saved.save("pair", "select 1 from worst, late, one")
    statement = composed(saved, "select 1 from one, pair where {a} < {b}", a=1, b=2)
    assert [each.name for each in statement.saved] == ["one", "late", "worst", "pair"]
    assert statement.arguments == (1, 2, 60)
    assert statement.parameters == ("a", "b", "limit")
    assert "delay > $3" in statement.sql
    assert statement.sql.endswith("where $1 < $2")
    assert "-- the worst\n), " in statement.sql


def test_each_statement_of_a_cell_has_its_own(saved: SavedQueries) -> None:
    statements = read("select 1 from one; select 2; table late", {}, saved=saved).statements
    assert [[each.name for each in s.saved] for s in statements] == [["one"], [], ["late"]]


def test_values_are_those_of_the_saving(saved: SavedQueries) -> None:
    numbers = [1, [2]]
    saved.save("mine", "select {numbers} as numbers, {name:l} as name, {column:i} from t",
               {"numbers": numbers, "name": "it's $1", "column": "$1"})  # fmt: skip
    numbers[1].append(3)
    statement = composed(saved, "select {x} from mine", x=0)
    assert statement.arguments == (0, [1, [2]])
    assert """select $2 as numbers, 'it''s $1' as name, "$1" from t""" in statement.sql


def test_positions_lead_into_the_text_that_has_the_character(saved: SavedQueries) -> None:
    cell = "select 1;\nselect nosuch, {x} from worst"
    statement = composed(saved, cell, x=5)
    for found, text, saved_name in [
        ("nosuch", cell, None),
        ("from worst", cell, None),
        ("flights", LATE, "late"),
        ("delay", LATE, "late"),
        ("count", saved["worst"].statement.cell, "worst"),
        ("the worst", saved["worst"].statement.cell, "worst"),
    ]:
        spot = statement.spot(statement.sql.index(found) + 1)
        assert spot == (text, text.index(found), saved_name)
    assert statement.spot(statement.sql.index("$2") + 1) == (LATE, LATE.index("{limit}"), "late")
    assert statement.spot(statement.sql.index("$1") + 1) == (cell, cell.index("{x}"), None)
    assert statement.spot(10_000) == (cell, len(cell), None)
    assert statement.placeholder(1) == (cell, cell.index("{x}"), None)
    assert statement.placeholder(2) == (LATE, LATE.index("{limit}"), "late")
    assert statement.locate(statement.sql.index("flights") + 1) == statement.start


@pytest.mark.parametrize(
    ("name", "sql", "said"),
    [
        ("late", "select * from worst", "late → worst → late"),
        ("late", "select 1 where exists (select 1 from late)", "late → late"),
        ("select", "select 1", "a word of SQL"),
        ("Values", "select 1", "a word of SQL"),
        ("a b", "select 1", "can't be called 'a b'"),
        ("1a", "select 1", "can't be called '1a'"),
        ("s.late", "select 1", "can't be called 's.late'"),
        ("a" * 64, "select 1", "63 bytes"),
        ("ä" * 32, "select 1", "63 bytes"),
        ("x", "", "no SELECT"),
        ("x", " -- nothing", "no SELECT"),
        ("x", r"\d late", "command of psql"),
        ("x", "select 1; select 2", "2 statements"),
        ("x", "delete from t", "this is DELETE"),
        ("x", "create table t (a int)", "this is CREATE"),
        ("x", "explain select 1", "this is EXPLAIN"),
        ("x", "insert into t values (1) returning a", "this is INSERT"),
        ("x", "with a as (delete from t returning 1) table a", "writes or locks"),
        ("x", "select 1 into t", "writes or locks"),
        ("x", "select 1 from t for update", "writes or locks"),
        ("x", "select 1) , y as (select 2", "not closed, or not opened"),
        ("x", "select (1", "not closed, or not opened"),
        ("x", "select 'a", "not closed, or not opened"),
        ("x", 'select "a', "not closed, or not opened"),
        ("x", "select $$a", "not closed, or not opened"),
        ("x", "select 1 /* a", "not closed, or not opened"),
        ("x", "select {nosuch}", "there is no variable nosuch"),
    ],
)
def test_what_is_refused(saved: SavedQueries, name: str, sql: str, said: str) -> None:
    before = dict(saved)
    with pytest.raises(CellError) as caught:
        saved.save(name, sql, {"limit": 1})
    assert said in str(caught.value)
    assert dict(saved) == before


@pytest.mark.parametrize(
    ("cell", "said", "at"),
    [
        ("copy (select * from late) to stdout", "COPY takes no values", "late"),
        ("prepare p as select * from worst", "PREPARE takes no values", "worst"),
        ("create view v as select * from late", "a view takes no values", "late"),
        ("explain select $1 from late", "$1 stands for no value", "late"),
        ("with late as (select 1) select * from worst", "here late is something else", "late"),
        (
            "create temp table late (x int); select * from worst",
            "here late is something else",
            "worst",
        ),
        (
            "with recursive flights as (select 1) select * from late",
            "WITH RECURSIVE would hide",
            "flights",
        ),
    ],
)
def test_what_would_come_out_wrong_is_refused(
    saved: SavedQueries, cell: str, said: str, at: str
) -> None:
    with pytest.raises(CellError) as caught:
        composed(saved, cell)
    assert said in caught.value.message
    assert caught.value.cell == cell
    assert cell[caught.value.offset :].startswith(at)


def test_a_backslash_needs_standard_strings(saved: SavedQueries) -> None:
    saved.save("path", r"select '\' as x")
    with pytest.raises(CellError, match="standard_conforming_strings is off"):
        read("select * from path", {}, saved=saved, standard_strings=False)
    cell = "set standard_conforming_strings = off; select '\\'' from one"
    assert composed(saved, cell).sql.endswith("select '\\'' from one")


def test_who_reads_whom(saved: SavedQueries) -> None:
    assert list(saved) == ["late", "worst", "one"]
    assert (saved.read_by("worst"), saved.read_by("late")) == (("late",), ())
    assert saved.readers("late") == ("worst",)
    assert saved.readers("flights") == ("late",)
    assert saved["late"].sql == LATE
    saved.save("LATE", "select 1 as carrier")
    assert list(saved) == ["worst", "one", "late"]
    assert composed(saved, "table worst").arguments == ()
    assert saved.delete("Late").name == "late"
    assert composed(saved, "table worst").sql.startswith("with worst as (\nselect carrier")
    with pytest.raises(CellError, match="no saved query wost; did you mean worst"):
        saved.find("wost")


@pytest.mark.parametrize(
    ("cell", "at", "hint"),
    [
        ("select * from lte", "lte", "did you mean the saved query late?"),
        ("insert into late select 1", "late", "late is a saved query: it can be read, and"),
        ("select * from altogether_else", "altogether", None),
    ],
)
def test_an_unknown_table_may_be_a_saved_query(
    saved: SavedQueries, cell: str, at: str, hint: str | None
) -> None:
    error = QueryError("gibt es nicht", sqlstate="42P01", cell=cell, position=cell.index(at))
    saved.advise(error)
    assert (error.hint or "")[: len(hint or "")] == (hint or "")
    other = QueryError("no", sqlstate="42703", cell=cell, position=cell.index(at))
    saved.advise(other)
    assert other.hint is None


def taken_out(statement: Statement) -> tuple[int, str]:
    """Take out what was put in, found by its parentheses alone: where it stood, and the rest."""
    sql = statement.sql
    door = sql.index(f"{statement.saved[0].name} as (\n")
    after = door
    for each in statement.saved:
        assert sql.startswith(f"{each.name} as (\n", after)
        after = end_of_parentheses(sql, after)
        merges = sql[after] == ","
        after += 2 if merges else 0
    if merges:
        return door, sql[:door] + sql[after:]
    assert sql[after] == "\n"
    assert sql[:door].endswith("with ")
    return door - 5, sql[: door - 5] + sql[after + 1 :]


def end_of_parentheses(sql: str, begin: int) -> int:
    depth = 0
    for kind, start, stop in tokens(sql, start=begin):
        if kind is TokenKind.PUNCTUATION:
            depth += {"(": 1, ")": -1}.get(sql[start], 0)
            if sql[start] == ")" and depth == 0:
                return stop
    raise AssertionError("the parentheses are not closed")


@pytest.mark.parametrize("cell", [cell for cell in CELLS if len(cell.text) < 50_000], ids=str)
def test_no_cell_changes_otherwise(cell) -> None:
    """Under every word of a cell a query is saved: what isn't put in front stays as it was."""
    plain = read_or_none(cell.text, None)
    if plain is None:
        return
    words = {
        cell.text[token.start : token.stop].lower()
        for token in tokens(cell.text)
        if token.kind is TokenKind.WORD
    }
    unused, every = SavedQueries(), SavedQueries()
    unused.save("zz_unused", "select 1")
    for word in words:
        save_if_a_name(every, word)
    assert read(cell.text, {}, saved=unused) == plain
    changed = read_or_none(cell.text, every)
    if changed is None:  # refused, with a reason
        return
    for before, after in zip(plain.statements, changed.statements, strict=True):
        assert_only_in_front(before, after)


SOUP = st.lists(
    st.sampled_from(
        "select from where ( ) , ; late one t as with recursive union all join on using table "
        "insert into update set delete merge values lateral only distinct 'a' 1 . * = order by "
        "explain create view copy to stdout [ ] case when then end and exists in".split()
    ),
    max_size=40,
).map(" ".join)


@settings(max_examples=300, deadline=None)
@given(cell=SOUP)
def test_any_words_are_read(cell: str) -> None:
    saved = SavedQueries()
    saved.save("one", "select 1 as x")
    saved.save("late", "select * from one")
    plain = read_or_none(cell, None)
    changed = read_or_none(cell, saved)
    if plain is None or changed is None:
        return
    for before, after in zip(plain.statements, changed.statements, strict=True):
        assert_only_in_front(before, after)


def read_or_none(cell: str, saved: SavedQueries | None):
    try:
        return read(cell, {}, saved=saved)
    except CellError:
        return None


def save_if_a_name(saved: SavedQueries, word: str) -> None:
    with contextlib.suppress(CellError):
        saved.save(word, "select 1")


def assert_only_in_front(before: Statement, after: Statement) -> None:
    if not after.saved:
        assert after == before
        return
    door, rest = taken_out(after)
    assert rest == before.sql
    for position in range(1, door + 1):
        assert after.spot(position) == before.spot(position)
    longer = len(after.sql) - len(before.sql)
    for position in range(door + 1, len(before.sql) + 1):
        assert after.spot(position + longer) == before.spot(position)


def test_completion_knows_saved_queries_and_their_columns(saved: SavedQueries) -> None:
    flights = Relation(
        schema="public",
        name="flights",
        columns=(Attribute("carrier", "text"), Attribute("delay", "int4")),
    )
    saved.save("later", "select l.delay, carrier as airline from late l")

    def complete(text: str) -> dict[str, str]:
        cursor = text.index("|")
        found = complete_sql(
            text.replace("|", ""), cursor, {"a": Inventory(relations=(flights,))}, {}, saved
        )
        return {each.text: each.about for each in found.suggestions}

    assert complete("select * from la|") == {"late": "saved query", "later": "saved query"} | {
        name: about for name, about in complete("select * from la|").items() if name == "lateral"
    }
    assert complete("select l.| from later l") == {
        "delay": "column · int4",
        "airline": "column",
    }
    assert complete("with late as (select 1 as mine) select late.| from late") == {"mine": "column"}


def test_nothing_saved_costs_nothing() -> None:
    statement = read("select * from late", {}).statements[0]
    assert compose(statement, SavedQueries()) is statement
