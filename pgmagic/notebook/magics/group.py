"""What the groups of smaller magics share."""

from typing import TYPE_CHECKING

from IPython.core.magic import Magics

from pgmagic.client import Client
from pgmagic.notebook.loop import NotebookLoop

if TYPE_CHECKING:
    from pgmagic.notebook.magics.cells import PgMagics

__all__ = ["MagicGroup"]


class MagicGroup(Magics):
    """A few magics around `%%pg`, on the same client and the same loop."""

    def __init__(self, pg: "PgMagics") -> None:
        super().__init__(pg.shell)
        self.pg = pg

    @property
    def home(self) -> NotebookLoop:
        return self.pg.home

    @property
    def client(self) -> Client:
        return self.pg.client

    async def shut_down(self) -> None:
        """Give up what only this group holds; the pools are still open."""
