"""The collection of Dask over the parts, and the parts of a collection."""

from collections.abc import Iterator, Sequence
from typing import Any

import dask
import dask.dataframe

from pgmagic.columns import listing
from pgmagic.dask.partition import Partition, Source
from pgmagic.dask.task import read_part

__all__ = ["collection", "parts_of"]


def collection(parts: Sequence[Partition], source: Source) -> Any:
    """Make the lazy frame whose partitions are these parts."""
    # Text is text of pandas already; what else is of dtype object would be made text.
    with dask.config.set({"dataframe.convert-string": False}):
        return dask.dataframe.from_map(
            read_part, parts, args=[source], meta=source.frame.empty(), label="pgmagic"
        )


def parts_of(frame: Any) -> Any:
    """Give a DataFrame of the parts that a lazy frame, or what was made of it, reads."""
    rows = [
        {"partition": number, "database": part.database, "rows": part.rows, "where": part.predicate}
        for parts in _readings(frame.expr)
        for number, part in enumerate(parts)
    ]
    return listing(("partition", "database", "rows", "where"), rows)


def _readings(expression: Any) -> Iterator[Sequence[Partition]]:
    seen = set()
    for each in expression.walk():
        iterables = each.iterables if hasattr(each, "iterables") else ()
        for parts in iterables:
            if all(isinstance(part, Partition) for part in parts) and each._name not in seen:
                seen.add(each._name)
                yield parts
