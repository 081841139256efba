"""Which file the running notebook is, as far as anybody tells the kernel."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pgmagic.environment import VARIABLES

__all__ = ["notebook_file"]


def notebook_file(
    namespace: Mapping[str, Any], environ: Mapping[str, str] = VARIABLES
) -> Path | None:
    """Give the notebook's path, None where it is not known: under nbclient, in a script.

    Jupyter's server tells it in JPY_SESSION_NAME, relative to a folder of its own, and starts the
    kernel beside the notebook; VS Code puts it into the namespace.
    """
    if isinstance(told := namespace.get("__vsc_ipynb_file__"), str):
        return Path(told)
    name = Path(environ.get("JPY_SESSION_NAME", "")).name
    return Path.cwd() / name if name.endswith(".ipynb") else None
