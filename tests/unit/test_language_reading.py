"""A cell is read into statements with values, or refused at the character that is wrong."""

import re
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgmagic.errors import CellError, MissingVariable
from pgmagic.language.casts import recast
from pgmagic.language.parameters import is_path
from pgmagic.language.scanner import tokens
from pgmagic.language.statement import Statement
from pgmagic.language.statements import Reading, read, read_each


def one(cell: str, /, **namespace: object) -> Statement:
    (statement,) = read(cell, namespace).statements
    return statement


def refused(cell: str, /, **namespace: object) -> CellError:
    with pytest.raises(CellError) as caught:
        read(cell, namespace)
    assert caught.value.cell == cell
    return caught.value


class Row(NamedTuple):
    attr: object


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name", 5),
        ("row.attr", 5),
        ("row.attr.attr", 5),
        ("d['key']", 5),
        ('d["a key; with ]"]', 5),
        ("seq[0]", 5),
        ("seq[-1][1]", 5),
        ("d['nested'].attr", 5),
        ("array[1]", 5),
        ("array[0]", 4),
        ("frame['column'][0]", 5),
        ("frame.column[0]", 5),
        ("series['label']", 5),
        ("ärger", 5),
        ("_private", 5),
    ],
)
def test_paths_lead_to_values(path: str, value: object) -> None:
    namespace: dict[str, Any] = {
        "name": 5,
        "row": SimpleNamespace(attr=Row(5)) if path.count("attr") > 1 else Row(5),
        "d": {"key": 5, "a key; with ]": 5, "nested": Row(5)},
        "seq": [5, (4, 5)],
        "array": np.array([4, 5]),
        "frame": pd.DataFrame({"column": [5]}),
        "series": pd.Series([5], index=["label"]),
        "ärger": 5,
        "_private": 5,
    }
    statement = one(f"select {{{path}}}", **namespace)
    assert (statement.sql, statement.arguments, statement.parameters) == (
        "select $1",
        (value,),
        (path,),
    )
    assert type(statement.arguments[0]) is int


def test_one_number_for_one_path_in_each_statement() -> None:
    first, second = read(
        "select {d['a']}, {x}, {d[\"a\"]}, {x}; select {x}", {"x": 1, "d": {"a": 2}}
    ).statements
    assert (first.sql, first.arguments) == ("select $1, $2, $1, $2", (2, 1))
    assert (second.sql, second.arguments) == ("select $1", (1,))


@pytest.mark.parametrize("value", [None, [], [None], [[], [None]]])
def test_what_has_no_type_gets_a_number_in_each_place_where_one_will_not_do(value: object) -> None:
    statement = one("select {x}, {y}, i = {x}, {y}", x=value, y=5)
    assert (statement.sql, statement.arguments) == ("select $1, $2, i = $1, $2", (value, 5))
    apart = recast(statement, "could not determine data type of parameter $1")
    assert apart is not None
    assert (apart.sql, apart.arguments) == ("select $1, $2, i = $3, $2", (value, 5, value))
    assert apart.parameters == ("x", "y", "x")
    assert [apart.placeholder(number).offset for number in (1, 2, 3)] == [7, 12, 21]
    assert apart.locate(apart.sql.index("i = ") + 1) == statement.cell.index("i = ")


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("frame", True),
        ("frames['a:b'][0].x", True),
        ("frame:i", False),
        ("frame.head()", False),
        ("", False),
    ],
)
def test_a_path_is_what_a_placeholder_may_hold(text: str, is_one: bool) -> None:
    assert is_path(text) == is_one


def test_nothing_but_placeholders_is_touched() -> None:
    cell = (
        "select '{x}', E'\\'{x}', \"{x}\", $${x}$$, /* {x} */ a->>'{b}', :x, ::x, ?, %(x)s, @x,\r\n"
        "\t'{1,2}'::int[] -- {x}"
    )
    assert one(cell, x=5).sql == cell
    assert one("select (a)-[b]->{1,3}(c) {,2} { 1 }").sql == "select (a)-[b]->{1,3}(c) {,2} { 1 }"


