"""Cells are cut as the real psql cuts them.

psql runs against a server of ours that knows no SQL: it says yes to every query and writes down
what it got. So nothing can fail, and nothing has side effects.
"""

import contextlib
import os
import re
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pgmagic.errors import CellError
from pgmagic.language.scanner import INSIGNIFICANT, TokenKind, tokens
from pgmagic.language.statements import split
from pgmagic.sandbox.binaries import Binaries
from tests.corpus.cells import CELLS
from tests.servers import missing

SETTING = re.compile(r"\bset\s+standard_conforming_strings\s*=\s*(on|off)", re.IGNORECASE)
MARK = "select 'next cell'"
SSL_REQUEST, GSS_REQUEST = 80877103, 80877104
BLANK = " \t\n\r\f\v"


class Listener:
    """A server that agrees to everything and keeps the text of every query."""

    def __init__(self) -> None:
        self.queries: list[str] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:  # closed
                return
            with client, client.makefile("rwb") as stream:
                while self._startup_code(stream) in {SSL_REQUEST, GSS_REQUEST}:
                    self._send(stream, b"N")
                parameters = {
                    "client_encoding": "UTF8",
                    "server_version": "15.0",
                    "standard_conforming_strings": "on",
                }
                welcome = message("R", struct.pack("!I", 0))
                welcome += b"".join(status(*item) for item in parameters.items())
                self._send(stream, welcome + READY)
                self._converse(stream)

    @staticmethod
    def _startup_code(stream: BinaryIO) -> int:
        length = struct.unpack("!I", stream.read(4))[0]
        return int.from_bytes(stream.read(length - 4)[:4])

    def _converse(self, stream: BinaryIO) -> None:
        while kind := stream.read(1):
            length = struct.unpack("!I", stream.read(4))[0]
            body = stream.read(length - 4)
            if kind == b"X":
                return
            query = body.rstrip(b"\0").decode()
            self.queries.append(query)
            answer = message("C", b"SELECT 0\0")
            if found := SETTING.search(query):
                answer += status("standard_conforming_strings", found[1].lower())
            self._send(stream, answer + READY)

    @staticmethod
    def _send(stream: BinaryIO, data: bytes) -> None:
        stream.write(data)
        stream.flush()


def message(kind: str, body: bytes) -> bytes:
    return kind.encode() + struct.pack("!I", len(body) + 4) + body


def status(name: str, value: str) -> bytes:
    return message("S", f"{name}\0{value}\0".encode())


READY = message("Z", b"I")


@pytest.fixture(scope="session")
def psql_program(pg_binaries: Binaries) -> str:
    beside = pg_binaries.bindir / "psql"
    found = str(beside) if beside.exists() else shutil.which("psql")
    if found is None:
        missing("psql is not installed")
    return found


