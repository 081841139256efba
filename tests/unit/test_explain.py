"""Reading and drawing what EXPLAIN (FORMAT JSON) gives."""

import json
from html.parser import HTMLParser

import pytest

from pgmagic.errors import CellError
from pgmagic.language.explain import explained, read_plan
from pgmagic.language.line import Cell
from pgmagic.language.options import Options
from pgmagic.language.plan import Transaction, plan
from pgmagic.language.query_plans import QueryPlans
from pgmagic.language.statements import read
from pgmagic.notebook.plan_view import plans_html


def node(kind, milliseconds=None, rows=1, loops=1, plans=(), **more):
    raw = {"Node Type": kind, "Plan Rows": 1, "Total Cost": 1.0, "Plans": list(plans)} | more
    if milliseconds is not None:
        raw |= {"Actual Total Time": milliseconds, "Actual Rows": rows, "Actual Loops": loops}
    return raw


def answer(root, **more):
    return json.dumps([{"Plan": root} | more])


def statement(sql, **names):
    return read(sql, names).statements[0]


MEASURED = answer(
    node(
        "Hash Join",
        100.0,
        rows=10,
        plans=[
            node("Seq Scan", 60.0, rows=5_000, **{"Relation Name": "flights", "Alias": "f"}),
            node("Hash", 10.0, plans=[node("Seq Scan", 9.0, **{"Relation Name": "airlines"})]),
        ],
        **{"Join Type": "Left", "Hash Cond": "(f.carrier = airlines.carrier)"},
    ),
    **{"Planning Time": 0.5, "Execution Time": 101.0},
)


def test_titles_read_as_in_explain():
    found = read_plan("ewr", MEASURED)
    assert [(depth, node.title) for depth, node in found.root.walk()] == [
        (0, "Hash Left Join"),
        (1, "Seq Scan on flights f"),
        (1, "Hash"),
        (2, "Seq Scan on airlines"),
    ]
    assert found.root.details == ("Hash Cond: (f.carrier = airlines.carrier)",)
    assert (found.planning, found.execution) == (0.0005, 0.101)


def test_the_worst_step_is_the_one_that_took_longest_by_itself():
    found = read_plan("ewr", MEASURED)
    assert found.worst.title == "Seq Scan on flights f"
    assert found.weight(found.worst) == pytest.approx(0.6)
    assert found.root.own == pytest.approx(0.030)


def test_without_a_run_the_worst_step_is_the_dearest():
    found = read_plan(
        "ewr",
        answer(
            node("Sort", plans=[node("Seq Scan", **{"Total Cost": 90.0})], **{"Total Cost": 95})
        ),
    )
    assert not found.measured
    assert found.worst.title == "Seq Scan"
    assert found.weight(found.worst) == pytest.approx(90 / 95)


def test_loops_are_counted():
    inner = node("Index Scan", 0.5, rows=2, loops=100, **{"Index Name": "i", "Relation Name": "t"})
    found = read_plan("ewr", answer(node("Nested Loop", 60.0, plans=[inner])))
    [child] = found.root.children
    assert child.title == "Index Scan using i on t"
    assert child.rows == 200
    assert child.total == pytest.approx(0.050)
    assert "100 runs" in child.details


def test_workers_run_side_by_side():
    scan = node("Seq Scan", 30.0, rows=10, loops=3, **{"Parallel Aware": True})
    found = read_plan("ewr", answer(node("Gather", 40.0, plans=[scan], **{"Workers Launched": 2})))
    [child] = found.root.children
    assert child.title == "Parallel Seq Scan"
    assert child.total == pytest.approx(0.030)
    assert found.root.own == pytest.approx(0.010)


def test_a_with_query_is_paid_where_it_is_scanned():
    cte = node("Seq Scan", 70.0, **{"Subplan Name": "CTE x", "Parent Relationship": "InitPlan"})
    scan = node("CTE Scan", 80.0, **{"CTE Name": "x", "Alias": "x"})
    found = read_plan("ewr", answer(node("Aggregate", 100.0, plans=[cte, scan])))
    own = {node.title: node.own for _, node in found.root.walk()}
    assert own["CTE Scan on x"] == pytest.approx(0.010)
    assert own["Seq Scan (CTE x)"] == pytest.approx(0.070)
    assert own["Aggregate"] == pytest.approx(0.020)


def test_a_wrong_estimate_is_noticed_in_both_directions():
    many = read_plan("ewr", answer(node("Seq Scan", 1.0, rows=5_000)))
    few = read_plan("ewr", answer(node("Seq Scan", 1.0, rows=2, **{"Plan Rows": 5_000})))
    right = read_plan("ewr", answer(node("Seq Scan", 1.0, rows=9)))
    assert many.root.misjudged == 5_000
    assert few.root.misjudged == pytest.approx(1 / 2_500)
    assert right.root.misjudged is None
    assert "5,000×" in str(QueryPlans({"ewr": answer(node("Seq Scan", 1.0, rows=5_000))}))


def test_a_step_that_never_ran_says_so():
    text = answer(node("Append", 1.0, plans=[node("Seq Scan", 0.0, rows=0, loops=0)]))
    assert "never ran" in str(QueryPlans({"ewr": text}))


def test_pages_are_the_steps_own():
    pages = {"Shared Hit Blocks": 100, "Shared Read Blocks": 20}
    child = node("Seq Scan", 1.0, **{"Shared Hit Blocks": 90, "Shared Read Blocks": 20})
    found = read_plan("ewr", answer(node("Sort", 2.0, plans=[child], **pages)))
    assert (found.root.buffers, found.root.read) == (10, 0)
    assert (found.root.children[0].buffers, found.root.children[0].read) == (110, 20)


