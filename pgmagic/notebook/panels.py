"""The panels of one notebook, of which the newest is live."""

from IPython.core.interactiveshell import InteractiveShell

from pgmagic.client import Client
from pgmagic.notebook.loop import NotebookLoop
from pgmagic.notebook.panel import PoolPanel

__all__ = ["Panels"]


class Panels:
    """Shows the pools; freezes the panel before when the next one appears."""

    def __init__(self, shell: InteractiveShell, home: NotebookLoop, client: Client) -> None:
        self._shell = shell
        self._home = home
        self._client = client
        self._live: PoolPanel | None = None

    def show(self) -> None:
        """Show a panel here and now."""
        self.freeze()
        self._live = PoolPanel(
            self._client.statistics,
            history=self._client.history,
            retry=self._retry,
            cancel=self._client.cancel,
            loop=self._home.loop,
        )
        self._live.show()

    def show_after_cell(self) -> None:
        """Show a panel below the result, which IPython displays when the cell has ended."""

        def once(*_: object) -> None:
            self._shell.events.unregister("post_run_cell", once)
            self.show()

        self._shell.events.register("post_run_cell", once)

    def freeze(self) -> None:
        """Let the panel that is live, where there is one, stand as it is."""
        if self._live is not None:
            self._live.freeze()
            self._live = None

    def _retry(self, name: str) -> None:
        """Try a database from the panel; whether it worked is seen there."""
        self._home.background(self._client.retry(name)).add_done_callback(
            lambda task: None if task.cancelled() else task.exception()
        )
