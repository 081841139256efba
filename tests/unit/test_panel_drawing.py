import re
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st
from wcwidth import wcswidth

from pgmagic.database.statistics import LastError, SessionStatistics
from pgmagic.notebook.activity import MOST, Action, activities
from pgmagic.notebook.drawing import activity_html, pools_html, render_html
from pgmagic.notebook.drawing_text import render_text
from tests.fake_pools import WHEN, a_bad_day, a_minute, query, statistics

NOW = 1000.0


def html(*pools, **options):
    return pools_html(pools, {}, now=NOW, when=WHEN, **options)


def text(*pools):
    return render_text(pools, {}, now=NOW, when=WHEN)


class Outline(HTMLParser):
    """The elements of a page and their roles, without any text."""

    def __init__(self, markup):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(re.sub(r"<style>.*?</style>", "", markup, flags=re.DOTALL))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, tuple(name for name, _ in attributes)))

    def handle_endtag(self, tag):
        self.tags.append((f"/{tag}", ()))

    def handle_data(self, data):
        self.words.append(data)


def test_the_numbers_are_words_too():
    words = " ".join(Outline(html(*a_bad_day())).words)
    for said in ("8 / 10", "1,204", "⚠ 178 ms", "⚠ 419 ms", "● closed", "■ open", "1,482"):
        assert said in words
    assert "exhausted: 3 waiting for one of 4" in words
    assert "connection refused" in words


def test_only_what_is_wrong_has_a_chip():
    assert 'class="chip ' not in html(statistics("sales"))
    assert html(*a_bad_day()).count('class="chip ') == 2


def test_a_table_for_screen_readers():
    tags = Outline(html(*a_bad_day())).tags
    headings = [tag for tag in tags if tag[0] == "th"]
    assert len(headings) == 10 + 3
    assert all("scope" in attributes for _, attributes in headings)
    assert sum("aria-valuenow" in attributes for _, attributes in tags) == 3


def test_every_element_that_is_opened_is_closed():
    tags = [tag for tag, _ in Outline(render_html(a_bad_day(), {}, now=NOW, when=WHEN)).tags]
    opened = []
    for tag in tags:
        if tag.startswith("/"):
            assert opened.pop() == tag[1:]
        elif tag != "br":
            opened.append(tag)
    assert opened == []


def test_there_are_no_scripts_and_nothing_is_fetched():
    drawn = render_html(a_bad_day(), {}, now=NOW, when=WHEN)
    assert not re.search(r"<script|<link|<img|url\(|@import|\son\w+=", drawn)


@given(st.text(alphabet=st.sampled_from("<>&\"'/= abx\x00\u202e\n"), min_size=1))
def test_text_of_servers_and_users_is_never_markup(hostile):
    def drawn(words):
        pool = statistics(
            words,
            breaker="open",
            last_error=LastError(message=words, when=WHEN),
            running=(query(1, words),),
            sessions=(
                SessionStatistics(name=words, pid=1, transaction="none", busy=False, idle=1.0),
            ),
        )
        return Outline(render_html([pool], {}, now=NOW, when=WHEN)).tags

    assert drawn(hostile) == drawn("harmless")


def test_a_live_drawing_ages_and_a_still_one_says_of_when_it_is():
    live, still = html(statistics(), live=True), html(statistics())
    assert "no update for" in live
    assert "updated 12:03:41" in live
    assert "as it was at 2026-11-23 12:03:41" in still
    assert 'class="pgm card live"' not in still


def test_no_pool_at_all():
    assert "the first query on a database opens it" in html()
    assert "the first query on a database opens it" in text()


def test_the_text_has_the_same_numbers_in_columns():
    day = a_bad_day()
    lines = render_text(
        day, {each.database: a_minute(each.database, NOW) for each in day}, now=NOW, when=WHEN
    ).splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ["database", "sales", "events", "billing"]
    requests = lines[1].index("requests") + len("requests")
    assert [line[:requests].split()[-1] for line in lines[2:5]] == ["1,204", "266", "12"]
    assert "! events: exhausted: 3 waiting for one of 4" in lines
    assert "running: events  refresh materialized view by_hour  (1 min 15 s)" in lines


def test_wide_names_keep_the_columns():
    wide, narrow = text(statistics("東京"), statistics("ab")).splitlines()[2:4]
    assert wcswidth(wide[: wide.index("0 / 10")]) == wcswidth(narrow[: narrow.index("0 / 10")])


def test_what_goes_on_and_what_can_be_done_about_it():
    found = activities(a_bad_day())
    assert [(each.kind, each.database) for each in found] == [
        ("cut off", "billing"),
        ("running", "sales"),
        ("running", "events"),
        ("session", "sales"),
    ]
    assert [each.action for each in found] == [
        Action(verb="retry", database="billing"),
        Action(verb="cancel", database="sales", query=7),
        Action(verb="cancel", database="events", query=3),
        None,
    ]


def test_a_long_list_of_what_goes_on_is_cut():
    busy = statistics(running=tuple(query(n, "select 1") for n in range(MOST + 30)))
    found = activities([busy])
    assert len(found) == MOST + 1
    assert found[-1].what == "and 30 more"


def test_nothing_goes_on():
    assert activity_html(activities([statistics()])) == ""


def test_a_session_whose_transaction_failed_alarms():
    session = SessionStatistics(name="s", pid=1, transaction="aborted", busy=False, idle=0.0)
    (found,) = activities([statistics(sessions=(session,))])
    assert found.alarming
    assert "rollback" in found.what
