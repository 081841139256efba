"""The extension of JupyterLab is shipped as it is: its parts have to agree by themselves."""

import json
import tomllib
from pathlib import Path

import pgmagic

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "labextension"
PACKAGE = json.loads((FOLDER / "package.json").read_text())


def test_its_version_is_the_packages():
    assert PACKAGE["version"] == pgmagic.__version__


def test_the_version_is_in_the_name_of_the_file():
    """Else a browser would show the old one from its cache."""
    load = PACKAGE["jupyterlab"]["_build"]["load"]
    assert load == f"static/remoteEntry.{PACKAGE['version']}.js"
    assert [path.name for path in (FOLDER / "static").iterdir()] == [Path(load).name]


def test_the_wheel_carries_it():
    files = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["data-files"]
    patterns = [pattern for patterns in files.values() for pattern in patterns]
    shipped = {path for pattern in patterns for path in ROOT.glob(pattern)}
    assert shipped == {path for path in FOLDER.rglob("*") if path.is_file()}
