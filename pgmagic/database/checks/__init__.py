"""The production checklist of `%pg_check`: visit databases, gather facts, apply the rules."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime

from pgmagic.database.checks.facts import Facts
from pgmagic.database.checks.gathering import gather
from pgmagic.database.checks.rules import Case, Finding, findings, not_reached
from pgmagic.database.pool import DatabasePool

__all__ = ["Finding", "check"]


async def check(
    pools: Sequence[DatabasePool], *, today: date | None = None
) -> Mapping[str, tuple[Finding, ...]]:
    """Visit databases, all at once, and give the findings of each.

    A database that cannot be reached has that as its finding, and does not stop the others.
    """
    learnt = await asyncio.gather(*(gather(pool) for pool in pools))
    demand: Counter[str] = Counter()  # by server: several pools share what it has
    for pool, facts in zip(pools, learnt, strict=True):
        if isinstance(facts, Facts):
            demand[facts.server] += pool.settings.max_size
    return {
        pool.name: tuple(
            findings(
                Case(
                    settings=pool.settings,
                    facts=facts,
                    demand=demand[facts.server],
                    today=today or datetime.now(UTC).date(),
                )
            )
            if isinstance(facts, Facts)
            else not_reached(facts)
        )
        for pool, facts in zip(pools, learnt, strict=True)
    }
