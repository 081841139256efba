"""The options of `%%pg`: one table that the parser, the help, completion and the docs all read."""

import keyword
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pgmagic.errors import CellError
from pgmagic.language.destination import destination
from pgmagic.language.repeating import repeated
from pgmagic.language.suggest import did_you_mean

__all__ = ["OPTIONS", "Option", "Options", "option_named", "python_name", "rows", "seconds"]

MOST_CONNECTIONS = 64  # of one parallel read
MOST_PARTITIONS = 100_000  # of one database

As: TypeAlias = Literal["pandas", "arrow", "polars"]
Dtypes: TypeAlias = Literal["numpy", "arrow"]
Numeric: TypeAlias = Literal["float", "exact"]
Json: TypeAlias = Literal["objects", "text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the options of a cell ask for. Times are in seconds."""

    into: str | None = None
    save: str | None = None
    tag: str = "database"
    split: bool = False
    all: bool = False
    partial: bool = False
    limit: int | None = None
    as_: As = "pandas"
    dtypes: Dtypes = "numpy"
    numeric: Numeric = "float"
    json: Json = "objects"
    tz: str | None = None
    timeout: float | None = None
    background: bool = False
    stats: bool = False
    session: str | None = None
    write: bool = False
    all_rows: bool = False
    autocommit: bool = False
    to: str | None = None
    parallel: int | None = None
    by: str | None = None
    dask: bool = False
    partitions: int | None = None
    max_connections_per_database: int | None = None
    explain: bool = False
    analyze: bool = False

    @property
    def wants_plan(self) -> bool:
        """Whether the server's plan is asked for, not the rows."""
        return self.explain or self.analyze


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its name on the line, what its value is called, and what it does.

    `quotes` may stand around the value without being part of it. Where the value is SQL, double
    quotes are part of it.
    """

    name: str
    field: str
    help: str
    metavar: str | None = None  # None: a switch without a value
    read: Callable[[str], Any] | None = None
    choices: tuple[str, ...] = ()
    quotes: str = "\"'"

    def value(self, text: str) -> Any:
        """Read the option's value. Raises `CellError` that names the option."""
        if self.choices and text not in self.choices:
            near = did_you_mean(text, self.choices)
            choices = " or ".join(self.choices)
            raise CellError(f"{self.name} takes {choices}, not {repeated(text)}{near}")
        try:
            return self.read(text) if self.read else text
        except ValueError as error:
            raise CellError(f"{self.name} takes {error}, not {repeated(text)}") from None


def python_name(text: str) -> str:
    """Read the name of a variable. Raises `ValueError`."""
    if not text.isidentifier() or keyword.iskeyword(text):
        raise ValueError("a Python name")
    return text


def seconds(text: str) -> float:
    """Read a time. Raises `ValueError` with what it takes."""
    try:
        number = float(text.removesuffix("s"))
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ValueError("a number of seconds above 0")
    return number


def rows(text: str) -> int:
    """Read a count, with or without marks between the thousands. Raises `ValueError`."""
    digits = text.replace("_", "").replace(",", "")
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError("a whole number of rows")
    return int(digits)


def connections(text: str) -> int:
    """Read a number of connections. Raises `ValueError` with what it takes."""
    if not (text.isascii() and text.isdigit() and 2 <= int(text) <= MOST_CONNECTIONS):
        raise ValueError(f"a whole number from 2 to {MOST_CONNECTIONS}")
    return int(text)


def count_up_to(most: int) -> Callable[[str], int]:
    """Make a reader of a number from 1 on. It raises `ValueError` with what it takes."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= most):
            raise ValueError(f"a whole number from 1 to {most}")
        return int(text)

    return read


def file_or_folder(text: str) -> str:
    """Check where a result is to go. Raises `ValueError` with what it takes."""
    destination(text)
    return text


OPTIONS: tuple[Option, ...] = (
    Option("--into", "into", "store the result in this variable, and show it", "NAME", python_name),
    Option("--save", "save", "run nothing; keep this SELECT, to be read like a table", "NAME"),
    Option("--tag", "tag", "name of the column that says which database a row is from", "NAME"),
    Option("--split", "split", "give a dict of one frame per database"),
    Option("--all", "all", "give the result of every statement, not only the last one's"),
    Option("--partial", "partial", "where some databases fail, return the others' rows"),
    Option("--limit", "limit", "at most so many rows of each database", "N", rows),
    Option(
        "--as",
        "as_",
        "what to return",
        "pandas|arrow|polars",
        choices=("pandas", "arrow", "polars"),
    ),
    Option(
        "--dtypes",
        "dtypes",
        "columns of the frame in numpy and pandas' own dtypes, or in Arrow's",
        "numpy|arrow",
        choices=("numpy", "arrow"),
    ),
    Option(
        "--numeric",
        "numeric",
        "numeric columns as float64, or as exact decimals",
        "float|exact",
        choices=("float", "exact"),
    ),
    Option(
        "--json",
        "json",
        "json columns as parsed objects, or as text",
        "objects|text",
        choices=("objects", "text"),
    ),
    Option("--tz", "tz", "time zone in which timestamptz columns are shown", "ZONE"),
    Option("--timeout", "timeout", "give up after so many seconds", "SECONDS", seconds),
    Option("--background", "background", "return at once with a task that can be awaited"),
    Option("--stats", "stats", "show the pools under the result"),
    Option("--session", "session", "keep this cell's connections for later cells", "NAME"),
    Option("--write", "write", "let this cell change data"),
    Option("--all-rows", "all_rows", "let UPDATE or DELETE without WHERE run on many targets"),
    Option("--autocommit", "autocommit", "run each statement in a transaction of its own"),
    Option(
        "--to",
        "to",
        "write the rows to this .parquet, .csv, .arrow or .feather file, or to folder/",
        "FILE",
        file_or_folder,
    ),
    Option("--parallel", "parallel", "read one table on so many connections", "N", connections),
    Option("--by", "by", "cut the table by this column, not by its pages", "COLUMN"),
    Option("--dask", "dask", "give a lazy dask.dataframe, whose workers read the parts"),
    Option(
        "--partitions",
        "partitions",
        "cut the table of each database into so many parts for --dask",
        "N",
        count_up_to(MOST_PARTITIONS),
    ),
    Option(
        "--max-connections-per-database",
        "max_connections_per_database",
        "connections of all workers of --dask together to one database",
        "N",
        count_up_to(MOST_PARTITIONS),
    ),
    Option("--explain", "explain", "show how the server would run the statement, as a tree"),
    Option("--analyze", "analyze", "run it, show times and rows as a tree, undo what it wrote"),
)


def option_named(name: str, magic: str, options: Sequence[Option]) -> Option:
    """Find an option. Raises `CellError` with the near one for a name that is none."""
    by_name = {option.name: option for option in options}
    if option := by_name.get(name):
        return option
    raise CellError(
        f"{magic} has no option {name}{did_you_mean(name, by_name)}",
        hint=f"{magic}? lists the options",
    )
