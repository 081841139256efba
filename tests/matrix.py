"""Run the tests of the notebook against old and new kernels: `make test-matrix`.

Each row of the table has a virtual environment of its own under build/matrix/, which is kept.
Arguments choose rows by name, and those that begin with `-` go to pytest:
`python tests/matrix.py ipykernel-7.0 -x`.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parent.parent
ENVIRONMENTS = PROJECT / "build" / "matrix"
# What is installed comes from these: when one of them changes, it is installed anew.
SOURCES = ("pyproject.toml", "setup.py", "pgmagic/columns/_decoder.pyx")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One environment: a Python, and the versions that the installer is held to."""

    name: str
    python: str
    constraints: tuple[str, ...] = ()


ROWS = (
    Row(name="ipykernel-6", python="3.11", constraints=("ipykernel==6.31.0", "ipython==8.39.0")),
    Row(name="ipykernel-7.0", python="3.11", constraints=("ipykernel==7.0.1",)),
    Row(name="ipykernel-7.3", python="3.11", constraints=("ipykernel==7.3.0",)),
    Row(name="ipykernel-7.4", python="3.11", constraints=("ipykernel==7.4.*",)),
    Row(name="python-3.12", python="3.12", constraints=("ipykernel==7.4.*",)),
    Row(name="python-3.13", python="3.13", constraints=("ipykernel==7.4.*",)),
    Row(name="python-3.14", python="3.14", constraints=("ipykernel==7.4.*",)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of a row, in `seconds`. `passed` is None where it could not be run."""

    row: Row
    passed: bool | None
    summary: str
    seconds: float = 0.0


def main(arguments: Sequence[str]) -> int:
    """Run the rows and print a table. Gives 1 where one failed, or where none could be run."""
    names = [word for word in arguments if not word.startswith("-")]
    options = [word for word in arguments if word.startswith("-")]
    if unknown := set(names) - {row.name for row in ROWS}:
        print(f"no such rows: {', '.join(sorted(unknown))}; there are", *(r.name for r in ROWS))
        return 2
    verdicts = [run(row, options) for row in ROWS if not names or row.name in names]
    width = max(len(verdict.row.name) for verdict in verdicts)
    print()
    for verdict in verdicts:
        word = {True: "ok", False: "FAILED", None: "skipped"}[verdict.passed]
        print(f"{verdict.row.name:{width}}  {word:7}  {verdict.seconds:4.0f} s  {verdict.summary}")
    outcomes = {verdict.passed for verdict in verdicts}
    return int(False in outcomes or True not in outcomes)


def run(row: Row, options: Sequence[str]) -> Verdict:
    """Make the environment of a row, where it is not there yet, and run the tests in it."""
    interpreter = find_python(row.python)
    if interpreter is None:
        return Verdict(row=row, passed=None, summary=f"there is no Python {row.python} here")
    print(f"\n--- {row.name}", flush=True)
    try:
        python = environment(row, interpreter)
    except subprocess.CalledProcessError as error:
        return Verdict(row=row, passed=False, summary=f"could not be installed: {error}")
    started = time.monotonic()
    with subprocess.Popen(
        [python, "-m", "pytest", "tests/kernel", "-q", "-p", "no:cacheprovider", *options],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    ) as tests:
        assert tests.stdout is not None
        summary = ""
        for line in tests.stdout:
            print(line, end="", flush=True)
            summary = line.strip() or summary
    return Verdict(
        row=row,
        passed=tests.returncode == 0,
        summary=summary,
        seconds=time.monotonic() - started,
    )


def environment(row: Row, interpreter: str) -> Path:
    """Give the Python of a row's virtual environment, with pgmagic and its tests installed."""
    folder = ENVIRONMENTS / row.name
    python = folder / "bin" / "python"
    stamp = folder / "made-from"
    made_from = fingerprint(row, interpreter)
    if stamp.exists() and stamp.read_text() == made_from:
        return python
    if not python.exists():
        subprocess.run([interpreter, "-m", "venv", folder], check=True)
    constraints = folder / "constraints.txt"
    constraints.write_text("\n".join(row.constraints) + "\n")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--upgrade", "pip>=25.1"], check=True)
    wanted = ["--editable", f"{PROJECT}[sandbox]", "--group", f"{PROJECT}/pyproject.toml:test"]
    subprocess.run([*pip, "--constraint", constraints, *wanted], check=True)
    stamp.write_text(made_from)
    return python


def fingerprint(row: Row, interpreter: str) -> str:
    parts = [interpreter, *row.constraints, *((PROJECT / name).read_text() for name in SOURCES)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def find_python(version: str) -> str | None:
    """Find an interpreter of a version, on the path or among those of pyenv."""
    for candidate in candidates(version):
        asked = subprocess.run(
            [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.stdout.strip() == version:
            return str(candidate)
    return None


def candidates(version: str) -> Iterator[str | Path]:
    if found := shutil.which(f"python{version}"):
        yield found
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}"), reverse=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
