"""What came back from a database, as JSON with files beside it, and back again."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

from pgmagic.columns import content, pack, unpack
from pgmagic.errors import RecordingError
from pgmagic.outcome import (
    Answer,
    Column,
    Failure,
    Notice,
    Outcome,
    PgType,
    Position,
    Result,
    Rows,
)
from pgmagic.recording.failures import read_error, write_error

__all__ = ["File", "Room", "Written", "left_out", "read_outcome", "read_type", "write_outcome"]

ReadFile: TypeAlias = Callable[[Mapping[str, str]], bytes]
NOTICE: Final = ("severity", "message", "sqlstate", "detail", "hint")


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How much is kept, in bytes: of one result in memory, of all recordings on disk."""

    result: int = 64 << 20
    in_all: int = 512 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """The rows or the text of one result. `suffix` is the end of its name."""

    database: str
    number: int  # of the statement, from 1
    suffix: str
    data: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """An outcome as JSON; where it holds a file, under "file", it holds this very object."""

    item: dict[str, Any]
    files: tuple[File, ...] = ()


def write_outcome(outcome: Outcome, ordered: Sequence[bool], room: Room) -> Written:
    """Write an outcome. `ordered` says of each statement whether the order of its rows counts."""
    item: dict[str, Any] = {
        "database": outcome.database,
        "elapsed": round(outcome.elapsed, 6),
        "notices": [_notice(notice) for notice in outcome.notices],
    }
    if isinstance(outcome, Failure):
        return Written(item=item | {"outcome": "failed", "error": write_error(outcome.error)})
    files: list[File] = []
    results = []
    for number, (result, in_order) in enumerate(zip(outcome.results, ordered, strict=True), 1):
        written = _result(result, in_order, room)
        file = written.pop("bytes", None)
        if file is not None:
            suffix = "parquet" if result.text is None else "txt"
            files.append(File(database=outcome.database, number=number, suffix=suffix, data=file))
            written["file"] = files[-1]
        results.append(written)
    position = outcome.position
    return Written(
        item=item
        | {
            "outcome": "answered",
            "results": results,
            "server_version": outcome.server_version,
            "position": position
            and {
                "snapshot": position.snapshot,
                "wal": position.wal,
                "at": position.at.isoformat(),
            },
        },
        files=tuple(files),
    )


def read_outcome(item: Mapping[str, Any], read_file: ReadFile) -> Outcome:
    """Read what `write_outcome` wrote.

    Raises `RecordingError` where rows were left out, `ValueError` where rows are not as told here.
    """
    notices = tuple(_notice_from(notice) for notice in item["notices"])
    database, elapsed = item["database"], item["elapsed"]
    if item["outcome"] == "failed":
        error = read_error(item["error"])
        return Failure(database=database, error=error, elapsed=elapsed, notices=notices)
    position = item["position"]
    return Answer(
        database=database,
        elapsed=elapsed,
        notices=notices,
        results=tuple(_result_from(result, database, read_file) for result in item["results"]),
        server_version=item["server_version"],
        position=position
        and Position(
            snapshot=position["snapshot"],
            wal=position["wal"],
            at=datetime.fromisoformat(position["at"]),
        ),
    )


def left_out(item: Mapping[str, Any]) -> Iterator[str]:
    """Say why results of an outcome are not in its recording."""
    yield from (result["left_out"] for result in item.get("results", ()) if "left_out" in result)


def _result(result: Result, ordered: bool, room: Room) -> dict[str, Any]:
    written: dict[str, Any] = {"tag": result.tag, "notes": list(result.notes)}
    if result.columns:
        written["columns"] = [_column(column) for column in result.columns]
    if result.exported is not None:
        return written | {
            "exported": result.exported,
            "left_out": "its rows went to a file, by --to",
        }
    if result.text is not None:
        data = result.text.encode()
        if len(data) > room.result:
            return written | {"text": True, "left_out": _too_large(len(data), room.result)}
        return written | {"text": True, "bytes": data}
    if result.table is None:
        return written
    table = result.table.arrow
    written |= {
        "rows": table.num_rows,
        "ordered": ordered,
        "content": content(table, result.columns, ordered=ordered),
    }
    if table.nbytes > room.result:
        return written | {"left_out": _too_large(table.nbytes, room.result)}
    if table.num_rows and result.columns:
        written["bytes"] = pack(table, result.columns)
    return written


def _result_from(written: Mapping[str, Any], database: str, read_file: ReadFile) -> Result:
    if reason := written.get("left_out"):
        raise RecordingError(
            f"the rows were not recorded: {reason}",
            database=database,
            hint="let the server aggregate, take fewer rows, or record with more room",
        )
    columns = tuple(_column_from(column) for column in written.get("columns", ()))
    file = written.get("file")
    table = text = None
    if written.get("text"):
        text = read_file(file).decode() if file else ""
    elif "rows" in written:
        data = read_file(file) if file else b""
        table = Rows(unpack(data, columns, written["rows"]))
    return Result(
        tag=written["tag"],
        columns=columns,
        table=table,
        text=text,
        notes=tuple(written["notes"]),
    )


def _too_large(size: int, most: int) -> str:
    return f"{size / 2**20:,.0f} MB are more than the {most / 2**20:,.0f} MB that are kept"


def _column(column: Column) -> dict[str, Any]:
    return {"name": column.name, "type": _type(column.type)}


def _column_from(written: Mapping[str, Any]) -> Column:
    return Column(name=written["name"], type=read_type(written["type"]))


def _type(type_: PgType) -> dict[str, Any]:
    written: dict[str, Any] = {"oid": type_.oid, "name": type_.name}
    if type_.schema != "pg_catalog":
        written["schema"] = type_.schema
    if type_.kind != "scalar":
        written["kind"] = type_.kind
    if type_.element is not None:
        written["element"] = _type(type_.element)
    if type_.labels:
        written["labels"] = list(type_.labels)
    return written


def read_type(written: Mapping[str, Any]) -> PgType:
    """Read the type of a column."""
    element = written.get("element")
    return PgType(
        oid=written["oid"],
        name=written["name"],
        schema=written.get("schema", "pg_catalog"),
        kind=written.get("kind", "scalar"),
        element=None if element is None else read_type(element),
        labels=tuple(written.get("labels", ())),
    )


def _notice(notice: Notice) -> dict[str, str]:
    values = {name: getattr(notice, name) for name in NOTICE}
    return {name: value for name, value in values.items() if value is not None}


def _notice_from(written: Mapping[str, str]) -> Notice:
    return Notice(**{name: written[name] for name in NOTICE if name in written})
