"""What a cell asks, as far as the answer depends on it: what a recording is found by."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Self

from pgmagic.database.arguments import from_json, to_json
from pgmagic.language.classify import classify
from pgmagic.language.line import Cell
from pgmagic.language.options import Options
from pgmagic.language.plan import Plan, Step, Transaction
from pgmagic.language.scanner import tokens
from pgmagic.language.statement import Statement

__all__ = ["Asked", "Question", "question_of"]

# Options that change which rows come, and in which state of the connection; not how they are shown.
DECIDING: Final = (
    "all",
    "limit",
    "session",
    "write",
    "autocommit",
    "to",
    "parallel",
    "by",
    "explain",
    "analyze",
)
# Options that mean nothing once the cell has run.
PASSING: Final = frozenset({"into", "background", "stats"})
PLAIN: Final = Options()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One statement as it was sent. `values` are the parameters' in the JSON of `arguments`."""

    sql: str
    parameters: tuple[str, ...] = ()
    values: tuple[Any, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The statements as sent, their values, the databases, and the options that decide."""

    statements: tuple[Asked, ...]
    targets: tuple[str, ...]
    options: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Name the question: equal for equal questions, in every kernel and on every machine."""
        told = {
            "statements": [[each.sql, list(each.values)] for each in self.statements],
            "targets": list(self.targets),
            "options": {name: self.options[name] for name in DECIDING if name in self.options},
        }
        text = json.dumps(told, sort_keys=True, ensure_ascii=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """Give what a receipt holds of it."""
        return {
            "targets": list(self.targets),
            "options": dict(self.options),
            "statements": [
                {
                    "sql": each.sql.split("\n"),
                    "values": [
                        {"name": name, "value": value}
                        for name, value in zip(each.parameters, each.values, strict=True)
                    ],
                }
                for each in self.statements
            ],
        }

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> Self:
        """Read what `as_json` gave."""
        return cls(
            targets=tuple(written["targets"]),
            options=written["options"],
            statements=tuple(
                Asked(
                    sql="\n".join(each["sql"]),
                    parameters=tuple(value["name"] for value in each["values"]),
                    values=tuple(value["value"] for value in each["values"]),
                )
                for each in written["statements"]
            ),
        )

    def plan(self, cell: str, transaction: str, read_only: Sequence[bool]) -> Plan:
        """Make a plan that asks it again. Errors point into the statements as they were sent."""
        known = {each.name for each in fields(Options)}
        options = {name: value for name, value in self.options.items() if name in known}
        return Plan(
            cell=Cell(sql=cell, targets=self.targets, options=replace(PLAIN, **options)),
            statements=tuple(_statement(each) for each in self.statements),
            steps=tuple(
                Step(database=name, read_only=only)
                for name, only in zip(self.targets, read_only, strict=True)
            ),
            transaction=Transaction(transaction),
        )


def question_of(plan: Plan) -> Question:
    """Say what a plan asks."""
    options = plan.cell.options
    return Question(
        targets=plan.targets,
        options={
            each.name: value
            for each in fields(Options)
            if each.name not in PASSING
            and (value := getattr(options, each.name)) != getattr(PLAIN, each.name)
        },
        statements=tuple(
            Asked(
                sql=each.sql,
                parameters=each.parameters,
                values=tuple(to_json(value) for value in each.arguments),
            )
            for each in plan.statements
        ),
    )


def _statement(asked: Asked) -> Statement:
    sql = asked.sql
    return Statement(
        sql=sql,
        arguments=tuple(from_json(value) for value in asked.values),
        parameters=asked.parameters,
        cell=sql,
        start=0,
        stop=len(sql),
        offsets=((0, 0),),
        kind=classify(sql, list(tokens(sql))),
    )
