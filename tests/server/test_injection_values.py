"""A thousand hostile strings are data to the server: as values, as names, as literals."""

import random

from pgmagic.client import Client

PIECES = (
    "'", "''", '"', '""', "\\", "\\'", "$1", "$$", "$a$", ";", "--", "/*", "*/", ":x", "{x}", "{{",
    "%s", "%", "?", "E'", "U&'", "\n", "\r", "\t", "\x01", "\x1b[2J", "\u202e", "\u200b", "\ufeff",
    "é", "東京", "🚀", " ", "'; drop table t; --", "' or '1'='1", "<script>", "NULL", "\\x00", "a",
)  # fmt: skip
DICE = random.Random(42)
HOSTILE = ["".join(DICE.choices(PIECES, k=DICE.randint(1, 9))) for _ in range(1000)]


async def test_they_come_back_as_values_equal_to_what_was_sent(client: Client):
    sql = "select n, v from unnest({texts}::text[]) with ordinality as u (v, n) order by n"
    frame = await client.query(sql, on="a", values={"texts": HOSTILE})
    assert list(frame["v"]) == HOSTILE


async def test_each_alone_comes_back_as_value_literal_and_name(client: Client):
    # Names are cut after 63 bytes by the server, so they are refused or short here.
    for start in range(0, 1000, 20):
        values = {f"v{n}": text for n, text in enumerate(HOSTILE[start : start + 20])}
        short = {name: text for name, text in values.items() if len(text.encode()) < 64}
        columns = [f"{{{name}}}::text, {{{name}:l}}" for name in values]
        rows = await client.query(
            f"select array[{', '.join(columns)}] as pairs", on="a", values=values
        )
        doubled = [text for text in values.values() for _ in range(2)]
        assert list(rows["pairs"][0]) == doubled
        names = {f"i{n}": text for n, text in enumerate(dict.fromkeys(short.values()))}
        frame = await client.query(
            "select " + ", ".join(f"1 as {{{name}:i}}" for name in names), on="a", values=names
        )
        assert list(frame.columns) == list(names.values())


async def test_names_are_written_as_quote_ident_reads_them(client: Client):
    names = [text for text in HOSTILE if len(text.encode()) < 64][:300]
    quoted = await client.query(
        "select quote_ident(v) as q from unnest({names}::text[]) with ordinality u (v, n)"
        " order by n",
        on="a",
        values={"names": names},
    )
    for name, text in zip(names, quoted["q"], strict=True):
        assert name.replace('"', '""') in text
