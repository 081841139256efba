"""Put the parts of one result together."""

from collections.abc import Sequence

import pyarrow as pa

from pgmagic.columns.reading import Reading

__all__ = ["joined"]


def joined(parts: Sequence[Reading]) -> Reading:
    """Make one reading of several that have the same columns, in their order."""
    rows = sum(part.rows for part in parts)
    notes = dict.fromkeys(note for part in parts for note in part.notes)
    return Reading(
        table=pa.concat_tables([part.table for part in parts]),
        tag=f"SELECT {rows}",
        rows=rows,
        notes=tuple(notes),
    )
