"""The line of a `%%pg` cell and of a `%pg` magic."""

from dataclasses import fields

import pytest

from pgmagic.errors import CellError, MissingVariable
from pgmagic.language.line import read_cell, read_line, read_words
from pgmagic.language.options import OPTIONS, Option, Options
from pgmagic.notebook.help import WRITE

NAMES = {"ewr": 1, "jfk": 2, "lga": 3, "shard_01": 4}
STOP = Option("--stop", "stop", "stop")


def test_cell_takes_targets_and_options_in_any_order():
    cell = read_cell("ewr --timeout 10 jfk --into delays lga", "select 1\n", {})
    assert cell.targets == ("ewr", "jfk", "lga")
    assert cell.options == Options(timeout=10.0, into="delays")
    assert (cell.into, cell.show, cell.sql) == ("delays", True, "select 1\n")


def test_option_values_follow_an_equals_sign_or_a_blank():
    assert read_cell("--tag=airport", "x", {}).options.tag == "airport"
    assert read_cell("--tag 'from where'", "x", {}).options.tag == "from where"
    assert read_cell("--limit 1_000", "x", {}).options.limit == 1000


@pytest.mark.parametrize(
    ("line", "targets", "sql"),
    [
        ("jfk select count(*) from flights", ("jfk",), "select count(*) from flights"),
        ("select 1", (), "select 1"),
        ("ewr jfk with a as (select 1) table a", ("ewr", "jfk"), "with a as (select 1) table a"),
        ("shard_* select '  it''s  ' ", ("shard_*",), "select '  it''s  ' "),
        ("@all (select 1)", ("@all",), "(select 1)"),
        ("jfk \\d flights", ("jfk",), "\\d flights"),
        ("jfk -- a comment", ("jfk",), "-- a comment"),
        ("jfk /* c */ select 1", ("jfk",), "/* c */ select 1"),
        ("jfk select $$a$$, '{1,2}'::int[], {x}", ("jfk",), "select $$a$$, '{1,2}'::int[], {x}"),
        ("jfk select*from flights", ("jfk",), "select*from flights"),
        ("jfk --limit 3 values(1),(2)", ("jfk",), "values(1),(2)"),
        ("jfk select 1 --limit 3", ("jfk",), "select 1 --limit 3"),
    ],
)
def test_sql_begins_at_the_first_command_word(line, targets, sql):
    cell = read_line(line, NAMES, {})
    assert (cell.targets, cell.sql) == (targets, sql)


def test_misspelt_target_on_a_line_is_a_target_and_no_sql():
    assert read_line("jkf select 1", NAMES, {}).targets == ("jkf",)


def test_targets_can_come_from_a_variable():
    names = {"airports": ["ewr", "jfk"], "one": "lga", "n": 3}
    assert read_line("{airports} {one} select 1", NAMES, names).targets == ("ewr", "jfk", "lga")
    with pytest.raises(CellError, match="n names no target: it is a int"):
        read_cell("{n}", "select 1", names)
    with pytest.raises(MissingVariable, match="did you mean airports"):
        read_cell("{airport}", "select 1", names)


@pytest.mark.parametrize("spacing", ["<<", " << ", "  <<\n", " <<  \t"])
def test_assignment_stores_without_showing(spacing):
    cell = read_cell("ewr", f"late{spacing}select 1 << 4", {})
    assert (cell.into, cell.show) == ("late", False)
    assert cell.sql.strip() == "select 1 << 4"


def test_shift_operator_is_no_assignment():
    cell = read_cell("ewr", "select 1 << 4", {})
    assert (cell.into, cell.sql) == (None, "select 1 << 4")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--limt 3", r"no option --limt; did you mean --limit\?"),
        ("--limit three", "--limit takes a whole number of rows, not 'three'"),
        ("--limit", "--limit needs a value"),
        ("--limit --write", "--limit needs a value"),
        ("--timeout 0", "--timeout takes a number of seconds above 0"),
        ("--timeout nan", "--timeout takes a number of seconds above 0"),
        ("--into 1x", "--into takes a Python name"),
        ("--into class", "--into takes a Python name"),
        ("--as panda", r"pandas or arrow or polars, not 'panda'; did you mean pandas\?"),
        ("--write=yes", "--write takes no value"),
        ("--write --write", "--write is given twice"),
        ("ewr, jfk", "'ewr,' on the %%pg line is not a database"),
        ("ewr select(1)", "is not a database"),
    ],
)
def test_bad_line_is_one_clear_error(line, message):
    with pytest.raises(CellError, match=message):
        read_cell(line, "select 1", {})


def test_two_ways_to_store_are_one_too_many():
    with pytest.raises(CellError, match="keep one of them"):
        read_cell("--into a", "b << select 1", {})


def test_every_option_has_its_field():
    assert {option.field for option in OPTIONS} == {field.name for field in fields(Options)}


def test_a_comment_ends_a_line_of_words():
    assert read_words("jfk 'l#a' --stop  # --for nobody", "%m", [STOP]) == (
        ("jfk", "l#a"),
        {"stop": True},
    )


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Folded", "Folded"),
        ('"MixedCase"', '"MixedCase"'),
        ('"a.b"', '"a.b"'),
        ('schema."Odd Table"', 'schema."Odd Table"'),
        ('"S x"."with ""quotes"""', '"S x"."with ""quotes"""'),
        ("""'"Odd Table"'""", '"Odd Table"'),
        ("'plain'", "plain"),
    ],
)
@pytest.mark.parametrize("between", [" ", "="])
def test_double_quotes_in_the_name_of_a_table_are_those_of_sql(text, name, between):
    words, given = read_words(f"frame --table{between}{text} a", "%pg_write", WRITE)
    assert (words, given) == (("frame", "a"), {"table": name})
