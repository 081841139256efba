"""What keywords say about a statement is what PostgreSQL's own grammar says.

postgast is PostgreSQL's parser. pgmagic itself does without it, because one mistake in one
statement would lose it the whole cell.
"""

import postgast
import pytest

from pgmagic.language.statements import read
from tests.corpus.cells import CELLS

QUERIES = {"select", "values", "table"}
STATEMENTS = [
    "select 1",
    "(select 1) union all (select 2) order by 1",
    "values (1), (2)",
    "table t",
    "with a as (select 1) select * from a",
    "with a as (select 1), b as (select 2) insert into t select * from a",
    "with a as (delete from t where b returning *) update u set n = 1 from a where u.n = a.n",
    "with recursive r(n) as (select 1) search depth first by n set o delete from t where b",
    "with a(x) as materialized (select 1) (select * from a)",
    "insert into t values (1) returning *",
    "update t set a = (select 1) where b = 2",
    "delete from t using u where t.a = u.a",
    "merge into t using u on t.a = u.a when matched then do nothing",
    "select 1 into t",
    "select a from t for update",
    "explain (analyze) insert into t values (1)",
    "copy t from stdin",
    "copy (select 1) to stdout",
    "begin isolation level serializable",
    "start transaction",
    "savepoint a",
    "release a",
    "rollback to a",
    "truncate t, u",
    "vacuum full t",
    "create index concurrently i on t (a)",
    "create table t as select 1",
    "call p(1)",
    "execute q(1)",
    "show all",
    "fetch 2 from c",
]  # fmt: skip
NODES = {
    "select": {"select_stmt"},
    "values": {"select_stmt"},
    "table": {"select_stmt"},
    "insert": {"insert_stmt"},
    "update": {"update_stmt"},
    "delete": {"delete_stmt"},
    "merge": {"merge_stmt"},
    "explain": {"explain_stmt"},
    "copy": {"copy_stmt"},
    "begin": {"transaction_stmt"},
    "start": {"transaction_stmt"},
    "savepoint": {"transaction_stmt"},
    "release": {"transaction_stmt"},
    "rollback": {"transaction_stmt"},
    "truncate": {"truncate_stmt"},
    "vacuum": {"vacuum_stmt"},
    "create": {"index_stmt", "create_table_as_stmt"},
    "call": {"call_stmt"},
    "execute": {"execute_stmt"},
    "show": {"variable_show_stmt"},
    "fetch": {"fetch_stmt"},
}


@pytest.mark.parametrize("sql", STATEMENTS)
def test_verb_and_nature_are_those_of_the_grammar(sql):
    (statement,) = read(sql, {}).statements
    (parsed,) = postgast.parse(sql).stmts
    node = parsed.stmt.WhichOneof("node")
    kind = statement.kind
    assert node in NODES[kind.verb]
    body = getattr(parsed.stmt, node)
    if node == "select_stmt":
        into = body.HasField("into_clause")
        assert kind.rows is kind.copyable is (not into)
        assert kind.read is (not into and not body.locking_clause)
    elif node in ("insert_stmt", "update_stmt", "delete_stmt", "merge_stmt"):
        assert kind.rows is bool(body.returning_clause.exprs)
        assert not kind.read
        if node in ("update_stmt", "delete_stmt"):
            assert kind.unconditional is (not body.HasField("where_clause"))
    elif node == "copy_stmt":
        assert kind.copy_in is body.is_from
        assert kind.copy_out is (not body.is_from)
    assert kind.transaction is (node == "transaction_stmt")


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_cells_are_cut_as_the_grammar_cuts_them(cell):
    """Where the grammar can read all of a cell; what it can't read, psql alone can cut."""
    try:
        parsed = postgast.parse(cell.text).stmts
    except postgast.PgQueryError:
        return
    assert len(parsed) == cell.statements
