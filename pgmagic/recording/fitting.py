"""Whether JSON is what a type says, and the first place where it is not.

A type is one of Python's own: `str`, `int | None`, `list[…]`, `dict[str, …]`, `Literal[…]`, or a
`TypedDict`. Of several `TypedDict`s that one is meant whose literals fit.
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, Final, Literal, NotRequired, Union, get_args, get_origin, is_typeddict
from typing import get_type_hints as hints

__all__ = ["Misfit", "fit"]

LARGEST: Final = 2**63
_NAMES: Final = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "an object",
    NoneType: "null",
}
_forms = lru_cache(maxsize=64)(lambda form: hints(form, include_extras=True))


class Misfit(ValueError):
    """JSON is not what it should be; the message names the place and repeats no value."""


def fit(value: object, form: Any, where: str = "") -> None:
    """Raise `Misfit` where a value is not of a type: `outcomes[0].elapsed is text, not a number`.

    Members that an object has besides those of its type are passed over, as a newer pgmagic may
    write them.
    """
    kind, arguments = get_origin(form) or form, get_args(form)
    if is_typeddict(form):
        _fit_object(value, form, where)
    elif kind in (Union, UnionType):
        fit(value, _meant(value, arguments), where)
    elif kind is NotRequired:
        fit(value, arguments[0], where)
    elif kind is Literal:
        if not any(value == each and type(value) is type(each) for each in arguments):
            raise _misfit(where, "is none that is known")
    elif kind in (list, Sequence):
        for index, item in enumerate(_plain(value, list, where)):
            fit(item, arguments[0], f"{where}[{index}]")
    elif kind in (dict, Mapping):
        for name, item in _plain(value, dict, where).items():
            fit(item, arguments[1], _member(where, name))
    elif form is not Any:
        _plain(value, form, where)


def _fit_object(value: object, form: Any, where: str) -> None:
    found = _plain(value, dict, where)
    for name, each in _forms(form).items():
        if name in found:
            fit(found[name], each, _member(where, name))
        elif name in form.__required_keys__:
            raise _misfit(_member(where, name), "is missing")


def _meant(value: object, forms: Sequence[Any]) -> Any:
    """Choose the type of several that a value is to be held against."""
    for form in forms:
        if is_typeddict(form):
            literals = {name: each for name, each in _forms(form).items() if _is_literal(each)}
            if isinstance(value, dict) and all(
                value.get(name) in get_args(each) for name, each in literals.items()
            ):
                return form
        elif _is_plain(value, get_origin(form) or form):
            return form
    return next(form for form in forms if form is not NoneType)


def _is_literal(form: Any) -> bool:
    return get_origin(form) is Literal


def _plain(value: Any, kind: Any, where: str) -> Any:
    if not _is_plain(value, kind):
        found = "a number" if isinstance(value, float) else _NAMES[type(value)]
        raise _misfit(where, f"is {found}, not {_NAMES[kind]}")
    if isinstance(value, int | float) and not (math.isfinite(value) and abs(value) < LARGEST):
        raise _misfit(where, "is a number out of range")
    return value


def _is_plain(value: object, kind: Any) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is kind


def _member(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _misfit(where: str, problem: str) -> Misfit:
    return Misfit(f"{where} {problem}" if where else f"it {problem}")
