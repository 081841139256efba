"""Completion in IPython: the Tab key of `%%pg` cells and `%pg` lines.

It is asked while the kernel's loop waits for the answer, so it looks only at what is known. What
is missing is read afterwards, in the background.
https://ipython.readthedocs.io/en/stable/api/generated/IPython.core.completer.html
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from IPython.core.interactiveshell import InteractiveShell

from pgmagic.client import Client
from pgmagic.database.catalog import Catalogs, changes_catalog
from pgmagic.database.settings import DatabaseSettings
from pgmagic.errors import CellError
from pgmagic.language.cell_completion import Surroundings, complete
from pgmagic.language.inventory import Inventory
from pgmagic.language.options import Option
from pgmagic.legible import legible
from pgmagic.notebook.front_end import FrontEnd, front_end
from pgmagic.notebook.loop import NotebookLoop
from pgmagic.outcome import Answer, Outcome

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext, SimpleMatcherResult

__all__ = ["Completions"]

logger = logging.getLogger(__name__)

NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"


class Completions:
    """What the Tab key offers in cells of pgmagic, and what is known for it."""

    def __init__(
        self,
        shell: InteractiveShell,
        home: NotebookLoop,
        client: Client,
        options: Mapping[str, Sequence[Option]],
    ) -> None:
        self._shell = shell
        self._home = home
        self._client = client
        self._options = options
        self._catalogs = Catalogs()
        self._matcher: Any = None

    def register(self) -> None:
        """Ask this before IPython's own matchers. Does nothing where IPython is too old."""
        matchers = getattr(self._shell.Completer, "custom_matchers", None)
        try:  # documented as provisional
            from IPython.core.completer import context_matcher
        except ImportError:
            matchers = None
        if matchers is None:
            logger.info("this IPython has no matchers to complete SQL with")
            return

        @context_matcher(identifier="pgmagic", priority=100)
        def match(context: "CompletionContext") -> "SimpleMatcherResult":
            return self._match(context)

        self._matcher = match
        matchers.insert(0, match)

    def unregister(self) -> None:
        matchers = getattr(self._shell.Completer, "custom_matchers", [])
        if self._matcher in matchers:
            matchers.remove(self._matcher)

    def learn(self, outcomes: Iterable[Outcome]) -> None:
        """Take note of what cells did: read the catalogue of databases that they changed.

        Where somebody looks, that of a database which was asked for the first time as well.
        """
        live = front_end(self._shell) in {FrontEnd.LIVE, FrontEnd.TERMINAL}
        for outcome in outcomes:
            settings = self._client.databases.get(outcome.database)
            if settings is None or not isinstance(outcome, Answer):
                continue
            changed = any(changes_catalog(result.tag) for result in outcome.results)
            known = self._catalogs.outdated(settings) if changed else False
            if known or live:
                self._read(settings)

    def learn_of(self, name: str) -> None:
        """Read the catalogue of a database that was just connected, where somebody looks."""
        if front_end(self._shell) in {FrontEnd.LIVE, FrontEnd.TERMINAL}:
            self._read(self._client.databases[name])

    def hidden_tables(self, names: Iterable[str], targets: Iterable[str]) -> tuple[str, ...]:
        """Say which tables have the names of saved queries, as far as the catalogues are known."""
        notes = []
        for name in names:
            where: dict[str, list[str]] = {}
            for target in targets:
                known = self._catalogs.known(self._client.databases[target])
                if known is not None and (table := known.relation(None, name)) is not None:
                    where.setdefault(f"{table.kind} {table.schema}.{name}", []).append(target)
            notes += [
                f"{name} is the saved query, not the {table} of {', '.join(databases)}"
                for table, databases in where.items()
            ]
        return tuple(notes)

    def _match(self, context: "CompletionContext") -> "SimpleMatcherResult":
        """Answer IPython. Whatever goes wrong here must not break the Tab key of other cells."""
        from IPython.core.completer import SimpleCompletion

        try:
            lines = context.full_text.split("\n")[: context.cursor_line]
            cursor = sum(len(line) + 1 for line in lines) + context.cursor_position
            found = complete(context.full_text, cursor, self._surroundings())
        except Exception:
            logger.exception("completion failed")
            found = None
        if found is None:
            return {"completions": []}
        # JupyterLab breaks the lines of what stands beside a completion, into each other.
        completions = [
            SimpleCompletion(
                suggestion.text, type=legible(suggestion.about).replace(" ", NO_BREAK_SPACE)
            )
            for suggestion in found.suggestions
            if legible(suggestion.text) == suggestion.text  # else nobody sees what is put in
        ]
        # An empty list does not keep the other matchers away, and Jedi would read SQL for seconds;
        # what is there already, offered once more, changes nothing.
        return {
            "completions": completions or [SimpleCompletion(found.fragment, type="")],
            "matched_fragment": found.fragment,
            "ordered": True,
            "suppress": True,
        }

    def _surroundings(self) -> Surroundings:
        sessions = {
            session.name
            for statistics in self._client.statistics()
            for session in statistics.sessions
        }
        return Surroundings(
            databases=tuple(self._client.databases),
            groups=tuple(self._client.groups),
            sessions=sorted(sessions),
            options=self._options,
            variables=self._variables(),
            saved=self._client.saved,
            inventories=self._inventories,
        )

    def _variables(self) -> dict[str, str]:
        """Name what a placeholder can stand for, and of what type it is."""
        hidden = self._shell.user_ns_hidden
        return {
            name: type(value).__name__
            for name, value in tuple(self._shell.user_ns.items())
            if not name.startswith("_")
            and name not in hidden
            and not isinstance(value, ModuleType)
            and not callable(value)
        }

    def _inventories(self, targets: Sequence[str]) -> dict[str, Inventory]:
        """Give what is known of the targets by now; have the rest read for the next time."""
        try:
            names = self._client.targets(targets)
        except CellError:  # it is being typed
            names = tuple(name for name in targets if name in self._client.databases)
        found = {}
        for name in names:
            settings = self._client.databases[name]
            if (inventory := self._catalogs.known(settings)) is not None:
                found[name] = inventory
            self._read(settings)
        return found

    def _read(self, settings: DatabaseSettings) -> None:
        if self._catalogs.is_due(settings):
            self._home.loop.call_soon_threadsafe(self._start_reading, settings)

    def _start_reading(self, settings: DatabaseSettings) -> None:
        """Read, unless a password might have to be asked for: nobody would know what for."""
        name = settings.name
        if self._client.replaying:
            return
        if self._client.databases.get(name) is not settings or not self._catalogs.is_due(settings):
            return
        pool = self._client.pool(name)
        statistics = pool.statistics()
        reached = statistics.connections_num > 0 or settings.password is not None
        if reached and statistics.breaker == "closed":
            self._home.background(self._catalogs.read(pool))
