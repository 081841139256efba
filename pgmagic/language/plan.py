"""Decide what runs where, and in which transaction, before anything is sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from pgmagic.errors import CellError
from pgmagic.language.destination import destination
from pgmagic.language.division import divisible
from pgmagic.language.explain import explained
from pgmagic.language.line import Cell
from pgmagic.language.statement import Statement

__all__ = ["Plan", "Step", "Transaction", "plan"]


class Transaction(StrEnum):
    """What stands around the statements of a cell."""

    ALL = "all"  # one transaction around all of them
    EACH = "each"  # each runs on its own, as in psql
    SESSION = "session"  # the user's own, on a connection that stays


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one database has to do."""

    database: str
    read_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A cell, decided: the statements, the databases, the transaction around them.

    `one_state` has what only reads see one state of its database, in all its statements.
    """

    cell: Cell
    statements: tuple[Statement, ...]
    steps: tuple[Step, ...]
    transaction: Transaction
    warnings: tuple[str, ...] = ()
    one_state: bool = False

    @property
    def targets(self) -> tuple[str, ...]:
        """The databases, in the order in which they were written."""
        return tuple(step.database for step in self.steps)

    @property
    def together(self) -> bool:
        """Whether no database may commit before all have succeeded."""
        return (
            len(self.steps) > 1
            and self.transaction is Transaction.ALL
            and not all(step.read_only for step in self.steps)
            and not self.rolls_back
        )

    @property
    def rolls_back(self) -> bool:
        """Whether what the cell writes is undone: it runs only to be measured."""
        return self.cell.options.analyze and not all(step.read_only for step in self.steps)

    @property
    def repeatable(self) -> bool:
        """Whether all of it only reads, so that it may be sent again after a failure."""
        return (
            self.transaction is not Transaction.SESSION
            and all(step.read_only for step in self.steps)
            and all(statement.kind.read for statement in self.statements)
        )

    def keeps(self, index: int) -> bool:
        """Whether the rows of a statement are wanted: the last one's, or with `--all` every one's.

        What EXECUTE and CALL give, only the server knows; behind the last statement with rows
        they are kept too.
        """
        last = max(
            (i for i, s in enumerate(self.statements) if s.kind.rows or s.kind.copy_out),
            default=0,
        )
        return self.cell.options.all or index >= last


def plan(
    cell: Cell,
    statements: Sequence[Statement],
    targets: Sequence[str],
    read_only: Mapping[str, bool],
    warnings: Sequence[str] = (),
) -> Plan:
    """Decide how a cell runs on its targets.

    `read_only` has the setting of each database; `--write` lifts it for this cell. On several
    targets only `--write` lifts it. Raises `CellError` at the statement that cannot run so.
    """
    options = cell.options
    if not statements:
        raise CellError("the cell holds no statement")
    steps = tuple(
        Step(
            database=name,
            read_only=not options.write and (len(targets) > 1 or read_only[name]),
        )
        for name in targets
    )
    if options.wants_plan:
        cell, statements = _explained(cell, statements, steps)
    result = Plan(
        cell=cell,
        statements=tuple(statements),
        steps=steps,
        transaction=_transaction(cell, statements, steps),
        warnings=tuple(warnings),
    )
    for statement in statements:
        _check(result, statement)
    _check_export(result)
    _check_parallel(result)
    _check_dask(result)
    return result


def _transaction(cell: Cell, statements: Sequence[Statement], steps: Sequence[Step]) -> Transaction:
    if cell.options.session is not None:
        return Transaction.SESSION
    if cell.options.autocommit:
        return Transaction.EACH
    if len(statements) > 1 or (cell.options.analyze and not all(s.read_only for s in steps)):
        return Transaction.ALL
    # One statement that may write runs on its own, as in psql; on several databases it waits for
    # the others before it is committed, unless it can't run in a transaction at all.
    alone = len(steps) == 1 or statements[0].kind.no_block
    return Transaction.EACH if alone else Transaction.ALL


def _explained(
    cell: Cell, statements: Sequence[Statement], steps: Sequence[Step]
) -> tuple[Cell, tuple[Statement, ...]]:
    """Ask for the plan of the statement. What is about rows has no meaning then."""
    options = cell.options
    if len(statements) > 1:
        raise _refused(
            statements[1],
            "a plan is shown of one statement, and here are several",
            "put what comes before it into a cell of its own, with --session where it has to stay",
        )
    if options.to is not None or options.parallel is not None or options.dask:
        raise CellError(
            "--explain and --analyze show a plan: they take no --to, no --parallel and no --dask"
        )
    may_write = not all(step.read_only for step in steps)
    if options.analyze and may_write and (options.session or options.autocommit):
        raise CellError(
            "--analyze undoes what the statement writes: it takes no --session and no --autocommit"
        )
    plain = replace(options, limit=None, all=False, split=False)
    statement = explained(statements[0], analyze=options.analyze)
    return replace(cell, options=plain), (statement,)


def _check(plan: Plan, statement: Statement) -> None:
    kind, options = statement.kind, plan.cell.options
    read_only = any(step.read_only for step in plan.steps)
    begins = kind.transaction  # the mode is set after it, too
    first = statement.cell[statement.start : statement.stop].split()[0].upper()

    if kind.copy_in:
        raise _refused(
            statement,
            "COPY … FROM STDIN waits for data that a cell can't send",
            "INSERT … SELECT from unnest({values}), or COPY from a file on the server",
        )
    if kind.transaction and plan.transaction is not Transaction.SESSION:
        raise _refused(
            statement,
            f"{first} needs a session: without one a cell is a transaction of its own",
            "--session NAME keeps the connection, and its transaction, from cell to cell",
        )
    sets = kind.verb in ("set", "reset")  # the mode is set again after it
    if read_only and (kind.no_block or (kind.evades_read_only and not sets)) and not begins:
        raise _refused(
            statement,
            f"{first} writes, and this cell is read only",
            "--write lets this cell write",
        )
    if kind.verb == "discard" and plan.transaction is Transaction.SESSION:
        raise _refused(
            statement,
            "DISCARD would take away what the driver keeps on this session's connection",
            "%pg_close --session NAME ends the session; the next cell begins it anew",
        )
    if kind.no_block and plan.transaction is Transaction.ALL:
        raise _refused(
            statement,
            f"this {first} can't run in a transaction, and several statements run in one",
            "put it into a cell of its own, or run each statement on its own with --autocommit",
        )
    if kind.unconditional and options.write and len(plan.steps) > 1 and not options.all_rows:
        raise _refused(
            statement,
            f"{first} without WHERE would change every row on {len(plan.steps)} databases",
            "--all-rows says that this is meant",
        )


def _check_export(plan: Plan) -> None:
    options = plan.cell.options
    if options.to is None:
        return
    try:
        destination(options.to)
    except ValueError as error:
        raise CellError(f"--to takes {error}, not {options.to!r}") from None
    for name in ("all", "split", "partial"):
        if getattr(options, name):
            raise CellError(
                f"--to and --{name} don't go together: files are complete, or they are not there"
                if name == "partial"
                else f"--to and --{name} don't go together"
            )
    if not any(statement.kind.rows or statement.kind.ask for statement in plan.statements):
        raise CellError("the cell has no rows that --to could write")


def _check_parallel(plan: Plan) -> None:
    options, first = plan.cell.options, plan.statements[0]
    if options.parallel is None:
        if options.by is not None and not options.dask:
            raise CellError("--by says how --parallel or --dask cuts a table: neither is here")
        return
    if len(plan.statements) > 1 or not first.kind.read or first.kind.verb != "select":
        raise _refused(
            first,
            "--parallel is for a cell of one SELECT",
            "the statements of other cells run one after the other",
        )
    if options.session is not None or not all(step.read_only for step in plan.steps):
        raise CellError(
            "--parallel reads on several connections: it takes no --session and no --write"
        )
    if options.limit is not None:
        raise CellError("--parallel reads all rows: it takes no --limit")
    if first.saved:
        raise _refused(
            first,
            f"--parallel reads a table, and {first.saved[-1].name} is a saved query",
            "leave --parallel out, or put it on a cell that reads the table itself",
        )
    divisible(first)


def _check_dask(plan: Plan) -> None:
    options, first = plan.cell.options, plan.statements[0]
    if not options.dask:
        for name in ("partitions", "max_connections_per_database"):
            if getattr(options, name) is not None:
                raise CellError(f"--{name.replace('_', '-')} is for --dask, and there is no --dask")
        return
    if len(plan.statements) > 1 or not first.kind.read or not first.kind.copyable:
        raise _refused(
            first,
            "--dask is for a cell of one statement that reads",
            "workers run it again where one of them is lost",
        )
    others = "write session autocommit parallel to limit all split partial"
    for name in others.split():
        if getattr(options, name) not in (None, False):
            raise CellError(f"--dask and --{name} don't go together")
    if options.as_ != "pandas":
        raise CellError(f"--dask gives frames of pandas: it takes no --as {options.as_}")
    if options.dtypes != "numpy":
        raise CellError("--dask gives numpy's dtypes", hint="--dtypes numpy says so for this cell")
    if options.partitions is not None or options.by is not None:
        divisible(first)


def _refused(statement: Statement, message: str, hint: str) -> CellError:
    return CellError(message, cell=statement.cell, offset=statement.start, hint=hint)
