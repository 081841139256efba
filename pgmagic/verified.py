"""What has become of recorded answers: a verdict for each cell, and lines of tables."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pgmagic.columns import Change, Verdict

__all__ = [
    "DIFFERENCES",
    "GRAVEST_FIRST",
    "VERDICTS",
    "CellCheck",
    "DatabaseCheck",
    "differences",
    "summary",
    "verdicts",
]

VERDICTS = ("cell", "databases", "verdict", "what")
DIFFERENCES = ("cell", "database", "what", "row", "column", "recorded", "live")
GRAVEST_FIRST = (Verdict.CHANGED, Verdict.NOT_VERIFIED, Verdict.REORDERED, Verdict.SAME)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseCheck:
    """What has become of one database's answer. `what` says it in a few words.

    `changes` are the first of what differs and `left_out` counts the others. `failed` says that
    the database could not be asked; whether anything has changed is not known then.
    """

    database: str
    verdict: Verdict
    what: str = ""
    changes: tuple[Change, ...] = ()
    left_out: int = 0
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CellCheck:
    """What has become of the answers to one cell.

    `cell` is its number in the kernel that recorded it, where it had one, and how its SQL begins;
    `recording` is the name of the recording.
    """

    cell: str
    recording: str
    checks: tuple[DatabaseCheck, ...]

    @property
    def verdict(self) -> Verdict:
        """The one that matters most, of all databases."""
        verdicts = {check.verdict for check in self.checks}
        return next(verdict for verdict in GRAVEST_FIRST if verdict in verdicts)

    @property
    def what(self) -> str:
        """Say what became of the answers that are not the same: `jfk: 1 row of 3 changed in a`."""
        said: dict[str, list[str]] = {}
        for check in self.checks:
            if check.what:
                said.setdefault(check.what, []).append(check.database)
        if len(said) == 1 and len(self.checks) == sum(map(len, said.values())):
            return next(iter(said))
        return "; ".join(f"{', '.join(names)}: {what}" for what, names in said.items())


def summary(checks: Sequence[CellCheck]) -> str:
    """Count the verdicts in one line: `12 cells: 10 same, 1 changed, 1 not verified`."""
    counts = Counter(check.verdict for check in checks)
    said = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
    cells = "1 cell" if len(checks) == 1 else f"{len(checks):,} cells"
    return f"{cells}: {said}" if said else "nothing is recorded here"


def verdicts(checks: Sequence[CellCheck]) -> list[dict[str, str]]:
    """Give a line for each cell, as in the columns `VERDICTS`."""
    return [
        {
            "cell": check.cell,
            "databases": " ".join(each.database for each in check.checks),
            "verdict": str(check.verdict),
            "what": check.what,
        }
        for check in checks
    ]


def differences(checks: Sequence[CellCheck]) -> list[dict[str, str]]:
    """Give a line for each thing that differs, as in the columns `DIFFERENCES`."""
    lines: list[dict[str, str]] = []
    for cell in checks:
        for check in cell.checks:
            where = {"cell": cell.cell, "database": check.database}
            lines += [
                where
                | {
                    "what": change.what,
                    "row": change.row or "",
                    "column": change.column or "",
                    "recorded": change.before or "",
                    "live": change.after or "",
                }
                for change in check.changes
            ]
            if check.left_out:
                more = where | dict.fromkeys(DIFFERENCES[2:], "")
                lines.append(more | {"what": f"… and {check.left_out:,} more"})
    return lines
