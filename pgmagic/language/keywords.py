"""Words of SQL, as completion offers them and as names have to be quoted beside them.

https://www.postgresql.org/docs/current/sql-keywords-appendix.html
"""

import re

from pgmagic.language.line import COMMANDS

__all__ = ["AFTER", "EXPRESSION", "FOLLOWS", "NO_TABLE", "QUERY", "STATEMENT", "TYPES", "quoted"]

PLAIN = re.compile(r"[a-z_][a-z0-9_]*\Z")
RESERVED = frozenset(
    "all analyse analyze and any array as asc asymmetric authorization binary both case cast check "
    "collate collation column concurrently constraint create cross current_catalog current_date "
    "current_role current_schema current_time current_timestamp current_user default deferrable "
    "desc distinct do else end except false fetch for foreign freeze from full grant group having "
    "ilike in initially inner intersect into is isnull join lateral leading left like limit "
    "localtime localtimestamp natural not notnull null offset on only or order outer overlaps "
    "placing primary references returning right select session_user similar some symmetric "
    "system_user table tablesample then to trailing true union unique user using variadic verbose "
    "when where window with".split()
)

# Words that can't be the bare name of a table, or that would not be read as one everywhere.
NO_TABLE = RESERVED | frozenset(
    "between bigint bit boolean char character coalesce conflict cycle dec decimal do exists "
    "extract float greatest grouping if inout insert int integer interval into json json_array "
    "json_arrayagg json_exists json_object json_objectagg json_query json_scalar json_serialize "
    "json_table json_value least materialized merge merge_action national nchar none normalize "
    "nullif numeric ordinality out overlay overriding position precision real recursive row rows "
    "search set setof smallint substring time timestamp treat trim update values varchar "
    "xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot "
    "xmlserialize xmltable".split()
)

STATEMENT = tuple(sorted(COMMANDS))
QUERY = ("select", "values", "with")
EXPRESSION = tuple(
    "all any array case cast coalesce count current_date current_timestamp current_user distinct "
    "exists extract false greatest interval least not null nullif overlay position substring trim "
    "true".split()
)
PREDICATE = (
    "and", "or", "is null", "is not null", "is distinct from", "in", "not in", "between", "like",
    "ilike", "not like", "similar to", "collate", "at time zone",
)  # fmt: skip
CASE = ("case", "when", "then", "else", "end")
TAIL = (
    "group by", "having", "window", "order by", "limit", "offset", "fetch first", "union",
    "union all", "intersect", "except", "for update", "returning",
)  # fmt: skip
JOINS = (
    "join", "left join", "right join", "full join", "cross join", "natural join", "inner join",
    "left join lateral", "cross join lateral",
)  # fmt: skip
FILTER = (*PREDICATE, *CASE[1:], "over", "filter", "within group", *TAIL)

AFTER: dict[str, tuple[str, ...]] = {
    "": (*STATEMENT, *FILTER),
    "select": ("from", "as", "into", *FILTER, "where"),
    "from": ("where", *JOINS, "on", "using", "as", "tablesample", *TAIL),
    "join": ("on", "using", "as", "where", *JOINS, *TAIL),
    "on": ("where", *JOINS, *FILTER, "on conflict", "do nothing", "do update set"),
    "using": ("on", "where", "when matched then", "when not matched then", *JOINS, *TAIL),
    "where": FILTER,
    "having": FILTER,
    "by": ("asc", "desc", "nulls first", "nulls last", *FILTER),
    "set": ("where", "from", "returning", *PREDICATE, *CASE),
    "update": ("set", "as"),
    "insert": ("into",),
    "into": ("values", "select", "default values", "as", "using", "on conflict", "returning",
             "overriding system value", "from"),
    "values": ("on conflict", "do nothing", "do update set", "returning", "order by", "limit"),
    "delete": ("from",),
    "limit": ("offset", "for update"),
    "offset": ("limit", "for update"),
    "returning": ("as", *PREDICATE),
    "with": ("as", "recursive", "select", "insert into", "update", "delete from"),
    "do": ("nothing", "update set"),
    "window": ("as", "order by", "limit"),
}  # fmt: skip
"""What may follow a complete expression or table, by the clause in which it stands."""

FOLLOWS: dict[str, tuple[str, ...]] = {
    "order": ("by",),
    "group": ("by",),
    "partition": ("by", "of"),
    "left": ("join", "outer join"),
    "right": ("join", "outer join"),
    "full": ("join", "outer join"),
    "inner": ("join",),
    "cross": ("join",),
    "natural": ("join", "left join"),
    "outer": ("join",),
    "insert": ("into",),
    "delete": ("from",),
    "nulls": ("first", "last"),
    "conflict": ("do nothing", "do update set", "on constraint"),
    "do": ("nothing", "update set"),
    "create": ("table", "view", "materialized view", "index", "schema", "temp table", "function",
               "or replace view", "or replace function", "unique index", "type", "extension"),
    "alter": ("table", "view", "index", "schema", "type", "role", "database", "sequence"),
    "drop": ("table", "view", "materialized view", "index", "schema", "function", "type"),
    "is": ("null", "not null", "true", "false", "distinct from", "not distinct from"),
}  # fmt: skip
"""What has to follow a word that says nothing alone."""

TYPES = (
    "double precision",
    "timestamp with time zone",
    *"bigint boolean bytea char cidr date daterange inet int int4range int8range integer interval "
    "json jsonb money numeric numrange point real smallint text time timestamp timestamptz "
    "tsquery tsrange tstzrange tsvector uuid varchar xml".split(),
)


def quoted(name: str) -> str:
    """Write a name as SQL needs it: in quotes where it isn't lower case or is a keyword."""
    if PLAIN.match(name) and name not in RESERVED:
        return name
    return '"' + name.replace('"', '""') + '"'
