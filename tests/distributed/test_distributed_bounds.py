"""However many workers there are, each database has no more connections than was said."""

import asyncio
import threading

import asyncpg
import pytest

import pgmagic.dask

# 2,100 rows of each database, two milliseconds for each: long enough to be looked at.
SLOW = "select l_orderkey, pg_sleep(0.002)::text as slept from lineitem where l_linenumber = 7"


class Watcher:
    """Counts the connections of pgmagic to some databases, over and over, in a thread.

    It begins when there is none: workers close what they don't use.
    """

    def __init__(self, addresses):
        self.most = dict.fromkeys(addresses, 0)
        self.looks = 0
        self._addresses = addresses
        self._begun, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._watch()))

    def __enter__(self):
        self._thread.start()
        assert self._begun.wait(20), "connections stay open that nobody uses"
        return self

    def __exit__(self, *error):
        self._stop.set()
        self._thread.join()

    async def _watch(self):
        watching = {
            name: await asyncpg.connect(dsn, server_settings={"application_name": "watcher"})
            for name, dsn in self._addresses.items()
        }
        counts = {}
        while not self._stop.is_set():
            for name, connection in watching.items():
                counts[name] = await connection.fetchval(
                    "select count(*) from pg_stat_activity where datname = current_database()"
                    " and application_name <> 'watcher' and backend_type = 'client backend'"
                )
            if self._begun.is_set():
                self.looks += 1
                self.most = {name: max(self.most[name], count) for name, count in counts.items()}
            elif not any(counts.values()):
                self._begun.set()
        for connection in watching.values():
            await connection.close()


@pytest.mark.parametrize("most", [1, 2])
def test_connections_are_bounded_across_all_workers(cluster, addresses, tpch, most):
    frame = pgmagic.dask.read(SLOW, on="@tpch", partitions=8, max_connections_per_database=most)
    pgmagic.dask.close()  # what asked for the plan; the rest belongs to the workers
    with Watcher(addresses) as watcher:
        found = frame["l_orderkey"].count().compute()
        slept = frame["slept"].count().compute()
    expected = (tpch["lineitem"]["l_linenumber"] == 7).sum()
    assert found == slept == expected
    assert watcher.looks > 50
    assert watcher.most == dict.fromkeys(addresses, most)
