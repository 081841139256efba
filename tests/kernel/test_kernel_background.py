"""`--background`: the query goes on while other cells run, and is awaited when it is wanted."""

import time

from tests.kernels import Activity, Kernel, wait_until


def test_it_returns_at_once_and_goes_on_between_cells(kernel: Kernel, activity: Activity) -> None:
    reply = kernel.run("%%pg --background a b --into late\nselect 1 as x, pg_sleep(1)").ok()
    assert reply.seconds < 1.0
    assert "running" in reply.result
    assert "a, b" in reply.result
    activity.until(2)
    # Nothing asks the kernel anything until the servers are done.
    activity.until(0)
    wait_until(lambda: kernel.value("late.done()"))
    assert kernel.run("await late").ok().seconds < 1.0
    assert kernel.value("(await late).x.tolist()") == [1, 1]
    assert kernel.value("late.result().x.tolist()") == [1, 1]


def test_it_goes_on_while_a_line_waits(kernel: Kernel) -> None:
    kernel.run("late = %pg --background a select 1 as x").ok()
    reply = kernel.run("%pg b select pg_sleep(0.4)\nprint(late.done())").ok()
    assert reply.stdout == "True\n"


def test_python_that_computes_holds_it_up_but_loses_nothing(kernel: Kernel) -> None:
    reply = kernel.run(
        "import time\nlate = %pg --background a select 1 as x\ntime.sleep(0.4)\nprint(late.done())"
    ).ok()
    assert reply.stdout == "False\n"
    assert kernel.run("(await late).x.tolist()").ok().result == "[1]"


def test_several_are_awaited_together(kernel: Kernel) -> None:
    kernel.run(
        "import asyncio\n"
        "first = %pg --background a select 1 as x, pg_sleep(0.5)\n"
        "second = %pg --background b select 2 as x, pg_sleep(0.5)"
    ).ok()
    reply = kernel.run("[int(f.x[0]) for f in await asyncio.gather(first, second)]").ok()
    assert reply.result == "[1, 2]"


def test_a_failure_is_raised_where_it_is_awaited(kernel: Kernel) -> None:
    kernel.run("late = %pg --background a select oops, pg_sleep(0.1)").ok()
    reply = kernel.run("await late").failed("QueryError")
    assert "oops" in reply.traceback
    assert "failed" in kernel.run("late").ok().result


def test_a_failure_that_nobody_awaits_is_reported(kernel: Kernel) -> None:
    started = kernel.start("late = %pg --background a select 1 / (random() * 0)::int")
    kernel.finish(started)
    kernel.wait_for_output(None, "division by zero")
    wait_until(lambda: kernel.value("late.done()"))
    kernel.run("late.result()").failed("QueryError")


def test_the_rest_of_a_failed_one_is_asked_again(kernel: Kernel, activity: Activity) -> None:
    kernel.run(f"a, divisor = {activity.databases[0].name!r}, [0]").ok()
    sql = "select 1 / (case when current_database() = {a} then random() * 0 else 1 end)::int as x"
    kernel.run(f"late = %pg --background a b {sql}").ok()
    kernel.run("await late").failed("FanOutError")
    kernel.run("import sys; error = sys.last_value").ok()
    assert kernel.value("error.partial.values.tolist()") == [["b", 1]]
    for _ in range(2):  # the error of the retry knows how to try again as well
        kernel.run("error.retry_failed()").failed("FanOutError")
        kernel.run("error = sys.last_value").ok()


def test_it_can_be_cancelled(kernel: Kernel, activity: Activity) -> None:
    kernel.run("late = %pg --background a select pg_sleep(30)").ok()
    activity.until(1)
    began = time.monotonic()
    kernel.run("late.cancel()").ok()
    activity.until(0)
    assert time.monotonic() - began < 2.0
    for asked in ("await late", "late.result()"):
        reply = kernel.run(asked).failed("QueryCancelled")
        assert "cancelled on a" in reply.traceback
        assert "Traceback" not in reply.traceback
    assert "cancelled" in kernel.run("late").ok().result


def test_an_interrupt_stops_the_waiting_and_says_that_the_query_goes_on(
    kernel: Kernel, activity: Activity
) -> None:
    kernel.run("late = %pg --background a select pg_sleep(30)").ok()
    activity.until(1)
    waits = kernel.start("print('waits')\nawait late")
    kernel.wait_for_output(waits, "waits")
    kernel.interrupt()
    reply = kernel.finish(waits).failed("KeyboardInterrupt")
    assert "the query goes on" in reply.traceback
    assert "running" in kernel.run("late").ok().result
    activity.until(1)
    kernel.run("late.cancel()").ok()
    activity.until(0)


def test_what_the_servers_said_is_shown_where_it_is_awaited(kernel: Kernel) -> None:
    kernel.run(
        "%%pg --background --limit 2 a b --into late\n"
        "do $$ begin raise notice 'look'; end $$; select generate_series(1, 9) as x"
    ).ok()
    reply = kernel.run("await late").ok()
    [shown] = reply.shown
    assert shown.startswith("a 2 · b 2 rows")
    assert "note: a: first 2 rows" in shown
    assert "note: a, b NOTICE: look" in shown
    assert kernel.run("(await late).x.tolist()").ok().shown == ()
    assert kernel.value("late.result().x.tolist()") == [1, 2, 1, 2]
