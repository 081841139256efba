"""Where a sandbox of a few flights can be made."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgmagic.sandbox.watchdog import remove
from tests.server.test_sandbox_databases import FEW


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the account of the sandbox's servers can enter."""
    made = Path(tempfile.mkdtemp(prefix="pgmagic-test-"))
    made.chmod(0o711)
    yield made
    remove(made)


@pytest.fixture
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the flights, with three of them."""
    data = tmp_path_factory.mktemp("data")
    for table, text in FEW.items():
        (data / f"{table}.csv").write_text(text)
    return data
