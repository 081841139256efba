"""What the log is told: a few events, with fields, and without anything secret."""

import inspect
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgmagic import events
from pgmagic.database.breaker import Breaker
from pgmagic.database.fault import Verdict
from pgmagic.language.fingerprint import fingerprint, verbs
from pgmagic.language.statements import read

EVENTS = [name for name in events.__all__ if name != "is_heard"]
RESERVED = vars(logging.makeLogRecord({})).keys() | {"message", "asctime"}


def invented(event: str) -> dict[str, object]:
    """Give an argument for every field of an event."""
    parameters = list(inspect.signature(getattr(events, event)).parameters.values())[1:]
    kinds = {float: 1.5, int: 3, int | None: 3}
    return {each.name: kinds.get(each.annotation, f"<{each.name}>") for each in parameters}


@pytest.mark.parametrize("event", EVENTS)
def test_every_event_is_a_record_with_its_fields(event, caplog):
    caplog.set_level(logging.DEBUG)
    fields = invented(event)
    getattr(events, event)("sales", **fields)
    [record] = caplog.records
    assert record.name == "pgmagic.events"
    assert record.getMessage().startswith("sales: ")
    told = vars(record)
    assert (told["event"], told["database"]) == (event, "sales")
    assert {name: told[name] for name in fields} == fields
    assert not RESERVED & fields.keys()
    assert Path(record.pathname).name == Path(__file__).name


def test_events_are_told_by_the_guide():
    guide = Path(__file__).parents[2] / "docs" / "operations.md"
    text = guide.read_text()
    assert [event for event in EVENTS if f"`{event}`" not in text] == []
    for event in EVENTS:
        assert [field for field in invented(event) if f"`{field}`" not in text] == []


def test_the_breaker_warns_only_when_it_opens(caplog):
    caplog.set_level(logging.INFO)
    breaker = Breaker("sales", fail_max=1, reset_timeout=0.0)
    breaker.record(Verdict.OUTAGE, OSError())
    with breaker.guard():
        pass
    told = [(r.levelname, vars(r)["state"]) for r in caplog.records]
    assert told == [("WARNING", "open"), ("INFO", "half-open"), ("INFO", "closed")]


def test_a_program_that_wants_no_log_gets_none():
    code = "from pgmagic import events; events.circuit_changed('sales', state='open', was=None)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert (run.stdout, run.stderr) == (b"", b"")


@pytest.mark.parametrize(
    ("sql", "same"),
    [
        ("select * from t where a = 1", "SELECT  *\nfrom T -- note\nwhere a = 2;".rstrip(";")),
        ("select 'x'", "select E'y\\'z'"),
        ("select $$a$$", "select $b$c$b$"),
        ("alter role r password 'hunter2'", "alter role r password 'swordfish'"),
    ],
)
def test_literals_case_and_space_make_no_difference(sql, same):
    assert fingerprint(sql) == fingerprint(same)
    assert len(fingerprint(sql)) == 12


@pytest.mark.parametrize("other", ["select a from u", 'select "A" from t', "select a, b from t"])
def test_other_statements_have_other_fingerprints(other):
    assert fingerprint(other) != fingerprint("select a from t")


@given(st.text())
def test_every_text_has_a_fingerprint(sql):
    assert fingerprint(sql).isalnum()


def test_a_verb_is_a_command_or_nothing_of_the_text():
    def verbs_of(sql: str) -> str:
        return verbs(read(sql, {}).statements)

    assert verbs_of("select 1; Insert into t values (1); select 2") == "select, insert"
    assert verbs_of("hunter2 'x'") == "other"
