"""Where the sandbox keeps its data, and where it refuses to."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgmagic.errors import SandboxError
from pgmagic.sandbox import folder
from pgmagic.sandbox.folder import file_system, open_folder, sandbox_folder

MOUNTS = """\
/dev/sda1 / ext4 rw,relatime 0 0
server:/export /home nfs4 rw,vers=4.2 0 0
/dev/sdb1 /home/ada/local\\040disk xfs rw 0 0
tmpfs /mnt tmpfs rw 0 0
overlay /mnt ext4 rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/x", "ext4"),
        ("/home", "nfs4"),
        ("/home/ada/.local/share", "nfs4"),
        ("/home/ada/local disk/x", "xfs"),
        ("/homestead", "ext4"),
        ("/mnt/x", "ext4"),
    ],
)
def test_the_nearest_mount_decides(path: str, kind: str) -> None:
    assert file_system(Path(path), MOUNTS) == kind


names = st.text(st.characters(exclude_characters="/\0\n", codec="utf-8"), min_size=1).filter(
    lambda name: name not in (".", "..")
)


@given(names)
def test_any_name_of_a_mount_point_is_understood(name: str) -> None:
    written = name.replace("\\", "\\134").replace(" ", "\\040").replace("\t", "\\011")
    mounts = f"disk / ext4 rw 0 0\nserver:/ /{written} nfs rw 0 0\n"
    assert file_system(Path("/") / name / "data", mounts) == "nfs"


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("server:/export / nfs4 rw 0 0\n")
    monkeypatch.setattr(folder, "MOUNTS", mounts)
    with pytest.raises(SandboxError, match="local disk") as failure:
        open_folder(tmp_path)
    assert "PGMAGIC_SANDBOX_DIR" in (failure.value.hint or "")


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(SandboxError, match=str(file)):
        open_folder(file / "sandbox")


def test_the_environment_names_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGMAGIC_SANDBOX_DIR", "/somewhere/else")
    assert sandbox_folder() == Path("/somewhere/else")


@pytest.mark.parametrize(
    ("data_home", "expected"),
    [("/data", "/data"), ("", "/home/ada/.local/share"), ("data", "/home/ada/.local/share")],
)
def test_a_user_has_it_in_the_data_directory(
    monkeypatch: pytest.MonkeyPatch, data_home: str, expected: str
) -> None:
    monkeypatch.delenv("PGMAGIC_SANDBOX_DIR", raising=False)
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("XDG_DATA_HOME", data_home)
    monkeypatch.setattr(folder.sys, "platform", "linux")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert sandbox_folder() == Path(expected) / "pgmagic" / "sandbox"


def test_root_has_it_outside_its_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGMAGIC_SANDBOX_DIR", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert sandbox_folder() == Path("/var/lib/pgmagic/sandbox")
