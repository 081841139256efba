"""Load, unload, reload, shut down, restart, kill: no connection is left, nobody complains."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.kernels import Activity, Kernel
from tests.servers import TestDatabase

# A server that does not look whether its client still lives: it must be told to cancel.
UNTIL_TOLD = "set client_connection_check_interval = 0; select pg_sleep(60)"
MEANWHILE = {
    "idle": "",
    "background": f"late = %pg --background a {UNTIL_TOLD}",
    "awaited": f"%%pg a\n{UNTIL_TOLD}",
    "line": f"x = %pg a {UNTIL_TOLD}",
}
MAGICS = "[name for name in get_ipython().magics_manager.magics['line'] if name.startswith('pg')]"
# ipykernel itself complains where a cell still runs when its socket is closed: of anything,
# time.sleep too. What must not be among it:
OURS = ("pgmagic", "asyncpg", "Event loop", "never awaited", "never retrieved", "is pending")


def our_complaints(kernel: Kernel) -> list[str]:
    return [line for line in kernel.complaints() if any(word in line for word in OURS)]


def begin(kernel: Kernel, activity: Activity, meanwhile: str) -> None:
    """Have an open connection, and then whatever else is to be running."""
    kernel.run("%%pg a b\nselect 1").ok()
    if meanwhile:
        kernel.start(meanwhile)
        activity.until(1)


@pytest.mark.parametrize("meanwhile", MEANWHILE.values(), ids=MEANWHILE)
def test_shutting_down_leaves_nothing(
    own_kernel: Kernel, own_activity: Activity, meanwhile: str
) -> None:
    begin(own_kernel, own_activity, meanwhile)
    began = time.monotonic()
    own_kernel.shutdown()
    assert time.monotonic() - began < 5.0
    own_activity.until_gone()
    assert our_complaints(own_kernel) == []


def test_shutting_down_stops_a_query_on_a_host_with_a_name(
    bare_kernel: Kernel, database: TestDatabase, own_activity: Activity
) -> None:
    dsn = database.tcp_dsn.replace("127.0.0.1", "localhost")
    bare_kernel.run(f"import os; os.environ['TEST_DSN_A'] = {dsn!r}").ok()
    bare_kernel.run("%load_ext pgmagic").ok()
    bare_kernel.run(MEANWHILE["background"]).ok()
    own_activity.until(1)
    bare_kernel.shutdown()
    own_activity.until_gone()
    assert our_complaints(bare_kernel) == []


def test_shutting_down_gives_the_sandbox_up(bare_kernel: Kernel, tmp_path: Path) -> None:
    bare_kernel.run("%load_ext pgmagic").ok()
    bare_kernel.run(
        "class Sandbox:\n"
        "    def stop(self): open('stopped', 'w').close()\n"
        "get_ipython().pgmagic.groups[-1]._sandbox = Sandbox()"
    ).ok()
    bare_kernel.shutdown()
    assert (tmp_path / "stopped").exists()
    assert bare_kernel.complaints() == []


def test_restarting_leaves_nothing_and_begins_anew(
    own_kernel: Kernel, own_activity: Activity
) -> None:
    begin(own_kernel, own_activity, MEANWHILE["awaited"])
    own_kernel.restart()
    own_activity.until_gone()
    own_kernel.run("%load_ext pgmagic").ok()
    assert own_kernel.run("%%pg a\nselect 1 as one").ok().result.split() == ["one", "0", "1"]
    assert our_complaints(own_kernel) == []


def test_a_killed_kernel_leaves_no_query_for_long(
    own_kernel: Kernel, own_activity: Activity
) -> None:
    begin(own_kernel, own_activity, "%%pg a\nselect pg_sleep(60)")
    pid = own_kernel.manager.provisioner.pid  # type: ignore[union-attr]
    os.kill(pid, signal.SIGKILL)
    own_activity.until_gone(within=10.0)


def test_unloading_ends_everything(own_kernel: Kernel, own_activity: Activity) -> None:
    begin(own_kernel, own_activity, MEANWHILE["background"])
    reply = own_kernel.run("%unload_ext pgmagic").ok()
    assert reply.seconds < 3.0
    own_activity.until_gone()
    assert own_kernel.value(MAGICS) == []
    assert own_kernel.run("%pg a select 1").stderr.startswith("UsageError")
    assert own_kernel.run("%%pg a\nselect 1").stderr.startswith("UsageError")
    own_kernel.run("await late").failed("QueryCancelled")
    own_kernel.run("%unload_ext pgmagic").ok()  # says that it is not loaded
    own_kernel.run("%load_ext pgmagic").ok()
    assert own_kernel.run("%%pg a\nselect 1 as one").ok().result.split() == ["one", "0", "1"]
    own_kernel.shutdown()
    own_activity.until_gone()
    assert own_kernel.complaints() == []


def test_reloading_begins_anew(own_kernel: Kernel, own_activity: Activity) -> None:
    for _ in range(2):
        begin(own_kernel, own_activity, MEANWHILE["background"])
        own_kernel.run("%reload_ext pgmagic").ok()
        own_activity.until_gone()
        own_kernel.run("%load_ext pgmagic").ok()  # again: it changes nothing
        assert own_kernel.value(f"len({MAGICS}) == len(set({MAGICS})) > 3")
        own_kernel.run("late.result()").failed("QueryCancelled")
    transformers = "get_ipython().input_transformers_cleanup"
    names = f"[type(each).__name__ for each in {transformers}].count('CellTransformer')"
    assert own_kernel.value(names) == 1
    own_kernel.settle()
    assert own_kernel.complaints() == []


def test_reloading_from_an_awaited_cells_callback(
    own_kernel: Kernel, own_activity: Activity
) -> None:
    own_kernel.run(
        "import asyncio\n"
        "def reload(): get_ipython().run_line_magic('reload_ext', 'pgmagic')\n"
        "_ = asyncio.get_running_loop().call_later(0.3, reload)"
    ).ok()
    running = own_kernel.start("%%pg a\nselect pg_sleep(60)")
    assert own_kernel.finish(running).status == "error"
    own_activity.until_gone()
    assert own_kernel.run("%%pg a\nselect 1 as one").ok().result.split() == ["one", "0", "1"]


def test_a_configuration_that_cannot_be_read_is_told_at_load(bare_kernel: Kernel) -> None:
    bare_kernel.run("_ = open('pgmagic.toml', 'w').write('[databases.a]\\nhots = 1\\n')").ok()
    reply = bare_kernel.run("%load_ext pgmagic").failed("SettingsError")
    assert "host" in reply.traceback
    assert "site-packages" not in reply.traceback
    bare_kernel.run(
        "_ = open('pgmagic.toml', 'w').write('[databases.c]\\nhost = \"/tmp\"\\n')"
    ).ok()
    bare_kernel.run("%load_ext pgmagic").ok()
    assert bare_kernel.value(f"'pg' in {MAGICS}")
