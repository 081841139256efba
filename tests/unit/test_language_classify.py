"""What the keywords of a statement say about it."""

import pytest

from pgmagic.language.classify import classify
from pgmagic.language.scanner import tokens
from pgmagic.language.statement import Kind


def kind(sql: str) -> Kind:
    return classify(sql, list(tokens(sql)))


@pytest.mark.parametrize(
    ("sql", "verb"),
    [
        ("SELECT 1", "select"),
        ("/* a */ -- b\n select 1", "select"),
        ("((values (1)))", "values"),
        ("table t", "table"),
        ("with a as (select 1) select 1", "select"),
        ("with a as (select 1) (select 1)", "select"),
        ("(with a as (select 1) select 1) union select 2", "select"),
        (
            "with a as materialized (delete from t returning *), b(c) as (select 1) insert into t",
            "insert",
        ),
        ("with update as (select 1), values as (select 2) delete from t", "delete"),
        (
            "with recursive a as (select 1) search depth first by b set c update t set d = 1",
            "update",
        ),
        ("with a as (select 1) cycle b set c using d merge into t", "merge"),
        ("with a as", "with"),
        ("with", "with"),
        ('"select" 1', ""),
        ("1", ""),
        ("(", ""),
        (")", ""),
        ("", ""),
        ("select\u00a01", "select\u00a01"),
    ],
)
def test_verbs(sql: str, verb: str) -> None:
    assert kind(sql).verb == verb


