"""PgBouncer in transaction mode between here and the server."""

import asyncio

from pgmagic.errors import ConnectFailed, ConnectionLost
from tests.faults.catalogue import fault
from tests.faults.of_servers import LASTING
from tests.faults.trial import Trial
from tests.pgbouncer import PgBouncer, installed, pgbouncer_before


@fault(
    31,
    "PgBouncer in between is killed and started again; cells are cancelled behind it",
    "found out by itself; idle: no error; in a query: one; a cancel stops the right statement",
)
async def pooler_restarts(trial: Trial) -> None:
    program = installed()
    assert program is not None, "pgbouncer is not installed"
    with pgbouncer_before(trial.world.far, program) as pooler:
        try:
            await trial.add("pooled", host=pooler.host, port=pooler.port, sslmode="disable")
            await _through(trial, pooler)
        finally:
            await trial.client.remove("pooled")


async def _through(trial: Trial, pooler: PgBouncer) -> None:
    for told in await asyncio.gather(*(trial.read("pooled", "near") for _ in range(4))):
        told.only()
    assert trial.client.pool("pooled").pooled
    cells = [trial.start(trial.read("pooled", lasting=LASTING)) for _ in range(3)]
    cells.append(trial.start(trial.write("pooled", lasting=LASTING)))
    await trial.moment(LASTING)
    chosen = trial.random.choice(cells)
    chosen.cancel()
    for cell in cells:
        told = await cell
        told.only(*([asyncio.CancelledError] if cell is chosen else []))
    pooler.kill()
    pooler.start()
    (await trial.read("pooled")).only()
    (await trial.write("pooled")).only()
    reading = trial.start(trial.read("pooled", lasting=LASTING))
    writing = trial.start(trial.write("pooled", lasting=LASTING))
    await trial.moment(LASTING)
    pooler.kill()
    await trial.moment(0.02)
    pooler.start()
    (await reading).only(ConnectFailed, ConnectionLost)
    (await writing).only(ConnectFailed, ConnectionLost)
    (await trial.read("pooled")).only()
