"""Column names as a frame has them: each one once."""

from collections.abc import Iterable, Sequence

__all__ = ["unique_names"]

SHOWN = 5  # new names of a column, one by one


def unique_names(
    names: Sequence[str], *, taken: Iterable[str] = ()
) -> tuple[list[str], tuple[str, ...]]:
    """Number the names that stand twice (`a`, `a_1`), and say so in notes for the caption.

    A number is never one that makes the name of another column.
    """
    given = set(names)
    used = set(taken)
    unique: list[str] = []
    renamed: dict[str, list[str]] = {}
    for name in names:
        new, number = name, 0
        while new in used or (number and new in given):
            number += 1
            new = f"{name}_{number}"
        used.add(new)
        unique.append(new)
        if new != name:
            renamed.setdefault(name, []).append(new)
    notes = tuple(
        f'"{name}" is there more than once: the next are {_listed(new)}'
        if len(new) > 1
        else f'"{name}" is there twice: the second is {new[0]}'
        for name, new in renamed.items()
    )
    return unique, notes


def _listed(names: Sequence[str]) -> str:
    if len(names) <= SHOWN:
        return ", ".join(names)
    return f"{', '.join(names[:2])}, … {names[-1]}"
