"""Frames of Python objects to tables: what arrives is what was in the frame."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import numpy as np
import pandas as pd
import polars as pl
import pytest

from pgmagic.errors import CellError
from tests.server.test_write_frames import types

ONE = UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")
TWO = UUID(int=2)
NOON = datetime(2024, 1, 1, 12)
SUMMER = timezone(timedelta(hours=2))

COLUMNS = {
    "u": ([ONE, None], "uuid", [str(ONE), None]),
    "us": ([[ONE, None], []], "uuid[]", [f"{{{ONE},NULL}}", "{}"]),
    "uss": ([[[ONE, TWO]], None], "uuid[]", [f"{{{{{ONE},{TWO}}}}}", None]),
    "wide": ([2**63, -(2**70)], "numeric", ["9223372036854775808", "-1180591620717411303424"]),
    "zero": ([Decimal("0.00"), 2**64], "numeric", ["0.00", "18446744073709551616"]),
    "inf": ([Decimal("-Infinity"), Decimal("1.10")], "numeric", ["-Infinity", "1.10"]),
    "long": ([Decimal("1e40"), Decimal("-1e-40")], "numeric", [f"1{'0' * 40}", f"-0.{'0' * 39}1"]),
    "nan": ([Decimal("NaN"), Decimal("Infinity")], "numeric", [None, "Infinity"]),
    "wides": ([[2**63, None], [1]], "numeric[]", ["{9223372036854775808,NULL}", "{1}"]),
    "ints": ([[[1, 2], [3, None]], [[4]]], "bigint[]", ["{{1,2},{3,NULL}}", "{{4}}"]),
    "deep": ([[[[1]], [[2]]], []], "bigint[]", ["{{{1}},{{2}}}", "{}"]),
    "flags": ([[[True], [False]], None], "boolean[]", ["{{t},{f}}", None]),
    "texts": ([[["a,b", ""], [None, 'c"']], None], "text[]", ['{{"a,b",""},{NULL,"c\\""}}', None]),
    "bytes": ([[[b"\0\xff"]], None], "bytea[]", ['{{"\\\\x00ff"}}', None]),
    "small": ([np.array([[1, 2]], "int16"), None], "smallint[]", ["{{1,2}}", None]),
    "floats": ([np.array([[0.1], [np.nan]]), None], "double precision[]", ["{{0.1},{NULL}}", None]),
    "exact": ([[[Decimal("1.10")], [Decimal(2)]], None], "numeric[]", ["{{1.10},{2.00}}", None]),
    "days": ([[[date(2024, 2, 29)]], None], "date[]", ["{{2024-02-29}}", None]),
    "moments": (
        [[[NOON], [NOON]], None],
        "timestamp without time zone[]",
        ['{{"2024-01-01 12:00:00"},{"2024-01-01 12:00:00"}}', None],
    ),
    "zoned": (
        [[[NOON.replace(tzinfo=UTC)], [NOON.replace(tzinfo=SUMMER)]], None],
        "timestamp with time zone[]",
        ['{{"2024-01-01 12:00:00+00"},{"2024-01-01 10:00:00+00"}}', None],
    ),
    "spans": ([[[timedelta(1)]], None], "interval[]", ["{{24:00:00}}", None]),
    "zone": (
        [NOON.replace(tzinfo=UTC), NOON.replace(tzinfo=SUMMER)],
        "timestamp with time zone",
        ["2024-01-01 12:00:00+00", "2024-01-01 10:00:00+00"],
    ),
}
FRAME = pd.DataFrame(
    {name: pd.Series(values, dtype=object) for name, (values, _, _) in COLUMNS.items()}
)


@pytest.mark.parametrize("rows", [1, 40_000], ids=["few", "several batches"])
async def test_objects_arrive_as_what_they_are(client, rows):
    frame = pd.concat([FRAME] * rows, ignore_index=True) if rows > 1 else FRAME
    if rows > 1:
        frame = frame[["us", "ints", "texts", "inf"]]
    await client.write(frame, "a", table="t")
    assert await types(client, "t") == {name: COLUMNS[name][1] for name in frame}
    texts = ", ".join(f"array_agg(distinct {name}::text) as {name}" for name in frame)
    (found,) = (await client.query(f"select {texts} from t", on="a")).to_dict("records")
    for name in frame:
        assert set(found[name]) == set(COLUMNS[name][2]), name


async def test_arrays_of_several_dimensions_come_back_as_they_were(client):
    frame = FRAME[["ints", "deep", "flags", "texts"]]
    await client.write(frame, "a", table="t")
    back = await client.query("select * from t", on="a")
    for name in frame:
        assert back[name].tolist() == frame[name].tolist(), name
    await client.write(back, "a", table="t", if_exists="append")
    assert len(await client.query("select 1 from t where ints = '{{1,2},{3,null}}'", on="a")) == 2


async def test_uuids_and_arrays_are_appended_to_what_they_are(client):
    await client.query(
        "create domain ident uuid; create table t (u uuid, d ident, m int4[], n numeric, k int)",
        on="a",
        write=True,
    )
    frame = pd.DataFrame(
        {
            "u": [ONE],
            "d": [ONE],
            "m": [[[1, 2], [3, 4]]],
            "n": [Decimal("Infinity")],
            "k": [Decimal("7.0")],
        }
    )
    await client.write(frame, "a", table="t", if_exists="append")
    row = await client.query("select u, d, m::text, n::text, k from t", on="a")
    assert row.iloc[0].tolist() == [str(ONE), str(ONE), "{{1,2},{3,4}}", "Infinity", 7]
    for values in ([Decimal("1.5")], [Decimal("Infinity")], [2**64]):
        with pytest.raises(CellError, match="column k: it has numbers that are not whole, or too"):
            await client.write(
                pd.DataFrame({"k": pd.Series(values, dtype=object)}),
                "a",
                table="t",
                if_exists="append",
            )


async def test_moments_and_spans_beyond_those_of_python_arrive(client):
    far, early = np.datetime64("20200-01-01"), np.datetime64("-0044-03-15")
    frame = pd.DataFrame(
        {
            "m": pd.Series([far, NOON, early], dtype=object),
            "s": pd.Series([np.timedelta64(10**12, "s"), timedelta(1), None], dtype=object),
        }
    )
    await client.write(frame, "a", table="t")
    rows = await client.query("select m::text, s::text from t order by t.m", on="a")
    assert rows["m"].tolist() == [
        "0045-03-15 00:00:00 BC",
        "2024-01-01 12:00:00",
        "20200-01-01 00:00:00",
    ]
    assert rows["s"].tolist()[1:] == ["24:00:00", "277777777:46:40"]


async def test_lists_of_structs_and_lists_cut_by_their_elements_arrive(client, monkeypatch):
    monkeypatch.setattr("pgmagic.columns.copyin.ELEMENTS_AT_ONCE", 10)
    values = [[[n] * (n % 7)] if n % 7 else [] for n in range(100)]
    frame = pl.DataFrame({"n": range(100), "x": values, "d": [[{"a": n}] for n in range(100)]})
    await client.write(frame, "a", table="t")
    assert (await types(client, "t"))["d"] == "jsonb"
    back = await client.query("select x, (d->0->>'a')::int as a from t order by n", on="a")
    assert back["x"].tolist() == values
    assert back["a"].tolist() == list(range(100))


async def test_a_name_that_the_server_would_cut_off_is_refused(client):
    await client.query(f"create table {'n' * 63} (n int)", on="a", write=True)
    with pytest.raises(CellError, match="63 bytes"):
        await client.write(
            pd.DataFrame({"n": [1]}), "a", table=f"public.{'n' * 64}", if_exists="replace"
        )
