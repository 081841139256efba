"""docs/configuration.md says what is true. Run as a module, this rewrites its table."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pgmagic
from pgmagic.database.configuration import load
from pgmagic.database.settings import DatabaseSettings

PAGE = Path(pgmagic.__file__).parents[1] / "docs" / "configuration.md"
TABLE = re.compile(r"(<!-- settings: .*? -->\n).*(<!-- end of settings -->)", re.DOTALL)
EXAMPLE = re.compile(r"<!-- example: .*? -->\n```toml\n(.*?)```", re.DOTALL)


def default(value: Any) -> str:
    if value is None:
        return "—"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{list(value) if isinstance(value, tuple) else format(value, 'g')}`"


def page_with_table(page: str) -> str:
    rows = [
        f"| `{each.name}` | {default(each.default)} | {each.metadata['about']} |\n"
        for each in fields(DatabaseSettings)
        if each.name != "name"
    ]
    table = "| setting | default | what it does |\n|---|---|---|\n" + "".join(rows)
    return TABLE.sub(lambda match: match[1] + table + match[2], page)


def test_the_table_has_every_setting_with_its_real_default():
    page = PAGE.read_text(encoding="utf-8")
    assert "| `max_size` | `10` |" in page
    assert page == page_with_table(page)


def test_the_example_is_read_as_it_says(tmp_path):
    example = EXAMPLE.search(PAGE.read_text(encoding="utf-8"))
    assert example is not None
    (tmp_path / "pgmagic.toml").write_text(example[1], encoding="utf-8")
    configuration = load(tmp_path, environ={}, home=tmp_path)
    assert list(configuration.databases) == ["sales", "staging", "shard_1", "shard_2"]
    assert configuration.default == "sales"
    assert all(each.statement_timeout == 60 for each in configuration.databases.values())
    assert configuration.databases["staging"].host == "staging.example"


if __name__ == "__main__":
    PAGE.write_text(page_with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
