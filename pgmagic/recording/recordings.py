"""The folder that holds the recordings of a notebook.

    index.json                                      the databases there were, their groups
    ewr-jfk-select-carrier-3f2a1c9b.json            the receipt of one query
    ewr-jfk-select-carrier-3f2a1c9b.ewr.5d41….parquet    the rows of one database

A receipt names its files by what is in them and is put in place last, by renaming: after a crash
the folder holds the old recording or the new one, and never a half of either.
"""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from pgmagic.errors import RecordingError
from pgmagic.language.plan import Plan
from pgmagic.outcome import Outcome
from pgmagic.receipts import Origin
from pgmagic.recording.files import as_json, read_json, write_file
from pgmagic.recording.form import FORMAT, check_index, check_receipt
from pgmagic.recording.naming import name_of, plain_name
from pgmagic.recording.outcomes import Room, Written, write_outcome
from pgmagic.recording.question import Question
from pgmagic.recording.recording import Recording

__all__ = ["Index", "Recordings"]

INDEX: Final = "index.json"
DIGITS: Final = 12  # of a file's hash in its name


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """What targets mean: the databases, whether each is read only, the groups, the default."""

    databases: Mapping[str, bool] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    default: str | None = None

    def or_else(self, other: "Index") -> "Index":
        """Add what only the other one has."""
        return Index(
            databases={**other.databases, **self.databases},
            groups={**other.groups, **self.groups},
            default=self.default or other.default,
        )


