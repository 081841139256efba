"""Follow the messages of a server, and refuse what no PostgreSQL server sends.

The driver trusts them: a message of the kind 0 makes it run in circles for ever, where not even
an interrupt arrives, and one step of authentication out of turn ends the process.
https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

import re
from importlib import import_module
from typing import Any, Final

import asyncpg
from asyncpg.serverversion import split_server_version_string

__all__ = ["Framing", "ProtocolBroken"]

HEADER: Final = 5  # bytes: what kind of message, and how long
SHORT: Final = 30_000  # bytes, as in libpq: what can be longer is listed
LONG: Final = 64 << 20
ROW: Final = 1 << 30  # no value of PostgreSQL is longer, and no row
SETTINGS: Final = 16 << 20  # bytes told on one connection: the driver keeps each name for ever
UNASKED: Final = 1 << 20  # bytes told while nobody asks: some settings, a good-bye
GREETING: Final = 1 << 20  # bytes in all until the server is ready for the first time
MOST_ITERATIONS: Final = 1_000_000  # of SCRAM, half a second; PostgreSQL's default is 4,096

EMPTY: Final = b"123Icns"  # of these the kind says all
LENGTHS: Final = {
    **dict.fromkeys(b"CGHVW", (4, SHORT)),
    **dict.fromkeys(b"AENTt", (4, LONG)),
    **dict.fromkeys(b"Dd", (4, ROW)),
    **dict.fromkeys(EMPTY, (4, 4)),
    ord("Z"): (5, 5),
}
AT_FIRST: Final = {
    **dict.fromkeys(b"EN", (4, SHORT)),
    **dict.fromkeys(b"S", (6, SHORT)),
    **dict.fromkeys(b"Rv", (8, SHORT)),
    ord("K"): (12, 264),  # the key is longer from version 18 on
    ord("Z"): (5, 5),
}

OK, SASL, SASL_CONTINUE, SASL_FINAL = 0, 10, 11, 12
# What may come next in authentication, by what came last; None: nothing yet.
STEPS: Final[dict[int | None, set[int]]] = {
    SASL: {SASL_CONTINUE},
    SASL_CONTINUE: {SASL_FINAL},
    SASL_FINAL: {OK},  # before it, the server has not proven that it knows the password
}
OUT_OF_TURN: Final = {SASL_CONTINUE, SASL_FINAL}


class ProtocolBroken(asyncpg.ProtocolError):
    """The server sent what PostgreSQL's protocol does not have. The words hold nothing of it."""


