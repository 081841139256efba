"""Without the compiled decoder pgmagic works all the same, and says so once."""

from pgmagic import columns
from pgmagic.language.line import Cell

MANY = "select n from generate_series(1, 100000) n"


async def test_a_large_result_says_once_that_the_decoder_is_missing(client, monkeypatch):
    plan = client.plan
    monkeypatch.setattr(columns, "accelerated", False)

    async def notes(sql):
        return (await client.run(plan(Cell(sql=sql, targets=("a",)), {}))).notes

    assert await notes("select 1") == ()
    assert "without the compiled decoder" in "".join(await notes(MANY))
    assert await notes(MANY) == ()