@pytest.fixture
def cut_by_psql(psql_program: str, tmp_path: Path) -> Iterator[Callable[..., list[list[str]]]]:
    """Give what psql sends for each cell. All cells go through one psql."""
    listener = Listener()

    def cut(cells: Sequence[str], *, exactly: bool = False) -> list[list[str]]:
        listener.queries.clear()
        arguments = []
        for number, cell in enumerate(cells):
            path = tmp_path / f"{number}.sql"
            path.write_text(cell, encoding="utf-8", newline="")
            arguments += ["-c", MARK, "-f", str(path)]
        keep = {"PATH", "LD_LIBRARY_PATH", "HOME"}
        subprocess.run(
            [
                *(psql_program, "--no-psqlrc", "--quiet", "--no-password"),
                *("--host=127.0.0.1", f"--port={listener.port}", "--username=x", "--dbname=x"),
                *arguments,
            ],
            env={name: os.environ[name] for name in keep & set(os.environ)}
            | {"LC_ALL": "C.UTF-8", "PGCLIENTENCODING": "UTF8", "PSQL_EDITOR": "true"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=50,
            check=True,
        )
        sent: list[list[str]] = []
        for query in listener.queries:
            if query == MARK:
                sent.append([])
            elif not is_empty(query):
                sent[-1].append(query if exactly else normal(query))
        return sent

    yield cut
    listener.close()


def is_empty(query: str) -> bool:
    """Whether it is only white space, comments and semicolons: psql sends these too."""
    return all(kind in INSIGNIFICANT or query[start] == ";" for kind, start, _ in tokens(query))


def normal(query: str) -> str:
    """Leave out what stands behind the last word, and empty lines, which psql drops."""
    significant = [
        stop
        for kind, start, stop in tokens(query)
        if kind not in INSIGNIFICANT and query[start:].strip(BLANK) != ";"
    ]
    return re.sub("\n+", "\n", query[: significant[-1]].rstrip(BLANK))


def cut_by_us(cell: str) -> list[str]:
    return [normal(cell[start:stop]) for start, stop in split(cell)]


def test_the_corpus_is_cut_as_by_psql(
    cut_by_psql: Callable[..., list[list[str]]],
) -> None:
    theirs = cut_by_psql([cell.text for cell in CELLS])
    differing = {
        cell.where: (cut_by_us(cell.text), sent)
        for cell, sent in zip(CELLS, theirs, strict=True)
        if cut_by_us(cell.text) != sent
    }
    assert differing == {}


def test_a_change_of_the_string_syntax_is_followed_as_by_psql(
    cut_by_psql: Callable[..., list[list[str]]],
) -> None:
    # psql reads the setting at the beginning of each line, so each stands on its own.
    cell = "\n".join(
        [
            "set standard_conforming_strings = off;",
            "select 'a\\';b', U&'\\', B'1\\', e'it\\'s;';",
            "select '\\\\'; select 2;",
            "set standard_conforming_strings = on;",
            "select 'a\\'; select 2;",
        ]
    )
    setting = ["on"]
    ours = []
    spans = split(cell, lambda: setting[-1] == "on")
    for start, stop in spans:
        ours.append(f"{cell[start:stop]};")
        setting += SETTING.findall(cell[start:stop])
    assert ours == cut_by_psql([cell], exactly=True)[0]
    assert len(ours) == 7


FRAGMENTS = st.sampled_from(
    [
        *("'", "''", '"', "$$", "$a$", "$", "$1", ";", ";", ";\n", "(", ")", "[", "]", ",", "."),
        *("--", "/*", "*/", "-", "*", "/", "#", "@", "=", "<", "+", "%", "~", "|", "&", "!", "::"),
        *("\n", "\n", " ", " ", "\t", "\\'", "\\\\ ", "\\;", "\r\n", "{", "}"),
        *("E'", "e'", "B'", "X'", "N'", "U&'", 'U&"', "u&", "n", "e", "b", "x"),
        *("select", "a", "1", "2.5e3", "日", "😀", "\u00a0", "_", "a$b", "-- c\n", "/* ; */"),
        *(" create function f() ", " create or replace procedure p() ", " begin atomic "),
        *(" end ", " case ", " or ", " replace "),
    ]
)
CELL = st.lists(FRAGMENTS, min_size=1, max_size=25).map("".join)


@settings(
    max_examples=8,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # smaller cells are no clearer, and each try takes a psql
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(cells=st.lists(CELL.filter(lambda cell: is_comparable(cell)), min_size=60, max_size=100))
def test_any_cell_is_cut_as_by_psql(
    cut_by_psql: Callable[..., list[list[str]]], cells: list[str]
) -> None:
    for cell, sent in zip(cells, cut_by_psql(cells), strict=True):
        assert cut_by_us(cell) == sent


def is_comparable(cell: str) -> bool:
    """Leave out psql's commands, and where psql is known to differ from the server."""
    try:
        list(split(cell))
    except CellError:
        return False
    # psql forgets at the end of a line that it was in an E'…', where the server goes on with it.
    return not any(
        kind is TokenKind.STRING
        and cell[start] in "eE"
        and re.search(r"'[ \t\f\v]*(--[^\n\r]*)?[\n\r]", cell[start:stop])
        for kind, start, stop in tokens(cell)
    )
