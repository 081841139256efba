"""The nasty cells: every one is cut into as many statements as its author counted."""

import pytest

from pgmagic.language.scanner import tokens
from pgmagic.language.statements import split
from tests.corpus.cells import CELLS, NastyCell


def test_the_corpus_is_there() -> None:
    assert len(CELLS) >= 200


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_cells_are_cut(cell: NastyCell) -> None:
    spans = list(split(cell.text))
    shown = [cell.text[start:stop][:80] for start, stop in spans]
    assert len(spans) == cell.statements, shown
    assert spans == sorted(spans)
    for start, stop in spans:
        assert cell.text[start:stop] == cell.text[start:stop].strip(" \t\n\r\f\v")


@pytest.mark.parametrize("standard", [True, False])
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_no_character_is_lost(cell: NastyCell, standard: bool) -> None:
    end = 0
    for token in tokens(cell.text, standard_strings=standard):
        assert token.start == end < token.stop
        end = token.stop
    assert end == len(cell.text)
