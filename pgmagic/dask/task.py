"""What a worker does for one part."""

import sys
from collections.abc import Sequence
from typing import Any

from pgmagic.dask.home import Task, home
from pgmagic.dask.partition import Partition, Source
from pgmagic.errors import PgMagicError, ResultTooLarge
from pgmagic.language.parts import part_of, with_columns
from pgmagic.language.statement import Statement

__all__ = ["read_part"]


def read_part(partition: Partition, source: Source, columns: Sequence[str]) -> Any:
    """Read these columns of one part into a pandas DataFrame.

    Raises what a cell raises.
    """
    failed: PgMagicError
    try:
        result = home().read(partition, source, _statement(partition, source, columns), _task())
        assert result.table is not None
        rows, described = result.table.give_up(), result.columns
        if source.whole is not None and source.frame.selectable(columns) is not None:
            return source.frame.part(rows, described, partition.database, columns)
        return source.frame.part(rows, described, partition.database)[list(columns)]
    except PgMagicError as error:
        failed = error
    if isinstance(failed, ResultTooLarge):
        failed.hint = "smaller parts take less: more --partitions, or fewer columns"
    # It goes to another process with all that hangs on it: only its own words may.
    failed.__cause__ = failed.__context__ = failed.__traceback__ = None
    raise failed


def _statement(partition: Partition, source: Source, columns: Sequence[str]) -> Statement:
    """Write the statement of a part: its rows, and the columns that somebody wants."""
    if source.whole is None:
        return source.statement
    statement = source.statement
    if partition.predicate is not None:
        statement = part_of(statement, source.whole, partition.predicate)
    names = source.frame.selectable(columns)
    return statement if names is None else with_columns(statement, names)


def _task() -> Task:
    """Tell for whom this thread works."""
    if "distributed" not in sys.modules:
        return Task()
    from distributed import get_worker

    try:
        worker = get_worker()
    except ValueError:
        return Task()
    return Task(worker, worker.get_current_task())
