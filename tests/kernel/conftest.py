"""Kernels with databases `a` and `b`, on two servers.

`kernel` is shared by many tests, with its `activity`. A kernel of a test's own has databases of
its own, seen by `own_activity`: when they are dropped, no connection may be left.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.kernels import Activity, Kernel, configure, start_kernel
from tests.servers import Administrator, TestDatabase, fresh_database

__all__: list[str] = []


@pytest.fixture(scope="session")
def databases(
    administrator: Administrator, second_administrator: Administrator
) -> Iterator[tuple[TestDatabase, TestDatabase]]:
    """The databases of the shared kernel: nothing is written to them."""
    with fresh_database(administrator) as a, fresh_database(second_administrator) as b:
        yield a, b


@pytest.fixture
def activity(databases: tuple[TestDatabase, TestDatabase]) -> Activity:
    """What the shared kernel runs on `a` and `b`."""
    return Activity(databases)


@pytest.fixture
def own_activity(database: TestDatabase, second_database: TestDatabase) -> Activity:
    """What a kernel of this test alone runs on its `a` and `b`."""
    return Activity((database, second_database))


class SharedKernel:
    """One kernel for many tests, and another one after a test that left it unwell."""

    def __init__(self, start: Callable[[], Kernel]) -> None:
        self._start = start
        self._kernel: Kernel | None = None
        self._complaints = 0

    def lend(self) -> Kernel:
        if self._kernel is None:
            self._kernel = self._start()
            self._kernel.run("%load_ext pgmagic").ok()
        return self._kernel

    def check(self) -> None:
        """Assert that nothing is left in use and that nobody complained; else give it up."""
        assert self._kernel is not None
        try:
            self._kernel.settle()
            assert self._kernel.complaints() == []
        except BaseException:
            self.give_up()
            raise

    def give_up(self) -> None:
        if self._kernel is not None:
            self._kernel.shutdown(now=True)
            self._kernel = None


@pytest.fixture(scope="session")
def shared_kernel(
    databases: tuple[TestDatabase, TestDatabase], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SharedKernel]:
    def start() -> Kernel:
        folder = tmp_path_factory.mktemp("shared")
        return start_kernel(folder, configure(folder, a=databases[0], b=databases[1]))

    shared = SharedKernel(start)
    yield shared
    shared.give_up()


@pytest.fixture
def kernel(shared_kernel: SharedKernel, activity: Activity) -> Iterator[Kernel]:
    """A kernel with pgmagic loaded. Others have used it: its loop may be re-entered by now.

    After the test every connection must be back in its pool, and nothing must run.
    """
    yield shared_kernel.lend()
    shared_kernel.check()
    assert activity.queries() == []


@pytest.fixture
def start_own(
    database: TestDatabase, second_database: TestDatabase, tmp_path: Path
) -> Iterator[Callable[..., Kernel]]:
    """A factory of a kernel of this test alone, which has not loaded pgmagic yet.

    Arguments are passed on to ipykernel; `others` are further databases, by name.
    """
    with ExitStack() as stack:

        def start(
            *arguments: str, environment: Mapping[str, str] | None = None, **others: TestDatabase
        ) -> Kernel:
            dsns = configure(tmp_path, a=database, b=second_database, **others)
            kernel = start_kernel(tmp_path, dsns | dict(environment or {}), *arguments)
            stack.callback(lambda: kernel.shutdown(now=not kernel.manager.is_alive()))
            return kernel

        yield start


@pytest.fixture
def own_kernel(start_own: Callable[..., Kernel]) -> Kernel:
    """A kernel of this test alone, with pgmagic loaded: to patch, break and end."""
    kernel = start_own()
    kernel.run("%load_ext pgmagic").ok()
    return kernel


@pytest.fixture
def bare_kernel(start_own: Callable[..., Kernel]) -> Kernel:
    """A kernel of this test alone, which has not loaded pgmagic yet."""
    return start_own()
