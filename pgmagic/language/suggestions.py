"""Completions of a fragment, brought together from all databases of a cell."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

from pgmagic.language.inventory import Inventory, Named
from pgmagic.language.keywords import quoted

__all__ = ["Completion", "Gathering", "Suggestion"]

MOST = 1_000  # names of one kind that are suggested
NAMED = 3  # databases that are named one by one


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A text that can replace the fragment, and what it is."""

    text: str
    about: str


@dataclass(frozen=True, slots=True)
class Completion:
    """What fits instead of `fragment`, the text before the cursor; the best first."""

    fragment: str
    suggestions: tuple[Suggestion, ...] = ()


class Gathering:
    """Collects what fits a fragment. Each text is suggested once, as what it was first."""

    def __init__(
        self, fragment: str, inventories: Mapping[str, Inventory], *, closed: bool = False
    ) -> None:
        self.fragment = fragment
        self.is_quoted = fragment.startswith('"')
        self.wanted = fragment.removeprefix('"').casefold()
        self._inventories = inventories
        self._closed = closed
        self._found: dict[str, str] = {}

    def completion(self) -> Completion:
        return Completion(
            self.fragment, tuple(Suggestion(text, about) for text, about in self._found.items())
        )

    def words(self, words: Iterable[str], about: str = "keyword") -> None:
        """Add words of SQL, in capitals where the fragment is."""
        if self.is_quoted:
            return
        upper = self.fragment.isupper()
        for word in words:
            if word.startswith(self.wanted):
                self._found.setdefault(word.upper() if upper else word, about)

    def names(self, give: Callable[[Inventory], Iterable[Named]]) -> None:
        """Add names that the databases have; `give` has to begin them like the fragment."""
        for name, about in self._merged(give):
            self._found.setdefault(self._written(name), about)

    def texts(self, give: Callable[[Inventory], Iterable[Named]]) -> None:
        """Add ready pieces of SQL, as they are."""
        if not self.is_quoted:
            for text, about in self._merged(give):
                self._found.setdefault(text, about)

    def plain(self, names: Iterable[tuple[str, str]]) -> None:
        """Add names that have nothing to do with any database, such as aliases."""
        for name, about in names:
            if name.casefold().startswith(self.wanted):
                self._found.setdefault(self._written(name), about)

    def fits(self, name: str) -> bool:
        return name.casefold().startswith(self.wanted)

    def _written(self, name: str) -> str:
        if not self.is_quoted:
            return quoted(name)
        return '"' + name.replace('"', '""') + ('"' if not self._closed else "")

    def _merged(self, give: Callable[[Inventory], Iterable[Named]]) -> Iterable[tuple[str, str]]:
        found: dict[str, dict[str, list[str]]] = {}
        cut: str | None = None
        for database, inventory in self._inventories.items():
            names = list(islice(give(inventory), MOST + 1))
            if len(names) > MOST:  # of what is beyond, nobody knows yet who has it
                last = names.pop().name.casefold()
                cut = last if cut is None else min(cut, last)
            for name, about in names:
                databases = found.setdefault(name, {}).setdefault(about, [])
                if database not in databases:
                    databases.append(database)
        for name, abouts in found.items():
            if cut is None or name.casefold() < cut:
                yield name, self._about(abouts)

    def _about(self, abouts: Mapping[str, list[str]]) -> str:
        """Say what a name is, and where, unless all databases agree: `table · only ewr`."""
        owners = {database for databases in abouts.values() for database in databases}
        about = ", ".join(filter(None, abouts))
        if len(owners) == len(self._inventories):
            return about
        names = [database for database in self._inventories if database in owners]
        if len(names) > NAMED:
            return f"{about} · only {len(names)} of {len(self._inventories)} databases"
        return f"{about} · only {', '.join(names)}"
