"""A cell that is stopped ends in time, whatever the server makes of the request to cancel."""

import asyncio
import ssl
import struct
import time
from collections.abc import Iterator
from functools import partial
from itertools import chain, repeat
from typing import Any

import pytest

from pgmagic.errors import PgMagicError, QueryTimeout
from tests.hostile import wire
from tests.hostile.lies import CANCEL, TLS, in_turn
from tests.hostile.outcomes import answer, at_once, in_little_memory
from tests.hostile.scripted import (
    HONEST,
    TIMEOUT,
    WANTS_CANCEL,
    Answer,
    Script,
    ScriptedServer,
    copied,
)

pytestmark = pytest.mark.usefixtures("nothing_stray")

IN_TIME = 2.0 + TIMEOUT + 2.0  # seconds, where many share two processors

COPY = copied(struct.pack("!i", 1))
COPIED = COPY + wire.command_complete("COPY 1") + wire.ready(b"T")
BEGUN = wire.COPY_OUT + wire.copy_data(wire.COPY_HEADER)
NOTICES = wire.notice("x" * 100) * 500  # of rows there would be too many soon

# Where the server stands still, or goes on for ever, and what it says there the next time.
HANGS: dict[str, tuple[str, Answer, Answer]] = {
    "before it describes": ("describe", b"", HONEST["describe"]),
    "before it begins": ("command", b"", HONEST["command"]),
    "before it copies": ("copy", b"", COPIED),
    "in a copy": ("copy", BEGUN, COPIED),
    "after a copy": ("done", b"", HONEST["done"]),
    "never": ("copy", lambda: chain([BEGUN], repeat(NOTICES)), COPIED),
}
BY = ("cancel", "--timeout")
PATIENT: dict[str, Any] = {
    "connect_timeout": 5.0,
    "acquire_timeout": 5.0,
    "command_timeout": 30.0,
}


async def stop(
    by: str,
    *,
    script: Script,
    hang: str = "in a copy",
    secured: ssl.SSLContext | None = None,
    **settings: Any,
) -> bool:
    """Stop a cell, and ask once more. Fails where that takes too long, or something is left.

    Gives whether the server has heard the request.
    """
    begun = asyncio.Event()
    point, hung, honest = HANGS[hang]

    def hangs() -> Iterator[bytes]:
        begun.set()
        yield from [hung] if isinstance(hung, bytes) else hung()

    script = {point: in_turn(hangs, honest), **script}
    limit = TIMEOUT if by == "--timeout" else None
    async with ScriptedServer(script, secured=secured) as server:
        async with server.client(**PATIENT, **settings) as client:
            cell = asyncio.ensure_future(client.query("select 1 as one", on="h", timeout=limit))
            await begun.wait()
            started = time.monotonic()
            if "cancel" not in script:
                server.let_nobody_in()
            if limit is None:
                cell.cancel()
            with pytest.raises(QueryTimeout if limit else asyncio.CancelledError):
                await cell
            assert time.monotonic() - started < IN_TIME + (limit or 0.0)
            got = await answer(client)
            assert got == [[1]] if "cancel" in script else isinstance(got, PgMagicError)
        await server.until_deserted()
    return WANTS_CANCEL in server.heard


async def test_a_cell_that_is_stopped_ends_in_time_whatever_the_request_meets_and_when():
    heard = [partial(stop, script=script) for script in CANCEL.values()]
    heard += [partial(stop, script={"cancel": b""}, hang=hang) for hang in HANGS]
    refused = partial(stop, script={})
    async with in_little_memory():
        got = await at_once(partial(each, by) for each in [*heard, refused] for by in BY)
    assert got == [True, True] * len(heard) + [False, False]


async def test_a_request_to_cancel_goes_under_tls_or_nowhere(
    certificate_authority, server_tls, tmp_path
):
    certificate_authority.cert_pem.write_to_path(tmp_path / "root.crt")
    proven = {"sslmode": "verify-full", "sslrootcert": str(tmp_path / "root.crt")}
    lies = [script["tls"] for script in TLS.values() if "hello" not in script]
    heard = await at_once(
        partial(
            stop,
            "cancel",
            script={"tls": in_turn(b"S", lie, b"S"), "cancel": b""},
            secured=server_tls,
            **proven,
        )
        for lie in (b"S", b"N", *lies)
    )
    assert heard == [True] + [False] * (len(lies) + 1)
