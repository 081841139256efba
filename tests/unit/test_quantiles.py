"""Where the values of a column are cut, however they are spread."""

from hypothesis import example, given
from hypothesis import strategies as st

from pgmagic.database.quantiles import Weight, cuts

weights = st.lists(
    st.builds(Weight, below=st.floats(0, 1), at=st.floats(0, 1)), min_size=0, max_size=60
)


def histogram(bins):
    return [Weight(0.0, 0.0)] + [Weight(1 / bins, 0.0)] * bins


def test_a_histogram_is_cut_into_equal_parts():
    places, shares = cuts(histogram(100), 4)
    assert places == [25, 50, 75]
    assert [round(share, 6) for share in shares] == [0.25] * 4


def test_a_value_that_most_rows_have_stands_alone():
    spread = [Weight(0.0, 0.0), Weight(0.05, 0.0), Weight(0.05, 0.8), *[Weight(0.01, 0.0)] * 10]
    places, shares = cuts(spread, 4)
    # what is below the common value; it, with what follows up to the next bound; the rest
    assert places == [2, 3]
    assert [round(share, 6) for share in shares] == [0.1, 0.81, 0.09]


def test_common_values_without_a_histogram():
    places, shares = cuts([Weight(0.0, 0.25)] * 4, 4)
    assert places == [1, 2, 3]
    assert shares == [0.25] * 4


@given(weights, st.integers(1, 20))
@example([Weight(0.0, 0.7463528012003174)] * 2 + [Weight(0.0, 0.0), Weight(0.0, 0.75)], 5)
@example(
    [Weight(0.0, at) for at in (0.7463528012003174, 0.7463528012003174, 0.0, 0.7463528012003174)], 5
)
def test_parts_are_few_ascending_and_all_there_is(weights, parts):
    places, shares = cuts(weights, parts)
    assert places == sorted(set(places))
    assert len(shares) == len(places) + 1 <= parts
    total = sum(weight.below + weight.at for weight in weights)
    assert abs(sum(shares) - total) < 1e-9
    assert all(share >= 0 for share in shares)
