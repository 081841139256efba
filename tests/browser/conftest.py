"""A real JupyterLab and a real browser: `notebook(cell, …)` opens a notebook of these cells.

They need Chromium and the Python package playwright, which brings no browser of its own here:
`apt install chromium` and `pip install playwright`. CHROMIUM names another executable.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import nbformat
import pytest

from tests.servers import missing

try:
    from playwright.sync_api import Browser, Error, Locator, Page, sync_playwright
except ImportError:
    sync_playwright = None

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0  # seconds until a server or a kernel that does not answer counts as hung
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
SWITCHES = ("--disable-gpu", "--disable-background-networking", "--disable-component-update")

# JupyterLab says that it is idle before there is a kernel, so everything is waited for by name.
READY = """async path => {
    const app = window.jupyterapp;
    if (!app) return false;
    await app.restored;
    const panel = [...app.shell.widgets('main')].find(w => w.context?.path === path);
    if (!panel) return false;
    await panel.context.ready;
    await panel.sessionContext.ready;
    const kernel = panel.sessionContext.session?.kernel;
    if (!kernel) return false;
    await kernel.info;
    window.pgmagic_test = {app, panel, kernel};
    return true;
}"""
QUIETLY = """async code => {
    const reply = await window.pgmagic_test.kernel.requestExecute({code, silent: true}).done;
    return reply.content;
}"""
SHUT_DOWN = """async () => {
    const session = window.pgmagic_test?.panel.sessionContext;
    if (session?.session) await session.shutdown();
}"""
RESTART = """async () => { await window.pgmagic_test.panel.sessionContext.restartKernel(); }"""
SELECT = """const {app, panel} = window.pgmagic_test;
    panel.content.activeCellIndex = index;
    panel.content.deselectAll();
    const running = app.commands.execute('notebook:run-cell');"""


@dataclass(frozen=True, slots=True)
class Lab:
    """A running JupyterLab and the folder of its notebooks."""

    url: str
    folder: Path


@dataclass(slots=True)
class Notebook:
    """A notebook that is open in the browser, with its kernel."""

    page: "Page"
    path: Path
    errors: list[str] = field(default_factory=list)

    def run(self, index: int) -> None:
        """Run a cell to its end."""
        self.page.evaluate(f"async index => {{ {SELECT} await running; }}", index)

    def start(self, index: int) -> None:
        """Run a cell without waiting for it."""
        self.page.evaluate(f"index => {{ {SELECT} }}", index)

    def quietly(self, code: str) -> None:
        """Run code in the kernel, not in any cell."""
        reply = self.page.evaluate(QUIETLY, code)
        assert reply["status"] == "ok", reply["evalue"]

    def output(self, index: int) -> "Locator":
        """All that stands under a cell."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index).locator(".jp-OutputArea")

    def model(self, index: int) -> list[dict[str, Any]]:
        """The outputs of a cell as they will be saved."""
        return self.page.evaluate(
            "i => window.pgmagic_test.panel.content.model.cells.get(i).outputs.toJSON()", index
        )

    def save(self) -> nbformat.NotebookNode:
        """Save the notebook and read the file."""
        self.page.evaluate("async () => { await window.pgmagic_test.panel.context.save(); }")
        return nbformat.read(self.path, as_version=4)

    def kill_kernel(self) -> None:
        """Kill the kernel as the system does when memory runs out."""
        self.page.evaluate(
            QUIETLY.replace("await", "", 1).replace(".done", "").replace("reply.content", "null"),
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        )

    def shut_down_kernel(self) -> None:
        """End the kernel as the menu does."""
        self.page.evaluate(SHUT_DOWN)

    def restart_kernel(self) -> None:
        """Restart the kernel as the menu does."""
        self.page.evaluate(RESTART)

    def use_theme(self, theme: Literal["light", "dark"]) -> None:
        name = f"JupyterLab {theme.capitalize()}"
        self.page.evaluate(
            "async theme => { await window.pgmagic_test.app.commands.execute("
            "'apputils:change-theme', {theme}); }",
            name,
        )
        light = "true" if theme == "light" else "false"
        self.page.locator(f'body[data-jp-theme-light="{light}"]').wait_for(state="attached")


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One JupyterLab for all tests, with settings, workspaces and kernels of its own."""
    root = tmp_path_factory.mktemp("lab")
    notebooks, config = root / "notebooks", root / "config"
    notebooks.mkdir()
    shutil.copytree(ROOT / "labextension", root / "data" / "labextensions" / "pgmagic")
    (config / "labconfig").mkdir(parents=True)
    news = "@jupyterlab/apputils-extension:announcements"
    (config / "labconfig" / "page_config.json").write_text(
        json.dumps({"disabledExtensions": {news: True}})
    )
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "JUPYTER_CONFIG_DIR": str(config),
        "JUPYTER_DATA_DIR": str(root / "data"),
        "JUPYTER_RUNTIME_DIR": str(root / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(root / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(root / "workspaces"),
        "IPYTHONDIR": str(root / "ipython"),
    }
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}"]
    command += ["--ServerApp.port_retries=0", "--IdentityProvider.token="]
    command += ["--ServerApp.disable_check_xsrf=True", f"--ServerApp.root_dir={notebooks}"]
    command += ["--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly"]
    log = root / "lab.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for_server(url, process, log)
        yield Lab(url, notebooks)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(15)


def _wait_for_server(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            urllib.request.urlopen(f"{url}/api/status", timeout=1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-3000:]}", pytrace=False)
            time.sleep(0.1)
        else:
            return


@pytest.fixture(scope="module")
def chromium() -> "Iterator[Browser]":
    """One browser for a file of tests. (Playwright keeps an event loop running meanwhile.)"""
    if sync_playwright is None:
        missing("browser tests need playwright: pip install playwright")
    if CHROMIUM is None:
        missing("browser tests need Chromium: apt install chromium, or set CHROMIUM")
    sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*SWITCHES, *sandbox])
        yield browser
        browser.close()


@pytest.fixture
def notebook(
    lab: Lab, chromium: "Browser", request: pytest.FixtureRequest
) -> Iterator[Callable[..., Notebook]]:
    """Open a new notebook of these cells in JupyterLab and wait for its kernel."""
    opened: list[Notebook] = []
    folder = lab.folder / request.node.name
    folder.mkdir()

    def open_notebook(*cells: str, width: int = 1280, height: int = 900) -> Notebook:
        path = folder / f"{len(opened)}.ipynb"
        kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        content = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
            metadata={"kernelspec": kernelspec},
        )
        nbformat.write(content, path)
        page = chromium.new_page(
            viewport={"width": width, "height": height}, device_scale_factor=1.5
        )
        page.set_default_timeout(20_000)
        one = Notebook(page, path)
        opened.append(one)
        page.on("pageerror", lambda error: one.errors.append(str(error)))
        relative = path.relative_to(lab.folder).as_posix()
        page.goto(f"{lab.url}/lab/tree/{relative}?reset")
        _wait_for_kernel(page, relative)
        return one

    yield open_notebook
    for one in opened:
        if request.node.stash.get(FAILED, False):
            one.page.screenshot(path=folder / "failed.png")
            print(f"what the browser showed: {folder / 'failed.png'}")
        one.shut_down_kernel()
        one.page.close()


def _wait_for_kernel(page: "Page", path: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if page.evaluate(READY, path):
                return
        except Error:  # the page is still on its way
            pass
        assert time.monotonic() < deadline, "JupyterLab did not open the notebook"
        time.sleep(0.1)


@pytest.fixture
def connected(database, second_database, notebook):  # kernels end before their databases
    """Open notebooks that have pgmagic loaded, with the databases `a` and `b`."""

    def open_connected(*cells):
        one = notebook(*cells)
        variables = {"TEST_DSN_A": database.dsn, "TEST_DSN_B": second_database.dsn}
        (one.path.parent / "pgmagic.toml").write_text(
            '[databases.a]\ndsn_env = "TEST_DSN_A"\n[databases.b]\ndsn_env = "TEST_DSN_B"\n'
        )
        one.quietly(f"import os; os.environ.update({variables!r})")
        one.quietly("get_ipython().run_line_magic('load_ext', 'pgmagic')")
        return one

    return open_connected


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report