def _tables(lengths: dict[int, tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Give the least and the greatest length by kind; none fits a kind that is not listed."""
    least = [lengths.get(kind, (1, 0))[0] for kind in range(256)]
    greatest = [lengths.get(kind, (1, 0))[1] for kind in range(256)]
    return least, greatest


def scan_in_python(
    data: bytes, position: int, least: list[int], greatest: list[int]
) -> tuple[int, bool]:
    """Go from message to message while their headers are there.

    Gives where the next message begins, which may be behind the data, and whether its header is
    there and is wrong.
    """
    while position + HEADER <= len(data):
        kind = data[position]
        length = _length(data, position)
        if not least[kind] <= length <= greatest[kind]:
            return position, True
        position += 1 + length
    return position, False


def _compiled_scan() -> Any:
    try:
        return import_module("pgmagic.database._framing").scan
    except ImportError:
        return None


scan: Final = _compiled_scan() or scan_in_python


class Framing:
    """Reads along with one connection from its first byte.

    `unasked` counts the bytes since the connection became idle, and is None while it is used.
    """

    def __init__(self) -> None:
        self._greeting: bytearray | None = bytearray()
        self._read = 0  # of the greeting
        self._step: int | None = None
        self._head = b""  # the beginning of a header that is not all there
        self._skip = 0  # bytes that are left of a message
        self._settings = 0
        self.unasked: int | None = None
        self._has_version = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes, before anybody else does. Raises `ProtocolBroken`."""
        if self.unasked is not None:
            self.unasked += len(data)
            if self.unasked > UNASKED:
                raise ProtocolBroken("it speaks without an end while nobody asks")
        if self._greeting is not None:
            self._greet(data)
        else:
            self._follow(data)

    def _follow(self, data: bytes) -> None:
        if self._head:
            data = self._head + data
            self._head = b""
        position, wrong = scan(data, self._skip, *_LENGTHS)
        while wrong:  # or a setting, which is counted
            position, wrong = scan(data, self._after_setting(data, position), *_LENGTHS)
        if position < len(data):
            self._head = bytes(data[position:])
        self._skip = max(0, position - len(data))

    def _after_setting(self, data: bytes, position: int) -> int:
        """Give where a setting ends. Raises `ProtocolBroken` at one too many, or at none."""
        length = _length(data, position)
        self._settings += length
        if data[position] != ord("S") or not 6 <= length <= SHORT or self._settings > SETTINGS:
            raise _broken(data, position)
        return position + 1 + length

    def _greet(self, data: bytes) -> None:
        """Check every message until the server is ready, while they are few and small."""
        assert self._greeting is not None
        greeting = self._greeting
        greeting += data
        if len(greeting) > GREETING:
            raise ProtocolBroken("its greeting has no end")
        least, greatest = _AT_FIRST
        while self._read + HEADER <= len(greeting):
            kind = greeting[self._read]
            start = self._read + HEADER
            length = _length(greeting, self._read)
            if not least[kind] <= length <= greatest[kind]:
                raise _broken(greeting, self._read)
            end = self._read + 1 + length
            if end > len(greeting):
                return
            self._check(kind, bytes(greeting[start:end]))
            self._read = end
            if kind == ord("Z"):
                self._greeting = None
                self._follow(bytes(greeting[end:]))
                return

    def _check(self, kind: int, payload: bytes) -> None:
        if kind == ord("Z") and self._step != OK:
            raise ProtocolBroken("it is ready before it has let anybody in")
        if kind == ord("Z") and not self._has_version:
            raise ProtocolBroken("it does not tell its version")
        if kind == ord("S") and payload.startswith(b"server_version\0"):
            self._has_version = _is_version(payload.split(b"\0")[1])
        if kind == ord("S") and payload.startswith(b"client_encoding\0"):
            # PgBouncer says it as asyncpg wrote it: in quotes.
            encoding = payload.split(b"\0")[1].decode("ascii", "replace").strip("'")
            if encoding.upper().replace("-", "") not in ("UTF8", "UNICODE", "SQL_ASCII"):
                raise ProtocolBroken("it does not speak UTF-8, which it was asked for")
        if kind == ord("R"):
            self._authenticate(int.from_bytes(payload[:4], "big"), payload[4:])

    def _authenticate(self, step: int, payload: bytes) -> None:
        expected = STEPS.get(self._step)
        in_turn = step not in OUT_OF_TURN if expected is None else step in expected
        if not in_turn or self._step == OK:
            raise ProtocolBroken("its steps of authentication are out of turn")
        if step == SASL_CONTINUE:
            found = re.search(rb"(?:^|,)i=(\d{1,20})(?:,|\Z)", payload)
            if found is None or not 0 < int(found[1]) <= MOST_ITERATIONS:
                raise ProtocolBroken("it asks for more iterations of SCRAM than make sense")
        self._step = step


def _is_version(text: bytes) -> bool:
    try:
        split_server_version_string(text.decode())
    except ValueError:
        return False
    return True


def _broken(data: bytes | bytearray, position: int) -> ProtocolBroken:
    kind, length = data[position], _length(data, position)
    return ProtocolBroken(f"a message of the kind {kind:#04x} claims {length:,} bytes")


def _length(data: bytes | bytearray, position: int) -> int:
    return int.from_bytes(data[position + 1 : position + HEADER], "big", signed=True)


_LENGTHS = _tables(LENGTHS)
_AT_FIRST = _tables(AT_FIRST)
