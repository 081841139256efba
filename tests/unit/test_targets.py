"""Names, patterns, groups and the default of a cell's targets."""

import pytest

from pgmagic.errors import UnknownDatabase
from pgmagic.language.targets import resolve_targets

NAMES = ("ewr", "jfk", "lga", "shard_02", "shard_01")
GROUPS = {
    "ny": ["jfk", "lga"],
    "all": ["@ny", "ewr", "shard_*"],
    "loop": ["@pool"],
    "pool": ["@loop"],
}


def resolve(*targets, default=None, names=NAMES):
    return resolve_targets(targets, names, GROUPS, default)


def test_order_is_the_order_written_and_each_name_counts_once():
    assert resolve("lga", "@ny", "ewr") == ("lga", "jfk", "ewr")
    assert resolve("@all") == ("jfk", "lga", "ewr", "shard_02", "shard_01")
    assert resolve("shard_0[1]", "*") == ("shard_01", "ewr", "jfk", "lga", "shard_02")


def test_no_target_is_the_default_or_the_only_one():
    assert resolve(default="jfk") == ("jfk",)
    assert resolve(names=("solo",)) == ("solo",)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (("jkf",), r"no database jkf; did you mean jfk\?"),
        (("@nj",), r"no group @nj; did you mean ny\?"),
        (("x*",), r"no database is called like x\*"),
        (("@loop",), "group @loop contains itself, through @pool"),
        ((), "there is no default"),
    ],
)
def test_unknown_target_lists_what_there_is(targets, message):
    with pytest.raises(UnknownDatabase, match=message):
        resolve(*targets)


def test_nothing_configured_names_the_first_steps():
    with pytest.raises(UnknownDatabase, match="%pg_sandbox"):
        resolve(names=())
