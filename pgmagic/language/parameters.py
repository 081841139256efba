"""Bind the notebook's values to the placeholders of a statement.

    placeholder = "{" path [":" spec] "}"      with no white space inside
    path        = NAME {"." NAME | "[" (INT | 'key' | "key") "]"}
    spec        = "i" (identifier) | "l" (literal)

Only in the open text of a statement: what stands in strings, quoted names, dollar quotes and
comments is never touched. A value becomes `$1`, `$2` …, the same number wherever its path is the
same, because `group by {unit}` and `select {unit}` have to be one expression for the server.
"""

import keyword
import re
import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from pgmagic.errors import CellError, MissingVariable
from pgmagic.language.literals import identifier, literal
from pgmagic.language.scanner import NAME, PLACEHOLDER, Token, TokenKind
from pgmagic.language.statement import Kind, Statement
from pgmagic.language.suggest import did_you_mean
from pgmagic.language.values import Unsendable, plain

__all__ = ["bind", "is_path", "resolve"]

FORM = "write {name} for a value, {name:i} for an identifier, {name:l} for a literal"
STEPS = re.compile(
    rf"""\.?(?P<name>{NAME})|\[(?:(?P<index>-?[0-9]+)|'(?P<a>.*?)'|"(?P<b>.*?)")\]"""
)
REPETITION = re.compile(r"\{\s*,?\s*\d")  # {1,3} of a graph pattern in SQL/PGQ
# A space keeps what replaces a placeholder from growing together with what stands beside it: into
# a longer name, a doubled quote, a U&"…", or, before a minus, another operator or a comment.
JOINS = re.compile(r"""[\w$'"}&\x80-\U0010ffff]""")
JOINS_MINUS = re.compile(r"[-+*/<>=~!@#%^&|`?]")
HANDWRITTEN_ALLOWED = frozenset({"create", "prepare", "explain"})
NO_PARAMETERS = frozenset(
    "alter analyze checkpoint close cluster comment copy deallocate discard do drop grant import "
    "listen load lock move notify reassign refresh reindex release reset revoke rollback savepoint "
    "security set show truncate unlisten vacuum".split()
)


def bind(
    cell: str,
    tokens: Sequence[Token],
    kind: Kind,
    namespace: Mapping[str, object],
) -> Statement:
    """Make a statement of its tokens in `cell`; the values are taken from `namespace` now.

    Raises `CellError` at the placeholder that can't be filled.
    """
    return _Binding(cell, kind, namespace).run(tokens)


class _Binding:
    """The statement so far."""

    def __init__(self, cell: str, kind: Kind, namespace: Mapping[str, object]) -> None:
        self.cell = cell
        self.kind = kind
        self.namespace = namespace
        self.pieces: list[str] = []
        self.length = 0
        self.arguments: list[object] = []
        self.numbers: dict[tuple[object, ...], int] = {}  # of a path, as its steps
        self.parameters: list[str] = []
        self.offsets: list[tuple[int, int]] = []
        self.handwritten: int | None = None

    def run(self, tokens: Sequence[Token]) -> Statement:
        start, stop = tokens[0].start, tokens[-1].stop
        self.offsets.append((0, start))
        copied = start
        for kind, begin, end in tokens:
            if kind is TokenKind.PLACEHOLDER:
                self._append(self.cell[copied:begin])
                self._fill(begin, end)
                copied = end
            elif kind is TokenKind.BRACE and not REPETITION.match(self.cell, begin, stop):
                raise CellError(
                    "this brace begins no placeholder", cell=self.cell, offset=begin, hint=FORM
                )
            elif kind is TokenKind.PARAMETER and self.handwritten is None:
                self.handwritten = begin
        self._append(self.cell[copied:stop])
        self._refuse_handwritten()
        return Statement(
            sql="".join(self.pieces),
            arguments=tuple(self.arguments),
            parameters=tuple(self.parameters),
            cell=self.cell,
            start=start,
            stop=stop,
            offsets=tuple(self.offsets),
            kind=self.kind,
        )

    def _append(self, text: str) -> None:
        self.pieces.append(text)
        self.length += len(text)

    def _fill(self, begin: int, end: int) -> None:
        found = PLACEHOLDER.fullmatch(self.cell, begin, end)
        assert found is not None  # the scanner said so, by the same pattern
        path, spec = found["path"], found["spec"]
        try:
            text = self._text(path, spec, begin)
        except Unsendable as error:
            raise CellError(
                f"{self.cell[begin:end]}: {error}", cell=self.cell, offset=begin
            ) from None
        before, after = self.cell[begin - 1 : begin], self.cell[end : end + 1]
        is_first = begin == self.offsets[0][1]
        if not is_first and (
            JOINS.match(before) or (text.startswith("-") and JOINS_MINUS.match(before))
        ):
            text = f" {text}"
        if JOINS.match(after):
            text = f"{text} "
        self.offsets.append((self.length, begin))
        self._append(text)
        self.offsets.append((self.length, end))

    def _text(self, path: str, spec: str | None, offset: int) -> str:
        steps = _steps(path)
        if spec is None and steps in self.numbers:
            return f"${self.numbers[steps]}"
        value = resolve(path, self.namespace, cell=self.cell, offset=offset)
        try:
            if spec == "i":
                return identifier(value)
            if spec == "l":
                return literal(value)
            value = plain(value)
        except Unsendable:
            raise
        except Exception as error:  # a foreign object's own code
            raise Unsendable(f"reading it raised {type(error).__name__}") from None
        if self.kind.verb in NO_PARAMETERS:
            raise CellError(
                f"{self.kind.verb.upper()} takes no parameters",
                cell=self.cell,
                offset=offset,
                hint=f"write {{{path}:l}} for a literal, {{{path}:i}} for an identifier",
            )
        self.arguments.append(value)
        self.parameters.append(path)
        self.numbers[steps] = len(self.arguments)
        return f"${len(self.arguments)}"

    def _refuse_handwritten(self) -> None:
        if self.handwritten is None:
            return
        if self.arguments:
            message = "$1 and {name} can't be mixed in one statement"
        elif self.kind.verb not in HANDWRITTEN_ALLOWED:
            message = "nothing gives this parameter a value"
        else:
            return
        raise CellError(
            message, cell=self.cell, offset=self.handwritten, hint="write {name} for every value"
        )


