"""What `%%pg?` and its kin say."""

import inspect

import pytest

from pgmagic.language.options import OPTIONS
from pgmagic.notebook.help import LINE_OPTIONS
from pgmagic.notebook.magics import GROUPS, PgMagics

MAGICS = {
    name: getattr(group, name)
    for group in (PgMagics, *GROUPS)
    for kind in group.magics.values()
    for name in kind
}


@pytest.mark.parametrize("name", MAGICS)
def test_every_magic_says_how_it_is_written(name):
    about = inspect.getdoc(MAGICS[name])
    first, blank, *_ = [*about.splitlines(), ""]
    assert first.endswith(".")
    assert blank == ""
    options = OPTIONS if name == "pg" else LINE_OPTIONS[name]
    if options:
        assert f"%{name} " in about
    for option in options:
        assert f"  {option.name}" in about
        assert option.help in about


@pytest.mark.parametrize("name", MAGICS)
def test_help_stands_straight(name):
    lines = inspect.getdoc(MAGICS[name]).splitlines()
    prose = [line for line in lines if line and not line.startswith(("    ", "  --"))]
    assert all(line == line.lstrip() for line in prose)
