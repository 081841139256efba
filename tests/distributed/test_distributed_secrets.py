"""No password and no DSN is in what travels, is shown, or is raised."""

import io
import logging
import pickle
import traceback
import urllib.request
from urllib.parse import quote, urlsplit

import cloudpickle
import pytest

import pgmagic.dask


@pytest.fixture
def secrets(addresses):
    """What must be nowhere: each password, and each place where a database is."""
    found = set()
    for dsn in addresses.values():
        login = urlsplit(dsn)
        found |= {dsn, login.password, login.query}
    assert all(found)
    return found


def held(secrets, text):
    if isinstance(text, bytes):
        return [secret for secret in secrets if secret.encode() in text]
    return [secret for secret in secrets if secret in text]


def test_the_graph_holds_names_only(cluster, secrets):
    frame = pgmagic.dask.read(
        "select * from lineitem where l_shipmode = {mode}",
        on="@tpch",
        values={"mode": "AIR"},
        partitions=2,
    )
    total = frame[["l_tax"]].sum()
    for thing in (frame, total, dict(total.optimize().__dask_graph__()), total.expr):
        pickled = cloudpickle.dumps(thing)
        assert b"north" in pickled
        assert not held(secrets, pickled)
        assert not held(secrets, repr(thing) + str(thing))
    assert not held(secrets, frame._repr_html_())


@pytest.mark.parametrize(
    ("name", "sql"), [("north", "select 1 / (l_linenumber - 3) as x from lineitem"), ("west", None)]
)
def test_an_exception_holds_none(cluster, secrets, addresses, name, sql):
    frame = pgmagic.dask.read(sql or "select pg_terminate_backend(pg_backend_pid())", on=name)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger("distributed").addHandler(handler)
    try:
        with pytest.raises(pgmagic.PgMagicError) as caught:
            frame.compute()
        logs = [cluster.get_worker_logs(), cluster.get_scheduler_logs()]
    finally:
        logging.getLogger("distributed").removeHandler(handler)
    error = caught.value
    said = [
        *error.report(),
        repr(error),
        "".join(traceback.format_exception(error)),
        stream.getvalue(),
        str(logs),
    ]
    assert not held(secrets, "\n".join(said))
    assert not held(secrets, pickle.dumps(error))
    assert error.__cause__ is None


def test_the_scheduler_and_its_pages_hold_none(cluster, secrets, tmp_path):
    frame = pgmagic.dask.read("select l_tax from lineitem", on="@tpch", partitions=2)
    kept = cluster.persist(frame)
    failing = cluster.compute(
        pgmagic.dask.read("select 1 / (l_linenumber - 3) as x from lineitem", on="north")
    )
    assert failing.exception() is not None
    cluster.dump_cluster_state(str(tmp_path / "state"), format="yaml")
    state = (tmp_path / "state.yaml").read_text()
    assert "pgmagic" in state
    assert not held(secrets, state)

    def port_and_key(dask_scheduler):
        keys = [key for key in dask_scheduler.tasks if "pgmagic" in str(key)]
        return dask_scheduler.http_server.port, keys[0]

    port, key = cluster.run_on_scheduler(port_and_key)
    for page in (
        "info/main/workers.html",
        "info/main/logs.html",
        "info/main/exceptions.html",
        f"info/task/{quote(str(key))}.html",
        "json/counts.json",
    ):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=10) as answer:
            assert not held(secrets, answer.read())
    del kept
