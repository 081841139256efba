import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgmagic.errors import QueryError
from pgmagic.legible import legible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("größe 東京 🚀\n\tat line 2", "größe 東京 🚀\n\tat line 2"),
        ("a\r\nb", "a\nb"),
        ("\x1b]0;owned\x07\x9b2J", "\\x1b]0;owned\\x07\\x9b2J"),
        ("jfk\u202egpj\u200b\u2066", "jfk\\u202egpj\\u200b\\u2066"),
        ("hides\rthis", "hides\\x0dthis"),
    ],
)
def test_what_has_no_shape_is_shown(text, shown):
    assert legible(text) == shown


@given(st.text())
def test_nothing_hides_and_nothing_acts(text):
    assert all(c in "\n\t " or unicodedata.category(c)[0] not in "CZ" for c in legible(text))
    assert legible(legible(text)) == legible(text)


def test_what_is_too_long_says_so():
    assert legible("x" * 30_000).endswith("x … (20,000 more characters)")


@given(st.text(alphabet="\x1b\x9b\u202e\u200bab\n<", max_size=20))
def test_no_part_of_an_error_acts(hostile):
    error = QueryError(
        hostile, database="a", sqlstate=hostile, detail=hostile, hint=hostile, context=hostile,
        internal_query=hostile, internal_position=1, cell=hostile, position=0,
    )  # fmt: skip
    for told in (str(error), *error.report(), *error._render_traceback_()):
        assert not set(told) & set("\x1b\x9b\u202e\u200b")
