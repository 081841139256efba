"""`%%pg … --dask` in a notebook: planned at once, counted in the line over it, computed later."""

import pytest

from tests.kernels import Activity, Kernel

TABLE = "create table t as select n, n % 3 as k from generate_series(1, 1000) n; analyze t"


@pytest.fixture
def table(kernel: Kernel):
    for name in ("a", "b"):
        kernel.run(f"%pg {name} --write {TABLE}").ok()
    yield
    for name in ("a", "b"):
        kernel.run(f"%pg {name} --write drop table t").ok()


@pytest.mark.timeout(120)
def test_a_cell_gives_a_lazy_frame(kernel: Kernel, activity: Activity, table: None) -> None:
    reply = kernel.run("%%pg a b --dask --by n --partitions 4\nlazy << select * from t").ok()
    assert "a, b 4 partitions" in str(reply)
    assert "read only" in str(reply)
    assert kernel.value("type(lazy).__module__").startswith("dask.dataframe")
    kernel.run("import pgmagic.dask").ok()
    where = "pgmagic.dask.partitions(lazy)[['database', 'rows']].values.tolist()"
    assert [row[0] for row in kernel.value(where)] == ["a", "b"] * 4
    # Nothing blocks: a computation of threads, in a cell, while the kernel's own pools exist.
    assert kernel.value("int(lazy.groupby('k')['n'].sum().compute().sum())") == 2 * 500_500


@pytest.mark.timeout(120)
def test_unloading_closes_what_threads_have_read_with(
    kernel: Kernel, activity: Activity, table: None
) -> None:
    kernel.run("lazy = %pg a --dask select n from t").ok()
    assert kernel.value("len(lazy)") == 1000
    assert activity.pids("idle")
    kernel.run("%unload_ext pgmagic").ok()
    activity.until_gone()
    kernel.run("%load_ext pgmagic").ok()
    assert kernel.value("len(lazy)") == 1000  # it knows where it is from by name


def test_without_dask_there_is_one_clear_error(kernel: Kernel) -> None:
    kernel.run("import sys; hidden = sys.modules.pop('dask', None); sys.modules['dask'] = None")
    kernel.run("gone = sys.modules.pop('pgmagic.dask.collection', None)").ok()
    try:
        reply = kernel.run("%%pg a --dask\nselect 1 as n").failed("CellError")
        assert "--dask needs the package dask" in reply.traceback
        assert "pip install 'pgmagic[dask]'" in reply.traceback
    finally:
        kernel.run("del sys.modules['dask']; hidden and sys.modules.update(dask=hidden)").ok()


def test_dtypes_of_arrow_are_refused(kernel):
    assert "--dtypes numpy" in kernel.run("%%pg --dask --dtypes arrow a\nselect 1 as x").traceback
