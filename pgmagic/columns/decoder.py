"""The decoder in use: the compiled one where the package was built with a compiler."""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Final, Protocol

import pyarrow as pa

from pgmagic.columns.copybinary import PythonDecoder
from pgmagic.columns.numeric import to_double
from pgmagic.columns.pgtypes import Layout

__all__ = ["Decoder", "accelerated", "doubles", "new_decoder"]


def _compiled_part() -> Any:
    try:
        return import_module("pgmagic.columns._decoder")
    except ImportError:
        return None


_compiled: Any = _compiled_part() if sys.byteorder == "little" else None

accelerated: Final = _compiled is not None
"""Whether the compiled decoder is in use."""


class Decoder(Protocol):
    """Takes a COPY stream in pieces of any size, gives record batches."""

    @property
    def rows(self) -> int: ...

    def feed(self, data: bytes, /) -> None: ...

    def close(self) -> None: ...

    def batches(self) -> list[pa.RecordBatch]: ...


def new_decoder(layouts: Sequence[Layout], *, keep: int | None = None) -> Decoder:
    """Make a decoder that keeps `keep` rows at most."""
    make: Callable[..., Decoder] = _compiled.CompiledDecoder if accelerated else PythonDecoder
    return make(layouts, keep=keep)


def doubles(values: pa.Array) -> pa.Array | None:
    """Read an array of numerics as doubles; None where one of them would lose what matters."""
    if accelerated:
        array: pa.Array | None = _compiled.doubles(values, to_double)
        return array
    read: list[float | None] = []
    for value in values.to_pylist():
        double = None if value is None else to_double(value)
        if double is None and value is not None:
            return None
        read.append(double)
    return pa.array(read, pa.float64())
