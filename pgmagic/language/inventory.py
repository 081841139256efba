"""What a database holds, as far as a cell can name it: relations, functions, types."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple, TypeAlias

__all__ = [
    "Attribute",
    "ForeignKey",
    "Inventory",
    "Named",
    "Names",
    "Relation",
    "RelationKind",
    "Routine",
]

RelationKind: TypeAlias = Literal[
    "table", "view", "materialized view", "foreign table", "partitioned table"
]

# System catalogues stand behind the user's own tables, however they are spelt.
SYSTEM = frozenset({"pg_catalog", "information_schema"})


class Attribute(NamedTuple):
    """A column and its type as SQL writes it."""

    name: str
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A table, or what can be selected from like one.

    `visible` says that the search path finds it without its schema.
    """

    schema: str
    name: str
    kind: RelationKind = "table"
    columns: tuple[Attribute, ...] = ()
    visible: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Routine:
    """All functions of one name in one schema. `set` where they may give rows."""

    schema: str
    name: str
    about: str = "function"
    set: bool = False
    visible: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignKey:
    """Columns of one relation that refer to columns of another, pair by pair."""

    schema: str
    table: str
    columns: tuple[str, ...]
    foreign_schema: str
    foreign_table: str
    foreign_columns: tuple[str, ...]


class Named(NamedTuple):
    """A name, and what it is in a few words."""

    name: str
    about: str


class Names:
    """Names in order, to find those that begin like a fragment in no time."""

    def __init__(self, names: Sequence[Named]) -> None:
        self._names = sorted(names, key=lambda named: (named.name.casefold(), named))
        self._folded = [named.name.casefold() for named in self._names]

    def beginning(self, fragment: str, limit: int) -> Iterator[Named]:
        """Give the names that begin so, whatever their case, `limit` at most."""
        folded = fragment.casefold()
        start = bisect_left(self._folded, folded)
        for index in range(start, min(start + limit, len(self._names))):
            if not self._folded[index].startswith(folded):
                return
            yield self._names[index]


@dataclass(frozen=True)
class Inventory:
    """All of one database, read at one moment. `complete` unless it was too much to read."""

    relations: tuple[Relation, ...] = ()
    routines: tuple[Routine, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    types: tuple[str, ...] = ()
    complete: bool = field(default=True, kw_only=True)

    def relation(self, schema: str | None, name: str) -> Relation | None:
        """Find a relation as the server would: without a schema, what the search path finds."""
        if schema is not None:
            return self._by_schema.get(schema, {}).get(name)
        return self._visible.get(name)

    def prepare(self) -> None:
        """Put all names in order now, so that the first completion needn't."""
        for names in (self.own_relations, self.system_relations, self.schemas):
            names.beginning("", 0)
        for names in (self.functions, self.set_functions, self.type_names):
            names.beginning("", 0)
        _ = self._by_schema, self._keys

    def keys_of(self, relation: Relation) -> Sequence[ForeignKey]:
        """Give the foreign keys from and to a relation."""
        return self._keys.get((relation.schema, relation.name), ())

    @cached_property
    def schemas(self) -> Names:
        names = {relation.schema for relation in self.relations}
        names |= {routine.schema for routine in self.routines}
        return Names([Named(name, "schema") for name in names])

    @cached_property
    def own_relations(self) -> Names:
        """Relations that need no schema, but for the system's."""
        return Names([Named(r.name, r.kind) for r in self._visible.values() if not _is_system(r)])

    @cached_property
    def system_relations(self) -> Names:
        return Names(
            [Named(r.name, f"system {r.kind}") for r in self._visible.values() if _is_system(r)]
        )

    @cached_property
    def functions(self) -> Names:
        return Names([Named(r.name, r.about) for r in self.routines if r.visible])

    @cached_property
    def set_functions(self) -> Names:
        """Functions that can stand in FROM."""
        return Names([Named(r.name, r.about) for r in self.routines if r.visible and r.set])

    @cached_property
    def type_names(self) -> Names:
        return Names([Named(name, "type") for name in self.types])

    def relations_of(self, schema: str) -> Names:
        if schema not in self._relations_of:
            found = self._by_schema.get(schema, {}).values()
            self._relations_of[schema] = Names([Named(r.name, r.kind) for r in found])
        return self._relations_of[schema]

    def functions_of(self, schema: str) -> Names:
        return Names([Named(r.name, r.about) for r in self.routines if r.schema == schema])

    def has_schema(self, name: str) -> bool:
        return any(named.name == name for named in self.schemas.beginning(name, 5))

    @cached_property
    def _relations_of(self) -> dict[str, Names]:
        return {}

    @cached_property
    def _visible(self) -> Mapping[str, Relation]:
        return {relation.name: relation for relation in self.relations if relation.visible}

    @cached_property
    def _by_schema(self) -> Mapping[str, Mapping[str, Relation]]:
        found: dict[str, dict[str, Relation]] = {}
        for relation in self.relations:
            found.setdefault(relation.schema, {})[relation.name] = relation
        return found

    @cached_property
    def _keys(self) -> Mapping[tuple[str, str], Sequence[ForeignKey]]:
        found: dict[tuple[str, str], list[ForeignKey]] = {}
        for key in self.foreign_keys:
            here, there = (key.schema, key.table), (key.foreign_schema, key.foreign_table)
            found.setdefault(here, []).append(key)
            if there != here:
                found.setdefault(there, []).append(key)
        return found


def _is_system(relation: Relation) -> bool:
    return relation.schema in SYSTEM
