"""Statements for some rows and some columns of a cell, and where their errors point."""

import pytest

from pgmagic.language.division import divisible
from pgmagic.language.parts import part_of, with_columns
from pgmagic.language.statements import read

CELLS = [
    "select alpha, beta from tab",
    "  select alpha, {x} as beta from tab  -- the end\n where gamma = {y} and delta\n  ;",
    'SELECT "alpha" FROM sch."tab" AS x WHERE ( gamma is null )',
]
WORDS = ("alpha", "beta", "gamma", "delta", "sch", "tab", "null")


def statement_of(cell):
    [statement] = read(cell, {"x": 1, "y": 2}).statements
    return statement


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("columns", [None, ("c",), ()])
def test_every_word_of_the_cell_is_found_in_the_cell(cell, columns):
    statement = statement_of(cell)
    part = part_of(statement, divisible(statement), "p.ctid < '(7,0)'::tid")
    if columns is not None:
        part = with_columns(part, columns)
    for word in WORDS:
        if word in cell:
            assert part.locate(part.sql.rindex(word) + 1) == cell.index(word), word
    assert part.arguments == statement.arguments


def test_only_some_columns():
    statement = statement_of("select a, b from t -- c")
    for names, chosen in ((["b"], '"b"'), (['q"', "a"], '"q""", "a"'), ([], "true")):
        sql = with_columns(statement, names).sql
        assert sql == f"SELECT {chosen} FROM (select a, b from t -- c\n) AS t"
