"""What was measured, its medians, and whether it is what pgmagic means to be."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench_contenders import LIMIT

__all__ = ["OURS", "Race", "Standing", "Verdict", "verdicts"]

OURS = "pgmagic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The medians of one contender. `seconds` as such and as `ratio` to the limit.

    `peak` is by how many bytes the process grew, `size` how many its result says it takes.
    """

    name: str
    seconds: float
    rounds: int
    ratio: float | None = None
    peak: float | None = None
    size: float | None = None

    @property
    def spread(self) -> float | None:
        """Give how many times its own size a result took while it was made."""
        return self.peak / self.size if self.peak is not None and self.size else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """All measurements of one table, by contender, and why some have none."""

    rows: int
    about: str
    measured: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def standings(self) -> list[Standing]:
        """Give the medians of each contender, the fastest first."""
        limit = self._median(LIMIT, "seconds")
        standings = []
        for name, measured in self.measured.items():
            seconds = self._median(name, "seconds")
            assert seconds is not None
            standings.append(
                Standing(
                    name=name,
                    seconds=seconds,
                    rounds=len(measured),
                    ratio=seconds / limit if limit else None,
                    peak=None if name == LIMIT else self._median(name, "peak"),
                    size=self._median(name, "size"),
                )
            )
        return sorted(standings, key=lambda standing: standing.seconds)

    def standing(self, name: str) -> Standing | None:
        """Give the medians of one contender, None where it is missing."""
        return next((one for one in self.standings() if one.name == name), None)

    def fastest_peer(self, kind: str) -> Standing | None:
        """Give the fastest of the others whose result is pandas', or not (`kind` "Arrow")."""
        return next(
            (
                one
                for one in self.standings()
                if not one.name.startswith((OURS, LIMIT)) and _kind(one.name) == kind
            ),
            None,
        )

    def as_json(self) -> dict[str, Any]:
        medians = {
            one.name: {
                "seconds": one.seconds,
                "ratio": one.ratio,
                "peak": one.peak,
                "size": one.size,
                "rounds": one.rounds,
            }
            for one in self.standings()
        }
        return {
            "rows": self.rows,
            "about": self.about,
            "medians": medians,
            "missing": self.missing,
            "measured": self.measured,
        }

    def _median(self, name: str, key: str) -> float | None:
        values = [one[key] for one in self.measured.get(name, ()) if one.get(key) is not None]
        return statistics.median(values) if values else None


def _kind(name: str) -> str:
    return "Arrow" if name.endswith("Arrow") or name.startswith("polars") else "pandas"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A goal, and how far it was reached. `found` is None where it could not be measured."""

    goal: str
    at_most: float
    found: float | None

    @property
    def met(self) -> bool | None:
        return None if self.found is None else self.found <= self.at_most

    def __str__(self) -> str:
        if self.found is None:
            return f"not measured: {self.goal}"
        return f"{'met' if self.met else 'MISSED'}: {self.goal}: {self.found:.2f}"

    def as_json(self) -> dict[str, Any]:
        return {
            "goal": self.goal,
            "at_most": self.at_most,
            "found": self.found,
            "met": self.met,
        }


def verdicts(races: Mapping[str, Race]) -> list[Verdict]:
    """Compare what was measured with the goals; each says what is divided by what."""
    found: list[Verdict] = []

    def goal(words: str, at_most: float, value: float | None, by: float | None = 1.0) -> None:
        ratio = None if value is None or not by else value / by
        words = f"{words} at most {at_most:.3g}"
        found.append(Verdict(goal=words, at_most=at_most, found=ratio))

    for name in ("lineitem", "numeric"):
        if race := races.get(name):
            goal(f"{name}: pandas to psql", 1.1, _get(race, "pgmagic, pandas", "ratio"))
            goal(f"{name}: Arrow to psql", 1.0, _get(race, "pgmagic, Arrow", "ratio"))
    for name, race in races.items():
        if name in ("fan-out", "cells"):
            continue
        for kind in ("pandas", "Arrow"):
            if peer := race.fastest_peer(kind):
                ours = _get(race, f"pgmagic, {kind}", "seconds")
                most = 1 / 1.6 if name == "lineitem" else 1.0
                goal(f"{name}: {kind} to the fastest peer ({peer.name})", most, ours, peer.seconds)
        if name != "small":
            goal(f"{name}: peak to frame", 2.0, _get(race, "pgmagic, pandas", "spread"))
    if race := races.get("fan-out"):
        goal("fan-out: pandas to three times psql", 1.0, _get(race, "pgmagic, pandas", "ratio"))
        goal("fan-out: peak to frame", 2.0, _get(race, "pgmagic, pandas", "spread"))
    if race := races.get("cells"):
        theirs = _get(race, "JupySQL", "seconds")
        goal("a cell of 20 rows to JupySQL's", 0.5, _get(race, "pgmagic", "seconds"), theirs)
    return found


def _get(race: Race, name: str, value: str) -> float | None:
    standing = race.standing(name)
    return None if standing is None else getattr(standing, value)