def test_what_else_took_time_is_told():
    triggers = [{"Trigger Name": "audit", "Relation": "t", "Time": 5.0, "Calls": 3}]
    found = read_plan("ewr", answer(node("Insert", 9.0), Triggers=triggers))
    assert found.notes == ("trigger audit on t: 5.0 ms in 3 calls",)


def test_the_text_is_a_tree_with_the_worst_step_marked():
    lines = str(QueryPlans({"ewr": MEASURED})).splitlines()
    assert lines[0] == "ewr · 101 ms · planned in 0.50 ms"
    [marked] = [line for line in lines if line.startswith("▶ ") and "→" in line]
    assert marked.endswith("→ Seq Scan on flights f")
    assert lines[-1] == "▶ took longest: Seq Scan on flights f, 60% of the whole"
    at = {line.index("→") for line in lines if "Hash" in line and "→" in line}
    assert len(at) == 1


def test_several_databases_are_compared():
    other = answer(node("Index Scan", 1.0))
    plans = QueryPlans({"ewr": MEASURED, "jfk": MEASURED, "lga": other})
    assert str(plans).startswith("2 different plans: ewr, jfk; lga\n")
    assert str(QueryPlans({"a": other, "b": other})).startswith("the same plan on a, b\n")
    assert list(plans) == ["ewr", "jfk", "lga"]
    assert plans.json == {name: plan.json for name, plan in plans.items()}
    assert QueryPlans({"a": other}).json == json.loads(other)


def test_no_character_of_the_server_drives_a_terminal():
    text = answer(node("Seq Scan", 1.0, **{"Relation Name": "a\x1b[2Jb", "Filter": "x\x1b[31m"}))
    assert "\x1b" not in str(QueryPlans({"ewr": text}))


class Outline(HTMLParser):
    """Checks that every element is closed, and keeps the text."""

    def __init__(self):
        super().__init__()
        self.open, self.text = [], []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_html_says_the_same_and_escapes_what_the_server_says():
    evil = answer(node("Seq Scan", 9.0, **{"Relation Name": "<script>x</script>"}))
    html = plans_html(QueryPlans({"ewr": MEASURED, "<b>": evil}, rolled_back=True))
    outline = Outline()
    outline.feed(html)
    assert outline.open == []
    text = " ".join(outline.text)
    for wanted in ("Hash Left Join", "took longest", "2 different plans", "run, and rolled back"):
        assert wanted in text
    assert "<script>" not in html
    assert "<script>x</script>" in text


def test_databases_with_the_same_plan_share_one_tree():
    slower = MEASURED.replace('"Actual Total Time": 60.0', '"Actual Total Time": 5.0')
    html = plans_html(QueryPlans({"ewr": MEASURED, "jfk": slower}))
    outline = Outline()
    outline.feed(html)
    text = " ".join(outline.text)
    assert text.count("Hash Left Join") == 1
    assert "worst on ewr" in text
    assert "worst on jfk" in text
    assert html.count("<table>") == 1
    different = QueryPlans({"ewr": MEASURED, "jfk": answer(node("Result", 1.0))})
    assert plans_html(different).count("<table>") == 2


@pytest.mark.parametrize("text", ["[]", "{}", "[{}]", "null"])
def test_what_is_no_plan_is_refused(text):
    with pytest.raises(ValueError, match="no plan"):
        read_plan("ewr", text)


# Asking for it


def test_positions_still_point_into_the_cell():
    cell = "select {n},\n nosuch from flights"
    asked = explained(statement(cell, n=1), analyze=True)
    assert asked.sql.startswith("explain (analyze, buffers, format json) select $1")
    assert asked.locate(asked.sql.index("nosuch") + 1) == cell.index("nosuch")
    assert asked.locate(asked.sql.index("$1") + 1) == cell.index("{n}")
    assert asked.locate(1) == 0
    assert asked.arguments == (1,)


@pytest.mark.parametrize("sql", ["vacuum t", "show work_mem", "explain select 1", "begin"])
def test_what_has_no_plan_is_refused(sql):
    with pytest.raises(CellError, match="has no plan"):
        explained(statement(sql), analyze=False)


def decide(sql, targets=("a",), read_only=True, **options):
    cell = Cell(sql=sql, targets=targets, options=Options(**options))
    return plan(cell, read(sql, {}).statements, targets, dict.fromkeys(targets, read_only))


def test_explain_runs_nothing_and_reads_only():
    decided = decide("delete from t", explain=True)
    assert decided.statements[0].sql == "explain (format json) delete from t"
    assert decided.statements[0].kind.read
    assert not decided.rolls_back


def test_analyze_of_a_write_is_rolled_back_everywhere():
    decided = decide("update t set x = 1", targets=("a", "b"), analyze=True, write=True)
    assert decided.rolls_back
    assert decided.transaction is Transaction.ALL
    assert not decided.together


def test_what_a_plan_cannot_be_shown_of():
    with pytest.raises(CellError, match="one statement"):
        decide("select 1; select 2", explain=True)
    with pytest.raises(CellError, match="no --session"):
        decide("delete from t", analyze=True, write=True, session="mine")
    with pytest.raises(CellError, match="no --to"):
        decide("select 1", explain=True, to="x.parquet")
