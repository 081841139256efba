"""`%pg_write`, `--to` and the bound of memory in a notebook."""

import pytest

FRAME = """
import pandas as pd
frame = pd.DataFrame({'n': [1, 2]})
frames = {'of july': frame}
"""


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("frame a --table t", "that has to be said: --write"),
        ("frame a --write", "needs --table NAME"),
        ("nosuch a --table t --write", "there is no variable nosuch"),
        ("frames['nosuch'] a --table t --write", "frames has no item ['nosuch']"),
        ("", "begins with the variable of a frame"),
        ("frame nosuch --table t --write", "nosuch"),
        ("frame a --table t --write --if-exists drop", "fail or append or replace"),
        ("[1] a --table t --write", "give it a name first"),
        ("frame.head() a --table t --write", "give it a name first"),
        ("frame[frame.n > 1] a --table t --write", "give it a name first"),
    ],
)
def test_a_write_that_is_not_clear_is_refused(kernel, line, message):
    kernel.run(FRAME).ok()
    assert message in kernel.run(f"%pg_write {line}").traceback
    kernel.run("tables = %pg a select 1 from pg_tables where tablename = 't'").ok()
    assert kernel.value("len(tables)") == 0


def test_a_frame_is_written_and_the_caption_says_how_much(own_kernel):
    own_kernel.run(FRAME).ok()
    shown = own_kernel.run("%pg_write frame a b --table t --write").ok().shown[-1]
    assert "a, b COPY 2" in shown
    own_kernel.run("def write(mine):\n    %pg_write mine a --table u --write").ok()
    own_kernel.run("write(frame)").ok()
    own_kernel.run("counted = %pg a select count(*) as n from u").ok()
    assert own_kernel.value("int(counted.n.item())") == 2


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("MixedCase", "mixedcase"),
        ('"MixedCase"', "MixedCase"),
        ('"a.b"', "a.b"),
        ('public."Odd Table"', "Odd Table"),
        ("""'"Odder Table"'""", "Odder Table"),
    ],
)
def test_a_frame_goes_to_the_table_that_its_name_means_in_sql(own_kernel, name, table):
    own_kernel.run(FRAME).ok()
    own_kernel.run(f"%pg_write frames['of july'] a --table {name} --write").ok()
    own_kernel.run(
        "tables = %pg a select tablename from pg_tables where schemaname = 'public'"
    ).ok()
    assert own_kernel.value("list(tables.tablename)") == [table]


def test_the_caption_counts_rows_that_went_to_a_file(kernel, tmp_path):
    shown = kernel.run(f"%%pg a b --to {tmp_path}/x.csv\nselect 1 as one").ok().shown
    assert any("a 1 · b 1 rows" in text for text in shown)


def test_the_bound_of_memory_is_a_setting(kernel):
    kernel.run("%config PgMagics.max_result_bytes = 1000").ok()
    try:
        sql = "select repeat('x', 100) from generate_series(1, 100000)"
        assert "ResultTooLarge in a" in kernel.run(f"%pg a {sql}").traceback
    finally:
        kernel.run("%config PgMagics.max_result_bytes = None").ok()
    kernel.run("%pg a select 1").ok()
