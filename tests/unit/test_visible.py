import unicodedata
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgmagic.notebook.visible import escaped, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("orders", "orders"),
        ("größe 東京 🚀", "größe 東京 🚀"),
        ("two\n\t  lines", "two lines"),
        ("\x1b[2J", "\\x1b[2J"),
        ("jfk\u202egpj", "jfk\\u202egpj"),
        ("e\u200bwr", "e\\u200bwr"),
        ("\u3164", "\\u3164"),
        ("\U000e0041", "\\U000e0041"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_has_no_shape_is_shown_as_an_escape(text, shown):
    assert visible(text) == shown


@given(st.text())
def test_nothing_hides_and_nothing_acts(text):
    assert all(c == " " or unicodedata.category(c)[0] not in "CZ" for c in visible(text))


@given(st.text(min_size=1), st.integers(min_value=1, max_value=5))
def test_a_limit_counts_characters_of_the_text(text, limit):
    assert len(visible(text, limit)) <= limit * len("\\U0010ffff")
    if text.isascii() and text.isalnum():
        assert visible(text, limit) == (text if len(text) <= limit else text[: limit - 1] + "…")


@given(st.text(alphabet=st.sampled_from("<>&\"'/=ab \x00\u202e")))
def test_escaped_text_is_no_markup(text):
    assert not set(escaped(text)) & set("<>\"'")
    assert unescape(escaped(text)) == visible(text)
