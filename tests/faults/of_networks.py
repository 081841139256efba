"""Networks that swallow, break, crawl or lie."""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pandas as pd
import trustme

from pgmagic.errors import ConnectFailed, ConnectionLost, QueryTimeout
from tests.faults.catalogue import fault
from tests.faults.of_servers import LASTING
from tests.faults.trial import Told, Trial, Violation
from tests.proxy import FaultProxy

LIMIT = 2.0  # seconds from the stop button to the prompt, on a network that is dead
ROOM = 0.25  # more, for a machine that is busy
HASTE = 0.2  # seconds of --timeout

BOTH = ("far", "near")
SLOW_TABLE = """
create table if not exists slow_big (id int);
create or replace function slowly() returns trigger language plpgsql as
    $$ begin perform pg_sleep(0.3); return new; end $$;
create or replace trigger slowly before insert on slow_big execute function slowly();
create table if not exists big as select i from generate_series(1, 3000) as i;
"""

Kind: TypeAlias = Callable[..., Awaitable[Told]]


async def _in_transaction(trial: Trial, **options: Any) -> Told:
    (await trial.cell("begin", session="s", write=True)).only()
    return await trial.read(session="s", **options)


async def _from_frame(trial: Trial, *, lasting: float) -> Told:
    writing = trial.client.write(
        pd.DataFrame({"id": [1]}), ("far",), table="slow_big", if_exists="append"
    )
    return await trial.note(writing, ("far",))


async def _in_snapshot(trial: Trial, *, lasting: float) -> Told:
    async def work() -> Any:
        async with trial.client.snapshot(*BOTH, seconds=60):
            return await trial.client.query(f"select pg_sleep({lasting}) as pause", on=BOTH)

    return await trial.note(work(), BOTH)


KINDS: dict[str, Kind] = {
    "a read": Trial.read,
    "a fan-out": lambda trial, **options: trial.read(*BOTH, **options),
    "a session": lambda trial, **options: trial.read(session="s", **options),
    "a session's transaction": _in_transaction,
    "a --to file": lambda trial, **options: trial.read(
        to=str(trial.world.folder / "rows.parquet"), **options
    ),
    "a write": Trial.write,
    "a write on two": lambda trial, **options: trial.write(*BOTH, **options),
    "a session's write": lambda trial, **options: trial.write(session="s", **options),
    "a --parallel read": lambda trial, lasting, **options: trial.cell(
        f"select i, pg_sleep({lasting} / 100) from big", parallel=2, **options
    ),
}
WITHOUT_LIMIT: dict[str, Kind] = {"a frame": _from_frame, "a snapshot": _in_snapshot}


@fault(
    6,
    "the network swallows everything in a query",
    "an interrupt ends the cell of any kind within 2 s; --timeout, 2 s after its time",
)
async def black_hole_in_query(trial: Trial) -> None:
    await trial.execute(SLOW_TABLE)
    limit = {} if trial.random.random() < 0.7 else {"timeout": HASTE}
    kinds = KINDS if limit else KINDS | WITHOUT_LIMIT
    kind = trial.random.choice(sorted(kinds))
    cell = trial.start(kinds[kind](trial, lasting=0.3, **limit))
    both = trial.start(trial.read("near", lasting=LASTING))
    await trial.until_active()
    trial.proxy.blackhole = True
    await trial.moment(0.1)
    (await both).only()
    pressed = time.monotonic()
    if not limit:
        pressed = trial.interrupt()
    told = (await cell).only(asyncio.CancelledError, QueryTimeout)
    if "far" not in told.failures():
        raise Violation(f"{kind} was answered through a black hole")
    if [*trial.world.folder.iterdir()]:
        raise Violation("I1: a file is left")
    seconds = told.seconds - HASTE if limit else time.monotonic() - pressed
    what = "--timeout passed" if limit else "interrupt"
    trial.measured(f"{what}, dead network", seconds)
    if seconds > LIMIT + ROOM:
        raise Violation(f"{kind} went on for {seconds:.2f} s")


