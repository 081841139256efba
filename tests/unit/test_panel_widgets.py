from pgmagic.notebook.activity import Action, activities
from pgmagic.notebook.panel_widgets import PATIENCE, PanelWidgets
from tests.fake_pools import a_bad_day, query, statistics


class Panel:
    """Widgets without a front end, a clock that is set by hand, and a list of what was pressed."""

    def __init__(self):
        self.pressed, self.now = [], 0.0
        self.widgets = PanelWidgets(self.pressed.append, clock=lambda: self.now)

    def draw(self, *pools, offered=("cancel", "retry")):
        self.widgets.draw("", activities(pools), [], offered=offered)

    @property
    def column(self):
        """What stands beside each line: the text of a button, or nothing."""
        box = self.widgets.root.children[-1].children[1]
        return [getattr(child, "description", None) for child in box.children]

    def button(self, text):
        box = self.widgets.root.children[-1].children[1]
        return next(each for each in box.children if text in getattr(each, "description", ""))


def test_a_button_stands_beside_every_line_that_has_an_action():
    panel = Panel()
    panel.draw(*a_bad_day())
    assert panel.column == ["↻ Retry billing", "■ Cancel sales", "■ Cancel events", None]


def test_buttons_that_nobody_serves_are_not_there():
    panel = Panel()
    panel.draw(*a_bad_day(), offered=())
    assert panel.column == []


def test_a_press_names_the_query_once():
    panel = Panel()
    panel.draw(*a_bad_day())
    panel.button("Cancel events").click()
    assert panel.pressed == [Action(verb="cancel", database="events", query=3)]
    assert panel.button("cancelling").disabled


def test_a_press_that_did_not_help_can_be_repeated():
    panel = Panel()
    panel.draw(*a_bad_day())
    panel.button("Retry").click()
    panel.now = PATIENCE / 2
    panel.draw(*a_bad_day())
    assert panel.button("trying").disabled
    panel.now = PATIENCE
    panel.draw(*a_bad_day())
    assert not panel.button("Retry billing").disabled


def test_a_button_stays_the_same_while_its_query_runs_and_goes_with_it():
    panel = Panel()
    panel.draw(statistics(running=(query(1, "select 1"), query(2, "select 2"))))
    first, second = panel.widgets.root.children[-1].children[1].children
    panel.draw(statistics(running=(query(2, "select 2", 9.0),)))
    assert panel.widgets.root.children[-1].children[1].children == (second,)
    assert first.comm is None


def test_alerts_are_read_out_only_when_they_change():
    panel = Panel()
    status = panel.widgets.root.children[1]
    changes = []
    status.observe(lambda change: changes.append(change.new), "value")
    for alerts in ([], [], ["a: exhausted"], ["a: exhausted"]):
        panel.widgets.draw("", (), alerts, offered=())
    assert len(changes) == 2
    assert 'role="status">a: exhausted<' in changes[-1]


def test_closing_leaves_nothing_behind():
    panel = Panel()
    panel.draw(*a_bad_day())
    widgets = [panel.widgets.root, *panel.widgets.root.children]
    panel.widgets.close()
    assert all(widget.comm is None for widget in widgets)
