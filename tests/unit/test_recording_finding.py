"""Which recording answers, where recordings lie, and what is near to what was not recorded."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgmagic.database.configuration import load
from pgmagic.errors import RecordingError, SettingsError
from pgmagic.language.fingerprint import fingerprint
from pgmagic.notebook.notebook_file import notebook_file
from pgmagic.receipts import Origin
from pgmagic.recording import Asked, Question, folder_to_read, folder_to_write, mode_of
from pgmagic.recording.naming import name_of
from pgmagic.recording.nearest import differences
from pgmagic.recording.occurrences import Occurrences


def question(sql: str = "select 1", *targets: str, **options) -> Question:
    return Question(statements=(Asked(sql=sql),), targets=targets or ("a",), options=options)


# -- which time this is


def test_without_cells_every_time_is_one_more():
    occurrences = Occurrences()
    assert [occurrences.next("k", Origin(number=n)) for n in (1, 2, 2)] == [1, 2, 3]
    assert occurrences.next("other", Origin()) == 1


def test_a_cell_that_runs_again_has_the_numbers_that_it_had():
    occurrences = Occurrences()

    def run(cell: str, number: int, times: int = 1) -> list[int]:
        return [occurrences.next("k", Origin(id=cell, number=number)) for _ in range(times)]

    assert run("before", 1) == [1]
    assert run("loop", 2, times=3) == [2, 3, 4]
    assert run("after", 3) == [5]
    assert run("loop", 4, times=2) == [2, 3]
    assert run("loop", 5, times=4) == [2, 3, 4, 6]
    assert run("before", 6) == [1]


# -- where


def test_the_environment_comes_before_the_file():
    assert mode_of({}, None) == "live"
    assert mode_of({}, "record") == "record"
    assert mode_of({"PGMAGIC_MODE": "replay"}, "record") == "replay"
    assert mode_of({"PGMAGIC_MODE": "live"}, "replay") == "live"
    with pytest.raises(SettingsError, match=r"did you mean replay"):
        mode_of({"PGMAGIC_MODE": "repaly"}, None)


def test_the_file_says_mode_and_folder(tmp_path):
    (tmp_path / "pgmagic.toml").write_text('mode = "record"\nrecordings = "kept"\n')
    configuration = load(tmp_path, environ={}, home=tmp_path / "nobody")
    assert configuration.mode == "record"
    assert configuration.recordings == tmp_path / "kept"
    for wrong in ('mode = "repaly"', "recordings = 5"):
        (tmp_path / "pgmagic.toml").write_text(wrong)
        with pytest.raises(SettingsError, match=wrong.split()[0]):
            load(tmp_path, environ={}, home=tmp_path / "nobody")


def test_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notebook = tmp_path / "tour.ipynb"
    said = {"PGMAGIC_RECORDINGS": str(tmp_path / "said")}
    configured = tmp_path / "configured"
    assert folder_to_write(said, configured, notebook) == tmp_path / "said"
    assert folder_to_write({}, configured, notebook) == configured
    assert folder_to_write({}, None, notebook) == tmp_path / "tour.recordings"
    assert folder_to_write({}, None, None) == tmp_path / "recordings"


def test_recordings_are_found_where_the_notebook_is_not_known(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert folder_to_read({}, None, None) == tmp_path / "recordings"
    (tmp_path / "tour.recordings").mkdir()
    assert folder_to_read({}, None, None) == tmp_path / "tour.recordings"
    (tmp_path / "other.recordings").mkdir()
    with pytest.raises(RecordingError, match="2 notebooks"):
        folder_to_read({}, None, None)
    assert folder_to_read({}, None, tmp_path / "tour.ipynb") == tmp_path / "tour.recordings"
    (tmp_path / "recordings").mkdir()
    assert folder_to_read({}, None, None) == tmp_path / "recordings"
    assert folder_to_read({}, None, tmp_path / "third.ipynb") == tmp_path / "recordings"


@pytest.mark.parametrize(
    ("namespace", "environ", "name"),
    [
        ({}, {}, None),
        ({}, {"JPY_SESSION_NAME": "work/tour.ipynb"}, "tour.ipynb"),
        ({}, {"JPY_SESSION_NAME": "console-1"}, None),
        ({"__vsc_ipynb_file__": "/home/me/a b.ipynb"}, {}, "a b.ipynb"),
        ({"__vsc_ipynb_file__": 5}, {}, None),
    ],
)
def test_notebook_files(namespace, environ, name):
    found = notebook_file(namespace, environ)
    assert (found and found.name) == name


# -- names


@given(st.text(), st.lists(st.text(min_size=1), min_size=1, max_size=6), st.integers(1, 99))
def test_every_name_is_one_for_every_file_system(sql, targets, occurrence):
    try:
        fingerprint(sql)
    except ValueError:
        return
    name = name_of(question(sql, *targets), occurrence)
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-")
    assert len(name) < 200
    assert name != "index"
    assert name_of(question(sql, *targets), occurrence) == name


def test_many_databases_are_counted():
    names = [f"shard_{n}" for n in range(9)]
    assert name_of(question("select x", *names), 1).startswith(
        "shard_0-shard_1-shard_2-and6-select-"
    )
    assert name_of(question("select x"), 3).endswith("-3")


# -- what differs


def test_differences_are_told_line_by_line():
    asked = question("select 1\nfrom t", "a", "b", limit=3, write=True)
    recorded = question("select 1\nfrom u", "a", all=True)
    assert list(differences(asked, recorded)) == [
        "databases: recorded a; asked a, b",
        "SQL, line 2, recorded: from u",
        "SQL, line 2, asked:    from t",
        "--all: recorded with it; asked without it",
        "--limit: recorded without it; asked 3",
        "--write: recorded without it; asked with it",
    ]
    assert list(differences(asked, asked)) == []


def test_a_line_that_only_one_has():
    said = list(differences(question("select 1\nlimit 2"), question("select 1")))
    assert said == ["SQL, line 2, recorded: (ends before it)", "SQL, line 2, asked:    limit 2"]


def test_values_are_named_and_never_shown():
    one = Question(
        statements=(Asked(sql="select $1, $2", parameters=("n", "token"), values=(1, "s3cret")),),
        targets=("a",),
        options={},
    )
    other = Question(
        statements=(Asked(sql="select $1, $2", parameters=("n", "token"), values=(1, "hidden")),),
        targets=("a",),
        options={},
    )
    assert list(differences(one, other)) == ["value of {token}: another one than was recorded"]


def test_recordings_of_any_folder(tmp_path: Path):
    assert folder_to_write({"PGMAGIC_RECORDINGS": "~/x"}, None, None) == Path.home() / "x"
