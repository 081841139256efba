"""What a server says when it is asked whether it has COPY at all."""

from functools import partial

import pytest

from pgmagic.errors import PgMagicError
from tests.hostile import wire
from tests.hostile.lies import PROBE, in_turn
from tests.hostile.outcomes import answer, at_once, in_little_memory, outcome
from tests.hostile.scripted import HONEST, ScriptedServer

pytestmark = pytest.mark.usefixtures("nothing_stray")

REFUSALS = ("0A000", "42601", "42501", "22023", "XX000", "")
ACCIDENTS = ("57014", "53200", "40001", "58030", "08006", "57P01", "55P03", "25P02")


async def test_each_lie_is_one_error_or_does_no_harm():
    async with in_little_memory():
        for got in await at_once(partial(outcome, lie) for lie in PROBE.values()):
            assert isinstance(got, PgMagicError) or got in ([], [[1]])


@pytest.mark.parametrize("sqlstate", REFUSALS)
async def test_a_refusal_is_remembered(sqlstate):
    refusal = wire.error("what is COPY?", sqlstate) + wire.ready()
    nothing = wire.BIND_COMPLETE + wire.command_complete("SELECT 0") + wire.ready(b"T")
    script = {"probe": refusal, "execute": in_turn(HONEST["execute"], nothing)}
    async with ScriptedServer(script) as server, server.client() as client:
        for _ in range(2):
            assert await answer(client) == []  # there is no record either
        assert client.pool("h").has_copy is False
        assert server.heard.count(b"TO STDOUT") == 1


async def test_another_format_is_a_refusal():
    text = wire.COPY_OUT + wire.copy_data(b"1\n") + wire.COPY_DONE
    text += wire.command_complete("COPY 1") + wire.ready()
    async with ScriptedServer({"probe": text}) as server, server.client() as client:
        await answer(client)
        assert client.pool("h").has_copy is False


@pytest.mark.parametrize("sqlstate", ACCIDENTS)
@pytest.mark.parametrize("severity", ["ERROR", "FATAL"])
async def test_an_accident_is_no_refusal(sqlstate, severity):
    accident = wire.error("not now", sqlstate, severity)
    accident += wire.ready() if severity == "ERROR" else b""
    async with ScriptedServer({"probe": accident}) as server, server.client() as client:
        assert isinstance(await answer(client), PgMagicError)
        assert client.pool("h").has_copy is None
        server.script["probe"] = HONEST["probe"]
        assert await answer(client) == [[1]]
        assert client.pool("h").has_copy is True
