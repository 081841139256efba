"""%pg_snapshot in a notebook: held, shown, refused, ended, and never left behind."""

import os
import signal

import pytest

IDLE = "idle in transaction"


@pytest.fixture
def table(own_kernel):
    own_kernel.run("%pg a b --write create table t as select 1 as n").ok()
    return own_kernel


def rows(kernel, target="a b"):
    kernel.run(f"found = %pg {target} select count(*)::int as n from t").ok()
    return kernel.value("found['n'].tolist()")


def test_cells_read_what_was_until_it_is_ended(table, database, own_activity):
    said = table.run("%pg_snapshot a b --for 60").ok()
    assert said.shown == (
        "a, b: cells read the state of now, for 1 min 00 s at most; %pg_snapshot --end ends it",
    )
    table.run("import pgmagic; other = pgmagic.Client.from_config()").ok()
    table.run("await other.query('insert into t values (2)', on='a', write=True)").ok()
    assert rows(table) == [1, 1]
    assert "snapshot" in table.run("%pg_pools").shown[0]
    table.run("held = %pg_snapshot").ok()
    assert table.value("[*zip(held['database'], held['state'])]") == [("a", "held"), ("b", "held")]
    assert table.value("(held['ends'] - held['taken']).dt.total_seconds().round().tolist()") == [
        60.0,
        60.0,
    ]
    refused = table.run("%pg a --write insert into t values (3)")
    assert "a is held at a snapshot" in refused.traceback
    assert "%pg_snapshot --end a comes first" in refused.traceback
    assert table.run("%pg_snapshot --end a").shown == ("a: read as of now again",)
    assert rows(table) == [2, 1]
    assert table.run("%pg_snapshot --end").shown == ("b: read as of now again",)
    assert table.run("%pg_snapshot").shown == ("no database is held at a snapshot",)
    table.run("await other.close()").ok()
    own_activity.until_gone(IDLE)


def test_time_that_is_over_stops_run_all(table, own_activity):
    table.run("%pg_snapshot a --for 0.2").ok()
    own_activity.until_gone(IDLE)
    over = table.run("%pg a select 1")
    assert over.ename == "SnapshotEnded"
    assert "when its time was over; nothing was read" in over.traceback
    assert "%pg_snapshot a takes a new one" in over.traceback
    assert "pgmagic/" not in over.traceback
    assert "its time is over" in table.run("%pg_pools").shown[0]


@pytest.mark.parametrize(
    "end", ["%unload_ext pgmagic", "%pg_close", "%pg_close a", "%pg_connect a host=/nowhere"]
)
def test_what_ends_the_pool_ends_the_snapshot(table, own_activity, end):
    table.run("%pg_snapshot a").ok()
    assert len(own_activity.pids(IDLE)) == 1
    table.run(end)
    own_activity.until_gone(IDLE)


def test_a_kernel_that_is_killed_leaves_no_keeper(table, own_activity):
    table.run("%pg_snapshot a b").ok()
    assert len(own_activity.pids(IDLE)) == 2
    os.kill(table.value("__import__('os').getpid()"), signal.SIGKILL)
    own_activity.until_gone(IDLE)


def test_what_makes_no_sense_is_said(table):
    for line in ("--for 10", "--end --for 10", "nosuch", "a --for never", "a --for 1e9"):
        refused = table.run(f"%pg_snapshot {line}")
        assert refused.ename in ("CellError", "UnknownDatabase"), line
    assert table.run("%pg_snapshot").shown == ("no database is held at a snapshot",)
