"""Service files are read as libpq reads them."""

import pytest

from pgmagic.database.service_file import read_service, service_names
from pgmagic.errors import SettingsError

SERVICES = """
# comment
[sales]
host=db.example
application_name= 100% [x]
password=hunter2
host=ignored

[staging]
host=other
"""


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "pg_service.conf"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_a_service_gives_its_parameters_the_first_of_each(write):
    layer = read_service("sales", [write(SERVICES)])
    assert layer.values == {"host": "db.example", "application_name": " 100% [x]"}
    assert layer.secrets["password"].reveal() == "hunter2"
    assert "hunter2" not in repr(layer)


def test_the_first_file_that_defines_it_counts(write, tmp_path):
    first = write("[other]\nhost=a\n", "first")
    second = write("[sales]\nhost=b\n", "second")
    missing = tmp_path / "missing"
    assert read_service("sales", [missing, first, second]).values == {"host": "b"}
    assert service_names([missing, first, second]) == ["other", "sales"]


def test_a_misspelt_service_is_suggested(write):
    with pytest.raises(SettingsError, match="did you mean sales") as refusal:
        read_service("sale", [write(SERVICES)])
    assert "staging" in str(refusal.value)


def test_no_file_at_all_is_said(tmp_path):
    with pytest.raises(SettingsError, match="no service file"):
        read_service("sales", [tmp_path / "missing"])


@pytest.mark.parametrize(
    "line",
    ["password hunter2", "password = hunter2", "hunter2", "secret=hunter2", "service=hunter2"],
)
def test_a_bad_line_is_named_by_number_and_not_repeated(write, line):
    path = write(f"[sales]\nhost=a\n{line}\n")
    with pytest.raises(SettingsError, match="line 3") as refusal:
        read_service("sales", [path])
    assert "hunter2" not in str(refusal.value)


def test_a_bad_line_of_another_service_does_not_matter(write):
    assert read_service("b", [write("[a]\nnonsense\n[b]\nhost=h\n")]).values == {"host": "h"}
