"""The same question asked several times in a kernel: which time is this?"""

from collections import Counter

from pgmagic.receipts import Origin

__all__ = ["Occurrences"]


class Occurrences:
    """Counts how often a question was asked, from 1.

    Where the front end says which cell asks (JupyterLab does), a cell that is run again is the
    same time again, and not one more: what it asked first, second … has kept its number.
    """

    def __init__(self) -> None:
        self._asked: Counter[str] = Counter()
        self._within: Counter[tuple[str, str, int | None]] = Counter()  # in one run of a cell
        self._known: dict[tuple[str, str, int], int] = {}

    def next(self, key: str, origin: Origin) -> int:
        """Count the question of this key once more."""
        if origin.id is None:
            self._asked[key] += 1
            return self._asked[key]
        run = (key, origin.id, origin.number)
        self._within[run] += 1
        place = (key, origin.id, self._within[run])
        if place not in self._known:
            self._asked[key] += 1
            self._known[place] = self._asked[key]
        return self._known[place]
