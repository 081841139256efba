"""What a shell can ask of pgmagic: `python -m pgmagic verify|record|replay notebook.ipynb`."""

import argparse
import asyncio
import getpass
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from pgmagic import sandbox
from pgmagic.client import Client
from pgmagic.columns import Verdict
from pgmagic.database.configuration import Configuration, load
from pgmagic.environment import VARIABLES
from pgmagic.errors import CellError, PgMagicError
from pgmagic.language.options import seconds
from pgmagic.notebook_runs import Doing, run_notebook
from pgmagic.playing import add_sandbox
from pgmagic.recording import Recordings, folder_to_read
from pgmagic.text_table import around_difference, text_table
from pgmagic.verification import verify
from pgmagic.verified import (
    DIFFERENCES,
    VERDICTS,
    CellCheck,
    differences,
    summary,
    verdicts,
)

__all__ = ["main"]

SAME, CHANGED, FAILED = 0, 1, 2  # exit codes; argparse ends with 2 as well
LONGEST = 60  # characters of a value


def main(arguments: Sequence[str]) -> int:
    """Run a command; give the exit code.

    0: it went well, or all is the same; 1: something has changed, or a cell failed; 2: that
    could not be told.
    """
    given = _read(arguments)
    try:
        code: int = given.run(given)
    except PgMagicError as error:
        print("\n".join(error.report()), file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return FAILED
    return code


def _read(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the arguments; targets may stand behind options, which argparse leaves over."""
    parser = _parser()
    given, rest = parser.parse_known_args(arguments)
    if rest and ("targets" not in given or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        given.targets = [*given.targets, *rest]
    return given


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pgmagic")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser(
        "verify",
        help="ask the live databases again what a notebook has recorded",
        description="Ask the live databases again what a notebook has recorded, and say cell by "
        "cell what is the same and what has changed. The notebook itself is not run.",
        epilog="exit codes: 0 the same rows, 1 changed, 2 something could not be verified",
    )
    command.add_argument("notebook", type=Path, help="a notebook with recordings beside it")
    command.add_argument("targets", nargs="*", help="databases, patterns, @groups; without: all")
    command.add_argument(
        "--timeout", type=_seconds, metavar="SECONDS", help="give up on a cell after so long"
    )
    command.add_argument(
        "--sandbox", action="store_true", help="start the databases of %%pg_sandbox for it"
    )
    command.set_defaults(run=lambda given: asyncio.run(_verify(given)))
    modes: tuple[tuple[Doing, str], ...] = (
        ("record", "run a notebook, and keep what the databases answer"),
        ("replay", "run a notebook on what was recorded, without its databases"),
    )
    for mode, about in modes:
        command = commands.add_parser(
            mode,
            help=about,
            description=f"{about.capitalize()}. The notebook's file stays as it is.",
            epilog="exit codes: 0 it ran to its end, 1 a cell failed, 2 it could not be run",
        )
        command.add_argument("notebook", type=Path, help="the notebook")
        command.add_argument("--output", type=Path, metavar="FILE", help="write it as it was run")
        command.set_defaults(run=partial(_run, mode))
    for command in commands.choices.values():
        command.add_argument(
            "--recordings", type=Path, metavar="DIR", help="where the recordings are instead"
        )
    return parser


def _run(mode: Doing, given: argparse.Namespace) -> int:
    notebook: Path = given.notebook
    failed = run_notebook(notebook, mode, recordings=given.recordings, output=given.output)
    if failed is not None:
        print(failed, file=sys.stderr)
        return CHANGED
    print(f"{notebook.name}: {mode}ed to its end")
    return SAME


def _seconds(text: str) -> float:
    try:
        return seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"takes {error}") from None


async def _verify(given: argparse.Namespace) -> int:
    # As a kernel that was started beside the notebook reads it, but never recorded or replayed.
    configuration = load(given.notebook.absolute().parent)
    recordings = Recordings(_folder(given, configuration))
    ask = _ask if sys.stdin.isatty() else None
    async with Client(configuration, ask=ask) as client, _sandbox(client, wanted=given.sandbox):
        checks = [
            check
            async for check in verify(client, recordings, on=given.targets, timeout=given.timeout)
        ]
    _print(checks)
    return _exit_code(checks)


@asynccontextmanager
async def _sandbox(client: Client, *, wanted: bool) -> AsyncIterator[None]:
    if not wanted:
        yield
        return
    servers = await asyncio.to_thread(sandbox.start)
    try:
        await add_sandbox(client, servers)
        yield
        await client.close(*servers.databases)
    finally:
        await asyncio.to_thread(servers.stop)


async def _ask(account: str) -> str:
    return getpass.getpass(f"Password for {account}: ")


def _folder(given: argparse.Namespace, configuration: Configuration) -> Path:
    """Find the folder of the recordings. Raises `CellError` where there is none."""
    notebook: Path = given.notebook.absolute()
    places: list[Path] = [given.recordings]
    if given.recordings is None:
        if not notebook.is_file():
            raise CellError(f"there is no notebook {given.notebook}")
        said = folder_to_read(VARIABLES, configuration.recordings, notebook)
        places = [said, notebook.with_name("recordings")]
    if (found := next((place for place in places if place.is_dir()), None)) is None:
        raise CellError(
            f"there are no recordings in {places[0]}",
            hint="run the notebook with %pg_record first, or name the folder: --recordings DIR",
        )
    return found


def _exit_code(checks: Sequence[CellCheck]) -> int:
    each = [check for cell in checks for check in cell.checks]
    verified = any(check.verdict is not Verdict.NOT_VERIFIED for check in each)
    if not verified or any(check.failed for check in each):
        return FAILED
    return CHANGED if any(check.verdict is Verdict.CHANGED for check in each) else SAME


def _print(checks: Sequence[CellCheck]) -> None:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 200
    if checks:
        print("\n".join(text_table(VERDICTS, verdicts(checks), width=width)), end="\n\n")
    if lines := differences(checks):
        for line in lines:
            cut = around_difference(line["recorded"], line["live"], LONGEST)
            line["recorded"], line["live"] = cut
        print("\n".join(text_table(DIFFERENCES, lines, width=width)), end="\n\n")
    print(summary(checks))
