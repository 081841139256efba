"""The README's table of options is the real one. `python -m tests.unit.test_readme` rewrites it."""

import re
from pathlib import Path

from pgmagic.language.options import OPTIONS

README = Path(__file__).parents[2] / "README.md"
TABLE = re.compile(r"(?<=<!-- options -->\n).*?(?=<!-- /options -->)", re.DOTALL)


def table() -> str:
    """Write the table as it should be."""
    rows = ["| option | meaning |\n|---|---|\n"]
    for option in OPTIONS:
        usage = option.name if option.metavar is None else f"{option.name} {option.metavar}"
        rows.append(f"| `{usage.replace('|', chr(92) + '|')}` | {option.help} |\n")
    return "".join(rows)


def test_options_of_the_readme_are_the_real_ones():
    assert TABLE.search(README.read_text())[0] == table()


if __name__ == "__main__":
    README.write_text(TABLE.sub(lambda _: table(), README.read_text()))
