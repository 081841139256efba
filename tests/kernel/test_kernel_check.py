"""`%pg_check` and `%pg_serve` in a notebook."""

import json
import re
from urllib.error import URLError
from urllib.request import urlopen

import pytest

URL = re.compile(r"http://127\.0\.0\.1:\d+")


def get(kernel, url: str):
    """Fetch a page while the kernel is idle: its loop serves between cells too."""
    with urlopen(url, timeout=10) as answer:
        return json.load(answer)


@pytest.mark.parametrize("line", ["", " a b", " *"])
def test_a_check_is_a_frame(kernel, line):
    kernel.run(f"found = %pg_check{line}").ok()
    assert kernel.value("list(found.columns)") == [
        "check",
        "database",
        "result",
        "found",
        "remedy",
    ]
    assert {"a", "b"} <= set(kernel.value("list(found.database)"))
    reached = "found[(found.check == 'reachable') & (found.database == 'a')].result.item()"
    assert kernel.value(reached) == "pass"


def test_a_check_of_nobody_names_those_there_are(kernel):
    assert "there is no database nobody" in kernel.run("%pg_check nobody").traceback


def test_the_pools_are_served_until_stopped(kernel, databases):
    kernel.run("%pg a select 1").ok()
    shown = kernel.run("%pg_serve --port 0").ok().shown[-1]
    url = URL.search(shown)[0]
    assert get(kernel, f"{url}/health")["status"] == "ok"
    told = get(kernel, f"{url}/metrics/a")
    assert told["requests_num"] >= 1
    assert databases[0].user not in json.dumps(told)
    assert url in kernel.run("%pg_serve").ok().shown[-1]
    kernel.run("%pg_serve --stop").ok()
    with pytest.raises(URLError):
        get(kernel, f"{url}/health")
    assert "nothing was served" in kernel.run("%pg_serve --stop").ok().shown[-1]


def test_stop_still_stops_a_cell_while_pools_are_served(kernel, activity):
    kernel.run("%pg_serve").ok()
    request = kernel.start("%%pg a\nselect pg_sleep(30)")
    activity.until(1)
    kernel.interrupt()
    assert kernel.finish(request).status == "error"
    kernel.run("%pg_serve --stop").ok()


def test_unloading_stops_serving(own_kernel):
    url = URL.search(own_kernel.run("%pg_serve").ok().shown[-1])[0]
    own_kernel.run("%unload_ext pgmagic").ok()
    with pytest.raises(URLError):
        get(own_kernel, f"{url}/health")
