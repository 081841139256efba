"""%pg_verify in a real kernel."""

import pytest

CELL = "%%pg a b --into flights\nselect * from flights where id > {limit}"


@pytest.fixture
def recorded(own_kernel):
    """A kernel that has recorded one cell on two databases."""
    for name in ("a", "b"):
        own_kernel.run(
            f"%%pg {name} --write\n"
            "create table flights as select n as id, n / 2 as delay from generate_series(1, 9) n"
        ).ok()
    own_kernel.run("limit = 2").ok()
    own_kernel.run("%pg_record kept").ok()
    own_kernel.run(CELL).ok()
    return own_kernel


def test_the_cell_the_database_and_the_row_are_named(recorded):
    kernel = recorded
    reply = kernel.run("checked = %pg_verify\nchecked.to_dict('list')").ok()
    assert "'verdict': ['same']" in reply.result
    assert "1 cell: 1 same" in reply.shown[0]
    kernel.run("%pg b --write update flights set delay = 99 where id = 7").ok()
    reply = kernel.run("%pg_verify").ok()
    assert "b: 1 row of 7 changed in delay" in reply.result
    [line, table] = reply.shown
    assert line == "2 cells: 1 changed, 1 not verified"  # the UPDATE was recorded as well
    assert all(text in table for text in ("id = 7", "delay", "99", "b"))


def test_verifying_is_no_cell_and_is_not_recorded(recorded):
    before = recorded.run("from pathlib import Path; sorted(Path('kept').iterdir())").ok().result
    recorded.run("%pg_verify").ok()
    assert recorded.run("sorted(Path('kept').iterdir())").ok().result == before
    recorded.run("history = %pg_history").ok()
    assert recorded.run("history['cell'].nunique()").ok().result == "3"  # two CREATE, one SELECT


def test_recordings_are_known_when_nothing_is_recorded_any_more(recorded):
    recorded.run("%pg_record --stop").ok()
    assert "same" in recorded.run("%pg_verify").ok().result
    assert "same" in recorded.run("%pg_verify --recordings kept").ok().result


def test_a_replay_has_nothing_to_compare_with(recorded, start_own):
    kernel = start_own(environment={"PGMAGIC_MODE": "replay", "PGMAGIC_RECORDINGS": "kept"})
    kernel.run("%load_ext pgmagic").ok()
    kernel.run("limit = 2").ok()
    kernel.run(CELL).ok()
    reply = kernel.run("checked = %pg_verify\nlen(checked), 'verdict' in checked").ok()
    assert reply.result == "(0, True)"
    assert "does nothing in a replay" in reply.shown[0]


def test_mistakes(own_kernel):
    own_kernel.run("%pg_verify").failed("CellError")
    reply = own_kernel.run("%pg_verify --timout 3").failed("CellError")
    assert "--timeout" in reply.traceback
