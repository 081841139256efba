"""`%config` names what is wrong, and then changes nothing."""

import pytest
from traitlets import Enum, Float, Integer
from traitlets.config import Config, Configurable

from pgmagic.errors import CellError
from pgmagic.notebook.configuring import check


class Settings(Configurable):
    numeric = Enum(("float", "exact"), "float").tag(config=True)
    limit = Integer(None, allow_none=True).tag(config=True)
    timeout = Float(None, allow_none=True).tag(config=True)
    hidden = Integer(0)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("numerik", "exact", "Settings has no setting numerik; did you mean numeric?"),
        ("nothing_like_it", 1, "Settings has no setting nothing_like_it"),
        ("hidden", 1, "Settings has no setting hidden"),
        ("numeric", "exakt", "Settings.numeric takes float or exact, not 'exakt'; did you mean"),
        ("limit", "many", "Settings.limit takes an int, not 'many'"),
        ("timeout", "soon", "Settings.timeout takes a float, not 'soon'"),
    ],
)
def test_what_is_wrong_is_named(name, value, said):
    with pytest.raises(CellError) as caught:
        check(Settings(), Config({"Settings": {name: value}}))
    assert caught.value.message.startswith(said)


@pytest.mark.parametrize(
    "section", [{}, {"numeric": "exact", "limit": None, "timeout": 3}, {"limit": 5}]
)
def test_what_is_right_passes(section):
    check(Settings(), Config({"Settings": section, "Others": {"numerik": 1}}))
