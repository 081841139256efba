"""Which SELECTs can be cut into parts, as far as their text tells."""

import pytest

from pgmagic.errors import CellError
from pgmagic.language.division import divisible
from pgmagic.language.statements import read


def parsed(sql):
    [statement] = read(sql, {}).statements
    return divisible(statement)


@pytest.mark.parametrize(
    ("sql", "table", "qualifier", "part"),
    [
        ("select * from t", "t", "t", "select * from t\nWHERE p"),
        ("select a from only s.t as x", "s.t", "x", "select a from only s.t as x\nWHERE p"),
        (
            'select 1 FROM "A b" y where a',
            '"A b"',
            "y",
            'select 1 FROM "A b" y\nWHERE ( a\n) AND (p)',
        ),
        ("select (select 1 from u limit 1) from t -- x", "t", "t", None),
        ("select a is distinct from b from t", "t", "t", None),
        ("select 1 as from from t * where x in (select 1 order by 1)", "t", "t", None),
    ],
)
def test_one_table_and_a_condition(sql, table, qualifier, part):
    found = parsed(sql)
    assert (found.table, found.qualifier) == (table, qualifier)
    if part is not None:
        assert found.part("p") == part


@pytest.mark.parametrize(
    "sql",
    [
        "select 1",
        "select distinct a from t",
        "select * from t, u",
        "select * from t join u using (a)",
        "select * from t natural join u",
        "select * from t tablesample system (1)",
        "select * from t limit 5",
        "select * from t order by a",
        "select * from t where a group by b",
        "select * from t where a for update",
        "select * from t where a union select * from u",
        "select * from f(1)",
        "select * from (select 1) as x",
        "select * from t x (a, b)",
        "with w as (select 1) select * from w",
        "(select * from t)",
        "values (1)",
        "table t",
    ],
)
def test_all_else_is_refused_at_its_place(sql):
    with pytest.raises(CellError) as caught:
        parsed(sql)
    assert caught.value.cell == sql
    assert 0 <= caught.value.offset < len(sql)