@pytest.mark.parametrize(
    ("cell", "sql"),
    [
        ("select a like{x}and b", "select a like $1 and b"),
        ("select {x}{x}", "select $1 $1"),
        ("select a={x}-1", "select a=$1-1"),
        ("select ({x}),{x}::int", "select ($1),$1::int"),
        ("select {n:l}", "select -5"),
        ("select 1-{n:l}", "select 1- -5"),
        ("select a @{n:l}", "select a @ -5"),
        ("select '\\' || {s:l}", "select '\\' || E'o''x\\\\y'"),
        ("select e{s:l}", "select e E'o''x\\\\y'"),
        ("select u&{i:i}", 'select u& "a""b"'),
        ('select "a"{i:i}"b"', 'select "a" "a""b" "b"'),
        ("select {t:i}.{i:i}", 'select "s"."t"."a""b"'),
        ("{i:i}", '"a""b"'),
    ],
)
def test_what_replaces_a_placeholder_does_not_grow_together(cell: str, sql: str) -> None:
    assert one(cell, x=1, n=-5, s="o'x\\y", i='a"b', t=("s", "t")).sql == sql


@pytest.mark.parametrize(
    "written",
    ["{}", "{ x }", "{x!r}", "{x:d}", "{x+1}", "{{x}}", "{x.}", "{x[y]}", "{x", "{'a': 1}"],
)
def test_other_braces_are_refused_where_they_stand(written: str) -> None:
    error = refused(f"select 1,\n  {written}", x=1)
    assert error.offset == 12
    assert "{name}" in str(error.hint)


def test_a_missing_variable_says_what_is_near() -> None:
    error = refused("select {carier}", carrier="AA", _carrier=1)
    assert isinstance(error, MissingVariable)
    assert (error.offset, "carrier" in error.message) == (7, True)
    assert isinstance(refused("select {missing:i}"), MissingVariable)


class Trap:
    @property
    def secret(self) -> str:
        raise RuntimeError("hunter2")

    def __getitem__(self, key: object) -> object:
        raise ZeroDivisionError("hunter2")

    def __dir__(self) -> list[str]:
        raise RuntimeError("hunter2")


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("row.atr", "row has no attribute atr; did you mean attr?"),
        ("row.attr.x", "row.attr has no attribute x"),
        ("d['kee']", "d has no item ['kee']; did you mean key?"),
        ("d.key", "d has no attribute key; write ['key'] for the key"),
        ("seq[7]", "seq has no item [7]"),
        ("seq['a']", "seq has no item ['a']"),
        ("row.attr[0]", "row.attr has no item [0]"),
        ("trap.secret", "trap has no attribute secret: it raised RuntimeError"),
        ("trap[0]", "trap has no item [0]: it raised ZeroDivisionError"),
        ("trap.other", "trap has no attribute other"),
        ("None", "None is a word of Python's own, not a variable"),
    ],
)
def test_the_step_that_fails_is_named(path: str, says: str) -> None:
    error = refused(
        f"select {{{path}}}", row=Row(5), d={"key": 1}, seq=[1], trap=Trap(), hunter2="hunter2"
    )
    assert (error.message, error.offset) == (says, 7)
    assert error.__cause__ is None


@pytest.mark.parametrize(
    "value",
    [
        *(object(), 1j, int, (i for i in "ab"), "a\0b", "\ud800", {1: 2}, Trap(), np),
        *(pd.DataFrame({"a": [1]}), pd.Period("2024"), pd.Timestamp(1), np.datetime64(1, "ns")),
    ],
)
def test_values_that_postgresql_lacks_are_refused(value: object) -> None:
    error = refused("select {value}", value=value)
    assert error.offset == 7
    assert error.message.startswith("{value}: ")


def test_what_holds_itself_is_refused() -> None:
    endless: list[object] = []
    endless += [endless, endless]
    assert "itself" in refused("select {value}", value=endless).message


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("select {v:i}", ""),
        ("select {v:i}", ()),
        ("select {v:i}", 5),
        ("select {v:i}", "é" * 32),
        ("select {v:i}", "a\0"),
        ("select {v:l}", "a\0"),
        ("select {v:l}", {"a": float("inf")}),
        ("select {v:l}", object()),
    ],
)
def test_names_and_literals_that_would_mean_something_else_are_refused(
    cell: str, value: object
) -> None:
    assert refused(cell, v=value).offset == 7


def test_values_do_not_show() -> None:
    statement = one("select {password}", password="hunter2")
    assert "hunter2" not in repr(statement)
    assert "hunter2" not in repr(read("select {password}", {"password": "hunter2"}))


def test_handwritten_parameters() -> None:
    assert one("prepare p as select $1").arguments == ()
    assert one("create function f(int) returns int return $1").sql.endswith("$1")
    assert refused("select a, $1").offset == 10
    assert refused("select {x}, $1", x=1).offset == 12


@pytest.mark.parametrize(
    "cell",
    ["alter role r password {x}", "notify a, {x}", "set a = {x}", "copy (select {x}) to stdout"],
)
def test_statements_without_parameters_say_so_and_take_literals(cell: str) -> None:
    error = refused(cell, x="v")
    assert (error.offset, "{x:l}" in str(error.hint)) == (cell.index("{"), True)
    assert "'v'" in one(cell.replace("{x}", "{x:l}"), x="v").sql


