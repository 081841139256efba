r"""The describing commands of psql: `\d`, `\dt`, `\l` and their kin, as queries on the catalogues.

https://www.postgresql.org/docs/current/app-psql.html#APP-PSQL-META-COMMANDS
"""

import re
from dataclasses import dataclass

from pgmagic.errors import CellError
from pgmagic.language import catalogue
from pgmagic.language.classify import classify
from pgmagic.language.scanner import tokens
from pgmagic.language.statement import Statement
from pgmagic.language.suggest import did_you_mean

__all__ = ["is_command", "read", "refused"]

COMMAND = re.compile(r"\\(?P<letters>[A-Za-z]+?|[^A-Za-z\s])(?P<suffix>[S+]*)(?=[\s;]|\Z)")
BEGINNING = re.compile(r"\\(?:[A-Za-z]+|[^A-Za-z\s])?")
REGEX_SPECIAL = frozenset(r"|*+?()[]{}.^$\\")

ADVICE = {
    "!": "!command runs a shell command in a cell of its own",
    "?": "%pg? explains the magic",
    "c": "name the database in the cell's first line: %%pg name",
    "cd": "%cd changes the folder",
    "conninfo": "%pg_check tells how a database is reached",
    "copy": "COPY (select …) TO STDOUT gives text; %%pg … --into NAME a DataFrame",
    "crosstabview": "the DataFrame's pivot() does that",
    "dp": "query information_schema.table_privileges",
    "e": "edit the cell",
    "echo": "use print() in a Python cell",
    "g": "end the statement with ;",
    "gdesc": "the DataFrame has the columns: .dtypes",
    "gexec": "loop in a Python cell: %pg database {statement:l} does not run text",
    "gset": "row = %pg database select … takes the result into Python",
    "gx": "end the statement with ;",
    "h": "https://www.postgresql.org/docs/current/sql-commands.html has the syntax",
    "i": "open(path).read() in Python, and pgmagic.Client.query() for the text",
    "if": "use Python's if, in a Python cell",
    "o": "%%pg … --into NAME keeps the frame; write it with .to_csv()",
    "p": "the cell shows the text",
    "password": "ALTER ROLE … PASSWORD {password:l}",
    "pset": "pandas decides how a frame is shown: pd.set_option()",
    "q": "nothing to quit; %pg_close ends sessions",
    "r": "edit the cell",
    "s": "%history lists the cells",
    "set": "set a variable in Python and write {name}",
    "sf": "select pg_get_functiondef('name'::regproc)",
    "sv": "select pg_get_viewdef('name'::regclass)",
    "timing": "every cell shows how long it took",
    "watch": "loop in a Python cell",
    "x": "the frame's .T shows rows as columns",
    ";": "end the statement with ;",
}
SYNONYMS = {
    "connect": "c",
    "edit": "e",
    "ef": "e",
    "ev": "e",
    "elif": "if",
    "else": "if",
    "endif": "if",
    "help": "h",
    "include": "i",
    "include_relative": "i",
    "ir": "i",
    "out": "o",
    "print": "p",
    "prompt": "set",
    "qecho": "echo",
    "quit": "q",
    "reset": "r",
    "unset": "set",
    "w": "o",
    "warn": "echo",
    "z": "dp",
    ":": ";",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """What an object's name, and its schema's, must match; None matches what is visible."""

    schema: str | None = None
    name: str | None = None
    wild: bool = False


def is_command(cell: str) -> bool:
    """Whether a cell, or the rest of a line, begins with a backslash."""
    return cell.lstrip().startswith("\\")


def read(cell: str) -> Statement:
    r"""Give the query that answers a cell such as `\d flights` or `\dt sales.*`.

    Its columns have psql's names. Raises `CellError` for every other command, and for more than
    one.
    """
    start = len(cell) - len(cell.lstrip())
    written = cell[start:].rstrip().removesuffix(";").rstrip()
    found = COMMAND.match(written)
    if found is None or found["letters"] not in catalogue.QUERIES:
        raise refused(cell, start)
    rest = written[found.end() :]
    if "\n" in rest:
        following = rest[rest.index("\n") :].lstrip()
        raise CellError(
            f"{found[0]} stands alone in its cell",
            cell=cell,
            offset=start + len(written) - len(following),
            hint="put the rest into a cell of its own",
        )
    pattern = _pattern(cell, start + found.end(), start + len(written))
    sought = catalogue.NOUNS[found["letters"]]
    if found["letters"] == "d" and rest.strip():  # then it is columns that are listed
        sought = f"column of a {sought}"
    sql = catalogue.query(
        found["letters"],
        named=pattern.name is not None or pattern.schema is not None,
        wild=pattern.wild,
        system="S" in found["suffix"],
        verbose="+" in found["suffix"],
    )
    return Statement(
        sql=sql,
        arguments=(pattern.name, pattern.schema),
        parameters=("name", "schema"),
        cell=cell,
        start=start,
        stop=start + len(written),
        offsets=((0, start), (0, start), (len(sql), start + len(written))),
        kind=classify(sql, list(tokens(sql))),
        sought=f"{sought} {rest.strip()}".rstrip(),
    )


def refused(cell: str, offset: int) -> CellError:
    """Say that a backslash command is psql's, and what does its work here."""
    found = COMMAND.match(cell, offset) or BEGINNING.match(cell, offset)
    assert found is not None  # there is a backslash
    command = found[0].rstrip("+S")
    letters = command[1:]
    known = ADVICE.get(SYNONYMS.get(letters, letters))
    if known is None and letters in catalogue.QUERIES:
        known = f"put it into a cell of its own, or on a line: %pg {command}"
    if known is None:
        near = did_you_mean(letters, [*catalogue.QUERIES, *ADVICE]) if letters else ""
        known = "here are " + ", ".join(f"\\{name}" for name in catalogue.QUERIES) + near
    return CellError(f"{command} is a command of psql's", cell=cell, offset=offset, hint=known)


def _pattern(cell: str, start: int, stop: int) -> Pattern:
    """Read a name pattern: `*` and `?`, regular expressions, "quoted" parts, schema.name."""
    while start < stop and cell[start].isspace():
        start += 1
    parts, quoted, wild, index = [""], False, False, start
    while index < stop:
        character = cell[index]
        if character == '"':
            if quoted and cell.startswith('"', index + 1):
                parts[-1] += '"'
                index += 1
            else:
                quoted = not quoted
        elif quoted:
            parts[-1] += f"\\{character}" if character in REGEX_SPECIAL else character
        elif character.isspace():
            second = stop - len(cell[index:stop].lstrip())
            raise CellError("one pattern at most is understood", cell=cell, offset=second)
        elif character == ".":
            parts.append("")
        elif character in "*?":
            parts[-1] += ".*" if character == "*" else "."
            wild = True
        else:
            parts[-1] += r"\$" if character == "$" else character.lower()
        index += 1
    if quoted:
        raise CellError("the quoted name does not end", cell=cell, offset=start)
    if len(parts) > 2:
        raise CellError("a pattern has a schema and a name at most", cell=cell, offset=start)
    anchored = [f"^({part})$" if part else None for part in parts]
    return Pattern(name=anchored[-1], schema=anchored[0] if len(parts) == 2 else None, wild=wild)
