"""How much memory the results of a cell may take."""

import psutil
import pytest

from pgmagic.columns.budget import Budget, free_memory


def test_what_is_given_back_can_be_taken_again():
    budget = Budget(100)
    assert budget.add(60)
    assert not budget.add(60)
    assert budget.add(-60)
    assert budget.add(40)
    assert budget.held == 100


@pytest.mark.parametrize("most", [0, -1])
def test_no_limit(most):
    assert Budget(most).add(2**62)


def test_by_itself_it_is_a_quarter_of_what_is_free():
    assert 0 < Budget().most <= psutil.virtual_memory().total // 4


def test_a_container_has_less_than_its_machine(tmp_path):
    free = free_memory(tmp_path)  # no control group there
    (tmp_path / "memory.current").write_text("300\n")
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.stat").write_text("anon 250\ninactive_file 40\n")
    assert free_memory(tmp_path) == 740
    (tmp_path / "memory.max").write_text("200\n")
    assert free_memory(tmp_path) == 0
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory(tmp_path) == pytest.approx(free, rel=0.2)


def test_it_says_how_far_it_got_and_what_to_do():
    report = "\n".join(Budget(1_500_000_000).exceeded("ewr", 1_234_567).report())
    assert report.startswith("ResultTooLarge in ewr: stopped after 1,234,567 rows")
    assert "1.5 GB" in report
    assert all(way in report for way in ("--to", "--limit", "aggregate"))
