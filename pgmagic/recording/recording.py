"""One query that was recorded."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from pgmagic.errors import RecordingError
from pgmagic.language.plan import Plan
from pgmagic.outcome import Outcome
from pgmagic.receipts import Origin
from pgmagic.recording.files import damaged
from pgmagic.recording.outcomes import left_out, read_outcome
from pgmagic.recording.question import Question

__all__ = ["Recording"]


class Recording:
    """One query that was recorded, with what each database answered.

    Reading its properties touches no file of rows; `outcomes` does.
    """

    def __init__(self, path: Path, written: Mapping[str, Any]) -> None:
        self.path = path
        self._written = written

    def __repr__(self) -> str:
        return f"<recording {self.name}>"

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def key(self) -> str:
        """What the question is found by; shared by all its occurrences."""
        return str(self._written["key"])

    @property
    def occurrence(self) -> int:
        """Whether it was asked the first time in a kernel, or the second …"""
        return int(self._written["occurrence"])

    @property
    def origin(self) -> Origin:
        """The cell that asked."""
        cell = self._written["cell"]
        return Origin(number=cell["number"], id=cell["id"])

    @property
    def started(self) -> datetime:
        return datetime.fromisoformat(self._written["started"])

    @property
    def sql(self) -> str:
        """The cell as the user wrote it, with `{names}` in place of values."""
        return "\n".join(self._written["sql"])

    @property
    def fingerprint(self) -> str:
        return str(self._written["fingerprint"])

    @cached_property
    def question(self) -> Question:
        """The statements as they were sent, the values, the databases, the options."""
        return Question.from_json(self._written["question"])

    @property
    def targets(self) -> tuple[str, ...]:
        return self.question.targets

    @property
    def failed(self) -> tuple[str, ...]:
        """The databases that gave an error."""
        return tuple(item["database"] for item in self._items if item["outcome"] == "failed")

    @property
    def left_out(self) -> Mapping[str, str]:
        """Why the rows of a database are not in the recording, by database."""
        return {item["database"]: why for item in self._items for why in left_out(item)}

    @property
    def contents(self) -> Mapping[str, tuple[str | None, ...]]:
        """The hash of each statement's rows, by database; also of rows that were left out."""
        return {
            item["database"]: tuple(each.get("content") for each in item["results"])
            for item in self._items
            if item["outcome"] == "answered"
        }

    @property
    def files(self) -> tuple[str, ...]:
        """The names of its files, without the receipt's own."""
        return tuple(
            result["file"]["name"]
            for item in self._items
            for result in item.get("results", ())
            if "file" in result
        )

    def plan(self) -> Plan:
        """Make the plan again, which asks the same. Its errors point into the SQL as sent."""
        steps = self._written["steps"]
        return self.question.plan(self.sql, steps["transaction"], steps["read_only"])

    def outcomes(self) -> tuple[Outcome, ...]:
        """Read what the databases answered, in the order of the targets.

        Raises `RecordingError` where rows were left out, or a file is missing or damaged.
        """
        return tuple(map(self._outcome, self._items))

    def outcome(self, database: str) -> Outcome:
        """Read what one of the databases answered. Raises as `outcomes` does."""
        return self._outcome(next(each for each in self._items if each["database"] == database))

    def _outcome(self, item: Mapping[str, Any]) -> Outcome:
        try:
            return read_outcome(item, self._read)
        except ValueError as error:  # the files are as they were recorded; then this is not
            raise damaged(self.path, f"of the rows, {error}") from None

    @property
    def _items(self) -> Sequence[Mapping[str, Any]]:
        items: Sequence[Mapping[str, Any]] = self._written["outcomes"]
        return items

    def _read(self, file: Mapping[str, str]) -> bytes:
        path = self.path.parent / Path(file["name"]).name
        try:
            data = path.read_bytes()
        except OSError as error:
            raise RecordingError(f"{path} can't be read: {error.strerror}") from None
        if sha256(data).hexdigest() != file["sha256"]:
            raise RecordingError(
                f"{path} is not as it was recorded", hint="record the notebook again"
            )
        return data
