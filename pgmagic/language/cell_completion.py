"""What can be written at the cursor of a notebook's cell: options, targets, SQL."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pgmagic.language.completion import complete_sql
from pgmagic.language.composing import SavedQuery
from pgmagic.language.inventory import Inventory
from pgmagic.language.line import COMMANDS
from pgmagic.language.options import OPTIONS, Option
from pgmagic.language.suggestions import Completion, Suggestion

__all__ = ["Surroundings", "complete"]

# Other cell magics, such as %%time, may stand above ours.
CELL = re.compile(r"(?:[ \t]*\n|%%(?!pg\b)[^\n]*\n)*%%pg(?![\w-])")
LINE = re.compile(r"[ \t]*(?:[\w.,\[\]'\" \t]+=[ \t]*)?%(pg\w*)(?=[ \t])")
ASSIGN = re.compile(r"\s*[^\W\d]\w*[ \t]*<<")
WORD = re.compile(r"\S+")
MOST_WORDS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a notebook knows while somebody types.

    `options` are those of each line magic, by its name without the sign; `variables` say what
    each variable that a placeholder can name is; `saved` are the saved queries. `inventories` gives
    what is known by now of the databases that some targets mean.
    """

    databases: Sequence[str] = ()
    groups: Sequence[str] = ()
    sessions: Sequence[str] = ()
    options: Mapping[str, Sequence[Option]] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    saved: Mapping[str, SavedQuery] = field(default_factory=dict)
    inventories: Callable[[Sequence[str]], Mapping[str, Inventory]] = lambda _: {}


def complete(text: str, cursor: int, around: Surroundings) -> Completion | None:
    """Complete a cell at `cursor`, an offset into its `text`.

    Gives None where the cursor stands in nothing of ours, and a completion without suggestions
    where it does, but nothing fits.
    """
    if (cell := CELL.match(text)) and cursor > cell.end():
        end = text.find("\n", cell.end())
        end = len(text) if end < 0 else end
        head = _Head(text[cell.end() : end], around, sql_follows=False)
        if cursor <= end:
            return head.complete(cursor - cell.end())
        return _sql(text[end + 1 :], cursor - end - 1, head.targets(), around)
    start = text.rfind("\n", 0, cursor) + 1
    stop = text.find("\n", cursor)
    line = text[start : len(text) if stop < 0 else stop]
    magic = LINE.match(line)
    if magic is None or start + magic.end() >= cursor:
        return None
    if magic[1] != "pg" and magic[1] not in around.options:
        return None
    rest, at = line[magic.end() :], cursor - start - magic.end()
    if magic[1] != "pg":
        return _Head(rest, around, sql_follows=False, options=around.options[magic[1]]).complete(at)
    head = _Head(rest, around, sql_follows=True)
    if head.sql is not None and at > head.sql and not _within_first_word(rest, head.sql, at):
        return _sql(rest[head.sql :], at - head.sql, head.targets(), around)
    return head.complete(at)


def _sql(text: str, cursor: int, targets: Sequence[str], around: Surroundings) -> Completion:
    if (assign := ASSIGN.match(text)) and assign.end() <= cursor:
        text, cursor = text[assign.end() :], cursor - assign.end()
    return complete_sql(text, cursor, around.inventories(targets), around.variables, around.saved)


def _within_first_word(text: str, start: int, cursor: int) -> bool:
    """Whether the first word of SQL is still being written: it may become a database as well."""
    word = WORD.match(text, start)
    return word is not None and cursor <= word.end() and not word[0].startswith("\\")


class _Head:
    """Options and targets before the SQL. `sql` is the offset where that begins, if it does."""

    def __init__(
        self,
        text: str,
        around: Surroundings,
        *,
        sql_follows: bool,
        options: Sequence[Option] = OPTIONS,
    ) -> None:
        self.around = around
        self.options = {option.name: option for option in options}
        self.sql_follows = sql_follows
        self.text = text
        self.sql: int | None = None
        self.words = list(self._words(text))

    def targets(self) -> tuple[str, ...]:
        return tuple(word[0] for word, option in self.words if option is None and word[0][0] != "-")

    def complete(self, cursor: int) -> Completion:
        for word, option in self.words:
            if word.start() < cursor <= word.end():
                return self._complete(word[0][: cursor - word.start()], option, cursor)
        if self.sql is not None and cursor > self.sql:  # its first word
            return self._complete(self.text[self.sql : cursor], None, cursor)
        return self._complete("", self._awaits_value(cursor), cursor)

    def _words(self, text: str) -> Iterator[tuple[re.Match[str], Option | None]]:
        """Give each word, with the option whose value it is."""
        pending: Option | None = None
        for count, word in enumerate(WORD.finditer(text)):
            if count == MOST_WORDS:
                return
            if pending is None and self.sql_follows and self._begins_sql(word[0]):
                self.sql = word.start()
                return
            yield word, pending
            pending = None if pending else self._taking_value(word[0])

    def _begins_sql(self, word: str) -> bool:
        if word in self.around.databases or word.startswith(("--", "@")):
            return False
        letters = re.match(r"[A-Za-z]+", word)
        return word[0] in "\\({" or (letters is not None and letters[0].lower() in COMMANDS)

    def _taking_value(self, word: str) -> Option | None:
        option = self.options.get(word)
        return option if option is not None and option.metavar is not None else None

    def _awaits_value(self, cursor: int) -> Option | None:
        before = [word for word, option in self.words if word.end() < cursor and option is None]
        after = [word for word, option in self.words if option and word.end() < cursor]
        if not before or (after and after[-1].start() > before[-1].start()):
            return None
        return self._taking_value(before[-1][0])

    def _complete(self, fragment: str, option: Option | None, cursor: int) -> Completion:
        if option is not None:
            return self._value(option, fragment)
        name, equals, written = fragment.partition("=")
        if equals and (option := self.options.get(name)):
            return self._value(option, written)
        if fragment.startswith("-"):
            given = {word[0] for word, _ in self.words if not word.start() < cursor <= word.end()}
            left = (option for option in self.options.values() if option.name not in given)
            return _beginning(fragment, ((option.name, "option") for option in left))
        return _beginning(fragment, self._targets())

    def _value(self, option: Option, fragment: str) -> Completion:
        if option.field == "session":
            return _beginning(fragment, ((name, "session") for name in self.around.sessions))
        if option.field == "delete":
            return _beginning(fragment, ((name, "saved query") for name in self.around.saved))
        return _beginning(fragment, ((choice, "value") for choice in option.choices))

    def _targets(self) -> Iterator[tuple[str, str]]:
        yield from ((name, "database") for name in self.around.databases)
        yield from ((f"@{name}", "group") for name in self.around.groups)
        if self.sql_follows:
            yield from ((command, "keyword") for command in sorted(COMMANDS))


def _beginning(fragment: str, words: Iterable[tuple[str, str]]) -> Completion:
    return Completion(
        fragment,
        tuple(
            Suggestion(word, about)
            for word, about in words
            if word.casefold().startswith(fragment.casefold())
        ),
    )
