import pyarrow as pa

from pgmagic.errors import CircuitOpen
from pgmagic.notebook.caption import caption
from pgmagic.outcome import Answer, Failure, Result


def answer(database, count):
    table = pa.table({"a": range(count)})
    return Answer(database=database, results=(Result(tag="SELECT", table=table),), elapsed=0.1)


def tagged(database, tag):
    return Answer(database=database, results=(Result(tag=tag),), elapsed=0.1)


def failure(database):
    return Failure(database=database, error=CircuitOpen("down", database=database), elapsed=0.1)


def said(outcomes, **options):
    return caption(outcomes, 0.414, **({"read_only": False} | options)).text


def test_every_database_with_its_rows_and_the_unit_once():
    outcomes = [answer("ewr", 1835), answer("jfk", 1), answer("lga", 1)]
    assert said(outcomes, read_only=True) == ("ewr 1,835 · jfk 1 · lga 1 rows · 0.41 s · read only")


def test_one_row():
    assert said([answer("ewr", 1)]) == "ewr 1 row · 0.41 s"


def test_a_command_tag_where_there_are_no_rows():
    assert said([tagged("ewr", "CREATE TABLE")]) == "ewr CREATE TABLE · 0.41 s"


def test_databases_that_did_the_same_are_named_together():
    outcomes = [tagged("a", "UPDATE 2"), tagged("b", "UPDATE 2"), tagged("c", "UPDATE 0")]
    assert said(outcomes) == "a, b UPDATE 2 · c UPDATE 0 · 0.41 s"


def test_a_failure_between_answers():
    outcomes = [answer("ewr", 3), failure("jfk"), answer("lga", 4)]
    drawn = caption(outcomes, 0.41, read_only=False)
    assert drawn.text == "ewr 3 rows · jfk failed (CircuitOpen) · lga 4 rows · 0.41 s"
    assert "✗" in drawn.html


def test_many_databases_are_counted():
    outcomes = [*(answer(f"shard_{n}", 1000) for n in range(40)), failure("shard_40")]
    assert said(outcomes) == "40 databases, 40,000 rows · 1 failed: shard_40 · 0.41 s"


def test_one_line_per_note():
    drawn = caption([answer("a", 2)], 0.1, read_only=False, notes=["cut at 2 rows", "renamed <b>"])
    assert drawn.text.splitlines()[1:] == ["note: cut at 2 rows", "note: renamed <b>"]
    assert "renamed &lt;b&gt;" in drawn.html


def test_names_are_escaped():
    drawn = caption([answer("<script>", 2)], 0.1, read_only=False)
    assert "<script>" not in drawn.html


def test_the_rows_of_every_result_where_all_are_given():
    table = pa.table({"a": range(1000)})
    results = (
        Result(tag="SELECT", table=table),
        Result(tag="CREATE TABLE"),
        Result(tag="SELECT", table=table),
    )
    outcomes = [Answer(database=name, results=results, elapsed=0.1) for name in ("ewr", "jfk")]
    assert said(outcomes) == "ewr 1,000 · jfk 1,000 rows · 0.41 s"
    assert said(outcomes, every=True) == "ewr 2,000 · jfk 2,000 rows · 2 results · 0.41 s"
    assert said([answer("ewr", 3)], every=True) == "ewr 3 rows · 0.41 s"
    assert said([failure("a"), outcomes[0]], every=True).startswith("a failed (CircuitOpen) · ewr")
    many = [Answer(database=f"d{n}", results=results, elapsed=0.1) for n in range(9)]
    assert said(many, every=True) == "9 databases, 18,000 rows · 2 results · 0.41 s"
