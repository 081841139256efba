"""Where the numbers come from: the machine, and the versions of what ran on it."""

import platform
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
from bench_contenders import CONTENDERS

from pgmagic.columns import accelerated

__all__ = ["describe_machine"]


def describe_machine(postgresql: str) -> dict[str, str]:
    """Say on what was measured, in the words of the report."""
    packages = dict.fromkeys(
        package for contender in CONTENDERS.values() for package in contender.packages
    )
    memory = psutil.virtual_memory().total / 2**30
    return {
        "day": datetime.now(UTC).date().isoformat(),
        "machine": f"{_processor()}, {psutil.cpu_count()} CPUs, {memory:.0f} GiB",
        "system": platform.platform(aliased=True, terse=True),
        "Python": platform.python_version(),
        "PostgreSQL": postgresql,
        "pgmagic": f"{version('pgmagic')} {_commit()}".strip(),
        "decoder": "compiled" if accelerated else "pure Python",
        "packages": ", ".join(f"{name} {_version(name)}" for name in sorted(packages)),
    }


def _processor() -> str:
    try:
        about = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1] for line in about.splitlines() if line.startswith("model name")]
    return names[0].strip() if names else platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _commit() -> str:
    """Give the commit that was measured, with a + where files have been changed since."""
    git = shutil.which("git")
    if git is None:
        return ""
    done = subprocess.run(
        [git, "describe", "--always", "--dirty=+"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return f"({done.stdout.strip()})" if done.returncode == 0 else ""
