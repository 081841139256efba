"""Errors as JSON: their class and what they say, and back again."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypedDict, get_type_hints

from pgmagic.errors import FanOutError, PgMagicError
from pgmagic.recording.fitting import Misfit, fit

__all__ = ["check_failure", "read_error", "write_error"]

PLAIN: Final = (str, int, float, type(None))
ErrorForm = TypedDict("ErrorForm", {"class": str, "values": dict[str, Any]})


def write_error(error: PgMagicError) -> dict[str, Any]:
    """Write an error: its class, and whatever plain values it has."""
    values = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in vars(error).items()
        if isinstance(value, PLAIN)
        or (isinstance(value, tuple) and all(isinstance(each, str) for each in value))
    }
    return {"class": type(error).__name__, "values": values}


def read_error(written: Mapping[str, Any]) -> PgMagicError:
    """Make the error again; of a class that there is not by now, a `PgMagicError`."""
    kind, values = _kind(written["class"]), written["values"]
    error = kind.__new__(kind, values["message"])
    for name, wanted in _attributes(kind).items():
        value = values.get(name, wanted.default)
        setattr(error, name, tuple(value) if isinstance(value, list) else value)
    return error


def check_failure(written: object, where: str) -> None:
    """Raise `Misfit` where `read_error` could not read this JSON, found at a place in a file."""
    fit(written, ErrorForm, where)
    assert isinstance(written, dict)
    values = written["values"]
    for name, wanted in _attributes(_kind(written["class"])).items():
        if name in values:
            fit(values[name], wanted.annotation, f"{where}.values.{name}")
        elif wanted.default is wanted.empty:
            raise Misfit(f"{where}.values.{name} is missing")


def _kind(name: str) -> type[PgMagicError]:
    return {kind.__name__: kind for kind in _kinds(PgMagicError)}.get(name, PgMagicError)


def _kinds(kind: type[PgMagicError]) -> Iterator[type[PgMagicError]]:
    if kind is not FanOutError:  # no database's own
        yield kind
        for each in kind.__subclasses__():
            yield from _kinds(each)


def _attributes(kind: type[PgMagicError]) -> Mapping[str, inspect.Parameter]:
    """Give what errors of a class are made of, each under its name, with its type."""
    found: dict[str, inspect.Parameter] = {}
    for each in reversed(kind.__mro__):
        if issubclass(each, PgMagicError) and "__init__" in vars(each):
            types = get_type_hints(each.__init__)
            parameters = inspect.signature(each).parameters.values()
            found |= {one.name: one.replace(annotation=types[one.name]) for one in parameters}
    return found