# -- positions


@given(
    st.lists(
        st.sampled_from(
            ["select ", "{x}", "{d['k']}", "{n:i}", "{n:l}", "😀日", "\r\n", "\t", ", "]
        ),
        min_size=1,
    ).map("".join)
)
def test_every_position_leads_back_to_its_character(cell: str) -> None:
    for statement in read(cell, {"x": 1, "d": {"k": 2}, "n": "na😀'me"}).statements:
        copied = re.compile(r"\{[^}]*\}")
        inside = {i for found in copied.finditer(cell) for i in range(*found.span())}
        for position in range(1, len(statement.sql) + 1):
            offset = statement.locate(position)
            if offset in inside:
                assert cell[offset] == "{"
            else:
                assert cell[offset] == statement.sql[position - 1]


def test_positions_beyond_the_text_are_its_ends() -> None:
    statement = one("  select 1  ")
    assert (statement.locate(0), statement.locate(1), statement.locate(10**9)) == (2, 2, 10)


# -- several statements, and the syntax of strings


def test_reading_stops_where_the_string_syntax_changes() -> None:
    set_ = "select set_config('standard_conforming_strings', 'off', false)"
    cell = f"select 1; {set_};\nselect 'a\\'b;{{x}}'; select {{x}}"
    reading = read(cell, {"x": 5})
    assert [s.sql for s in reading.statements][1:] == [set_]
    assert reading.rest is not None
    rest = read_each(cell, {"x": 5}, standard_strings=lambda: False, start=reading.rest)
    assert [s.sql for s in rest] == ["select 'a\\'b;{x}'", "select $1"]


@pytest.mark.parametrize(
    "cell",
    [
        "set standard_conforming_strings from current; select 1",
        "select set_config('STANDARD_CONFORMING_STRINGS', 'off', false); select 1",
        'reset "standard_conforming_strings"; select 1',
    ],
)
def test_every_way_to_change_the_string_syntax_is_seen(cell: str) -> None:
    assert len(read(cell, {}).statements) == 1


@pytest.mark.parametrize("value", ["off", "'OFF'", "false", "0", "no"])
def test_a_setting_that_can_be_read_is_followed(value: str) -> None:
    cell = f"select 1; set local standard_conforming_strings to {value};\nselect 'a\\'b;{{x}}'; "
    cell += "SET standard_conforming_strings = on; select 'c\\'; select {x}"
    reading = read(cell, {"x": 5})
    assert reading.rest is None
    assert [s.sql for s in reading.statements][2::2] == ["select 'a\\'b;{x}'", "select 'c\\'"]
    assert reading.statements[-1].sql == "select $1"


def test_a_setting_at_the_end_leaves_no_rest() -> None:
    assert read("set standard_conforming_strings = off;", {}).rest is None
    assert read("show standard_conforming_strings; select 1", {}).rest is None


def test_statements_are_read_when_asked_for() -> None:
    asked = []

    def standard() -> bool:
        asked.append(None)
        return True

    statements = read_each("select 1; select 2; \\q", {}, standard_strings=standard)
    assert asked == []
    assert next(statements).sql == "select 1"
    assert len(asked) == 1
    assert next(statements).sql == "select 2"
    with pytest.raises(CellError):
        next(statements)


# -- cautions


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("select 1\nwhere a like '%{x}%'", "line 2: {x} in quotes stays as it is"),
        ("select '{x:i}'", "{x:i} in quotes"),
        ("do $$ begin perform {x}; end $$", "current_setting('my.value')"),
        ("select * from t order by {x}", "ORDER BY {x} takes the value"),
        ("select * from t group  by {x}", "GROUP BY {x} takes the value"),
        ("select * from t where a in ({ids})", "write = any({ids})"),
        ("select * from t where a not in ({ids})", "write <> all({ids})"),
        ("select a\u00a0from t", "NO-BREAK SPACE"),
        ("select a\u200bfrom t", "ZERO WIDTH SPACE"),
    ],
)
def test_what_is_hardly_meant_is_said(cell: str, says: str) -> None:
    (warning,) = read(cell, {"x": "a", "ids": [1, 2]}).warnings
    assert says in warning


