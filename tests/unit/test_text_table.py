"""Tables of plain text."""

from hypothesis import given
from hypothesis import strategies as st
from wcwidth import wcswidth

from pgmagic.text_table import around_difference, text_table


def test_a_table():
    rows = [{"cell": "[1] select", "rows": 2}, {"cell": "[20] table", "rows": None}]
    assert text_table(["cell", "rows"], rows, width=80) == [
        "cell        rows",
        "[1] select  2",
        "[20] table",
    ]


def test_the_widest_column_is_cut_first():
    rows = [{"a": "short", "b": "much longer than there is room"}]
    assert text_table(["a", "b"], rows, width=20) == ["a      b", "short  much longer …"]


def test_nothing_acts_in_the_terminal():
    [_, line] = text_table(["a"], [{"a": "x\x1b[31m\ny"}], width=80)
    assert line == "x\\x1b[31m y"


@given(st.lists(st.tuples(st.text(), st.text()), max_size=5), st.integers(20, 60))
def test_lines_fit(rows, width):
    lines = text_table(["a", "b"], [{"a": a, "b": b} for a, b in rows], width=width)
    assert len(lines) == len(rows) + 1
    assert all(wcswidth(line) <= width for line in lines)


def test_long_texts_are_cut_where_they_differ():
    one, other = "x" * 500 + "a" + "y" * 500, "x" * 500 + "b" + "y" * 500
    assert around_difference(one, other, 10) == ("…xxxxxayyyy…", "…xxxxxbyyyy…")
    assert around_difference("a", "b", 10) == ("a", "b")
    assert around_difference("x" * 20, "x" * 21, 10) == ("…xxxxx", "…xxxxxx")


@given(st.text(), st.text(), st.integers(2, 20))
def test_what_is_cut_still_differs(one, other, most):
    cut = around_difference(one, other, most)
    assert (cut[0] == cut[1]) == (one == other)
