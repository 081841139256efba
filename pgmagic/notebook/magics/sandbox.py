"""The magic that starts databases to play with."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from IPython.core.magic import line_magic, magics_class, no_var_expand

from pgmagic import sandbox
from pgmagic.errors import CellError
from pgmagic.language.line import read_words
from pgmagic.notebook.display import LineProgress, show_text
from pgmagic.notebook.help import SANDBOX, described
from pgmagic.notebook.magics.group import MagicGroup
from pgmagic.playing import add_sandbox

if TYPE_CHECKING:
    from pgmagic.sandbox.databases import Sandbox

__all__ = ["SandboxMagics"]


@magics_class
class SandboxMagics(MagicGroup):
    """The servers of this notebook's sandbox."""

    def __init__(self, pg: Any) -> None:
        super().__init__(pg)
        self._sandbox: Sandbox | None = None

    async def shut_down(self) -> None:
        if self._sandbox is not None:
            await asyncio.to_thread(self._sandbox.stop)
            self._sandbox = None

    @no_var_expand
    @line_magic
    @described(SANDBOX)
    def pg_sandbox(self, line: str) -> None:
        """Start three real databases to play with: ewr, jfk and lga.

            %pg_sandbox [--reset]        %pg_sandbox --stop [name]        %pg_sandbox --start name

        Each holds the flights of 2013 that left its airport, and airlines, airports, planes and
        weather. The servers run on this machine and end with the last notebook that uses them;
        the data stays. With a name, --stop and --start let the server of that database fail and
        come back, for all notebooks that use it: ewr has one, jfk and lga share another.
        """
        words, given = read_words(line, "%pg_sandbox", SANDBOX)
        if words or given.get("start"):
            self._one_server(words, given)
        elif given.get("stop"):
            self.home.run(self._stop_sandbox())
        else:
            self.home.run(self._start_sandbox(reset=given.get("reset", False)))

    def _one_server(self, words: Sequence[str], given: Mapping[str, Any]) -> None:
        """Stop or start the server of one database."""
        if self._sandbox is None:
            raise CellError("this notebook has not started the sandbox")
        if len(words) != 1 or words[0] not in self._sandbox.databases or len(given) != 1:
            names = ", ".join(self._sandbox.databases)
            raise CellError(
                "%pg_sandbox takes a name after --stop or --start alone", hint=f"there are {names}"
            )
        change = self._sandbox.resume if given.get("start") else self._sandbox.halt
        changed = self.home.run(asyncio.to_thread(change, words[0]))
        state = "running again" if given.get("start") else "stopped"
        show_text(f"the server of {' and '.join(changed)} is {state}")

    async def _start_sandbox(self, *, reset: bool) -> None:
        progress = LineProgress("sandbox")
        if self._sandbox is not None:
            await self._stop_sandbox()
        self._sandbox = await asyncio.to_thread(sandbox.start, progress, reset=reset)
        await add_sandbox(self.client, self._sandbox)
        names = ", ".join(self._sandbox.databases)
        progress.conclude(f"{names} are running; @sandbox means all of them")

    async def _stop_sandbox(self) -> None:
        if self._sandbox is None:
            raise CellError("this notebook has not started the sandbox")
        names = tuple(self._sandbox.databases)
        await self.client.remove(*names)
        self.client.groups.pop("sandbox", None)
        await asyncio.to_thread(self._sandbox.stop)
        self._sandbox = None
