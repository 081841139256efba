"""What completion offers: `|` is the cursor."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgmagic.language.completion import complete_sql
from pgmagic.language.inventory import Attribute, ForeignKey, Inventory, Relation, Routine


def relation(name, columns, schema="public", **more):
    return Relation(
        schema=schema,
        name=name,
        columns=tuple(Attribute(*column.split(":")) for column in columns.split()),
        **more,
    )


FLIGHTS = relation("flights", "carrier:text dest:text dep_delay:integer month:integer")
AIRLINES = relation("airlines", "carrier:text name:text")
INVENTORY = Inventory(
    relations=(
        FLIGHTS,
        AIRLINES,
        relation("airports", "faa:text name:text"),
        relation("Mixed", "Id:integer select:text"),
        relation("orders", "id:integer total:numeric", schema="sales", visible=False),
        relation("pg_class", "oid:oid relname:name", schema="pg_catalog"),
    ),
    routines=(
        Routine(schema="pg_catalog", name="count", about="aggregate"),
        Routine(schema="pg_catalog", name="generate_series", set=True),
        Routine(schema="sales", name="discount", visible=False),
    ),
    foreign_keys=(
        ForeignKey(
            schema="public",
            table="flights",
            columns=("carrier",),
            foreign_schema="public",
            foreign_table="airlines",
            foreign_columns=("carrier",),
        ),
    ),
    types=("sales.mood",),
)
FLIGHT_COLUMNS = ["carrier", "dest", "dep_delay", "month"]


def complete(marked, **inventories):
    at = marked.index("|")
    text = marked[:at] + marked[at + 1 :]
    variables = {"month": "int", "names": "list", "other": "str"}
    return complete_sql(text, at, inventories or {"ewr": INVENTORY}, variables)


def texts(marked):
    return [suggestion.text for suggestion in complete(marked).suggestions]


FLIGHTS_HERE = """
select f.| from flights f
select f.| from flights as f
select flights.| from flights
select "F".| from flights "F"
select * from flights f where exists (select 1 from airports a where a.faa = f.|)
select * from flights f, lateral (select f.|) x
select * from (select f.| from flights f) q
select (select f.| from flights f)
select 1 from flights f group by f.|
select 1 from airports a join flights f on f.|
select 1 from airports a left join flights f on a.faa = f.| where true
select case when f.| then 1 end from flights f
select f.month + f.| from flights f
select coalesce(f.|, 0) from flights f
select count(f.| from flights f
with x as (select f.| from flights f) select 1
with x as (select * from flights) select x.| from x
with x as (select 1), y as (select * from flights) select y.| from x, y
with recursive x as (select * from flights union all select x.| from x) select 1
select q.| from (select * from flights) q
select q.| from (select f.* from flights f) q
select q.| from (table flights) q
select q.| from ((select * from flights)) q
select 1 union select f.| from flights f
select f.| from flights f union select 1 from airlines f
insert into flights (|) values (1)
insert into flights (|
insert into flights (carrier) values ('x') on conflict (|)
insert into flights values (1) on conflict (dest) do update set |
insert into flights values (1) on conflict (dest) do update set dest = excluded.|
insert into flights values (1) returning flights.|
update flights set |
update flights f set dest = f.|
update flights set dest = 'a', |
update flights f set dest = 1 from airports a where f.|
update flights set dest = 1 returning new.|
delete from flights f where f.|
delete from airports using flights f where f.|
merge into flights f using airlines a on f.|
merge into airlines a using flights f on f.|
merge into flights f using airlines a on true when matched then update set |
merge into flights f using airlines a on true when not matched then insert (|
alter table flights drop column |
alter table only flights rename column |
create index on flights (|)
create index concurrently x on flights using btree (|)
create table t (x text references flights (|
copy flights (|) to stdout
comment on column flights.|
create view v as select f.| from flights f
explain (analyze) select f.| from flights f
select 1; select f.| from flights f; select 2 from airlines f
select f.| from airlines a, flights f
select ';' + f.| from flights f -- ;
/* ( */ select f.| from flights f
select $$ from x $$, f.| from flights f
select f.| from public.flights f
select f.| from only flights f
select f.| from flights f tablesample system (1)
""".strip().splitlines()


@pytest.mark.parametrize("marked", FLIGHTS_HERE)
def test_columns_of_the_table_that_is_meant(marked):
    assert texts(marked) == FLIGHT_COLUMNS


@pytest.mark.parametrize(
    ("marked", "expected"),
    {
        "select q.| from (select carrier, avg(dep_delay) as delay, 1 from flights) q": [
            "carrier",
            "delay",
        ],
        "select q.| from (select count(*), max(month) latest from flights) q": ["count", "latest"],
        "select q.| from (select f.month::text, a + b from flights f) q": ["month"],
        "with x(a, b) as (select 1, 2) select x.| from x": ["a", "b"],
        "with recursive t(n) as (select 1 union all select t.| from t) select 1": ["n"],
        "with x as (delete from airlines returning name) select x.| from x": ["name"],
        "select c.| from (values (1, 2)) c": ["column1", "column2"],
        "select c.| from (values (1, 2)) c(a, b)": ["a", "b"],
        "select c.| from flights as c (one, two)": ["one", "two", "dep_delay", "month"],
        "select g.| from generate_series(1, 3) g": ["g"],
        "select g.| from generate_series(1, 3) as g(n)": ["n"],
        "select x.| from unnest(array[1]) with ordinality x(a, b)": [],
        'select m.| from "Mixed" m': ['"Id"', '"select"'],
        "select o.| from sales.orders o": ["id", "total"],
        "select sales.orders.| from sales.orders": ["id", "total"],
        "select * from sales.|": ["orders"],
        "select sales.d|": ["discount"],
        "select nobody.| from flights": [],
        "select f.| from flights f, airlines f": FLIGHT_COLUMNS,
        "select * from flights f join airlines a using (|)": ["carrier"],
        "select a::sa|": ['sales.mood'],
        "select cast(a as int|": ["int", "int4range", "int8range", "integer", "interval"],
    }.items(),
)  # fmt: skip
def test_names_behind_a_dot_and_the_like(marked, expected):
    assert texts(marked) == expected


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("select * from fl|", "flights"),
        ("select * from |", "sales"),
        ("select * from pg_c|", "pg_class"),
        ("select * from gen|", "generate_series"),
        ("with x as (select 1) select * from |", "x"),
        ("select * from flights, air|", "airports"),
        ("update air|", "airports"),
        ("insert into air|", "airports"),
        ("delete from air|", "airports"),
        ("truncate air|", "airports"),
        ("drop table air|", "airports"),
        ("select * from \"M|", '"Mixed"'),
        ("select * from \"mi|", '"Mixed"'),
        ("select * from mi|", '"Mixed"'),
        ("select * from \"M|\" m", '"Mixed'),
        (r"\d air|", "airports"),
        (r"\dt+ air|", "airports"),
        (r"\d|", "dt"),
    ],
)  # fmt: skip
def test_tables(marked, expected):
    assert expected in texts(marked)


@pytest.mark.parametrize(
    ("marked", "first"),
    [
        ("select * from flights f join |", "airlines on airlines.carrier = f.carrier"),
        ("select * from airlines join |", "flights on flights.carrier = airlines.carrier"),
        ("select * from flights f join airlines a on |", "a.carrier = f.carrier"),
        ("select * from airlines a join flights f on |", "f.carrier = a.carrier"),
    ],
)
def test_joins_along_foreign_keys(marked, first):
    assert texts(marked)[0] == first


@pytest.mark.parametrize(
    ("marked", "words"),
    [
        ("|", ["select", "with", "insert"]),
        ("sel|", ["select"]),
        ("SEL|", ["SELECT"]),
        ("select 1; sel|", ["select"]),
        ("explain |", ["select"]),
        ("select * |", ["from"]),
        ("select a |", ["from", "as"]),
        ("select * from flights |", ["where", "join", "group by"]),
        ("select * from flights f |", ["where", "left join"]),
        ("select * from flights f left |", ["join"]),
        ("select * from a join b |", ["on", "using"]),
        ("select * from flights where month = 1 |", ["and", "group by"]),
        ("select * from flights order |", ["by"]),
        ("select * from flights order by month |", ["desc", "limit"]),
        ("select * from flights where month is |", ["null", "not null"]),
        ("update flights |", ["set"]),
        ("insert |", ["into"]),
        ("insert into flights |", ["values", "select"]),
        ("insert into flights values (1) on conflict |", ["do nothing"]),
        ("with x as (|", ["select"]),
        ("select * from flights where dest in (|", ["select"]),
        ("create |", ["table", "view"]),
    ],
)
def test_keywords_where_they_fit(marked, words):
    assert set(words) <= set(texts(marked))


@pytest.mark.parametrize(
    "marked",
    [
        "select 'f|' from flights",
        "select E'a\\'|' from flights",
        "select $$f|$$ from flights",
        "select f -- c|",
        "select /* f| */ 1",
        "select 12|",
        "select month as |",
        "create table fl|",
    ],
)
def test_nothing_where_nothing_can_be_known(marked):
    assert complete(marked).suggestions == ()


def test_columns_that_several_tables_have_are_written_with_their_table():
    found = texts("select | from flights f join airlines a on true")
    assert found[:6] == ["f.carrier", "dest", "dep_delay", "month", "a.carrier", "name"]


def test_inner_columns_come_before_outer_ones():
    found = texts("select * from flights where dest in (select | from airports)")
    assert found[:3] == ["faa", "name", "carrier"]


def test_a_subquery_of_from_does_not_see_its_neighbours():
    found = texts("select * from flights f join (select | from airports) y on true")
    assert found == ["faa", "name", "airports"]


def test_variables_in_braces():
    assert texts("select * from flights where month = {m|}") == ["month"]
    assert texts("select * from flights where month = {|") == ["month", "names", "other"]
    assert texts("select '{m|}'") == []


def test_types_are_told():
    [suggestion] = complete("select dep| from flights").suggestions
    assert (suggestion.text, suggestion.about) == ("dep_delay", "column · integer")


OTHER = Inventory(
    relations=(
        relation("flights", "carrier:text dep_delay:numeric extra:text"),
        relation("gates", "id:integer"),
    )
)


def test_what_only_some_databases_have_is_marked():
    found = complete("select * from |", ewr=INVENTORY, jfk=OTHER)
    abouts = {suggestion.text: suggestion.about for suggestion in found.suggestions}
    assert abouts["flights"] == "table"
    assert abouts["airlines"] == "table · only ewr"
    assert abouts["gates"] == "table · only jfk"


def test_columns_that_differ_say_how():
    found = complete("select f.| from flights f", ewr=INVENTORY, jfk=OTHER)
    abouts = {suggestion.text: suggestion.about for suggestion in found.suggestions}
    assert abouts["carrier"] == "column · text"
    assert abouts["dest"] == "column · text · only ewr"
    assert abouts["extra"] == "column · text · only jfk"
    assert abouts["dep_delay"] == "column · integer, column · numeric"


def test_many_databases_are_counted():
    ten = {f"shard_{number}": INVENTORY for number in range(10)} | {"odd": OTHER}
    found = complete("select * from airl|", **ten)
    assert found.suggestions[0].about == "table · only 10 of 11 databases"


def test_nothing_is_known_of_any_database():
    at = len("select * from fl")
    assert complete_sql("select * from fl where", at, {}, {}).suggestions == ()
    assert complete_sql("sel", 3, {}, {}).suggestions[0].text == "select"


def test_the_work_does_not_grow_with_the_number_of_tables():
    """5,000 tables of 20 columns: what is looked at are the tables named, and the names shown."""
    looked: list[str] = []

    class Watched(Inventory):
        def relation(self, schema, name):
            looked.append(name)
            return super().relation(schema, name)

    attributes = tuple(Attribute(f"c{n}", "text") for n in range(20))
    many = Watched(
        tuple(Relation(schema="public", name=f"t{n:05}", columns=attributes) for n in range(5_000))
    )
    many.prepare()
    text = "select a. from t00001 a join t04999 b on a.c1 = b.c1 where "
    assert len(complete_sql(text, 9, {"x": many}, {}).suggestions) == 20
    assert len(looked) == 1
    found = complete_sql(text, len(text), {"x": many}, {})
    assert len(found.suggestions) == 42
    assert set(looked) == {"t00001", "t04999"}
    everything = complete_sql("select * from ", 14, {"x": many, "y": many}, {})
    assert len(everything.suggestions) <= 1_001
    assert everything.suggestions[0].about == "table"


WORDS = (
    "select from where ( ) , . ; * f flights a airlines join on using as with insert into update "
    "set values union group by order 'x' \"q\" $$ { } \\d -- /* */ :: = case end merge not null"
).split()


@given(st.lists(st.sampled_from(WORDS), max_size=25), st.integers(0, 200))
def test_any_order_of_words_can_be_completed(words, at):
    text = " ".join(words)
    found = complete_sql(text, min(at, len(text)), {"ewr": INVENTORY}, {"f": "int"})
    assert text[: min(at, len(text))].endswith(found.fragment)


@given(st.text(alphabet=string.printable + "é😀\u00a0\ufeff", max_size=80), st.integers(0, 80))
def test_any_text_can_be_completed(text, at):
    found = complete_sql(text, min(at, len(text)), {"ewr": INVENTORY}, {})
    assert text[: min(at, len(text))].endswith(found.fragment)


@pytest.mark.parametrize("text", ["(" * 20_000, "select " + "(select " * 2_000, "a." * 20_000])
def test_deep_nesting_ends(text):
    assert complete_sql(text, len(text), {"ewr": INVENTORY}, {}) is not None
    closed = text + ")" * text.count("(")
    assert complete_sql(closed, len(text), {"ewr": INVENTORY}, {}) is not None
