"""Write what a PostgreSQL server says: https://www.postgresql.org/docs/current/protocol-message-formats.html"""

import struct
from collections.abc import Iterable, Sequence

__all__ = [
    "BIND_COMPLETE",
    "CLOSE_COMPLETE",
    "COPY_DONE",
    "COPY_HEADER",
    "COPY_OUT",
    "COPY_TRAILER",
    "PARSE_COMPLETE",
    "authentication",
    "command_complete",
    "copy_data",
    "copy_row",
    "data_row",
    "error",
    "greeting",
    "message",
    "notice",
    "parameter_description",
    "parameter_status",
    "ready",
    "row_description",
    "split",
]

COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_TRAILER = b"\xff\xff"


def message(kind: bytes, payload: bytes = b"", *, length: int | None = None) -> bytes:
    """Write a message; `length` is what it claims to be long, its own four bytes included."""
    claimed = len(payload) + 4 if length is None else length
    return kind + struct.pack("!i", claimed) + payload


PARSE_COMPLETE = message(b"1")
BIND_COMPLETE = message(b"2")
CLOSE_COMPLETE = message(b"3")
COPY_DONE = message(b"c")
COPY_OUT = message(b"H", struct.pack("!bhh", 1, 1, 1))


def authentication(kind: int, payload: bytes = b"") -> bytes:
    return message(b"R", struct.pack("!i", kind) + payload)


def parameter_status(name: str, value: str) -> bytes:
    return message(b"S", name.encode() + b"\0" + value.encode() + b"\0")


def ready(status: bytes = b"I") -> bytes:
    return message(b"Z", status)


def command_complete(tag: str) -> bytes:
    return message(b"C", tag.encode() + b"\0")


def error(text: str, sqlstate: str = "XX000", severity: str = "ERROR", **fields: str) -> bytes:
    return message(b"E", _fields(text, sqlstate, severity, fields))


def notice(text: str, severity: str = "NOTICE") -> bytes:
    return message(b"N", _fields(text, "00000", severity, {}))


def parameter_description(*oids: int) -> bytes:
    return message(b"t", struct.pack(f"!h{len(oids)}i", len(oids), *oids))


def row_description(*columns: tuple[str, int], count: int | None = None) -> bytes:
    """Describe columns by name and type; `count` is how many are claimed."""
    parts = [struct.pack("!h", len(columns) if count is None else count)]
    parts += [
        name.encode() + b"\0" + struct.pack("!ihihih", 0, 0, oid, -1, -1, 0)
        for name, oid in columns
    ]
    return message(b"T", b"".join(parts))


def data_row(*values: bytes | None, count: int | None = None) -> bytes:
    return message(b"D", _row(values, count))


def copy_data(payload: bytes) -> bytes:
    return message(b"d", payload)


def copy_row(*values: bytes | None, count: int | None = None) -> bytes:
    """Write a row of a binary COPY, which stands in a CopyData message."""
    return _row(values, count)


def greeting(**changed: str) -> bytes:
    """Let a client in, and tell it what a server of today tells."""
    settings = {
        "server_version": "18.0",
        "server_encoding": "UTF8",
        "client_encoding": "UTF8",
        "integer_datetimes": "on",
        "standard_conforming_strings": "on",
        "TimeZone": "UTC",
    } | changed
    told = b"".join(parameter_status(name, value) for name, value in settings.items())
    key = message(b"K", struct.pack("!ii", 4711, 815))
    return authentication(0) + told + key + ready()


def split(stream: bytes) -> list[bytes]:
    """Cut a stream into its messages."""
    messages, start = [], 0
    while start < len(stream):
        (length,) = struct.unpack_from("!i", stream, start + 1)
        messages.append(stream[start : start + 1 + length])
        start += 1 + length
    return messages


def _fields(text: str, sqlstate: str, severity: str, others: dict[str, str]) -> bytes:
    fields = {"S": severity, "V": severity, "C": sqlstate, "M": text} | others
    return b"".join(k.encode() + v.encode() + b"\0" for k, v in fields.items()) + b"\0"


def _row(values: Sequence[bytes | None], count: int | None) -> bytes:
    return struct.pack("!h", len(values) if count is None else count) + b"".join(_values(values))


def _values(values: Iterable[bytes | None]) -> Iterable[bytes]:
    for value in values:
        yield struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value
