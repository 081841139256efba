"""What users do: ask too much at once, forget the password, change their minds."""

import asyncio
import time

from pgmagic.errors import ConnectFailed, PoolTimeout
from tests.faults.catalogue import fault
from tests.faults.trial import Told, Trial, Violation

WORKERS = 20


@fault(0, "no fault", "everything is answered")
async def nothing(trial: Trial) -> None:
    for _ in range(5):
        cells = [trial.read(lasting=0.02), trial.read("far", "near"), trial.write()]
        for told in await asyncio.gather(*cells):
            told.only()


@fault(
    12,
    "more cells than connections",
    "one error after acquire_timeout that says who has them; the others answer, in turn",
    settings={"max_size": 2, "acquire_timeout": 0.15},
)
async def pool_exhausted(trial: Trial) -> None:
    holding = [trial.start(trial.read(lasting=0.3)) for _ in range(2)]
    await trial.until(lambda: trial.client.pool("far").statistics().in_use == 2)
    waiting = [trial.read() for _ in range(10)]
    both = trial.read("far", "near")
    for told in await asyncio.gather(*waiting, both):
        told.always(PoolTimeout)
        assert "near" not in told.failures()
        assert "all 2 are in use" in str(told.error)
        trial.measured("told", told.seconds)
    for told in await asyncio.gather(*holding):
        told.only()


@fault(
    13,
    "a wrong password, an unknown role",
    "one error each time, after one attempt: nobody is locked out; not counted as an outage",
)
async def wrong_password(trial: Trial) -> None:
    wrong = trial.random.choice([{"password": lambda: "hunter2"}, {"user": "nobody at all"}])
    await trial.add("barred", port=trial.proxy.port, fail_max=1, **wrong)
    before = trial.proxy.accepted
    told = await trial.read("barred", "near")
    assert set(told.always(ConnectFailed).failures()) == {"barred"}
    assert "hunter2" not in str(told.error)
    (await trial.write("barred")).always(ConnectFailed)
    if trial.proxy.accepted - before != 2:
        raise Violation(f"{trial.proxy.accepted - before} attempts of 2 cells")
    assert trial.client.pool("barred").statistics().breaker == "closed"
    await trial.client.remove("barred")


@fault(
    22,
    "a storm of cancels",
    f"{WORKERS} at once, half of them cancelled: no wrong answer, no error, no cancel of another",
    settings={"max_size": 4},
)
async def cancel_storm(trial: Trial) -> None:
    async def worker(impatient: bool) -> None:
        for _ in range(6):
            cell = trial.start(_one_of_many(trial))
            if not impatient:
                (await cell).only()
                continue
            await trial.moment(0.03)
            pressed = time.monotonic()
            cell.cancel()
            if not (await cell).only(asyncio.CancelledError).answered:
                trial.measured("interrupt", time.monotonic() - pressed)

    await asyncio.gather(*(worker(number % 2 == 0) for number in range(WORKERS)))


async def _one_of_many(trial: Trial) -> Told:
    choice = trial.random.random()
    if choice < 0.4:
        return await trial.read(rows=trial.random.choice([1, 50, 2000]))
    if choice < 0.7:
        return await trial.read("far", "near", lasting=0.01)
    return await trial.write(lasting=trial.random.choice([0.0, 0.01]))
