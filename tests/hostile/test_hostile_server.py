"""Whatever a server says, it ends in one error of ours: no crash, no hang, no flood of memory."""

from functools import partial
from itertools import product

import pytest

from pgmagic.errors import PgMagicError
from tests.hostile import wire
from tests.hostile.lies import ENDLESS, LIES
from tests.hostile.outcomes import answer, at_once, in_little_memory, outcome
from tests.hostile.scripted import HONEST, ScriptedServer, copied

pytestmark = pytest.mark.usefixtures("nothing_stray")

# bool, bytea, "char", name, int8, int2, int4, text, oid, json, float4, float8, bpchar, varchar,
# date, time, timestamp, timestamptz, interval, timetz, numeric, uuid, jsonb, int4[], text[]
TYPES = (16, 17, 18, 19, 20, 21, 23, 25, 26, 114, 700, 701, 1042, 1043)
TYPES += (1082, 1083, 1114, 1184, 1186, 1266, 1700, 2950, 3802, 1007, 1009)

# What is odd but no lie: the rows are as they were described.
HARMLESS = {
    "has an encoding of seven bits",
    "describes fewer columns than there are",
    "describes a negative number of columns",
    "describes a parameter that was not written",
    "ends what was not begun",
    "begins with a tag without an end",
    "tells a position that is none",
    "tells a position in no time",
}


async def test_the_honest_server_is_believed():
    async with ScriptedServer({}) as server, server.client() as client:
        assert await answer(client, "select 7 as one") == [[7]]


async def test_each_lie_is_one_error():
    got = await at_once(partial(outcome, lie) for lie in LIES.values())
    answers = zip(LIES, got, strict=True)
    believed = {name for name, answer in answers if not isinstance(answer, PgMagicError)}
    assert believed <= HARMLESS


async def test_a_server_that_closes_at_any_byte_gives_one_error_or_all_rows():
    async with ScriptedServer({}) as server:
        await server.ask()
        length = server.sent
    got = await at_once(partial(outcome, {}, cut=cut) for cut in range(length))
    errors = [each for each in got if isinstance(each, PgMagicError)]
    rows = [each for each in got if not isinstance(each, PgMagicError)]
    assert len(errors) > length // 2
    assert all(each == [[1]] for each in rows)


@pytest.mark.parametrize("name", ENDLESS)
async def test_what_has_no_end_is_ended_in_time_and_in_little_memory(name):
    async with in_little_memory():
        assert isinstance(await outcome(ENDLESS[name]), PgMagicError)


@pytest.mark.parametrize("byte", [b"\0", b"\xff"])
async def test_a_value_of_any_type_that_is_none_gives_one_error_or_a_value(byte):
    scripts = []
    for oid, size in product(TYPES, (0, 1, 4, 8, 12, 16)):
        described = wire.PARSE_COMPLETE + wire.parameter_description()
        scripts.append(
            {
                "describe": described + wire.row_description(("one", oid)),
                "copy": copied(byte * size) + HONEST["done"],
            }
        )
    for got in await at_once(partial(outcome, script) for script in scripts):
        assert isinstance(got, PgMagicError) or len(got) == 1
