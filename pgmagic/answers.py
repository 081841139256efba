"""From one outcome per database to what the cell returns."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pgmagic.columns import DecodeError, FrameOptions, agree, combine, to_frame
from pgmagic.errors import ConnectionLost
from pgmagic.language.plan import Plan
from pgmagic.language.query_plans import QueryPlans
from pgmagic.outcome import Answer, Failure, Outcome, Result
from pgmagic.receipts import Receipt

__all__ = ["Answers", "assemble", "stamp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """All that one cell got.

    `value` is what it returns: a frame, a dict of frames by database (`--split`), a list of them
    (`--all`), the text of COPY … TO STDOUT, or None where no statement has rows. `notes` say what
    was done to the values; `elapsed` is in seconds.
    """

    plan: Plan
    outcomes: tuple[Outcome, ...]
    value: Any = None
    notes: tuple[str, ...] = ()
    elapsed: float = 0.0

    @property
    def failures(self) -> tuple[Failure, ...]:
        return tuple(outcome for outcome in self.outcomes if isinstance(outcome, Failure))


def assemble(
    plan: Plan,
    outcomes: Sequence[Outcome],
    options: Mapping[str, FrameOptions],
    files: Any = None,
    *,
    keep: bool = False,
) -> tuple[Any, tuple[str, ...]]:
    """Make the cell's value of what was answered, and the notes for its caption.

    `files` is what it returns where the rows went to files. The rows of the answers are given up
    on the way, unless somebody is to `keep` them: not all of them fit beside the frame.
    """
    answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
    if plan.cell.options.wants_plan:
        return _plans(plan, answers), ()
    notes: dict[str, None] = {}
    values = []
    for index in range(len(plan.statements)):
        results = {answer.database: answer.results[index] for answer in answers}
        if not results or not plan.keeps(index):
            continue
        if files is not None and any(r.exported is not None for r in results.values()):
            values.append(files)
            notes.update(dict.fromkeys(_said(plan, index, results)))
            continue
        if all(result.table is None and result.text is None for result in results.values()):
            continue
        value, said = _value(plan, index, results, options, keep)
        values.append(value)
        notes.update(dict.fromkeys(said))
    if plan.cell.options.all:
        return values, tuple(notes)
    return (values[-1] if values else None), tuple(notes)


def stamp(value: Any, receipt: Receipt) -> None:
    """Put the receipt into the `attrs` of every DataFrame of a value."""
    if isinstance(value, list):
        for each in value:
            stamp(each, receipt)
    elif isinstance(value, dict):
        for name, each in value.items():
            _stamp(each, receipt.attrs(name))
    else:
        _stamp(value, receipt.attrs())


def _stamp(frame: Any, attrs: dict[str, Any]) -> None:
    if isinstance(known := getattr(frame, "attrs", None), dict):  # Arrow and polars have none
        known["pgmagic"] = attrs


def _plans(plan: Plan, answers: Sequence[Answer]) -> QueryPlans | None:
    """Read the plans that the servers sent, each as one value of JSON."""
    tables = {answer.database: answer.results[-1].table for answer in answers}
    texts = {
        name: table.arrow.column(0)[0].as_py()
        for name, table in tables.items()
        if table is not None and table.num_rows
    }
    return QueryPlans(texts, rolled_back=plan.rolls_back) if texts else None


def _said(plan: Plan, index: int, results: Mapping[str, Result]) -> list[str]:
    several, sought = len(plan.steps) > 1, plan.statements[index].sought
    missed = (f"found no {sought}",) if sought else ()
    return [
        f"{name}: {note}" if several else note
        for name, result in results.items()
        for note in (*result.notes, *(missed if result.rows == 0 else ()))
    ]


def _value(
    plan: Plan,
    index: int,
    results: Mapping[str, Result],
    options: Mapping[str, FrameOptions],
    keep: bool,
) -> tuple[Any, list[str]]:
    several, notes = len(plan.steps) > 1, _said(plan, index, results)
    if any(result.text is not None for result in results.values()):
        texts = {name: result.text for name, result in results.items()}
        return (texts if several else next(iter(texts.values()))), notes
    if several and not plan.cell.options.split:
        first = next(iter(options.values()))
        agreement = agree({name: result.columns for name, result in results.items()})
        with _understood(*results):
            frame, said = combine(
                {name: _rows(result, keep) for name, result in results.items()},
                agreement,
                tag=plan.cell.options.tag,
                options=first,
            )
        return frame, [*notes, *said]
    frames = {}
    for name, result in results.items():
        with _understood(name):
            frames[name], said = to_frame(_rows(result, keep), result.columns, options[name])
        notes += [f"{name}: {note}" if several else note for note in said]
    return (frames if several else next(iter(frames.values()))), notes


@contextmanager
def _understood(*names: str) -> Iterator[None]:
    """Say whose values were none of the types that they were said to be."""
    try:
        yield
    except DecodeError as error:
        raise ConnectionLost(
            f"a value is not what the server said it would be: {error}", database=", ".join(names)
        ) from None


def _rows(result: Result, keep: bool) -> Any:
    assert result.table is not None
    return result.table.arrow if keep else result.table.give_up()
