"""The driver's errors in pgmagic's words."""

import asyncio
import socket
import ssl
import traceback

import asyncpg
import pytest

from pgmagic.database.fault import Fault, Verdict, fault_of, verdict
from pgmagic.database.translation import not_connected, translated
from pgmagic.errors import (
    CellError,
    ConnectionLost,
    PgMagicError,
    QueryCancelled,
    QueryError,
    QueryTimeout,
)
from pgmagic.language.statement import Kind, Statement

CANARY = "hunter2-canary"


def server_error(sqlstate: str, message: str = "message", **fields: str) -> asyncpg.PostgresError:
    """Make what asyncpg raises for an error of the server."""
    names = {"detail": "D", "hint": "H", "position": "P", "internal_position": "p"}
    coded = {names.get(name, name): value for name, value in fields.items()}
    return asyncpg.PostgresError.new({"C": sqlstate, "M": message, "S": "ERROR", **coded})


def translation(error: BaseException, **options: object) -> BaseException:
    with pytest.raises(BaseException) as caught, translated("sales", **options):  # noqa: PT011
        raise error
    return caught.value


def lost(cause: Exception | None = None) -> asyncpg.PostgresError:
    error = asyncpg.ConnectionDoesNotExistError("connection was closed in the middle")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind", "learnt"),
    [
        (server_error("42601"), QueryError, Verdict.ANSWERED),
        (server_error("22000"), QueryError, Verdict.ANSWERED),
        (server_error("08P01"), QueryError, Verdict.ANSWERED),
        (server_error("53100"), QueryError, Verdict.ANSWERED),
        (server_error("58P01"), QueryError, Verdict.ANSWERED),
        (server_error("58030"), QueryError, Verdict.OUTAGE),
        (server_error("57014"), QueryTimeout, Verdict.NEUTRAL),
        (server_error("57P01"), ConnectionLost, Verdict.OUTAGE),
        (lost(), ConnectionLost, Verdict.OUTAGE),
        (lost(server_error("57P01")), ConnectionLost, Verdict.OUTAGE),
        (lost(server_error("25P03")), ConnectionLost, Verdict.NEUTRAL),
        (lost(server_error("57P05")), ConnectionLost, Verdict.NEUTRAL),
        (asyncpg.InterfaceError("connection is closed"), ConnectionLost, Verdict.NEUTRAL),
        (asyncpg.InternalClientError("got result for unknown state"), ConnectionLost, None),
        (asyncpg.OutdatedSchemaCacheError("changed"), QueryError, Verdict.ANSWERED),
        (asyncpg.DataError("invalid input for query argument $1"), CellError, Verdict.NEUTRAL),
        (TimeoutError(), QueryTimeout, Verdict.NEUTRAL),
        (ConnectionResetError(), ConnectionLost, Verdict.OUTAGE),
    ],
    ids=lambda value: getattr(value, "sqlstate", None) or str(value)[:20],
)
def test_each_error_has_one_class_and_one_verdict(
    error: Exception, kind: type[PgMagicError], learnt: Verdict | None
) -> None:
    if learnt is not None:
        assert verdict(error) is learnt
    ours = translation(error)
    assert type(ours) is kind
    if isinstance(ours, QueryError) or learnt in (Verdict.OUTAGE, Verdict.ANSWERED):
        assert verdict(ours) is verdict(error), "translated or not, it teaches the same"


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError(), KeyboardInterrupt(), ZeroDivisionError()]
)
def test_what_is_not_the_drivers_passes(error: BaseException) -> None:
    assert translation(error) is error
    assert fault_of(error) is None


def test_our_own_errors_pass() -> None:
    error = QueryCancelled("stopped", database="sales")
    assert translation(error) is error


@pytest.mark.parametrize(
    ("error", "sent"),
    [
        (asyncpg.InterfaceError("cannot perform operation: connection is closed"), False),
        (asyncpg.InternalClientError("cannot switch to state 12; another operation"), False),
        (asyncpg.InternalClientError("cannot switch to state 20; another operation"), True),
        (asyncpg.InternalClientError("got result for unknown protocol state 3"), True),
        (lost(), True),
        (ConnectionResetError(), True),
    ],
)
def test_a_lost_connection_says_whether_anything_was_sent(error: Exception, sent: bool) -> None:
    ours = translation(error)
    assert isinstance(ours, ConnectionLost)
    assert ours.sent is sent
    assert ours.database == "sales"


