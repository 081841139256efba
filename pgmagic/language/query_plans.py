"""The plans of several databases for one statement."""

from collections.abc import Iterator, Mapping
from typing import Any

from pgmagic.language.explain import QueryPlan, read_plan
from pgmagic.language.plan_text import to_text
from pgmagic.legible import legible

__all__ = ["QueryPlans"]


class QueryPlans(Mapping[str, QueryPlan]):
    """What `--explain` and `--analyze` give: a `QueryPlan` for each database, in order.

    Its text is the plans drawn as trees. `rolled_back` says that the statement ran, and that
    what it wrote was undone.
    """

    def __init__(self, texts: Mapping[str, str], *, rolled_back: bool = False) -> None:
        self._plans = {name: read_plan(name, text) for name, text in texts.items()}
        self.rolled_back = rolled_back

    def __getitem__(self, database: str) -> QueryPlan:
        return self._plans[database]

    def __iter__(self) -> Iterator[str]:
        return iter(self._plans)

    def __len__(self) -> int:
        return len(self._plans)

    def __repr__(self) -> str:
        drawn = legible(to_text(tuple(self.values())))
        return f"{drawn}\nrun, and rolled back" if self.rolled_back else drawn

    @property
    def json(self) -> Any:
        """What the servers sent: by database, or of the one that was asked alone."""
        answers = {name: plan.json for name, plan in self.items()}
        return next(iter(answers.values())) if len(answers) == 1 else answers