@pytest.mark.parametrize(
    "cell",
    [
        "select '{y}', '{1,2}', '{\"a\": 1}', '{x!r}' -- {x}",
        "select * from t order by {x:i}, a + {x}",
        "select * from t where a in ({x}, {x}) and b = any({ids})",
        "select 'a\u00a0b', \"a\u00a0b\", ä, 日本",
    ],
)
def test_what_is_meant_is_not_spoken_of(cell: str) -> None:
    assert read(cell, {"x": "a", "ids": [1, 2]}).warnings == ()


# -- commands of psql


@pytest.mark.parametrize(
    ("cell", "hint"),
    [
        ("\\copy t from 'a.csv'", "COPY"),
        ("\\i setup.sql", "open(path)"),
        ("\\ir setup.sql", "open(path)"),
        ("\\c other", "%%pg name"),
        ("\\connect other", "%%pg name"),
        ("\\timing", "how long"),
        ("select 1 \\gset", "row = %pg"),
        ("\\x", ".T"),
        ("\\q", "%pg_close"),
        ("\\! ls", "!command"),
        ("select 1 \\; select 2", ";"),
        ("select 1;\n\\d t", "%pg \\d"),
        ("\\nonsense", "\\dt"),
        ("\\", "\\dt"),
        ("select 1 \\", "\\dt"),
    ],
)
def test_commands_of_psql_say_what_to_use_here(cell: str, hint: str) -> None:
    error = refused(cell)
    assert error.offset == cell.index("\\")
    assert "psql" in error.message
    assert hint in str(error.hint)


@pytest.mark.parametrize("cell", ["\\d", " \\d+ ;", "\\dt s.*", '\\d "A b"."c;"', "\\dfS+ a*\n"])
def test_describing_commands_are_queries(cell: str) -> None:
    statement = one(cell)
    assert statement.kind.rows
    assert statement.kind.read
    assert statement.kind.ordered
    assert statement.locate(50) == cell.index("\\")


@pytest.mark.parametrize(
    ("cell", "offset"),
    [
        ("\\d a b", 5),
        ("\\d a.b.c", 3),
        ('\\d "a', 3),
        ("\\d a\nselect 1", 5),
        ("\\d\n\nselect 1", 4),
    ],
)
def test_what_follows_a_describing_command_is_checked(cell: str, offset: int) -> None:
    assert refused(cell).offset == offset


@pytest.mark.parametrize(
    ("pattern", "name", "schema"),
    [
        ("Flights", "^(flights)$", None),
        ('"Flights"', "^(Flights)$", None),
        ("f*", "^(f.*)$", None),
        ("f?", "^(f.)$", None),
        ("*.x", "^(x)$", "^(.*)$"),
        ("s.", None, "^(s)$"),
        ('"a.b".c', "^(c)$", "^(a\\.b)$"),
        ('"a""b*"', '^(a"b\\*)$', None),
        ("a$b", "^(a\\$b)$", None),
        ("[ab]|c", "^([ab]|c)$", None),
    ],
)
def test_patterns_are_psqls(pattern: str, name: str | None, schema: str | None) -> None:
    assert one(f"\\dt {pattern}").arguments == (name, schema)


# -- any text

NASTY = st.lists(
    st.sampled_from(list("'\"$\\{}[]();:-/*\n\r\t eEuU&bxn1.a_=é😀\0\ud800"))
    | st.sampled_from(["select", "begin", "atomic", "create", "function", "{x}", "{x:i}", "\\d"])
    | st.characters()
).map("".join)


@given(NASTY, st.booleans())
def test_any_text_is_read_or_refused(cell: str, standard: bool) -> None:
    try:
        reading: Reading | CellError = read(cell, {"x": "v"}, standard_strings=standard)
    except CellError as error:
        reading = error
    if isinstance(reading, CellError):
        assert reading.offset is not None
        assert 0 <= reading.offset <= len(cell)
        assert reading.report()


@given(NASTY, st.booleans())
def test_tokens_end_to_end_are_the_text(text: str, standard: bool) -> None:
    found = list(tokens(text, standard_strings=standard))
    assert "".join(text[token.start : token.stop] for token in found) == text
    assert all(token.start < token.stop for token in found)


@pytest.mark.parametrize(
    "cell",
    [
        "select '" + "{x}" * 100_000 + "'",
        "\n".join(["select '{x}'"] * 20_000),
        "select " + ",".join(f"{{ids[{n}]}}" for n in range(10_000)),
        "with " + "a as (delete from t " * 10_000,
    ],
    ids=["one string", "many strings", "many values", "deep"],
)
@pytest.mark.timeout(20)  # a fraction of a second; minutes, were it quadratic
def test_time_is_linear(cell: str) -> None:
    assert len(read(cell, {"x": "a", "ids": range(10_000)}).warnings) < 100
