"""What completion offers in a cell or on a line of a notebook: `|` is the cursor."""

import pytest

from pgmagic.language.cell_completion import Surroundings, complete
from pgmagic.language.inventory import Attribute, Inventory, Relation
from pgmagic.language.options import Option


def inventory(*tables):
    return Inventory(
        tuple(
            Relation(schema="public", name=name, columns=(Attribute("id", "bigint"),))
            for name in tables
        )
    )


INVENTORIES = {"ewr": inventory("flights", "gates"), "jfk": inventory("flights")}
ASKED: list[tuple[str, ...]] = []


def inventories(targets):
    ASKED.append(tuple(targets))
    return {name: INVENTORIES[name] for name in targets if name in INVENTORIES}


AROUND = Surroundings(
    databases=("ewr", "jfk", "select_shard"),
    groups=("sandbox",),
    sessions=("mine",),
    options={"pg_close": (Option("--session", "session", "close a session", "NAME"),)},
    variables={"month": "int"},
    inventories=inventories,
)


def completion(marked):
    ASKED.clear()
    at = marked.index("|")
    return complete(marked[:at] + marked[at + 1 :], at, AROUND)


def texts(marked):
    found = completion(marked)
    assert found is not None
    return [suggestion.text for suggestion in found.suggestions]


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("%%pg |", ["ewr", "jfk", "select_shard", "@sandbox"]),
        ("%%pg e|\nselect 1", ["ewr"]),
        ("%%pg ewr j|\nselect 1", ["jfk"]),
        ("%%pg @|", ["@sandbox"]),
        ("%%pg --lim|", ["--limit"]),
        ("%%pg --limit 3 --lim|", []),
        ("%%pg ewr --as |", ["pandas", "arrow", "polars"]),
        ("%%pg ewr --as p|", ["pandas", "polars"]),
        ("%%pg ewr --as=p|", ["pandas", "polars"]),
        ("%%pg --session |", ["mine"]),
        ("%%pg --into |", []),
        ("%%pg --into x |", ["ewr", "jfk", "select_shard", "@sandbox"]),
        ("%%time\n%%pg e|\nselect 1", ["ewr"]),
        ("\n\n%%pg e|", ["ewr"]),
        ("%pg_close e|", ["ewr"]),
        ("%pg_close --s|", ["--session"]),
        ("%pg_close --session m|", ["mine"]),
        ("x = 1\n%pg e|", ["ewr"]),
        ("    %pg e|", ["ewr", "end", "execute", "explain"]),
        ("x = %pg sel|", ["select_shard", "select"]),
        ("x = %pg ewr sel|", ["select_shard", "select"]),
    ],
)
def test_options_and_targets(marked, expected):
    assert texts(marked)[: len(expected)] == expected
    assert bool(texts(marked)) == bool(expected)


@pytest.mark.parametrize(
    ("marked", "expected", "asked"),
    [
        ("%%pg ewr\nselect * from g|", ["gates"], ("ewr",)),
        ("%%pg jfk\nselect * from g|", [], ("jfk",)),
        ("%%pg --limit 3 ewr --into x jfk\nselect * from fl|", ["flights"], ("ewr", "jfk")),
        ("%%pg ewr\nselect f.| from flights f", ["id"], ("ewr",)),
        ("%%pg ewr\nx << select f.| from flights f", ["id"], ("ewr",)),
        ("%%pg ewr\n\n\nselect\n  f.|\nfrom flights f", ["id"], ("ewr",)),
        ("%%pg\nselect * from fl|", [], ()),
        ("%%pg ewr\nselect {m|}", ["month"], ("ewr",)),
        ("%pg ewr select * from g|", ["gates"], ("ewr",)),
        ("%pg ewr --limit 3 select * from g|", ["gates"], ("ewr",)),
        ("x = %pg ewr select f.| from flights f", ["id"], ("ewr",)),
        ("y = 1\nx = %pg ewr select * from g|\nprint(x)", ["gates"], ("ewr",)),
        (r"%pg ewr \d g|", ["gates"], ("ewr",)),
        (r"%%pg ewr" + "\n" + r"\d g|", ["gates"], ("ewr",)),
        ("%%time\n%%pg ewr\nselect * from g|", ["gates"], ("ewr",)),
    ],
)
def test_sql(marked, expected, asked):
    assert texts(marked) == expected
    assert ASKED[-1] == asked


@pytest.mark.parametrize(
    "marked",
    [
        "sel|",
        "import pg|",
        "%pg|",
        "%%pg|",
        "%pg_cl|",
        "%%time\nx = fl|",
        "%%sql ewr\nsel|",
        "%%pgx e|",
        "print('%pg ewr')\nfl|",
        "%matplotlib in|",
        "%pg ewr select 1\nfl|",
    ],
)
def test_what_is_not_ours_is_left_alone(marked):
    assert completion(marked) is None


def test_what_only_one_target_has_is_marked():
    found = completion("%%pg ewr jfk\nselect * from |")
    assert [(s.text, s.about) for s in found.suggestions] == [
        ("flights", "table"),
        ("gates", "table · only ewr"),
        ("public", "schema"),
    ]


def test_options_are_named_as_such():
    [suggestion] = completion("%%pg --tim|").suggestions
    assert (suggestion.text, suggestion.about) == ("--timeout", "option")
