"""Results that outgrow one machine: lazy frames of Dask, whose workers read the databases.

    import pgmagic.dask

    flights = pgmagic.dask.read("select * from flights", on=["ewr", "jfk", "lga"], partitions=8)
    flights.groupby("carrier")["dep_delay"].mean().compute()

Needs `pip install 'pgmagic[dask]'`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from pgmagic.dask.home import close, home
from pgmagic.dask.lazy import lazy
from pgmagic.language.line import Cell
from pgmagic.language.options import Options
from pgmagic.language.plan import plan
from pgmagic.language.statements import read as read_statements

__all__ = ["close", "partitions", "read"]


def read(
    sql: str,
    *,
    on: str | Sequence[str] = (),
    values: Mapping[str, Any] | None = None,
    by: str | None = None,
    partitions: int | None = None,
    max_connections_per_database: int | None = None,
    **options: Any,
) -> Any:
    """Give a lazy `dask.dataframe` of what a statement gives on one database, or on several.

    The databases are those of this process's `pgmagic.toml`; `on` are targets as after `%%pg`,
    `values` what `{name}` stands for. The table of each database is cut into `partitions` parts,
    by its pages or by the values of the column `by`. `max_connections_per_database` counts those
    of all workers; without it they are as many as the pool of one may have. Further options are
    those of the cell: `tag`, `numeric`, `json`, `tz`, and `timeout`, in seconds for each part.

    Every database is asked for the columns, none is read. Raises what `Client.query` raises.
    """
    known = {field.name for field in fields(Options)}
    for name in options:
        if name not in known:
            raise TypeError(f"read() has no option {name!r}")
    cell = Cell(
        sql=sql,
        targets=(on,) if isinstance(on, str) else tuple(on),
        options=Options(
            dask=True,
            by=by,
            partitions=partitions,
            max_connections_per_database=max_connections_per_database,
            **options,
        ),
    )
    here = home()
    targets = here.pools.targets(cell.targets)
    reading = read_statements(sql, values or {})
    read_only = {name: here.pools.databases[name].read_only for name in targets}
    planned = plan(cell, reading.statements, targets, read_only, reading.warnings)
    return here.run(lazy(here.pools, planned)).value


def partitions(frame: Any) -> Any:
    """Show what a lazy frame, or anything made of it, will read: a line for each part.

    `rows` is about how many the planner expects in it, `where` the condition that cuts it out.
    """
    from pgmagic.dask.collection import parts_of

    return parts_of(frame)