def is_path(text: str) -> bool:
    """Say whether a placeholder could hold this text, and `resolve` walk it."""
    found = PLACEHOLDER.fullmatch(f"{{{text}}}")
    return found is not None and found["spec"] is None


def resolve(
    path: str,
    namespace: Mapping[str, object],
    *,
    cell: str | None = None,
    offset: int | None = None,
) -> object:
    """Walk a path such as `row.attr` or `d['key'][0]` from the names of the notebook.

    Raises `MissingVariable` for an unknown name, `CellError` for a step that fails.
    """
    first, *steps = STEPS.finditer(path)
    name = _name(first["name"])
    if keyword.iskeyword(name):
        raise CellError(
            f"{name} is a word of Python's own, not a variable",
            cell=cell,
            offset=offset,
            hint="give a variable that value, or write it in SQL",
        )
    if name not in namespace:
        known = [other for other in namespace if not other.startswith("_")]
        raise MissingVariable(
            f"there is no variable {name}{did_you_mean(name, known)}", cell=cell, offset=offset
        )
    value = namespace[name]
    for step in steps:
        walked = path[: step.start()]
        try:
            value = _take(value, step)
        except Exception as error:  # a property, or __getitem__, of anybody's
            raise CellError(
                f"{walked} has no {_wanted(value, step, error)}", cell=cell, offset=offset
            ) from None
    return value


def _take(value: Any, step: re.Match[str]) -> object:
    if step["name"] is not None:
        return getattr(value, _name(step["name"]))
    return value[_index(step)]


def _wanted(value: object, step: re.Match[str], error: Exception) -> str:
    """Name what a step did not find, and what it may have meant."""
    usual = isinstance(error, AttributeError | LookupError | TypeError)
    raised = "" if usual else f": it raised {type(error).__name__}"
    near = ""
    if usual:
        with suppress(Exception):  # the value's own code again
            near = _near(value, step)
    kind = "attribute" if step["name"] is not None else "item"
    return f"{kind} {step[0].removeprefix('.')}{raised}{near}"


def _near(value: object, step: re.Match[str]) -> str:
    keys = [key for key in value if isinstance(key, str)] if isinstance(value, Mapping) else []
    name = step["name"]
    if name is None:
        wanted = _index(step)
        return did_you_mean(wanted, keys) if isinstance(wanted, str) else ""
    if name in keys:
        return f"; write ['{name}'] for the key"
    return did_you_mean(name, [other for other in dir(type(value)) if other[0] != "_"])


def _steps(path: str) -> tuple[object, ...]:
    """Give what tells a path from others, however its keys are quoted."""
    return tuple(
        ("attribute", _name(step["name"])) if step["name"] is not None else ("item", _index(step))
        for step in STEPS.finditer(path)
    )


def _name(name: str) -> str:
    return unicodedata.normalize("NFKC", name)  # as Python does with identifiers


def _index(step: re.Match[str]) -> int | str:
    if step["index"] is not None:
        return int(step["index"])
    return step["a"] if step["a"] is not None else step["b"]
