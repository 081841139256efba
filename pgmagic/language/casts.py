"""Tell the server a parameter's type where it can't, or doesn't rightly, infer it.

A statement is prepared as it was written first. Then

1. the server refuses to prepare it, with one of `UNDECIDED`: prepare what `recast` gives;
2. it was prepared, but the inferred types are not what the values need (`needs_casts`): prepare
   what `with_casts` gives;
3. `coerced` gives the arguments to send.

A cast is `($1::int4)`, so that a value behaves as the same constant would, written in its place.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from itertools import pairwise
from uuid import UUID

from pgmagic.errors import CellError
from pgmagic.language.coercion import INTEGERS, TEXTS, coerce, element_of
from pgmagic.language.statement import Statement
from pgmagic.language.values import Unsendable, is_untyped

__all__ = ["UNDECIDED", "cast_for", "coerced", "needs_casts", "recast", "with_casts"]

# indeterminate_datatype, ambiguous_parameter, ambiguous_function; undefined_function, which is what
# `select {n}, {n} + {n}` gives: the first use made it text; datatype_mismatch, which is what
# `to_json({n})` gives; and cannot_coerce, as of `{n}::int, {n}::date`.
UNDECIDED = frozenset({"42P18", "42P08", "42725", "42883", "42804", "42846"})
NUMBER = re.compile(r"\$([0-9]+)")
CAST = re.compile(r"\(\$([0-9]+)::")
VALUE = re.compile(r"(\s*)\(?\$([0-9]+)(?:::[^)]*\))?(\s*)")
# Whose values the driver takes only as Python objects; a string is cast by the server instead.
NOT_FROM_TEXT = frozenset(
    {
        *INTEGERS,
        *("float4", "float8", "numeric", "bool", "bytea", "interval", "bit", "varbit", "tid"),
        *("uuid", "inet", "cidr"),
        *("date", "time", "timetz", "timestamp", "timestamptz"),
        *("point", "box", "circle", "line", "lseg", "path", "polygon"),
        *("int4range", "int8range", "numrange", "tsrange", "tstzrange", "daterange"),
        *("int4multirange", "int8multirange", "nummultirange"),
        *("tsmultirange", "tstzmultirange", "datemultirange"),
    }
)


def cast_for(value: object) -> str | None:
    """Name the type that a plain value has as a constant; None where it has none of its own."""
    match value:
        case None | str():
            return "text"
        case bool():
            return "bool"
        case int():
            return next((name for name in ("int4", "int8") if value in INTEGERS[name]), "numeric")
        case float():
            return "float8"
        case Decimal():
            return "numeric"
        case bytes():
            return "bytea"
        case datetime():
            return "timestamp" if value.tzinfo is None else "timestamptz"
        case date():
            return "date"
        case time():
            return "time" if value.tzinfo is None else "timetz"
        case timedelta():
            return "interval"
        case UUID():
            return "uuid"
        case IPv4Network() | IPv6Network():
            return "cidr"
        case IPv4Address() | IPv6Address() | IPv4Interface() | IPv6Interface():
            return "inet"
        case dict():
            return "jsonb"
        case list() | tuple():
            element = _common(cast_for(item) for item in _leaves(value))
            return None if element is None else f"{element}[]"
    return None


def recast(statement: Statement, message: str) -> Statement | None:
    """Give the statement to prepare after the server could not decide on types (`UNDECIDED`).

    NULL and the empty list, which have no type of their own, get a number in each of their places
    first, and with it the type of that place. Then follow casts: `message` is the server's; where
    it names a parameter, that one is cast, otherwise all are. None where nothing is left to try.
    """
    if (apart := _apart(statement)) is not None:
        return apart
    done = {int(found[1]) for found in CAST.finditer(statement.sql)}
    named = {int(found[1]) for found in NUMBER.finditer(message)}
    open_ones = range(1, len(statement.arguments) + 1)
    casts = {
        number: cast
        for number in open_ones
        if number not in done
        and (not named or number in named)
        and (cast := cast_for(statement.arguments[number - 1])) is not None
    }
    return _cast(statement, casts, {}) if casts else None


def needs_casts(statement: Statement, type_names: Sequence[str]) -> bool:
    """Whether a value does not fit the type that the server inferred, but a cast would help."""
    return any(
        _better(value, name) is not None
        for value, name in zip(statement.arguments, type_names, strict=True)
    )


def with_casts(statement: Statement, type_names: Sequence[str]) -> Statement:
    """Give the statement with a cast at each parameter that needs one."""
    casts: dict[int, str] = {}
    arguments: dict[int, object] = {}
    for number, (value, name) in enumerate(
        zip(statement.arguments, type_names, strict=True), start=1
    ):
        if (better := _better(value, name)) is not None:
            casts[number], arguments[number] = better
    return _cast(statement, casts, arguments)


def coerced(statement: Statement, type_names: Sequence[str]) -> tuple[object, ...]:
    """Give the arguments as the driver has to get them.

    Raises `CellError` at the placeholder whose value would not arrive as it is.
    """
    result = []
    for number, (value, name) in enumerate(
        zip(statement.arguments, type_names, strict=True), start=1
    ):
        try:
            result.append(coerce(value, name))
        except Unsendable as error:
            placeholder = f"{{{statement.parameters[number - 1]}}}"
            spot = statement.placeholder(number)
            raise CellError(
                f"{placeholder}: {str(error).replace('{x}', placeholder)}",
                cell=spot.text,
                offset=spot.offset,
                saved=spot.saved,
            ) from None
    return tuple(result)


def _better(value: object, inferred: str) -> tuple[str, object] | None:
    """Give the cast that a value needs, and the value to send for it."""
    own = cast_for(value)
    if own is None or _is_missing(value):
        return None
    element = element_of(inferred)
    expected, given = (inferred, own) if element is None else (element, own.removesuffix("[]"))
    if expected in TEXTS:
        return None if given == "text" else (_past_infinity(own, value) or (own, value))
    if given == "text":
        return (f"{own}::{inferred}", value) if expected in NOT_FROM_TEXT else None
    if (element is not None) != own.endswith("[]"):
        return None
    if expected in INTEGERS and given in {"int8", "numeric"}:
        # Where one is too large to be equal to any, the wider constant still compares, and the
        # server refuses to store it.
        whole = [leaf for leaf in _leaves([value]) if isinstance(leaf, int)]
        return (own, value) if any(leaf not in INTEGERS[expected] for leaf in whole) else None
    if given in {expected, "date"} and expected in {"date", "timestamp", "timestamptz"}:
        if (through_text := _past_infinity(own, value)) is not None:
            return through_text
        if given != expected == "timestamptz":
            return own, value  # midnight in the session's time zone, not in the client's
    return None


def _past_infinity(own: str, value: object) -> tuple[str, object] | None:
    """Cast dates by way of text, where the driver would take one of them for infinity."""
    if not any(isinstance(leaf, date) and _is_drivers_infinity(leaf) for leaf in _leaves([value])):
        return None
    return f"text{'[]' if own.endswith('[]') else ''}::{own}", _as_text(value)


def _as_text(value: object) -> object:
    if isinstance(value, list | tuple):
        return [_as_text(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


def _is_drivers_infinity(value: date) -> bool:
    """Whether the driver would send infinity for the last or the first day that Python has."""
    if not isinstance(value, datetime):
        return value in {date.max, date.min}
    if value.utcoffset() is not None:
        try:
            value = value.astimezone(UTC).replace(tzinfo=None)
        except OverflowError:  # the driver would fail with it
            return True
    return value.replace(tzinfo=None) in {datetime.max, datetime.min}


def _cast(
    statement: Statement, casts: Mapping[int, str], arguments: Mapping[int, object]
) -> Statement:
    """Rewrite `$n` to `($n::type)` for each of `casts`."""

    def cast_one(number: int) -> str:
        return f"(${number}::{casts[number]})" if number in casts else ""

    values = enumerate(statement.arguments, start=1)
    return replace(
        _rewritten(statement, cast_one),
        arguments=tuple(arguments.get(number, value) for number, value in values),
    )


def _apart(statement: Statement) -> Statement | None:
    """Number each place of a value without a type; None where none has two places."""
    arguments, parameters = list(statement.arguments), list(statement.parameters)
    met: set[int] = set()

    def number_one(number: int) -> str:
        if number not in met or not is_untyped(statement.arguments[number - 1]):
            met.add(number)
            return ""
        arguments.append(statement.arguments[number - 1])
        parameters.append(statement.parameters[number - 1])
        return f"${len(arguments)}"

    apart = _rewritten(statement, number_one)
    if len(arguments) == len(statement.arguments):
        return None
    return replace(apart, arguments=tuple(arguments), parameters=tuple(parameters))


def _rewritten(statement: Statement, rewrite: Callable[[int], str]) -> Statement:
    """Put what `rewrite` gives, if anything, for each `$n`, and keep the map to the cell right."""
    pieces: list[str] = []
    offsets: list[tuple[int, int]] = []
    length = 0
    bounds = [*statement.offsets, (len(statement.sql), statement.stop)]
    for index, ((begin, in_cell), (end, _)) in enumerate(pairwise(bounds)):
        text = statement.sql[begin:end]
        if index % 2 == 1:
            text = _rewritten_value(text, rewrite)
        offsets.append((length, in_cell))
        pieces.append(text)
        length += len(text)
    return replace(statement, sql="".join(pieces), offsets=tuple(offsets))


def _rewritten_value(placeholder: str, rewrite: Callable[[int], str]) -> str:
    found = VALUE.fullmatch(placeholder)  # not an identifier or a literal
    if found is None or not (new := rewrite(int(found[2]))):
        return placeholder
    return f"{found[1]}{new}{found[3]}"


def _leaves(items: Sequence[object]) -> Iterable[object]:
    for item in items:
        if isinstance(item, list | tuple):
            yield from _leaves(item)
        elif not _is_missing(item):
            yield item


def _is_missing(value: object) -> bool:
    # NaN becomes NULL, unless a type of its own or of its neighbours says that it is a float.
    return value is None or (isinstance(value, float) and math.isnan(value))


WIDENING = ("int4", "int8", "numeric", "float8")


def _common(casts: Iterable[str | None]) -> str | None:
    """Give the type that a list's elements share; None where there is none."""
    kinds = set(casts)
    if len(kinds) > 1 and kinds <= set(WIDENING):
        return max((kind for kind in kinds if kind is not None), key=WIDENING.index)
    return kinds.pop() if len(kinds) == 1 else None
