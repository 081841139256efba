"""The nasty cells of this folder."""

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class NastyCell:
    """A cell, the number of its statements, and where it stands."""

    text: str
    statements: int
    where: str

    def __str__(self) -> str:
        return self.where


def _read(path: Path) -> list[NastyCell]:
    cells = []
    body, count, begun = "", 0, 0
    for number, line in enumerate([*path.read_text(encoding="utf-8").splitlines(True), "~~~~"], 1):
        if not line.startswith("~~~~"):
            body += line
            continue
        if begun:
            cells.append(NastyCell(body.removesuffix("\n"), count, f"{path.stem}:{begun}"))
        body, begun = "", number
        count = int(line.strip("~ \n") or 0)
    return cells


# What a text file would not keep, or an editor would change.
CONTROL = [
    NastyCell("select 'a'\r\n';b';\r\nselect 2", 2, "control:crlf"),
    NastyCell("select 'a'\r';b';\rselect 2", 2, "control:cr"),
    NastyCell("select 1 -- a\r; select 2", 2, "control:cr-ends-comment"),
    NastyCell("select\t1\f;\fselect 2;\f", 2, "control:form-feed"),
    NastyCell("\ufeffselect ';'; select 2", 2, "control:byte-order-mark"),
    NastyCell("select\u00a01; select\u200b2", 2, "control:no-break"),
    NastyCell("select 'a'\u00a0';b'; select 2", 2, "control:no-break-between"),
    NastyCell("select E'\u2028\\'; x'; select '\x01;\x7f'", 2, "control:separators"),
    NastyCell("select '" + ";" * 100_000 + "'; select 2", 2, "control:long-string"),
    NastyCell("select " + "(" * 10_000 + ";" + ")" * 10_000 + ";x", 2, "control:deep"),
    NastyCell("select " + "/*" * 10_000 + ";" + "*/" * 10_000 + ";x", 2, "control:deep-comment"),
    NastyCell(";".join(f"select {n}" for n in range(1000)), 1000, "control:many"),
]

CELLS = [cell for path in sorted(FOLDER.glob("*.txt")) for cell in _read(path)] + CONTROL
