"""What a frame is made of is let go as soon as the frame has it; and no digit is lost."""

import struct
import weakref

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pgmagic.columns import FrameOptions, to_frame
from pgmagic.columns.copybinary import HEADER, TRAILER
from pgmagic.columns.pgtypes import BUILTIN, INT8, Layout
from pgmagic.outcome import Column, Rows


def column(name):
    return Column(name=name, type=BUILTIN[INT8])


def test_rows_that_are_given_up_are_freed_while_their_count_stays():
    memory = [np.arange(1000), np.arange(1000)]
    freed = []
    for number, values in enumerate(memory):
        weakref.finalize(values, freed.append, number)
    arrays = [
        pa.Array.from_buffers(pa.int64(), 1000, [None, pa.py_buffer(values)]) for values in memory
    ]
    rows = Rows(pa.table(arrays, names=["0", "1"]))
    del memory, values, arrays
    frame, _ = to_frame(rows.give_up(), [column("a"), column("b")], FrameOptions())
    assert freed == [0, 1]  # in this order: the first before the second was read
    assert (rows.num_rows, rows.nbytes) == (1000, 16_000)
    assert frame["b"].sum() == 499_500
    with pytest.raises(RuntimeError):
        _ = rows.arrow


@pytest.mark.parametrize("chunks", [1, 3])
def test_whole_numbers_beside_nulls_keep_every_digit(chunks):
    exact = [2**53 + 1, None, -(2**63), 2**63 - 1]
    table = pa.table([pa.chunked_array([pa.array(exact, pa.int64())] * chunks)], names=["0"])
    frame, _ = to_frame(table, [column("n")], FrameOptions())
    assert frame["n"].dtype == "Int64"
    assert [None if n is pd.NA else int(n) for n in frame["n"]] == exact * chunks


def test_whole_numbers_that_are_all_null_are_integers_still():
    table = pa.table([pa.array([None, None], pa.int64())], names=["0"])
    frame, _ = to_frame(table, [column("n")], FrameOptions())
    assert frame["n"].dtype == "Int64"
    assert frame["n"].isna().all()


def test_nothing_of_one_batch_is_left_in_the_next(monkeypatch):
    compiled = pytest.importorskip("pgmagic.columns._decoder")
    monkeypatch.setattr(compiled, "BATCH_ROWS", 3)
    layouts = [Layout.BOOL, Layout.INT16, Layout.TEXT]
    full, empty = [b"\1", b"\0\7", b"seven"], [None, None, None]
    rows = [full, full, full, empty, empty, full, [b"\0", b"\0\1", b""], full, empty]
    stream = bytearray(HEADER)
    for row in rows:
        stream += struct.pack(">h", len(row))
        for value in row:
            stream += struct.pack(">i", -1) if value is None else _field(value)
    decoder = compiled.CompiledDecoder(layouts)
    decoder.feed(bytes(stream + TRAILER))
    decoder.close()
    batches = decoder.batches()
    assert [batch.num_rows for batch in batches] == [3, 3, 3]
    whole, none = (True, 7, "seven"), (None, None, None)
    found = [tuple(row.values()) for batch in batches for row in batch.to_pylist()]
    assert found == [whole, whole, whole, none, none, whole, (False, 1, ""), whole, none]


def _field(value):
    return struct.pack(">i", len(value)) + value