FLAGS = {
    "rows": [
        "select 1",
        "values (1)",
        "table t",
        "with a as (insert into t values (1) returning *) select * from a",
        "insert into t values (1) returning *",
        "update t set a = 1 where b returning a",
        "with a as (select 1) delete from t where b returning *",
        "merge into t using s on true when matched then delete returning *",
        "show all",
        "explain delete from t",
        "fetch all from c",
        "select 1 as into, a.into from t",
        "select (select 1 into x)",
    ],
    "copyable": ["select 1", "(select 1)", "values (1)", "delete from t where a returning *"],
    "copy_in": ["copy t from stdin", "copy t(a, b) from stdout with (format csv)"],
    "copy_out": ["copy t to stdout", "copy (select 1) to stdin", "copy stdin to stdout"],
    "transaction": [
        "begin",
        "start transaction",
        "commit",
        "end",
        "abort",
        "rollback to a",
        "savepoint a",
        "release a",
        "prepare transaction 'a'",
        "commit and chain",
    ],
    "no_block": [
        "vacuum",
        "VACUUM (analyze) t",
        "create database a",
        "drop tablespace a",
        "alter system set a = 1",
        "alter database a set tablespace b",
        "discard all",
        "create index concurrently on t (a)",
        "drop index concurrently a",
        "create unique index concurrently a on t (b)",
        "reindex table concurrently t",
        "reindex (concurrently, verbose) table t",
        "reindex (verbose) database a",
        "reindex schema a",
        "reindex system a",
        "cluster",
        "cluster verbose",
        "alter table t detach partition p concurrently",
        "commit prepared 'a'",
        "rollback prepared 'a'",
        "create subscription a connection 'b' publication c",
    ],
    "unconditional": [
        "delete from t",
        "update t set a = 1",
        "truncate t",
        "delete from t using (select 1 where true) s",
        "update t set a = (select 1 where true)",
        "with a as (select 1 where true) delete from t",
        "explain analyze delete from t",
        "with a as (delete from t returning *) select * from a where true",
        "with a as not materialized (update t set b = 1) select 1",
        "explain (analyze, buffers) update t set a = 1",
    ],
    "ordered": [
        "select 1 order by 1",
        "(select 1 order by 1)",
        "values (1) order by 1 limit 1",
        *(
            "with a as (select 1) select * from a order by 1",
            "(select 1) union (select 2) order by 1",
        ),
    ],
    "read": [
        "select f(1)",
        "values (1)",
        "table t",
        "show a",
        "explain delete from t",
        "with a as (select 1) select * from a",
        "select substring(a for 2) from t",
    ],
    "evades_read_only": [
        *(
            "vacuum t",
            "analyze",
            "cluster t",
            "reindex table t",
            "copy t to '/a'",
            "alter system reset all",
        ),
        *(
            "copy t to program 'a'",
            "begin",
            "begin read write",
            "commit",
            "set transaction read write",
        ),
        "set session characteristics as transaction read write",
        "reset all",
        "discard all",
        "set default_transaction_read_only = off",
        "set local transaction_read_only = off",
        *(
            'set "transaction_read_only" to off',
            "set session transaction_read_only = 0",
            "notify a",
        ),
        "prepare transaction 'a'",
        "load 'a'",
        'set local "default_transaction_read_only" = 0',
    ],
    "session_state": [
        "set a = 1",
        "set session a = 1",
        "reset a",
        "prepare p as select 1",
        "listen a",
        "unlisten *",
        "create temp table t (a int)",
        "create temporary view v as select 1",
        "create or replace local temporary view v as select 1",
        "select 1 into temp t",
        "declare c cursor with hold for select 1",
        "select set_config('a', 'b', false)",
        "select pg_advisory_lock(1)",
        "load 'a'",
        "discard temp",
        "deallocate p",
    ],
    "ask": ["execute p(1)", "call f()"],
}
WITHOUT = {
    "rows": [
        "select 1 into t",
        "insert into t values (1)",
        "create table t as select 1",
        "call f()",
        *(
            "copy (select 1) to stdout",
            "declare c cursor for select 1",
            "with a as (select 1) delete from t",
        ),
        "update t set a = (select 1) where b",
        "move c",
        "",
        "do 'select 1'",
    ],
    "copyable": ["show a", "explain select 1", "execute p", "select 1 into t", "insert into t"],
    "copy_in": ["copy t from '/a'", "copy (select 1) to stdout", "copy stdin from 'a'"],
    "copy_out": ["copy t to 'stdout'", "copy t from stdin"],
    "transaction": [
        "commit prepared 'a'",
        "prepare p as select 1",
        "select begin from t",
        "end_it",
    ],
    "no_block": [
        "refresh materialized view concurrently v",
        "cluster t",
        "cluster verbose t",
        "analyze",
        "reindex table t",
        "reindex (verbose) index a",
        "alter database a rename to b",
        "create table concurrently_t (a int)",
        "select concurrently from t",
        "discard temp",
        "create table database (a int)",
        "cluster t using a",
    ],
    "unconditional": [
        "delete from t where a",
        "update t set a = 1 where current of c",
        "select delete from t",
        "insert into t values (1) on conflict do update set a = 1",
        "explain delete from t",
        "merge into t using s on a when matched then delete",
        "select 1 for update",
        *(
            "with a as (delete from t where b returning *) select * from a",
            "create rule r as on update to t do nothing",
        ),
        *(
            "grant update on t to u",
            "revoke delete on t from u",
            "with a as (select 1) delete from t where true",
        ),
    ],
    "ordered": [
        *(
            "select 1",
            "select * from (select 1 order by 1) s",
            "select sum(a) over (order by b) from t",
        ),
        *(
            "select array_agg(a order by b) from t",
            "with a as (select 1 order by 1) select * from a",
        ),
        *(
            "(select 1 order by 1) union (select 2 order by 1)",
            "create view v as select 1 order by 1",
        ),
    ],
    "read": [
        *(
            "select 1 into t",
            "select 1 for update",
            "select 1 for no key update",
            "explain analyze select 1",
        ),
        "with a as (delete from t returning *) select * from a",
        "(select 1 for share)",
        "insert into t values (1)",
        "call f()",
        "execute p",
        "begin",
        "set a = 1",
        "",
        "do ''",
        "fetch 1 from c",
        "copy t to stdout",
    ],
    "evades_read_only": [
        *(
            "select 1",
            "set search_path = a",
            "set local work_mem = 1",
            "reset a",
            "copy t to stdout",
        ),
        *(
            "insert into t values (1)",
            "prepare p as select 1",
            "explain select 1",
            "copy t from '/a'",
        ),
    ],
    "session_state": [
        *(
            "set local a = 1",
            "set constraints all deferred",
            "set transaction read only",
            "select 1",
        ),
        *(
            "prepare transaction 'a'",
            "create table temp_t (a int)",
            "declare c cursor for select 1",
        ),
        "select pg_advisory_xact_lock(1)",
        "create table t (temp int)",
    ],
    "ask": ["select 1"],
}


@pytest.mark.parametrize(("flag", "sql"), [(f, sql) for f, many in FLAGS.items() for sql in many])
def test_with(flag: str, sql: str) -> None:
    assert getattr(kind(sql), flag) is True


@pytest.mark.parametrize(("flag", "sql"), [(f, sql) for f, many in WITHOUT.items() for sql in many])
def test_without(flag: str, sql: str) -> None:
    assert getattr(kind(sql), flag) is False
