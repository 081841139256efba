"""What may be sent once more."""

import asyncio
from itertools import product

import pytest

from pgmagic.database.retry import ATTEMPTS, may_retry, pause
from pgmagic.errors import (
    CircuitOpen,
    ConnectFailed,
    ConnectionLost,
    PgMagicError,
    PoolTimeout,
    QueryCancelled,
    QueryError,
    QueryTimeout,
)

LOST = ConnectionLost("gone", database="sales")
UNSENT = ConnectionLost("gone", database="sales", sent=False)
REFUSED = ConnectFailed("refused", database="sales")
STARTING = ConnectFailed("starting", database="sales", sqlstate="57P03")
NO_ENTRY = ConnectFailed("password", database="sales", sqlstate="28P01")
NOWHERE = ConnectFailed("no such database", database="sales", sqlstate="3D000")
DEADLOCK = QueryError("deadlock", database="sales", sqlstate="40P01")
SERIALIZATION = QueryError("conflict", database="sales", sqlstate="40001")
NEVER = (
    NO_ENTRY,
    NOWHERE,
    QueryError("syntax", database="sales", sqlstate="42601"),
    QueryTimeout("slow", database="sales"),
    QueryCancelled("stopped", database="sales"),
    PoolTimeout("busy", database="sales"),
    CircuitOpen("down", database="sales", retry_in=3.0),
    asyncio.CancelledError(),
    KeyboardInterrupt(),
    ValueError(),
)


@pytest.mark.parametrize(
    ("error", "sent", "read", "expected"),
    [
        (LOST, True, True, True),
        (LOST, True, False, False),
        (LOST, False, False, True),
        (UNSENT, True, False, True),
        (REFUSED, False, False, True),
        (STARTING, False, False, True),
        (SERIALIZATION, True, True, True),
        (SERIALIZATION, True, False, False),
        (DEADLOCK, True, True, True),
    ],
)
def test_what_may_be_sent_again(
    error: PgMagicError, sent: bool, read: bool, expected: bool
) -> None:
    assert may_retry(error, sent=sent, read=read, in_transaction=False, shown=False) is expected


@pytest.mark.parametrize("error", NEVER, ids=lambda error: type(error).__name__)
def test_what_never_is(error: BaseException) -> None:
    for sent, read in product((False, True), repeat=2):
        assert not may_retry(error, sent=sent, read=read, in_transaction=False, shown=False)


@pytest.mark.parametrize("error", [LOST, UNSENT, REFUSED, DEADLOCK])
def test_never_within_a_transaction_nor_after_something_was_shown(error: PgMagicError) -> None:
    for sent, read in product((False, True), repeat=2):
        begun = sent or error is not REFUSED  # a session that could not begin has lost nothing
        assert may_retry(error, sent=sent, read=read, in_transaction=True, shown=False) != begun
        assert not may_retry(error, sent=sent, read=read, in_transaction=False, shown=True)


def test_a_write_that_may_have_been_sent_is_never_sent_twice() -> None:
    for error in (LOST, SERIALIZATION, DEADLOCK, *NEVER):
        assert not may_retry(error, sent=True, read=False, in_transaction=False, shown=False)


def test_pauses_are_short_and_grow() -> None:
    assert [pause(n, uniform=lambda low, high: high) for n in (1, 2, 3, 9)] == [
        0.04,
        0.08,
        0.1,
        0.1,
    ]
    assert all(0.02 <= pause(n) <= 0.1 for n in range(1, ATTEMPTS + 1))
