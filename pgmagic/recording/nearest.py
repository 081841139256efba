"""Of all recordings the one that is most like a question, and how it differs."""

from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from itertools import zip_longest

from pgmagic.recording.question import DECIDING, Asked, Question
from pgmagic.recording.recording import Recording

__all__ = ["differences", "nearest"]

LONGEST = 2_000  # characters of SQL that are compared
CLOSE = 0.4  # of 1: less alike is no help
SHOWN = 76  # characters of a line


def nearest(question: Question, recordings: Iterable[Recording]) -> Recording | None:
    """Find the recording whose SQL is most alike; of equals the one with the same databases."""
    best: tuple[tuple[float, int, int], Recording] | None = None
    asked = _text(question)
    for recording in recordings:
        other = recording.question
        matcher = SequenceMatcher(None, asked, _text(other), autojunk=False)
        least = CLOSE if best is None else best[0][0]
        if matcher.real_quick_ratio() < least or matcher.quick_ratio() < least:
            continue
        likeness = (
            matcher.ratio(),
            len(set(question.targets) & set(other.targets)),
            -sum(1 for _ in differences(question, other)),
        )
        if likeness[0] >= CLOSE and (best is None or likeness > best[0]):
            best = likeness, recording
    return None if best is None else best[1]


def differences(asked: Question, recorded: Question) -> Iterator[str]:
    """Say, a line each, what was recorded and what is asked instead. No value is shown."""
    if asked.targets != recorded.targets:
        yield (
            f"databases: recorded {', '.join(recorded.targets)}; asked {', '.join(asked.targets)}"
        )
    if len(asked.statements) != len(recorded.statements):
        yield (f"statements: recorded {len(recorded.statements)}; asked {len(asked.statements)}")
    for one, other in zip(asked.statements, recorded.statements, strict=False):
        yield from _of_statement(one, other)
    for name in DECIDING:
        here, there = asked.options.get(name), recorded.options.get(name)
        if here != there:
            option = "--" + name.replace("_", "-")
            yield f"{option}: recorded {_option(there)}; asked {_option(here)}"


def _of_statement(asked: Asked, recorded: Asked) -> Iterator[str]:
    if asked.sql != recorded.sql:
        lines = zip_longest(asked.sql.split("\n"), recorded.sql.split("\n"))
        number, (here, there) = next(
            (number, pair) for number, pair in enumerate(lines, 1) if pair[0] != pair[1]
        )
        yield f"SQL, line {number}, recorded: {_line(there)}"
        yield f"SQL, line {number}, asked:    {_line(here)}"
    elif asked.values != recorded.values:
        for name, here, there in zip(asked.parameters, asked.values, recorded.values, strict=True):
            if here != there or type(here) is not type(there):
                yield f"value of {{{name}}}: another one than was recorded"


def _line(text: str | None) -> str:
    if text is None:
        return "(ends before it)"
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _option(value: object) -> str:
    if value is None or value is False:
        return "without it"
    return "with it" if value is True else str(value)


def _text(question: Question) -> str:
    return ";\n".join(each.sql for each in question.statements)[:LONGEST]
