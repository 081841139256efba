"""Finding a server: what is taken, what is passed over, what is said when there is none."""

from pathlib import Path

import pytest

from pgmagic.errors import SandboxError
from pgmagic.sandbox import binaries
from pgmagic.sandbox.binaries import find_binaries, probe


def install(bindir: Path, says: str, *, status: int = 0) -> Path:
    """Put programs there that answer `--version`."""
    bindir.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        program = bindir / name
        program.write_text(f"#!/bin/sh\necho '{says}'\nexit {status}\n")
        program.chmod(0o755)
    return bindir


@pytest.mark.parametrize(
    ("says", "version"),
    [
        ("postgres (PostgreSQL) 18.6", (18, 6)),
        ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", (15, 18)),
        ("postgres (PostgreSQL) 19beta2", (19, 0)),
    ],
)
def test_reads_the_version(tmp_path: Path, says: str, version: tuple[int, int]) -> None:
    found = probe(install(tmp_path / "bin", says), "system")
    assert found is not None
    assert (found.major, found.minor) == version


def test_programs_that_fail_or_are_incomplete_are_no_server(tmp_path: Path) -> None:
    assert probe(tmp_path, "system") is None
    failing = install(tmp_path / "failing", "postgres (PostgreSQL) 18.6", status=127)
    assert probe(failing, "system") is None
    assert probe(install(tmp_path / "other", "something else"), "system") is None
    client_only = install(tmp_path / "client", "postgres (PostgreSQL) 18.6")
    (client_only / "initdb").unlink()
    assert probe(client_only, "system") is None


def test_the_environment_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bindir = install(tmp_path / "bin", "postgres (PostgreSQL) 17.1")
    monkeypatch.setenv("PGMAGIC_PG_BINDIR", str(bindir))
    found = find_binaries()
    assert (found.bindir, found.origin) == (bindir, "environment")


def test_what_is_too_old_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = install(tmp_path / "13" / "bin", "postgres (PostgreSQL) 13.4")
    new = install(tmp_path / "16" / "bin", "postgres (PostgreSQL) 16.4")
    monkeypatch.setattr(binaries, "_system_folders", lambda: iter([old, new]))
    assert find_binaries(["system"]).bindir == new


def test_without_a_server_the_error_names_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGMAGIC_PG_BINDIR", str(tmp_path))
    with pytest.raises(SandboxError) as failure:
        find_binaries(["environment"])
    assert str(tmp_path) in failure.value.message
    assert failure.value.hint == "pip install 'pgmagic[sandbox]'"
