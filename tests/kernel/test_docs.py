"""Every example of the documentation runs, in order, in a real kernel."""

import re
from pathlib import Path

import pytest

from tests.kernels import start_kernel

ROOT = Path(__file__).parents[2]
# A fenced block, unless the comment right before it says why it is not run.
BLOCK = re.compile(r"(<!-- not run: [^>]*-->\n)?^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PAGES = [
    "README.md",
    "docs/cells.md",
    "docs/saved-queries.md",
    "docs/big-results.md",
    "docs/scale.md",
    "docs/snapshots.md",
    "docs/reproducible.md",
]


def examples(page: str) -> list[str]:
    text = (ROOT / page).read_text()
    return [
        body
        for skipped, language, body in BLOCK.findall(text)
        if not skipped and language in ("", "python", "sql")
    ]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("page", PAGES)
def test_examples_run(page, tmp_path, pg_binaries):
    environment = {"PGMAGIC_PG_BINDIR": str(pg_binaries.bindir)}
    kernel = start_kernel(tmp_path, environment)
    try:
        kernel.run("month = 7").ok()
        cells = examples(page)
        assert cells, "no example was found"
        for cell in cells:
            reply = kernel.run(cell, timeout=90)
            assert reply.status == "ok", f"{cell}\n{reply.traceback or reply.stderr}"
    finally:
        kernel.shutdown()