def statement(cell: str, sql: str) -> Statement:
    return Statement(
        sql=sql,
        arguments=(CANARY,),
        parameters=("name",),
        cell=cell,
        start=0,
        stop=len(cell),
        offsets=((0, 0), (7, 7), (9, 13)),
        kind=Kind(verb="select"),
    )


def test_position_is_of_the_cell() -> None:
    one = statement("select {name}, nope", "select $1, nope")
    sent = "COPY (select $1, nope) TO STDOUT"
    error = server_error("42703", position=str(sent.index("nope") + 1))
    ours = translation(error, statement=one, prefix=len("COPY ("))
    assert isinstance(ours, QueryError)
    assert ours.position == one.cell.index("nope")
    assert ours.cell == one.cell
    assert ours.statement == one.sql


def test_all_that_the_server_says_is_kept() -> None:
    error = server_error(
        "23505", "duplicate key", detail="Key (id)=(1)", hint="try 2", internal_position="3", q="do"
    )
    ours = translation(error)
    assert isinstance(ours, QueryError)
    assert (ours.sqlstate, ours.condition) == ("23505", "unique_violation")
    assert (ours.detail, ours.hint) == ("Key (id)=(1)", "try 2")
    assert (ours.internal_query, ours.internal_position) == ("do", 2)


def test_the_cause_behind_asyncpgs_own_error_is_found() -> None:
    error = asyncpg.InterfaceError("cannot call Transaction.__aexit__()")
    error.__context__ = server_error("40001", "could not serialize")
    ours = translation(error)
    assert isinstance(ours, QueryError)
    assert ours.sqlstate == "40001"


def test_who_stopped_it() -> None:
    by_admin = server_error("57014", "canceling statement due to user request")
    by_limit = server_error("57014", "canceling statement due to statement timeout")
    in_german = server_error("57014", "Anweisung wird abgebrochen wegen Zeitüberschreitung")
    assert type(translation(by_admin)) is QueryCancelled
    assert type(translation(in_german)) is QueryTimeout
    ours = translation(by_limit, statement_timeout=30.0)
    assert "statement_timeout of 30 s" in str(ours)


def test_a_value_that_does_not_fit_is_shown_by_its_name_only() -> None:
    error = asyncpg.DataError(f"invalid input for query argument $1: {CANARY!r} (an integer …)")
    ours = translation(error, statement=statement("select {name}", "select $1"))
    assert isinstance(ours, CellError)
    assert "{name}" in ours.message
    assert ours.offset == 7
    assert CANARY not in str(ours)


def test_no_frame_of_the_driver_is_shown() -> None:
    def driver(password: str) -> None:
        raise ConnectionResetError(password)

    with pytest.raises(ConnectionLost) as caught, translated("sales"):
        driver(CANARY)
    shown = "".join(traceback.format_exception(caught.value))
    assert CANARY not in shown
    assert "ConnectionResetError" not in shown


@pytest.mark.parametrize(
    ("error", "words", "fault"),
    [
        (ConnectionRefusedError(111, CANARY), "connection refused", Fault.OUTAGE),
        (ConnectionResetError(CANARY), "connection reset", Fault.OUTAGE),
        (FileNotFoundError(2, CANARY), "no server listens", Fault.OUTAGE),
        (TimeoutError(), "no answer within 2.5 s", Fault.OUTAGE),
        (socket.gaierror(-2, CANARY), "name of the host is not known", Fault.OUTAGE),
        (OSError(113, CANARY), "No route to host", Fault.OUTAGE),
        (OSError(CANARY), "broke while it was made", Fault.OUTAGE),
        (ConnectionError(f"{CANARY} rejected SSL upgrade"), "refuses TLS", Fault.REFUSED),
        (ssl.SSLError(1, CANARY), "no TLS", Fault.REFUSED),
        (asyncpg.InterfaceError(CANARY), "broke while it was made", Fault.OUTAGE),
        (server_error("28P01", "password authentication failed"), "password", Fault.REFUSED),
        (server_error("57P03", "starting up"), "starting up", Fault.OUTAGE),
        (server_error("53300", "too many clients"), "too many clients", Fault.FULL),
    ],
    ids=lambda value: type(value).__name__,
)
def test_why_there_is_no_connection(error: Exception, words: str, fault: Fault) -> None:
    assert fault_of(error, connecting=True) is fault
    ours = not_connected(error, database="sales", where="db:5432", timeout=2.5)
    assert words in ours.message
    assert "db:5432" in ours.message
    assert ours.sqlstate == getattr(error, "sqlstate", None)
    assert CANARY not in str(ours)
