"""The breaker: what opens it, what does not, and who may try."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import asyncpg
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pgmagic.database.breaker import Breaker
from pgmagic.errors import CircuitOpen, PoolTimeout, QueryCancelled, QueryError
from tests.pools import StepClock

OUTAGES = (
    ConnectionRefusedError(),
    ConnectionResetError(),
    asyncpg.CannotConnectNowError("starting up"),
    asyncpg.AdminShutdownError("terminating"),
    asyncpg.ConnectionDoesNotExistError("closed in the middle"),
)
ANSWERS = (
    asyncpg.PostgresSyntaxError("selec"),
    asyncpg.UniqueViolationError("twice"),
    asyncpg.InvalidCachedStatementError("plan"),
    QueryError("no such table", database="sales", sqlstate="42P01"),
)
NEUTRAL = (
    asyncio.CancelledError(),
    KeyboardInterrupt(),
    TimeoutError(),
    asyncpg.QueryCanceledError("timeout"),
    asyncpg.TooManyConnectionsError("full"),
    asyncpg.InvalidPasswordError("no"),
    PoolTimeout("busy", database="sales"),
    QueryCancelled("stopped", database="sales"),
    ZeroDivisionError(),
)


def breaker(clock: StepClock, **changes: float) -> Breaker:
    return Breaker("sales", clock=clock, **({"fail_max": 3, "reset_timeout": 60.0} | changes))


def call(guarded: Breaker, error: BaseException | None = None) -> None:
    with guarded.guard():
        if error is not None:
            raise error


def fail(guarded: Breaker, error: BaseException) -> None:
    """Make a call that fails, and see that its own error comes out."""
    with pytest.raises(type(error)) as caught:
        call(guarded, error)
    assert caught.value is error


def opened(clock: StepClock) -> Breaker:
    one = breaker(clock, fail_max=1)
    fail(one, OUTAGES[0])
    return one


@pytest.mark.parametrize("error", OUTAGES, ids=lambda error: type(error).__name__)
def test_outages_in_a_row_open_it(error: Exception) -> None:
    one = breaker(StepClock())
    for _ in range(3):
        assert one.state == "closed"
        fail(one, error)
    assert one.state == "open"


@pytest.mark.parametrize("error", [*ANSWERS, *NEUTRAL], ids=lambda error: type(error).__name__)
def test_everything_else_never_opens_it(error: BaseException) -> None:
    one = breaker(StepClock(), fail_max=1)
    for _ in range(10):
        fail(one, error)
    assert one.state == "closed"
    assert one.failures == 0


@pytest.mark.parametrize("answer", [None, *ANSWERS], ids=lambda error: type(error).__name__)
def test_an_answer_forgets_failures(answer: Exception | None) -> None:
    one = breaker(StepClock())
    for _ in range(2):
        fail(one, OUTAGES[0])
    with suppress(Exception):
        call(one, answer)
    assert one.failures == 0


@pytest.mark.parametrize("error", NEUTRAL, ids=lambda error: type(error).__name__)
def test_what_is_neutral_forgets_nothing(error: BaseException) -> None:
    one = breaker(StepClock())
    for _ in range(2):
        fail(one, OUTAGES[0])
    fail(one, error)
    assert one.failures == 2


def test_open_it_refuses_and_says_why_and_until_when() -> None:
    clock = StepClock()
    one = opened(clock)
    clock.step(20)
    with pytest.raises(CircuitOpen, match="connection refused") as caught:
        call(one)
    assert caught.value.retry_in == 40
    assert caught.value.database == "sales"
    assert "next try is in 40 s" in caught.value.message


@contextmanager
def trial_of(one: Breaker) -> Iterator[None]:
    with one.guard() as admission:
        assert admission.trial
        yield


def test_half_open_lets_one_call_in() -> None:
    clock = StepClock()
    one = opened(clock)
    clock.step(60)
    assert one.state == "half-open"
    refused = 0
    with trial_of(one):
        for _ in range(19):
            with suppress(CircuitOpen):
                call(one)
                pytest.fail("a second trial")
            refused += 1
    assert refused == 19
    assert one.state == "closed"


def test_a_trial_that_fails_opens_it_for_the_whole_time() -> None:
    clock = StepClock()
    one = opened(clock)
    clock.step(60)
    fail(one, OUTAGES[1])
    assert one.state == "open"
    assert one.retry_in == 60


@pytest.mark.parametrize("error", NEUTRAL, ids=lambda error: type(error).__name__)
def test_a_trial_that_proves_nothing_leaves_the_next_one_to_try(error: BaseException) -> None:
    clock = StepClock()
    one = opened(clock)
    clock.step(60)
    fail(one, error)
    assert one.state == "half-open"
    with trial_of(one):
        pass
    assert one.state == "closed"


def test_the_user_may_force_a_trial() -> None:
    one = opened(StepClock())
    one.force_trial()
    assert one.retry_in == 0
    call(one)
    assert one.state == "closed"


def test_failures_that_come_late_change_nothing() -> None:
    clock = StepClock()
    one = breaker(clock, fail_max=1)

    def late() -> None:
        with one.guard():
            fail(one, OUTAGES[0])
            clock.step(30)
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        late()
    assert one.retry_in == 30, "a failure that began before does not begin the pause anew"


def test_a_call_that_asked_nothing_proves_nothing() -> None:
    one = breaker(StepClock())
    fail(one, OUTAGES[0])
    with one.guard() as admission:
        admission.answered = False
    assert one.failures == 1


def test_calls_that_fail_side_by_side_are_one_outage() -> None:
    one = breaker(StepClock())

    def together(calls: int) -> None:
        with one.guard():
            if calls > 1:
                with suppress(ConnectionResetError):
                    together(calls - 1)
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        together(10)
    assert one.failures == 1
    fail(one, OUTAGES[0])
    assert one.failures == 2


def test_changes_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    clock = StepClock()
    with caplog.at_level(logging.INFO, logger="pgmagic"):
        one = opened(clock)
        clock.step(60)
        call(one)
    assert [record.getMessage() for record in caplog.records] == [
        "sales: circuit open, was closed",
        "sales: circuit half-open, was open",
        "sales: circuit closed, was half-open",
    ]


class BreakerMachine(RuleBasedStateMachine):
    """The breaker beside a model of a few lines."""

    @initialize()
    def begin(self) -> None:
        self.clock = StepClock()
        self.breaker = breaker(self.clock)
        self.failures = 0
        self.open_until: float | None = None

    @property
    def admits(self) -> bool:
        return self.open_until is None or self.clock.now >= self.open_until

    @rule(seconds=st.floats(0, 90))
    def wait(self, seconds: float) -> None:
        self.clock.step(seconds)

    @rule()
    def answer(self) -> None:
        admitted = self.admits
        with suppress(CircuitOpen):
            call(self.breaker)
            assert admitted
        if admitted:
            self.failures, self.open_until = 0, None

    @rule(error=st.sampled_from(OUTAGES))
    def outage(self, error: Exception) -> None:
        admitted = self.admits
        with suppress(CircuitOpen, type(error)):
            call(self.breaker, error)
        if admitted:
            self.failures += 1
            if self.failures >= 3 or self.open_until is not None:
                self.open_until = self.clock.now + 60

    @rule(error=st.sampled_from([e for e in NEUTRAL if isinstance(e, Exception)]))
    def neutral(self, error: Exception) -> None:
        with suppress(CircuitOpen, type(error)):
            call(self.breaker, error)

    @precondition(lambda self: self.open_until is not None)
    @rule()
    def force(self) -> None:
        self.breaker.force_trial()
        self.open_until = self.clock.now

    @invariant()
    def agrees(self) -> None:
        if self.open_until is None:
            assert self.breaker.state == "closed"
            assert self.breaker.failures == self.failures
        else:
            assert self.breaker.state == ("half-open" if self.admits else "open")


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
