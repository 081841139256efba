import pytest

from pgmagic.units import count, duration, milliseconds, rate, rows, size


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        (count(120_835), "120,835"),
        (rows(1), "1 row"),
        (rows(0), "0 rows"),
        (duration(0.414, 2), "0.41 s"),
        (duration(-0.001), "0.0 s"),
        (duration(9.999, 2), "10.0 s"),
        (duration(59.7), "1 min 00 s"),
        (duration(125), "2 min 05 s"),
        (duration(3600), "1 h 00 min"),
        (duration(3600 * 30), "30 h 00 min"),
        (duration(41.2, 0), "41 s"),
        (milliseconds(None), "–"),
        (milliseconds(0.42), "0.4 ms"),
        (milliseconds(0.97), "1 ms"),
        (milliseconds(9999.7), "10.0 s"),
        (rate(850), "850 rows/s"),
        (rate(96_210), "96 k rows/s"),
        (rate(999_600), "1.0 M rows/s"),
        (size(0), "0 bytes"),
        (size(999), "999 bytes"),
        (size(1000), "1.0 kB"),
        (size(9_949), "9.9 kB"),
        (size(9_950), "10 kB"),
        (size(999_499), "999 kB"),
        (size(999_500), "1.0 MB"),
        (size(58_204_331), "58 MB"),
        (size(2_000_000_000), "2.0 GB"),
        (size(12_345_678_901_234), "12,346 GB"),
    ],
)
def test_numbers_are_written_as_people_read_them(drawn, expected):
    assert drawn == expected
