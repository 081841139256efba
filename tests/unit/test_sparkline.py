from hypothesis import given
from hypothesis import strategies as st

from pgmagic.database.statistics import Sample
from pgmagic.notebook.sparkline import blocks, levels, svg


def sample(at, in_use):
    return Sample(at=at, in_use=in_use, size=in_use, waiting=0)


def test_a_pool_stays_as_it_was_until_it_changes():
    history = [sample(10.0, 2), sample(97.5, 5), sample(98.5, 1)]
    assert levels(history, now=100.0, seconds=5) == [2, 2, 5, 5, 1]


def test_a_peak_shorter_than_a_second_is_seen():
    assert levels([sample(98.1, 9), sample(98.2, 0)], now=100.0, seconds=3) == [0, 9, 0]


def test_without_a_history_nothing_was_in_use():
    assert levels([], now=100.0, seconds=3) == [0, 0, 0]


@given(st.lists(st.tuples(st.floats(0, 200), st.integers(0, 20))))
def test_every_second_shows_a_level_that_the_pool_had(changes):
    history = [sample(at, in_use) for at, in_use in sorted(changes)]
    peaks = levels(history, now=150.0)
    assert len(peaks) == 60
    assert set(peaks) <= {0, *(each.in_use for each in history)}


def test_blocks_grow_with_the_level_and_never_beyond_the_highest():
    drawn = blocks([0, 1, 5, 10, 99], limit=10, width=5)
    assert drawn == "▁▂▅██"


def test_the_drawing_stays_within_its_frame():
    drawn = svg([0, 10, 99], limit=10, label="sales")
    heights = [
        float(point.split(",")[1]) for point in drawn.split('points="')[2].split('"')[0].split()
    ]
    assert heights == [17.0, 1.0, 1.0]


def test_a_level_line_is_drawn_by_its_two_ends():
    drawn = svg([5] * 60, limit=10, label="sales")
    assert drawn.split('<polyline points="')[1].split('"')[0] == "0,9.0 84,9.0"