@fault(
    7,
    "nobody answers a connect",
    "one error after connect_timeout; the next host of a list is tried then",
    settings={"connect_timeout": 0.3},
)
async def black_hole_on_connect(trial: Trial) -> None:
    trial.proxy.blackhole = True
    settings = {"port": f"{trial.proxy.port},{trial.world.far.port}", "host": "127.0.0.1,127.0.0.1"}
    await trial.add("silent", port=trial.proxy.port, connect_timeout=0.3)
    await trial.add("two", connect_timeout=0.3, **settings)
    silent, two = await asyncio.gather(trial.read("silent", "near"), trial.read("two"))
    assert set(silent.always(ConnectFailed).failures()) == {"silent"}
    two.only()
    trial.measured("second host", two.seconds)
    waiting = trial.start(trial.read("silent", "near"))
    await trial.moment(0.25)
    pressed = trial.interrupt()
    if not (await waiting).only(asyncio.CancelledError).answered:
        trial.measured("interrupt, dead network", time.monotonic() - pressed)
    await trial.client.remove("silent", "two")


@fault(8, "RST in a result", "reads are asked again: no error, nothing twice")
async def reset_in_result(trial: Trial) -> None:
    await trial.read()
    trial.proxy.cut_after = trial.random.randint(1, 60_000)
    cells = [trial.read(rows=2000), trial.read("far", "near", rows=500)]
    for told in await asyncio.gather(*cells):
        told.only()
    trial.proxy.cut_after = trial.random.randint(1, 300)
    (await trial.write()).only(ConnectionLost)


@fault(
    9,
    "RST while a result goes to a file",
    "asked again, or told; the file is whole or absent, and nothing lies beside it",
)
async def reset_in_export(trial: Trial) -> None:
    import pyarrow.parquet as pq

    file = trial.world.folder / "rows.parquet"
    await trial.read()
    trial.proxy.cut_after = trial.random.randint(1, 4_000_000)
    sql = "select i, repeat('x', 100) as t from generate_series(1, 30000) as i"
    told = (await trial.cell(sql, to=str(file))).only(ConnectionLost)
    trial.proxy.cut_after = None
    if told.answered and pq.read_table(file).column("i").to_pylist() != [*range(1, 30_001)]:
        raise Violation("I3: the file has other rows")
    if left := {each.name for each in file.parent.iterdir()} - {file.name}:
        raise Violation(f"I1: {left} lie beside the file")
    if file.exists() != told.answered:
        raise Violation("I3: there is a file of a cell that failed")
    file.unlink(missing_ok=True)


@fault(10, "a slow network", "no error while bytes flow, however slowly; other cells go on")
async def slow_network(trial: Trial) -> None:
    trial.proxy.latency = trial.random.uniform(0.0, 0.03)
    trial.proxy.rate = trial.random.uniform(30_000, 100_000)  # bytes per second
    cells = [trial.read(rows=200), trial.read("far", "near", rows=100), trial.write()]
    for told in await asyncio.gather(*cells):
        told.only()


@fault(
    14,
    "a wrong certificate, or no TLS",
    "one error that says which; never in clear; not counted as an outage",
)
async def wrong_certificate(trial: Trial) -> None:
    trusted, other = trustme.CA(), trustme.CA()
    authority = trial.world.folder / "authority.pem"
    trusted.cert_pem.write_to_path(authority)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    wrong = trial.random.choice(["authority", "name", "no TLS"])
    issuer = other if wrong == "authority" else trusted
    issuer.issue_cert("elsewhere.test" if wrong == "name" else "127.0.0.1").configure_cert(context)
    tls = None if wrong == "no TLS" else context
    settings = {"sslmode": "verify-full", "sslrootcert": str(authority)}
    async with FaultProxy(trial.world.far, tls=tls) as proxy:
        await trial.add("sealed", port=proxy.port, fail_max=1, **settings)
        told = (await trial.read("sealed", "near")).always(ConnectFailed)
        assert set(told.failures()) == {"sealed"}
        for _ in range(2):
            (await trial.read("sealed")).always(ConnectFailed)
        assert trial.client.pool("sealed").statistics().breaker == "closed"
        assert ("TLS" if tls is None else "certificate") in str(told.error)
        await trial.client.remove("sealed")
    right = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trusted.issue_cert("127.0.0.1").configure_cert(right)
    async with FaultProxy(trial.world.far, tls=right) as proxy:
        await trial.add("sealed", port=proxy.port, **settings)
        proxy.cut_after = trial.random.randint(1, 20_000)  # in the handshake, or later
        (await trial.read("sealed", rows=500)).only()
        cell = trial.start(trial.read("sealed", lasting=5))
        await trial.until_active()
        trial.interrupt()
        (await cell).always(asyncio.CancelledError)
        await trial.client.remove("sealed")
    authority.unlink()
