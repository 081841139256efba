"""What the product searches is what leaks: here it leaks on purpose, once everywhere."""

import logging
import sys
from collections.abc import Awaitable, Callable, Iterator
from itertools import product
from typing import Any

import pandas as pd
import pytest

from pgmagic.errors import QueryError
from pgmagic.sandbox.binaries import Binaries
from tests.faults import every_fault
from tests.faults.catalogue import Fault
from tests.faults.of_kernels import KernelTrial, run_in_kernel
from tests.faults.trial import Trial, Violation
from tests.faults.world import World
from tests.secrets.canary import CANARY
from tests.secrets.product import Pair, pairs
from tests.secrets.sources import SOURCES
from tests.secrets.told import MODES
from tests.secrets.trials import opened_with_canary

Leak = Callable[[Trial], Awaitable[Any]]


@pytest.fixture(scope="module")
def world(pg_binaries: Binaries) -> Iterator[World]:
    with opened_with_canary(pg_binaries) as opened:
        yield opened


async def in_a_log(trial: Trial) -> None:
    logging.getLogger("pgmagic.events").debug("connected by %s", CANARY)


async def in_a_stream(trial: Trial) -> None:
    print(CANARY, file=sys.stdout)


async def in_an_error(trial: Trial) -> None:
    async def fail() -> None:
        raise QueryError("no", detail=CANARY)

    await trial.note(fail(), ("far",))


async def behind_an_error(trial: Trial) -> None:
    async def fail() -> None:
        raise QueryError("no") from ValueError(CANARY)

    await trial.note(fail(), ("far",))


async def in_a_variable_of_a_frame(trial: Trial) -> None:
    async def fail() -> None:
        password = CANARY
        raise QueryError(f"no {len(password)}")

    await trial.note(fail(), ("far",))


async def in_a_frame_of_a_cancelled_cell(trial: Trial) -> None:
    async def wait() -> None:
        password = CANARY  # noqa: F841
        trial.interrupt()
        await trial.client.query("select pg_sleep(9)", on="far")

    await trial.note(wait(), ("far",))


async def in_an_answer(trial: Trial) -> None:
    await trial.cell(f"select '{CANARY.replace(chr(39), chr(39) * 2)}' as password")


async def in_attrs(trial: Trial) -> None:
    async def answer() -> pd.DataFrame:
        frame = pd.DataFrame({"n": range(30_000)})
        frame.attrs["pgmagic"] = {"password": CANARY}
        return frame

    await trial.note(answer(), ("far",))


async def in_a_client(trial: Trial) -> None:
    trial.client.groups["planted"] = (CANARY,)


async def in_a_pool(trial: Trial) -> None:
    await trial.read()
    trial.client.pool("far").planted = CANARY  # type: ignore[attr-defined]


async def in_a_recording(trial: Trial) -> None:
    await trial.cell("select 1 as n", "far")
    [folder] = {trial.recordings}  # type: ignore[attr-defined]
    (folder / "planted.json").write_text(CANARY)


async def in_what_was_broken(trial: Trial) -> None:
    raise Violation(f"I4: far said {CANARY}")


LEAKS = {  # and where they are found
    in_a_log: "log",
    in_a_stream: "streams",
    in_an_error: "QueryError",
    behind_an_error: "QueryError",
    in_a_variable_of_a_frame: "QueryError",
    in_a_frame_of_a_cancelled_cell: "stopped",
    in_an_answer: "an answer",
    in_attrs: "attrs",
    in_a_client: "client",
    in_a_pool: "client",
    in_a_recording: "recordings",
    in_what_was_broken: "violation",
}


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.__name__)
def test_what_leaks_in_a_program_is_found(leak: Leak, world: World):
    mode = MODES[list(LEAKS).index(leak) % len(MODES)]
    fault = Fault(number=0, name="a leak", promise="is found", strike=leak)
    _, search = Pair("password_env", fault, mode).run(world, 1)
    assert any(line.startswith(LEAKS[leak]) for line in search.found), search.found


def test_what_leaks_in_a_kernel_is_found(world: World):
    def leak(trial: KernelTrial) -> None:
        log = "import logging\nlogging.getLogger('pgmagic.events').debug('%s', kept)"
        trial.run(f"kept = {CANARY!r}\n{log}")

    fault = Fault(number=0, name="a leak", promise="is found", strike=leak, run_by=run_in_kernel)
    _, search = Pair("password_env", fault, "Plain").run(world, 1)
    found = {line.partition(":")[0].rpartition("/")[2] for line in search.found}
    assert {"messages.json", "history.sqlite", "debug.log", "remains.bin"} <= found


@pytest.mark.parametrize("source", ["password_env", "sslpassword"])
def test_nothing_is_found_where_nothing_leaks(source: str, world: World):
    async def read(trial: Trial) -> None:
        told = await trial.cell("select client_dn from pg_stat_ssl where pid = pg_backend_pid()")
        [name] = told.only().value["client_dn"]
        assert ("canary" in str(name)) == (source == "sslpassword"), "the key was not used"

    fault = Fault(number=0, name="a read", promise="answers", strike=read)
    record, search = Pair(source, fault, "rich").run(world, 1)
    assert record.violation == ""
    assert search.found == []
    assert search.searched > 50


def test_every_place_meets_every_fault_and_every_mode():
    every = list(pairs())
    faults = [each for each in every_fault() if not each.steps and each.number != 31]
    met = {(pair.source, pair.fault) for pair in every}
    assert {(source, fault) for source in SOURCES for fault in faults} <= met
    steps = [pair for pair in every if pair.fault.steps]
    assert {(pair.source, pair.mode) for pair in steps} == set(product(SOURCES, MODES))
