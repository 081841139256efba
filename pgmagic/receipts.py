"""What is kept of every query: where a result came from, and what became of the others."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal

from pgmagic.errors import PgMagicError
from pgmagic.language.fingerprint import fingerprint
from pgmagic.language.plan import Plan
from pgmagic.outcome import Answer, Failure, Outcome, Position

__all__ = ["Origin", "Receipt", "Share", "receipt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Which cell of a notebook asked: its number in this kernel, and its id where there is one.

    Both are None in a script.
    """

    number: int | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One database's share of a query. `elapsed` is in seconds; `rows` and `bytes` are of the
    results that were kept.

    `position` is where the database was as the cell's transaction began; None where there was
    none of the cell's own, or where the server does not tell.
    """

    database: str
    outcome: Literal["answered", "failed", "cancelled"]
    elapsed: float
    rows: int | None = None
    bytes: int | None = None
    server_version: str = ""
    position: Position | None = None
    error: str | None = None  # the class alone: a server's text may hold values
    sqlstate: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """One query, on all its databases. `started` is this machine's clock, in UTC.

    `sql` is as the user wrote it, with `{names}` in place of values; `elapsed` is in seconds.
    """

    origin: Origin
    sql: str
    fingerprint: str
    started: datetime
    elapsed: float
    shares: tuple[Share, ...]

    @property
    def databases(self) -> tuple[str, ...]:
        return tuple(share.database for share in self.shares)

    @property
    def rows(self) -> int:
        return sum(share.rows or 0 for share in self.shares)

    def attrs(self, *databases: str) -> dict[str, Any]:
        """Give what a frame carries as `attrs["pgmagic"]`: plain values, no SQL, no data.

        Of all databases that answered, or of those that are named.
        """
        return {
            "fingerprint": self.fingerprint,
            "started": self.started.isoformat(timespec="milliseconds"),
            "elapsed": round(self.elapsed, 6),
            "databases": {
                share.database: {
                    "rows": share.rows,
                    "server_version": share.server_version,
                    "snapshot": share.position and share.position.snapshot,
                    "wal": share.position and share.position.wal,
                    "at": share.position and share.position.at.isoformat(timespec="milliseconds"),
                }
                for share in self.shares
                if share.outcome == "answered" and (not databases or share.database in databases)
            },
        }

    def lines(self) -> Iterator[dict[str, Any]]:
        """Give one line for each database, as `%pg_history` shows it."""
        for share in self.shares:
            position = share.position
            yield {
                "cell": self.origin.number,
                "sql": self.sql.strip(),
                "fingerprint": self.fingerprint,
                "started": self.started,
                **asdict(share),
                "snapshot": position and position.snapshot,
                "wal": position and position.wal,
                "read_at": position and position.at,
            }


def receipt(
    plan: Plan,
    outcomes: Sequence[Outcome],
    *,
    origin: Origin,
    started: datetime,
    elapsed: float,
    error: BaseException | None = None,
) -> Receipt:
    """Write the receipt of a plan. A database without an outcome failed with `error`, if that is
    one of ours, and was cancelled else.
    """
    known = {outcome.database: _share(outcome) for outcome in outcomes}
    shares = [known.get(name) or _without_outcome(name, elapsed, error) for name in plan.targets]
    return Receipt(
        origin=origin,
        sql=plan.cell.sql,
        fingerprint=_named(plan.cell.sql),
        started=started,
        elapsed=elapsed,
        shares=tuple(shares),
    )


def _without_outcome(database: str, elapsed: float, error: BaseException | None) -> Share:
    if isinstance(error, PgMagicError):
        return _share(Failure(database=database, error=error, elapsed=elapsed))
    return Share(database=database, outcome="cancelled", elapsed=elapsed)


_named = lru_cache(maxsize=256)(fingerprint)  # it reads the whole text


def _share(outcome: Outcome) -> Share:
    if isinstance(outcome, Answer):
        counts = [result.rows for result in outcome.results if result.rows is not None]
        return Share(
            database=outcome.database,
            outcome="answered",
            elapsed=outcome.elapsed,
            rows=sum(counts) if counts else None,
            bytes=outcome.nbytes,
            server_version=outcome.server_version,
            position=outcome.position,
        )
    return Share(
        database=outcome.database,
        outcome="failed",
        elapsed=outcome.elapsed,
        error=type(outcome.error).__name__,
        sqlstate=getattr(outcome.error, "sqlstate", None),
    )
