"""The variables of this process as settings are read from: no traceback shows all of them."""

import os
from collections.abc import Iterator, Mapping
from typing import final

__all__ = ["VARIABLES"]


@final
class _Environment(Mapping[str, str]):
    """Reads `os.environ`, whose repr in the locals of a frame would tell all of it."""

    def __getitem__(self, name: str) -> str:
        return os.environ[name]

    def __iter__(self) -> Iterator[str]:
        return iter(os.environ)

    def __len__(self) -> int:
        return len(os.environ)

    def __repr__(self) -> str:
        return "<the environment>"


VARIABLES = _Environment()
