"""The package is a building: a module imports only from the floors below its own."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import pgmagic

PACKAGE = Path(pgmagic.__file__).parent

FLOORS = [
    {"environment", "events", "excerpt", "grace", "legible", "secret", "units"},
    {"errors"},
    {"outcome"},
    {"language", "meeting", "sandbox"},
    {"database", "columns"},
    {"watch", "journal", "receipts", "verified", "export", "parallel", "snapshots"},
    {"answers", "voting", "pools", "recording"},
    {"execution", "writing", "playing"},
    {"dispatch"},
    {"dask"},
    {"client", "http"},
    {"schema", "verification"},
    {"notebook"},
    {"text_table", "notebook_runs"},
    {"command_line"},
    {"__init__", "__main__"},
]
HEIGHT = {name: height for height, floor in enumerate(FLOORS) for name in floor}

# Which outsider may be imported where, as folders or modules of the package.
OUTSIDERS = {
    "asyncpg": {"database", "columns", "sandbox"},
    "pybreaker": {"database.breaker"},
    "pandas": {"columns"},
    "pyarrow": {"columns", "export"},
    "pgpq": {"columns"},
    "psutil": {"columns"},
    "dask": {"dask"},
    "distributed": {"dask"},
    "numpy": {"columns"},
    "fastapi": {"http"},
    "starlette": {"http"},
    "uvicorn": {"http"},
    "IPython": {"notebook", "__init__"},
    "ipywidgets": {"notebook"},
    "nest_asyncio2": {"notebook.reentry"},
}

MODULES = sorted(PACKAGE.rglob("*.py"))


def dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """Give every module that a file imports at run time, with its dots."""
    tree = ast.parse(path.read_text())
    only_for_types = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.unparse(branch.test)
        for statement in branch.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in only_for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: write imports in full"
            if node.module == "pgmagic":
                yield from (f"pgmagic.{alias.name}" for alias in node.names)
            else:
                yield node.module or ""


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_imports_point_down(path):
    here = dotted(path).split(".")[0]
    assert here in HEIGHT, f"{here} has no floor yet"
    for name in imports(path):
        first, _, rest = name.partition(".")
        there = rest.split(".")[0]
        if first == "pgmagic" and there in HEIGHT and there != here:
            assert HEIGHT[there] < HEIGHT[here], f"{here} imports {there}"


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_outsiders_stay_where_they_belong(path):
    here = dotted(path)
    for name in imports(path):
        allowed = OUTSIDERS.get(name.split(".")[0])
        if allowed is not None:
            assert any(here == place or here.startswith(f"{place}.") for place in allowed), (
                f"{here} imports {name}"
            )


def test_no_module_is_a_drawer():
    drawers = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
    assert not drawers & {path.stem for path in MODULES}
