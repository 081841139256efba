"""What is told of pools over HTTP, and in which form."""

import json
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as read_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as read_text

from pgmagic.database.statistics import DatabaseStatistics
from pgmagic.http.exposition import TOLD, as_json, as_prometheus, health
from pgmagic.http.negotiation import preferred
from tests.fake_pools import a_bad_day, statistics

OFFERED = ("application/json", "text/plain", "application/openmetrics-text")
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;"
    "q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize("openmetrics", [False, True])
def test_prometheus_can_read_what_is_written(openmetrics):
    text = as_prometheus(a_bad_day(), openmetrics=openmetrics)
    read = read_openmetrics if openmetrics else read_text
    families = {family.name: family for family in read(text)}
    # The reader for the older format takes the suffix of a counter away by itself.
    requests = families["pgmagic_requests"]
    assert requests.type == "counter"
    [sales] = [s for s in requests.samples if s.labels["database"] == "sales"]
    assert (sales.name, sales.value) == ("pgmagic_requests_total", 1204)
    assert families["pgmagic_pool_in_use"].type == "gauge"
    quantiles = {
        sample.labels["quantile"]: sample.value
        for sample in families["pgmagic_acquire_seconds"].samples
        if sample.labels["database"] == "sales"
    }
    assert quantiles == {"0.5": 0.0031, "0.95": 0.0112}
    assert all(family.documentation for family in families.values())


def test_no_pool_is_a_valid_text_too():
    assert all(
        not family.samples for family in read_openmetrics(as_prometheus((), openmetrics=True))
    )


@given(st.text(st.characters(blacklist_categories=["Cs"]), min_size=1))
def test_any_name_of_a_database_survives(name):
    text = as_prometheus([statistics(name, size=3)])
    [sample] = next(f for f in read_text(text) if f.name == "pgmagic_pool_size").samples
    assert (sample.labels, sample.value) == ({"database": name}, 3)


def test_json_tells_numbers_and_no_words_of_others():
    for each in a_bad_day():
        told = json.dumps(as_json(each))
        hidden = [query.first_line for query in each.running]
        hidden += [session.name for session in each.sessions]
        hidden += [each.last_error.message] if each.last_error else []
        assert not [text for text in hidden if text in told]


def test_every_field_of_the_statistics_is_told_or_kept_on_purpose():
    known = {field.name for field in fields(DatabaseStatistics)}
    assert known - set(TOLD) == {"last_error", "sessions", "running", "snapshot"}
    assert all(hasattr(statistics(), name) for name in TOLD)


@pytest.mark.parametrize(
    ("pools", "status"),
    [
        ((), "ok"),
        ((statistics(),), "ok"),
        ((statistics("a"), statistics("b", breaker="open")), "degraded"),
        ((statistics("a", in_use=10, waiting=3),), "degraded"),
        ((statistics("a", breaker="half-open"), statistics("b", breaker="open")), "unavailable"),
    ],
)
def test_health_is_that_of_all_databases(pools, status):
    told = health(pools)
    assert told["status"] == status
    assert list(told["databases"]) == [each.database for each in pools]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        (BROWSER, "application/json"),
        ("text/plain", "text/plain"),
        ("text/*", "text/plain"),
        ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", "text/plain"),
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text"),
        (PROMETHEUS, "application/openmetrics-text"),
        ("application/json;q=0.1, text/plain;q=0.2", "text/plain"),
        ("text/plain;q=0, */*", "application/json"),
        ("application/*;q=0.4, text/plain;q=0.3", "application/json"),
        ("text/plain;q=nonsense, application/json;q=0.1", "application/json"),
        ("image/png", "application/json"),
    ],
)
def test_the_accept_header_chooses(accept, expected):
    assert preferred(accept, OFFERED) == expected


@given(st.text())
def test_any_accept_header_gets_an_answer(accept):
    assert preferred(accept, OFFERED) in OFFERED
