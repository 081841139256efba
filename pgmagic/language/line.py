"""Read the line and the body of a `%%pg` cell."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pgmagic.errors import CellError, MissingVariable
from pgmagic.language.options import OPTIONS, Option, Options, option_named
from pgmagic.language.repeating import may_hold_secret, repeated
from pgmagic.language.suggest import did_you_mean

__all__ = ["Cell", "read_cell", "read_line", "read_words"]

# The first words of PostgreSQL's commands: where one of them stands on a `%pg` line, SQL begins.
# https://www.postgresql.org/docs/current/sql-commands.html
COMMANDS = frozenset(
    "abort alter analyse analyze begin call checkpoint close cluster comment commit copy create "
    "deallocate declare delete discard do drop end execute explain fetch grant import insert "
    "listen load lock merge move notify prepare reassign refresh reindex release repack reset "
    "revoke rollback savepoint security select set show start table truncate unlisten update "
    "vacuum values wait with".split()
)

_WORD = re.compile(r"""\s*((?:[^\s"']|"[^"]*"|'[^']*')+)""")
_TARGET = re.compile(r"(?!-)@?[\w.*?\[\]!-]+\Z")
_CONNECTION = re.compile(r"\w+://|\w*pass\w*\s*=", re.IGNORECASE)
_VARIABLE = re.compile(r"\{([^\W\d]\w*)\}\Z")
_ASSIGN = re.compile(r"\s*([^\W\d]\w*)[ \t]*<<[ \t]*(?=\S|\n)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What the user typed, read: the SQL as it stands there, the targets, the options.

    `into` is the variable that takes the result; `show` whether the result is shown as well.
    """

    sql: str
    targets: tuple[str, ...] = ()
    options: Options = field(default_factory=Options)
    into: str | None = None
    show: bool = True


def read_cell(
    line: str,
    body: str,
    namespace: Mapping[str, Any],
    defaults: Options | None = None,
) -> Cell:
    """Read a `%%pg` cell: options and targets on the line, SQL in the body.

    Raises `CellError` for an unknown option, a bad value, or SQL on the line.
    """
    options, targets, rest = _read_head(line, namespace, defaults or Options(), None)
    if rest.strip():
        word = rest.split()[0]
        raise CellError(
            f"{repeated(word, 'what stands')} on the %%pg line is not a database",
            hint="with %%pg the SQL begins on the next line; with %pg it follows the targets",
        )
    return _cell(body, targets, options)


def read_line(
    line: str,
    names: Mapping[str, Any],
    namespace: Mapping[str, Any],
    defaults: Options | None = None,
) -> Cell:
    """Read a `%pg` line: options, targets, then SQL from the first word that is a command's.

    `names` are the databases there are. Raises `CellError` as `read_cell` does.
    """
    options, targets, rest = _read_head(line, namespace, defaults or Options(), names)
    return _cell(rest, targets, options)


def read_words(
    line: str, magic: str, options: Sequence[Option]
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Read the line of a magic that takes words and options, no SQL.

    Gives the words, and what the options say by field. A `#` begins a comment, as in Python.
    Raises `CellError`.
    """
    words: list[str] = []
    given: dict[str, Any] = {}
    at = 0
    while (word := _WORD.match(line, at)) and not word[1].startswith("#"):
        if word[1].startswith("--"):
            at = _read_option(line, word, given, magic, options)
        else:
            words.append(_unquoted(word[1]))
            at = word.end()
    return tuple(words), given


def _cell(sql: str, targets: tuple[str, ...], options: Options) -> Cell:
    into, show = options.into, True
    if assign := _ASSIGN.match(sql):
        if into is not None:
            raise CellError(
                f"the result goes to {into} by --into and to {assign[1]} by <<; keep one of them"
            )
        into, show, sql = assign[1], False, sql[assign.end() :]
    return Cell(sql=sql, targets=targets, options=options, into=into, show=show)


def _read_head(
    line: str,
    namespace: Mapping[str, Any],
    options: Options,
    names: Mapping[str, Any] | None,
) -> tuple[Options, tuple[str, ...], str]:
    """Read options and targets; give them and the rest of the line, untouched."""
    targets: list[str] = []
    given: dict[str, Any] = {}
    at = 0
    while word := _WORD.match(line, at):
        text = word[1]
        if _CONNECTION.match(text):
            raise CellError(
                "a connection string has no place in a cell: notebook and history would keep it",
                hint="%pg_connect NAME adds a database; %%pg then takes its name",
            )
        if text.startswith("--") and len(text) > 2 and text[2].isalpha():
            at = _read_option(line, word, given, "%%pg", OPTIONS)
            continue
        if names is not None and _begins_sql(text, names):
            break
        if variable := _VARIABLE.match(text):
            targets += _targets_of(variable[1], namespace, line, word.start(1))
        elif _TARGET.match(text):
            targets.append(text)
        else:
            break
        at = word.end()
    rest = line[at:]
    return (
        replace(options, **given),
        tuple(targets),
        rest.lstrip() if names is not None else rest,
    )


def _read_option(
    line: str,
    word: re.Match[str],
    given: dict[str, Any],
    magic: str,
    options: Sequence[Option],
) -> int:
    """Read one option into `given`; give the offset behind it."""
    name, equals, text = word[1].partition("=")
    try:
        option = option_named(name, magic, options)
        if option.field in given:
            raise CellError(f"{name} is given twice")
        if option.metavar is None:
            if equals:
                raise CellError(f"{name} takes no value")
            given[option.field] = True
            return word.end()
        end = word.end()
        if not equals:
            following = _WORD.match(line, end)
            if following is None or following[1].startswith("--"):
                raise CellError(f"{name} needs a value: {name} {option.metavar}")
            text, end = following[1], following.end()
        given[option.field] = option.value(_unquoted(text, option.quotes))
    except CellError as error:
        # Lines of other magics are made for connection strings; of these some hold one by mistake.
        if magic == "%%pg" and not may_hold_secret(line):
            error.cell, error.offset = line, word.start(1)
        raise
    return end


def _unquoted(text: str, quotes: str = "\"'") -> str:
    quoted = len(text) >= 2 and text[0] in quotes and text[0] == text[-1]
    return text[1:-1] if quoted else text


def _begins_sql(text: str, names: Mapping[str, Any]) -> bool:
    if text in names:
        return False
    letters = re.match(r"[A-Za-z]+", text)
    if letters and letters[0].lower() in COMMANDS:
        return len(letters[0]) == len(text) or text[len(letters[0])] not in "_-.0123456789"
    return not (_TARGET.match(text) or _VARIABLE.match(text))


def _targets_of(name: str, namespace: Mapping[str, Any], line: str, offset: int) -> tuple[str, ...]:
    if name not in namespace:
        raise MissingVariable(
            f"there is no variable {name}{did_you_mean(name, namespace)}",
            cell=line,
            offset=offset,
        )
    value = namespace[name]
    if isinstance(value, str):
        return (value,)
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise CellError(
        f"{name} names no target: it is a {type(value).__name__}, not a str or a list of str",
        cell=line,
        offset=offset,
    )
