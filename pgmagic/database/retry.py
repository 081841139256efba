"""Whether, and after which pause, a statement that failed may be sent once more."""

import random
from collections.abc import Callable

from pgmagic.database.fault import Fault, fault_of
from pgmagic.errors import ConnectFailed, ConnectionLost, QueryError

__all__ = ["ATTEMPTS", "may_retry", "pause"]

ATTEMPTS = 2  # further ones after the first
SHORTEST, LONGEST = 0.02, 0.1  # seconds

# The server undid the whole transaction and says that it may succeed next time.
ROLLED_BACK = frozenset({"40001", "40P01"})


def may_retry(
    error: BaseException, *, sent: bool, read: bool, in_transaction: bool, shown: bool
) -> bool:
    """Say whether trying again can neither change anything twice nor show anything twice.

    `sent`: the statement, or part of it, may have reached the server. `read`: it is proven to
    change nothing. `in_transaction`: it stood in a transaction that the user began, or in a
    session, whose state is lost with its connection. `shown`: part of its result was shown
    already. A cancellation is never retried, nor is a limit that was reached, a refused password,
    or a circuit that is open.
    """
    if shown or (in_transaction and (sent or not isinstance(error, ConnectFailed))):
        return False
    match error:
        case ConnectFailed():
            return fault_of(error) is Fault.OUTAGE
        case ConnectionLost():
            return read or not (sent and error.sent)
        case QueryError(sqlstate=sqlstate):
            return read and sqlstate in ROLLED_BACK
        case _:
            return False


def pause(attempt: int, *, uniform: Callable[[float, float], float] = random.uniform) -> float:
    """Give the seconds to wait before a further attempt, 1 for the first of them.

    Drawn at random, so that many who failed together do not come back together.
    """
    longest = min(LONGEST, 2 * SHORTEST * 2 ** (attempt - 1))
    return uniform(SHORTEST, longest)
