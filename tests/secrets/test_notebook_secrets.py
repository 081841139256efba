"""A notebook whose databases have canaries for passwords: nothing it leaves behind holds one."""

import itertools
import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import nbformat
import pytest
from nbclient import NotebookClient

from pgmagic.language.options import OPTIONS
from pgmagic.notebook.help import LINE_OPTIONS
from tests.kernels import PATIENCE, start_kernel
from tests.secrets.canary import CANARY, WRONG, leaks, leaks_in_files
from tests.secrets.cells import BEGIN, REMAINS
from tests.servers import Administrator, TestDatabase

ROLE = "canary_of_notebooks"
RIGHT = ("by_env", "by_uri", "by_pairs", "by_service", "by_ring", "by_variable")
BAD = ("wrong_env", "wrong_uri", "nowhere", "refused")

KEYRING = """
import os

def get_password(service, account):
    return os.environ["CANARY_ENV"]
"""
# A value for each option that takes one; the rest are switches. Some want others beside them.
VALUES = {
    "--into": "kept", "--save": "later", "--tag": "which", "--limit": "1", "--as": "arrow",
    "--dtypes": "arrow", "--numeric": "exact", "--json": "text", "--tz": "Europe/Berlin",
    "--timeout": "5", "--session": "s", "--to": "rows.csv", "--parallel": "2", "--by": "n",
    "--partitions": "2", "--max-connections-per-database": "2",
}  # fmt: skip
BESIDE = {
    "--by": "--parallel 2",
    "--partitions": "--dask",
    "--max-connections-per-database": "--dask",
    "--all-rows": "--write",
}
AFTER = {
    "--save": "%pg by_env by_uri select count(*) from later",
    "--background": "await _",
    "--dask": "_.compute()",
    "--partitions": "_.compute()",
    "--max-connections-per-database": "_.compute()",
}
TABLE = "create table numbers as select n from generate_series(1, 1000) as n; analyze numbers"
MAGICS = {
    "pg_connect": ["", "--retry by_env", "more --dsn-env CANARY_URI", "bad --dsn-env WRONG_URI"],
    "pg_close": ["by_env", "--session s"],
    "pg_check": ["by_env wrong_env"],
    "pg_schema": ["by_env", "wrong_env"],
    "pg_diff": ["by_env by_uri", "by_env wrong_uri"],
    "pg_serve": [""],
    "pg_write": ["frame by_env --table written --write", "frame wrong_env --table t --write"],
    "pg_pools": [""],
    "pg_saved": [""],
    "pg_snapshot": ["by_env", "wrong_env", "--end"],
    "pg_record": ["--stop"],
    "pg_verify": [""],
    "pg_history": [""],
    "pg_sandbox": ["", "--stop jfk", "--start jfk", "--stop nobody", "--reset"],
}
# The sandbox has few flights, and the canary for its passwords.
SANDBOX = """
import os, secrets
from pathlib import Path
from pgmagic import sandbox
from pgmagic.sandbox import loading
loading.find_data = lambda: Path({few!r})
secrets.token_urlsafe = lambda size: os.environ["CANARY_ENV"]
"""
STOPPED = "%pg @sandbox select 1"
OF_SANDBOX = [
    "%pg @sandbox select count(*) from flights",
    "running = sandbox.start()",
    "server, address = running.servers['newyork'], running.databases['jfk']",
    "%pg_sandbox --stop jfk",
    STOPPED,
    "%pg_sandbox --start jfk",
]


@pytest.fixture
def role(administrator: Administrator) -> Iterator[str]:
    secret = CANARY.replace("'", "''")
    administrator.execute(f"create role {ROLE} login superuser password '{secret}'")
    yield ROLE
    administrator.execute(f"drop role {ROLE}")


