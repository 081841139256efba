"""What can be written at the cursor of a statement."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pgmagic.language import catalogue, keywords
from pgmagic.language.composing import SavedQuery
from pgmagic.language.inventory import ForeignKey, Inventory, Named, Names, Relation
from pgmagic.language.keywords import quoted
from pgmagic.language.outputs import columns, relation
from pgmagic.language.places import Fits, Place, place
from pgmagic.language.scopes import Scope, scope, targets
from pgmagic.language.sources import Query, Source, Table
from pgmagic.language.suggestions import MOST, Completion, Gathering, Suggestion
from pgmagic.language.syntax import Level, Marked, mark

__all__ = ["complete_sql"]

ROWS_OF_THE_CHANGE = frozenset({"excluded", "new", "old"})


def complete_sql(
    text: str,
    cursor: int,
    inventories: Mapping[str, Inventory],
    variables: Mapping[str, str],
    saved: Mapping[str, SavedQuery] | None = None,
) -> Completion:
    """Complete SQL at `cursor`, an offset into `text`.

    `inventories` has what is known of each database that the cell asks; `variables` the names that
    a `{placeholder}` can have, with what they are; `saved` the queries that can be read like
    tables.
    """
    marked = mark(text, cursor)
    if marked is None:
        return Completion("")
    if marked.variable:
        return Completion(
            marked.fragment,
            tuple(
                Suggestion(name, about)
                for name, about in sorted(variables.items())
                if name.startswith(marked.fragment)
            ),
        )
    return _Completing(marked, inventories, _sources(saved or {})).run()


def _sources(saved: Mapping[str, SavedQuery]) -> dict[str, Source]:
    """Give saved queries as the WITH queries that they become; each can see the others."""
    found: dict[str, Source] = {}
    for query in saved.values():
        found[query.name] = Source(query.name, Query(query.items, found))
    return found


class _Completing:
    """One fragment in one statement."""

    def __init__(
        self,
        marked: Marked,
        inventories: Mapping[str, Inventory],
        saved: Mapping[str, Source],
    ) -> None:
        self.command = marked.command
        self.levels = marked.levels
        self.inventories = inventories
        self.place: Place = place(marked.levels)
        self.saved = saved
        self.scope: Scope = scope(marked.levels, saved)
        self.gathering = Gathering(marked.fragment, inventories, closed=marked.closed)

    def run(self) -> Completion:
        if self.command:
            self._describing()
        elif self.place.qualifier:
            self._qualified()
        else:
            self._unqualified()
        return self.gathering.completion()

    def _describing(self) -> None:
        r"""Complete `\d` itself, or the relation behind it."""
        if self.levels[0].cursor == 1:
            self.gathering.words(catalogue.QUERIES, "psql command")
        elif self.place.qualifier:
            self._relations_of(self.place.qualifier[0])
        else:
            self._relations()

    def _unqualified(self) -> None:
        match self.place.fits:
            case Fits.STATEMENT:
                self.gathering.words(keywords.STATEMENT)
            case Fits.QUERY:
                self.gathering.words(keywords.QUERY)
                if self.gathering.fragment:
                    self._expression()
            case Fits.RELATION:
                self._relations()
            case Fits.JOINED:
                self._joins()
                self._relations()
            case Fits.CONDITION:
                self._conditions()
                self._expression()
            case Fits.EXPRESSION:
                self._expression()
            case Fits.COLUMN:
                self._target_columns()
                self.gathering.words(keywords.FOLLOWS.get(self.place.previous, ()))
            case Fits.SHARED:
                self._shared_columns()
            case Fits.TYPE:
                self.gathering.words(keywords.TYPES, "type")
                self.gathering.texts(lambda inventory: self._beginning(inventory.type_names))
            case Fits.KEYWORD:
                after = keywords.AFTER.get(self.place.clause, keywords.AFTER[""])
                self.gathering.words(keywords.FOLLOWS.get(self.place.previous, after))
            case Fits.NOTHING:
                pass

    def _qualified(self) -> None:
        """Complete behind `alias.`, `table.`, `schema.` and `schema.table.`"""
        *schema, name = self.place.qualifier
        source = None if schema else self.scope.named(name)
        if self.place.fits in {Fits.RELATION, Fits.JOINED} and not schema:
            self._relations_of(name)
        elif source is not None:
            self.gathering.names(lambda inventory: self._columns([source], inventory))
        elif name in ROWS_OF_THE_CHANGE and not schema:
            self._target_columns()
        else:
            found = Source(name, Table(schema[-1] if schema else None, name))
            self.gathering.names(lambda inventory: self._columns([found], inventory))
            if not schema:
                self._relations_of(name)
                self.gathering.names(
                    lambda inventory: self._beginning(inventory.functions_of(name))
                )

    # Tables

    def _relations(self) -> None:
        self.gathering.plain(
            (name, "saved query" if self.saved.get(name) is source else "with")
            for name, source in self.scope.withs.items()
        )
        self.gathering.names(lambda inventory: self._beginning(inventory.own_relations))
        self.gathering.names(lambda inventory: self._beginning(inventory.schemas))
        if self.gathering.fragment:
            self.gathering.names(lambda inventory: self._beginning(inventory.set_functions))
            self.gathering.names(lambda inventory: self._beginning(inventory.system_relations))
            self.gathering.words(("lateral", "only", "select"))

    def _relations_of(self, schema: str) -> None:
        self.gathering.names(lambda inventory: self._beginning(inventory.relations_of(schema)))

    def _joins(self) -> None:
        """Offer whole joins along the foreign keys: `airlines on airlines.carrier = f.carrier`."""
        self.gathering.texts(self._joins_in)

    def _joins_in(self, inventory: Inventory) -> Iterator[Named]:
        taken = {source.alias for source in self.scope.sources}
        for source, here in self._tables(inventory):
            for key in inventory.keys_of(here):
                for pairs, there in _sides(key, here, inventory):
                    if there.name in taken or not self.gathering.fits(there.name):
                        continue
                    name = quoted(there.name)
                    table = name if there.visible else f"{quoted(there.schema)}.{name}"
                    yield Named(f"{table} on {_equal(name, quoted(source.alias), pairs)}", "join")

    def _conditions(self) -> None:
        """Offer conditions along the foreign keys between the tables of FROM."""
        self.gathering.texts(self._conditions_in)

    def _conditions_in(self, inventory: Inventory) -> Iterator[Named]:
        tables = list(self._tables(inventory))
        for index, (source, here) in enumerate(tables):
            for key in inventory.keys_of(here):
                for pairs, there in _sides(key, here, inventory):
                    for other, found in tables[index + 1 :]:
                        text = _equal(quoted(other.alias), quoted(source.alias), pairs)
                        if found is there and self.gathering.fits(text):
                            yield Named(text, "foreign key")

    def _tables(self, inventory: Inventory) -> Iterator[tuple[Source, Relation]]:
        for source in self.scope.sources:
            if isinstance(source.rows, Table) and source.rows.name not in self.scope.withs:
                found = relation(source.rows, inventory)
                if found is not None:
                    yield source, found

    # Columns

    def _expression(self) -> None:
        gathering, sources = self.gathering, self.scope.sources
        gathering.texts(lambda inventory: self._scope_columns(inventory))
        if gathering.is_quoted:
            gathering.names(lambda inventory: self._columns(sources, inventory))
        gathering.plain((source.alias, "alias") for source in sources if source.alias)
        if gathering.fragment:
            gathering.names(lambda inventory: self._beginning(inventory.functions))
            if not sources:
                gathering.names(lambda inventory: self._beginning(inventory.own_relations))
            gathering.words(keywords.FOLLOWS.get(self.place.previous, ()))
            gathering.words(keywords.EXPRESSION)

    def _columns(self, sources: Iterable[Source], inventory: Inventory) -> Iterator[Named]:
        for source in sources:
            for column in columns(source, inventory, self.scope.withs):
                if self.gathering.fits(column.name):
                    yield _named(column)

    def _scope_columns(self, inventory: Inventory) -> Iterator[Named]:
        """Give the columns in sight; those that several tables have with the table's name."""
        sources = self.scope.sources
        found = [(source, columns(source, inventory, self.scope.withs)) for source in sources]
        seen: dict[str, int] = {}
        for _, all_columns in found:
            for name in {column.name for column in all_columns}:
                seen[name] = seen.get(name, 0) + 1
        for source, all_columns in found:
            for column in all_columns:
                if self.gathering.fits(column.name):
                    name, about = _named(column)
                    several = seen[name] > 1 and source.alias
                    prefix = f"{quoted(source.alias)}." if several else ""
                    yield Named(f"{prefix}{quoted(name)}", about)

    def _target_columns(self) -> None:
        """Offer the columns of the table that the nearest statement changes."""
        table = _target(self.levels)
        if table is not None:
            source = Source("", table)
            self.gathering.names(lambda inventory: self._columns([source], inventory))

    def _shared_columns(self) -> None:
        self.gathering.names(self._shared_columns_in)

    def _shared_columns_in(self, inventory: Inventory) -> Iterator[Named]:
        seen: set[str] = set()
        for source in self.scope.sources:
            for column in columns(source, inventory, self.scope.withs):
                if column.name in seen and self.gathering.fits(column.name):
                    yield _named(column)
                seen.add(column.name)

    def _beginning(self, names: Names) -> Iterator[Named]:
        return names.beginning(self.gathering.wanted, MOST + 1)


def _named(column: Sequence[str]) -> Named:
    name, kind = column
    return Named(name, f"column · {kind}" if kind else "column")


def _target(levels: Sequence[Level]) -> Table | None:
    for level in reversed(levels):
        before = level.items[: level.cursor]
        tables = targets(before)
        if tables:
            refers = any(item.key == "references" for item in before)
            return tables[-1] if refers else tables[0]
    return None


def _sides(
    key: ForeignKey, here: Relation, inventory: Inventory
) -> Iterator[tuple[list[tuple[str, str]], Relation]]:
    """Give the other side of a foreign key, with pairs of a column there and one here."""
    if (key.schema, key.table) == (here.schema, here.name):
        there = inventory.relation(key.foreign_schema, key.foreign_table)
        if there is not None:
            yield list(zip(key.foreign_columns, key.columns, strict=True)), there
    else:
        there = inventory.relation(key.schema, key.table)
        if there is not None:
            yield list(zip(key.columns, key.foreign_columns, strict=True)), there


def _equal(there: str, here: str, pairs: Sequence[tuple[str, str]]) -> str:
    return " and ".join(f"{there}.{quoted(a)} = {here}.{quoted(b)}" for a, b in pairs)
