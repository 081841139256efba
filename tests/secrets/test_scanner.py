"""The search finds what is there: else its zero hits would say nothing."""

import base64
import json
import logging
import pickle
from html import escape
from urllib.parse import quote

import pytest

from tests.secrets.canary import CANARY, WRONG, leaks, leaks_in_files
from tests.secrets.trials import LOGGERS, CanaryClient, Search, logged

WRITINGS = {
    "plain": str,
    "in quotes": repr,
    "in ASCII": ascii,
    "in an URL": lambda secret: quote(secret, safe=""),
    "in JSON": json.dumps,
    "in HTML": escape,
    "in a pickle": lambda secret: pickle.dumps({"x": secret}),
    "in hexadecimal": lambda secret: secret.encode().hex(),
    "half of it": lambda secret: secret.split("@")[0],
    "the other half": lambda secret: secret.split("@")[1],
    "in UTF-16": lambda secret: secret.encode("utf-16-le"),
}


@pytest.mark.parametrize("secret", [CANARY, WRONG])
@pytest.mark.parametrize("write", WRITINGS.values(), ids=WRITINGS)
def test_it_finds_every_writing(write, secret):
    written = write(secret)
    written = written.encode() if isinstance(written, str) else written
    assert leaks(b"before " + written + b" after")


@pytest.mark.parametrize("before", range(9))
@pytest.mark.parametrize("write", [base64.b64encode, base64.urlsafe_b64encode])
def test_it_finds_base64_wherever_it_begins(write, before):
    assert leaks(write(b"x" * before + CANARY.encode() + b"y" * 5))


def test_it_finds_nothing_in_nothing(tmp_path):
    (tmp_path / "file").write_text("c4n4ry head and tail, hidden: ***")
    assert leaks("c4n4ry head and tail") == leaks_in_files(tmp_path) == []


def test_it_finds_a_file(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "history.sqlite").write_bytes(b"SQLite\0" + CANARY.encode())
    assert len(leaks_in_files(tmp_path)) == 1


@pytest.mark.parametrize("name", LOGGERS)
@pytest.mark.parametrize("line", [("it is %s", CANARY), (CANARY,)], ids=["argument", "text"])
def test_it_finds_a_line_of_a_log(name, line):
    search = Search()
    with logged(search):
        logging.getLogger(name).debug(*line)
    assert search.searched == len(search.found) == 2


async def test_it_finds_what_a_client_holds_before_that_is_closed():
    search = Search()
    async with CanaryClient(search) as client:
        client.groups["planted"] = (CANARY,)
        await client.close()
        assert search.found