@pytest.fixture
def environment(
    role: str, database: TestDatabase, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Put the canaries where passwords come from, all outside the folder of the notebook."""
    outside = tmp_path_factory.mktemp("outside")
    (outside / "keyring.py").write_text(KEYRING)
    where = f"127.0.0.1:{database.port}/{database.name}"
    pairs = CANARY.replace("\\", "\\\\").replace("'", "\\'")
    (outside / "service.conf").write_text(f"[canary]\npassword={CANARY}\n")
    place = (
        f'host = "127.0.0.1"\nport = {database.port}\nuser = "{role}"\n'
        f'database = "{database.name}"\nsslmode = "disable"\nconnect_timeout = 2\n'
    )
    databases = {
        "by_env": place + 'password_env = "CANARY_ENV"',
        "by_uri": 'dsn_env = "CANARY_URI"',
        "by_pairs": 'dsn_env = "CANARY_PAIRS"',
        "by_service": place + 'service = "canary"',
        "by_ring": place + "keyring = true",
        "by_variable": place,
        "wrong_env": place + 'password_env = "WRONG_ENV"',
        "wrong_uri": 'dsn_env = "WRONG_URI"',
        "nowhere": place.replace(database.name, "nowhere") + 'password_env = "CANARY_ENV"',
        "refused": place.replace(f"{database.port}", "1") + 'password_env = "CANARY_ENV"',
    }
    lines = [f"[databases.{name}]\n{text}\n" for name, text in databases.items()]
    (tmp_path / "pgmagic.toml").write_text("\n".join(lines))
    return {
        "CANARY_ENV": CANARY,
        "WRONG_ENV": WRONG,
        "CANARY_URI": f"postgresql://{role}:{quote(CANARY, safe='')}@{where}?sslmode=disable",
        "WRONG_URI": f"postgresql://{role}:{quote(WRONG, safe='')}@{where}?sslmode=disable",
        "CANARY_PAIRS": f"host=127.0.0.1 port={database.port} user={role} sslmode=disable "
        f"dbname={database.name} password='{pairs}'",
        "PGSERVICEFILE": str(outside / "service.conf"),
        "PGPASSWORD": CANARY,
        "PGPASSFILE": str(outside / "none"),
        "PYTHONPATH": os.pathsep.join([str(outside), os.environ.get("PYTHONPATH", "")]),
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }


def with_options() -> list[list[str]]:
    """Run every option of a cell, each with a right password and what comes after, and a wrong one.

    The first of each is answered.
    """
    runs = []
    for option in OPTIONS:
        both = "by_env" if option.name in ("--session", "--parallel", "--by") else "by_env by_uri"
        more = (BESIDE.get(option.name, ""), option.name, VALUES.get(option.name, ""))
        line = " ".join(["%%pg", both, *filter(None, more)])
        run = [f"{line}\nselect n, {{wanted}}::int as m from numbers"]
        run += [AFTER[option.name]] if option.name in AFTER else []
        runs.append([*run, f"{line} wrong_env\nselect n from numbers"])
    return runs


def cells(few: Path) -> list[str]:
    """Run every option, every magic and every fault, in every mode of tracebacks."""
    code = [BEGIN, *(f"%pg {name} select current_user" for name in RIGHT)]
    code += ["%pg_record kept", "frame = pd.DataFrame({'n': [1]})", f"%pg by_env --write {TABLE}"]
    code += itertools.chain(*with_options())
    for mode in ("Plain", "Context", "Verbose", "Minimal", "Docs"):
        code.append(f"%xmode {mode}")
        code += [f"%pg {name} select 1" for name in BAD]
        code += ["%pg by_env selec 1", f"%%pg {' '.join((*RIGHT[:2], *BAD))}\nselect 1/0"]
        code.append("%pg by_env --timeout 0.2 select pg_sleep(5)")
    code.append(SANDBOX.format(few=str(few)))
    for magic, lines in MAGICS.items():
        code += [f"%{magic} {line}".strip() for line in lines]
    code += OF_SANDBOX
    code += ["import os\ndel os.environ['PGPASSWORD']\n%pg_close\n%pg by_variable select 1"]
    return [*code, REMAINS, "%pg_sandbox --stop\nrunning.stop()"]


@pytest.mark.timeout(120)
def test_nothing_a_notebook_leaves_behind_holds_a_password(environment, tmp_path, folder, few):
    assert set(MAGICS) == set(LINE_OPTIONS)
    assert set(VALUES) == {option.name for option in OPTIONS if option.metavar is not None}
    environment["PGMAGIC_SANDBOX_DIR"] = str(folder)
    code = [nbformat.v4.new_code_cell(each) for each in cells(few)]
    notebook = nbformat.v4.new_notebook(cells=code)
    client = NotebookClient(
        notebook, timeout=60, allow_errors=True, store_widget_state=True,
        ipython_hist_file=str(tmp_path / "ipython" / "history.sqlite"),
        resources={"metadata": {"path": str(tmp_path)}},
    )  # fmt: skip
    # Of this Python, whatever else is registered on the machine.
    client.create_kernel_manager().kernel_spec.argv[0] = sys.executable
    with (tmp_path / "stdout.log").open("w") as out, (tmp_path / "stderr.log").open("w") as err:
        client.execute(env=os.environ | environment, stdout=out, stderr=err)
    nbformat.write(notebook, tmp_path / "saved.ipynb")

    failed = [c for c in notebook.cells if any(o.output_type == "error" for o in c.outputs)]
    answered = [c for c in notebook.cells[1 : 1 + len(RIGHT)] if ROLE in str(c.outputs)]
    assert len(answered) == len(RIGHT), "every place gave the password"
    assert not any("REMAINS" in str(c.outputs) for c in failed)
    due = {cell for run in with_options() for cell in run[:-1]} | set(OF_SANDBOX) - {STOPPED}
    due |= {cell.source for cell in notebook.cells[-2:]}
    assert [(c.source, c.outputs) for c in failed if c.source in due] == []
    assert len(failed) > 40
    [history] = (tmp_path / "ipython").rglob("history.sqlite")
    with sqlite3.connect(history) as rows:
        assert rows.execute("select count(*) from history").fetchone()[0] > 50
    rows.close()
    assert any(path.is_file() for path in (tmp_path / "kept").rglob("*")), "nothing was recorded"
    for name in ("debug.log", "served.txt", "remains.bin", "saved.ipynb"):
        assert (tmp_path / name).stat().st_size > 500, name
    assert leaks_in_files(tmp_path) == []


def test_a_password_that_was_typed_is_left_nowhere(environment, tmp_path):
    quiet = environment | {"PGPASSWORD": "", "PGSERVICEFILE": ""}
    del quiet["IPYTHONDIR"]
    kernel = start_kernel(tmp_path, quiet)
    try:
        kernel.run("import os\ndel os.environ['PGPASSWORD']").ok()
        kernel.run(BEGIN).ok()
        content = {"code": "%xmode Verbose\n%pg by_variable select 1 as one", "silent": False}
        content |= {"store_history": True, "allow_stdin": True, "stop_on_error": True}
        shown = []
        for typed, status in ((WRONG, "error"), (CANARY, "ok")):
            request = kernel.send("execute_request", content | {"user_expressions": {}})
            kernel.client.get_stdin_msg(timeout=PATIENCE)
            kernel.client.input(typed)
            reply = kernel.finish(request)
            assert reply.status == status, reply
            shown.append(str(reply))
        shown.append(kernel.run(REMAINS.split("for pool")[0]).stdout)
        shown.append(kernel.run("%history -n\n%pg_pools\nclient.statistics()").stdout)
    finally:
        kernel.shutdown()
    assert [text for text in shown if leaks(text)] == []
    assert leaks_in_files(tmp_path) == []
