"""Load and unload: what `%load_ext pgmagic` puts into the shell, and takes out again."""

import atexit
from functools import partial
from typing import TYPE_CHECKING

from IPython.core.async_helpers import get_asyncio_loop
from IPython.core.interactiveshell import InteractiveShell

from pgmagic.client import Client
from pgmagic.language.query_plans import QueryPlans
from pgmagic.notebook.asking import PasswordPrompt
from pgmagic.notebook.loop import NotebookLoop
from pgmagic.notebook.magics import GROUPS, PgMagics
from pgmagic.notebook.notebook_file import notebook_file
from pgmagic.notebook.origin import cell_of
from pgmagic.notebook.plan_view import plans_html
from pgmagic.notebook.reentry import ReentryError
from pgmagic.notebook.replaying import make_idle
from pgmagic.notebook.transform import CellTransformer

if TYPE_CHECKING:
    from IPython.core.magic import Magics

__all__ = ["load", "unload"]


def load(shell: InteractiveShell) -> None:
    """Register the magics and the transformer; read the configuration. Opens no connection."""
    if getattr(shell, "pgmagic", None) is not None:
        return
    home = NotebookLoop(get_asyncio_loop())
    client = Client.from_config(ask=PasswordPrompt(shell), notebook=notebook_file(shell.user_ns))
    client.origin = partial(cell_of, shell)
    magics = PgMagics(shell, home, client)
    magics.groups = tuple(group(magics) for group in GROUPS)
    shell.register_magics(magics, *magics.groups)
    if client.replaying:
        make_idle(shell)
    shell.pgmagic = magics
    shell.input_transformers_cleanup.append(CellTransformer(shell, home.loop))
    magics.completions.register()
    shell.display_formatter.formatters["text/html"].for_type(QueryPlans, plans_html)
    atexit.register(_at_exit, magics)


def unload(shell: InteractiveShell) -> None:
    """Cancel what runs, close every pool, and leave the shell as it was."""
    magics: PgMagics | None = getattr(shell, "pgmagic", None)
    if magics is None:
        return
    atexit.unregister(_at_exit)
    magics.completions.unregister()
    shell.display_formatter.formatters["text/html"].pop(QueryPlans, None)
    shell.input_transformers_cleanup[:] = [
        transformer
        for transformer in shell.input_transformers_cleanup
        if not isinstance(transformer, CellTransformer)
    ]
    registered: tuple[Magics, ...] = (magics, *magics.groups)
    for group in registered:
        for kind, names in group.magics.items():
            for name in names:
                shell.magics_manager.magics[kind].pop(name, None)
        shell.configurables[:] = [known for known in shell.configurables if known is not group]
        shell.magics_manager.registry.pop(type(group).__name__, None)
    shell.pgmagic = None
    try:
        magics.home.run(magics.shut_down())
    except ReentryError:  # nothing can wait on such a loop: it ends by itself, a moment later
        magics.home.background(magics.shut_down())


def _at_exit(magics: PgMagics) -> None:
    magics.home.close(magics.shut_down)
