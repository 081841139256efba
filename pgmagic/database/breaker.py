"""Stop calling a database that is down, and find out when it is back.

pybreaker keeps the state. It knows no coroutines, so who is let in is decided here, and it is told
the outcome afterwards: https://github.com/danielfm/pybreaker.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal, TypeAlias

import pybreaker

from pgmagic import events
from pgmagic.database.fault import Verdict, verdict, why
from pgmagic.errors import CircuitOpen

__all__ = ["Admission", "Breaker", "BreakerState"]

BreakerState: TypeAlias = Literal["closed", "open", "half-open"]


@dataclass(slots=True, kw_only=True)
class Admission:
    """One call that was let in.

    `trial` marks the one that decides an open circuit. A call that succeeded without asking the
    server anything sets `answered` to False: then it proves nothing. `since` are the outages
    that were known when it began.
    """

    trial: bool
    since: int
    answered: bool = True


class Breaker:
    """The circuit breaker of one database.

    `fail_max` outages in a row open the circuit. While it is open every call is refused at once;
    after `reset_timeout` seconds one call, and one only, is let in to try. The server's refusals
    count as answers; cancellations, limits and a pool that is busy count as nothing at all.

    `outages` counts all of them. All of it runs on the event loop's thread and never waits.
    """

    def __init__(
        self,
        name: str,
        *,
        fail_max: int = 5,
        reset_timeout: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.reset_timeout = reset_timeout
        self._clock = clock
        self._opened_at = -float("inf")
        self._trial_runs = False
        self._last_error = ""
        self.outages = 0
        self._circuit = pybreaker.CircuitBreaker(
            fail_max=fail_max,
            reset_timeout=reset_timeout,
            listeners=[_Listener(self)],
            name=name,
            throw_new_error_on_trip=False,  # the caller shall see what really happened
        )

    @property
    def state(self) -> BreakerState:
        """`half-open` is an open circuit that lets the next call in to try."""
        if self._circuit.current_state == pybreaker.STATE_CLOSED:
            return "closed"
        return "open" if self.retry_in > 0 else "half-open"

    @property
    def failures(self) -> int:
        """Outages in a row."""
        return int(self._circuit.fail_counter)

    @property
    def retry_in(self) -> float:
        """Seconds until the next call may try, 0 where one may now."""
        if self._circuit.current_state == pybreaker.STATE_CLOSED:
            return 0.0
        return max(0.0, self._opened_at + self.reset_timeout - self._clock())

    @contextmanager
    def guard(self, *, connecting: bool = False) -> Iterator[Admission]:
        """Let one call in and learn from its end. Raises CircuitOpen."""
        admission = self._admit()
        try:
            yield admission
        except BaseException as error:
            self.record(verdict(error, connecting=connecting), error, since=admission.since)
            raise
        else:
            self.record(Verdict.ANSWERED if admission.answered else Verdict.NEUTRAL)
        finally:
            if admission.trial:
                self._trial_runs = False

    def record(
        self, learnt: Verdict, error: BaseException | None = None, *, since: int | None = None
    ) -> None:
        """Learn from a call that was let in.

        `since` is what `outages` was when it began: calls that ran side by side and failed
        together are one outage. A call that was let in before the circuit opened may end after
        it did: while the circuit is open only the trial counts.
        """
        if learnt is Verdict.NEUTRAL or self._waits:
            return
        if learnt is Verdict.OUTAGE:
            if since is not None and since < self.outages:
                return
            self.outages += 1
            self._last_error = why(error) if error else ""
            with suppress(_Outage):
                self._circuit.call(_fail)
        else:
            self._circuit.call(_succeed)

    def force_trial(self) -> None:
        """Let the next call try, however long the circuit would still stay open."""
        self._opened_at = -float("inf")

    @property
    def _waits(self) -> bool:
        return bool(self._circuit.current_state == pybreaker.STATE_OPEN)

    def check(self) -> None:
        """Raise CircuitOpen where no call would be let in now."""
        if self.state != "closed" and (self._trial_runs or self.retry_in > 0):
            raise self._refusal()

    def _admit(self) -> Admission:
        self.check()
        if self.state == "closed":
            return Admission(trial=False, since=self.outages)
        self._trial_runs = True
        if self._waits:
            self._circuit.half_open()
        return Admission(trial=True, since=self.outages)

    def _refusal(self) -> CircuitOpen:
        retry_in = self.retry_in
        when = f"the next try is in {retry_in:.0f} s" if retry_in else "one call tries just now"
        return CircuitOpen(
            f"not asked, because it failed {self.failures or 'again'} "
            f"{'times' if self.failures != 1 else 'time'} in a row"
            + (f" ({self._last_error})" if self._last_error else "")
            + f"; {when}",
            database=self.name,
            retry_in=retry_in,
            hint=f"%pg_connect --retry {self.name} tries at once",
        )

    def _changed(self, old: str | None, new: str) -> None:
        if new == pybreaker.STATE_OPEN:
            self._opened_at = self._clock()
        events.circuit_changed(self.name, state=new, was=old)


class _Outage(Exception):
    """Tells pybreaker of a failure; carries nothing of the real error."""


class _Listener(pybreaker.CircuitBreakerListener):  # type: ignore[misc]  # untyped
    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker

    def state_change(
        self,
        cb: pybreaker.CircuitBreaker,
        old_state: pybreaker.CircuitBreakerState | None,
        new_state: pybreaker.CircuitBreakerState,
    ) -> None:
        self._breaker._changed(old_state.name if old_state else None, new_state.name)


def _fail() -> None:
    raise _Outage


def _succeed() -> None:
    pass