class Recordings:
    """All recordings in a folder, which is made when the first is written.

    for recording in Recordings(Path("recordings")):
        plan, outcomes = recording.plan(), recording.outcomes()

    What others write to the folder is seen by a new `Recordings` only.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock = threading.Lock()  # several cells may be recorded at once

    def __iter__(self) -> Iterator[Recording]:
        """Give the recordings in the order in which their queries were begun."""
        return iter(sorted(self._recordings.values(), key=lambda each: each.started))

    def __len__(self) -> int:
        return len(self._recordings)

    def find(self, key: str, occurrence: int) -> Recording | None:
        """Give the recording of a question; `occurrence` counts from 1."""
        return next((each for each in self.of(key) if each.occurrence == occurrence), None)

    def of(self, key: str) -> Sequence[Recording]:
        """Give all recordings of a question, by occurrence."""
        found = [each for each in self._recordings.values() if each.key == key]
        return sorted(found, key=lambda each: each.occurrence)

    @cached_property
    def index(self) -> Index:
        """What targets meant. Raises `RecordingError` where the index can't be read."""
        path = self.directory / INDEX
        return _read_index(path) if path.exists() else Index()

    def write(
        self,
        plan: Plan,
        question: Question,
        occurrence: int,
        outcomes: Sequence[Outcome],
        *,
        sql: str,
        fingerprint: str,
        origin: Origin,
        started: datetime,
        elapsed: float,
        index: Index,
        room: Room,
    ) -> Recording:
        """Keep what a plan was answered, in place of what was kept of it before.

        Raises `RecordingError` where it can't be written; then nothing has changed.
        """
        name = name_of(question, occurrence)
        ordered = [statement.kind.ordered for statement in plan.statements]
        written = [write_outcome(outcome, ordered, room) for outcome in outcomes]
        with self._lock:
            before = self._recordings.get(name)
            self._fit(written, room, before)
            receipt = {
                "format": FORMAT,
                "key": question.key,
                "occurrence": occurrence,
                "cell": {"id": origin.id, "number": origin.number},
                "started": started.isoformat(timespec="milliseconds"),
                "elapsed": round(elapsed, 6),
                "sql": sql.split("\n"),
                "fingerprint": fingerprint,
                "question": question.as_json(),
                "steps": {
                    "transaction": str(plan.transaction),
                    "read_only": [step.read_only for step in plan.steps],
                },
            }
            try:
                self.directory.mkdir(parents=True, exist_ok=True)
                receipt["outcomes"] = [self._put(name, each) for each in written]
                self._write_index(index)
                path = self.directory / f"{name}.json"
                write_file(path, as_json(receipt))
                recording = self._recordings[name] = Recording(path, json.loads(as_json(receipt)))
                self._remove(set(before.files if before else ()) - set(recording.files))
            except OSError as error:
                raise RecordingError(
                    f"{self.directory} can't be written: {error.strerror or error}"
                ) from None
            return recording

    def delete(self, recording: Recording) -> None:
        """Delete a recording, its receipt first."""
        with self._lock:
            self._recordings.pop(recording.name, None)
            self._remove([recording.path.name, *recording.files])

    def sweep(self) -> int:
        """Delete files that no receipt names, as a crash leaves them; give their number."""
        with self._lock:
            named = {name for each in self._recordings.values() for name in each.files}
            lost = [
                path.name
                for path in self._paths("*.parquet", "*.txt", ".*.part")
                if path.name not in named
            ]
            self._remove(lost)
            return len(lost)

    @property
    def size(self) -> int:
        """Count the bytes of all its files."""
        return sum(path.stat().st_size for path in self._paths("*.json", "*.parquet", "*.txt"))

    @cached_property
    def _recordings(self) -> dict[str, Recording]:
        found = {}
        for path in self._paths("*.json"):
            if path.name == INDEX:
                continue
            found[path.stem] = Recording(path, read_json(path, check_receipt))
        return found

    def _paths(self, *patterns: str) -> Iterator[Path]:
        for pattern in patterns:
            yield from self.directory.glob(pattern)

    def _fit(self, written: Sequence[Written], room: Room, before: Recording | None) -> None:
        """Leave rows out where the folder would grow too large."""
        replaced = set(before.files if before else ())
        kept = sum(
            path.stat().st_size
            for path in self._paths("*.parquet", "*.txt")
            if path.name not in replaced
        )
        if kept + sum(len(file.data) for each in written for file in each.files) <= room.in_all:
            return
        for each in written:
            for result in each.item["results"] if each.files else ():
                if result.pop("file", None) is not None:
                    result["left_out"] = (
                        f"all recordings together have {room.in_all / 2**20:,.0f} MB at most"
                    )

    def _put(self, name: str, written: Written) -> dict[str, Any]:
        """Write the files of an outcome; give its JSON, which names them."""
        several = len(written.files) > 1
        for file in written.files:
            result = written.item["results"][file.number - 1]
            if "file" not in result:
                continue
            parts = [name, plain_name(file.database), file.sha256[:DIGITS], file.suffix]
            if several:
                parts.insert(2, str(file.number))
            result["file"] = {"name": ".".join(parts), "sha256": file.sha256}
            path = self.directory / result["file"]["name"]
            if not path.exists() or path.read_bytes() != file.data:
                write_file(path, file.data)
        return written.item

    def _write_index(self, index: Index) -> None:
        path = self.directory / INDEX
        # Read anew: another kernel may record into the same folder.
        before = _read_index(path) if path.exists() else Index()
        merged = index.or_else(before)
        if merged != before or not path.exists():
            write_file(
                path,
                as_json(
                    {
                        "databases": dict(merged.databases),
                        "default": merged.default,
                        "groups": {name: list(each) for name, each in merged.groups.items()},
                    },
                    sort=False,  # patterns take databases in their order
                ),
            )
        self.__dict__["index"] = merged

    def _remove(self, names: Any) -> None:
        for name in names:
            if Path(name).name == name:  # a receipt from elsewhere names no file of ours
                (self.directory / name).unlink(missing_ok=True)


def _read_index(path: Path) -> Index:
    written = read_json(path, check_index)
    return Index(
        databases=written["databases"],
        groups={name: tuple(members) for name, members in written["groups"].items()},
        default=written["default"],
    )
