"""The magics about databases and their pools."""

from typing import Any

from IPython.core.magic import line_magic, magics_class, no_var_expand

from pgmagic.database.configuration import from_options
from pgmagic.errors import CellError
from pgmagic.http import StatisticsServer
from pgmagic.language.line import read_words
from pgmagic.notebook.display import show_text
from pgmagic.notebook.help import CLOSE, CONNECT, SERVE, described
from pgmagic.notebook.magics.group import MagicGroup

__all__ = ["PoolMagics"]


@magics_class
class PoolMagics(MagicGroup):
    """Add, list, show, check, serve and close."""

    def __init__(self, pg: Any) -> None:
        super().__init__(pg)
        self._server = StatisticsServer(pg.client.statistics)

    async def shut_down(self) -> None:
        await self._server.stop()
        await self.client.close()

    @no_var_expand
    @line_magic
    @described(CONNECT)
    def pg_connect(self, line: str) -> Any:
        """Add a database and try it; without a NAME list the databases there are.

            %pg_connect NAME [DSN] [options]

        The DSN has no password: that comes from where libpq looks, from --password-env, from the
        keyring, or it is asked for. With nothing but the NAME of a database that is known, that one
        is tried; any other is looked for as psql without options would.
        """
        words, given = read_words(line, "%pg_connect", CONNECT)
        if not words:
            return self.client.listing()
        if given.pop("retry", False):
            show_text(self.home.run(self.client.retry(*words)))
            return None
        name, *dsn = words
        if len(dsn) > 1:
            raise CellError(
                f"%pg_connect takes a name and one DSN, not {len(words)} words",
                hint="a DSN of the form key=value is written in quotes",
            )
        if name in self.client.databases and not dsn and not given:
            show_text(self.home.run(self.client.reach(name)))
        else:
            settings = from_options(name, dsn=dsn[0] if dsn else None, **given)
            show_text(self.home.run(self.client.connect(settings)))
        self.pg.completions.learn_of(name)
        return None

    @no_var_expand
    @line_magic
    def pg_pools(self, line: str) -> None:
        """Show every pool, live: connections, waiting, acquire times, queries, errors, breaker."""
        read_words(line, "%pg_pools", ())
        self.pg.panels.show()

    @no_var_expand
    @line_magic
    @described(CLOSE)
    def pg_close(self, line: str) -> None:
        """Close the pools of databases, or of all; with --session a session of theirs.

        %pg_close [target …] [--session NAME]
        """
        words, given = read_words(line, "%pg_close", CLOSE)
        names = self.client.targets(words) if words else ()
        if session := given.get("session"):
            show_text(self.home.run(self.client.close_session(session, *names)))
        else:
            held = [name for name in self.client.snapshots if not names or name in names]
            self.home.run(self.client.close(*names))
            if held:
                show_text(f"{', '.join(held)}: no snapshot is held any more")

    @no_var_expand
    @line_magic
    def pg_check(self, line: str) -> Any:
        """Run the production checklist on databases, or on all, and give what was found.

            %pg_check [target …]

        What fails comes first, each with a remedy. Nothing is changed on any database.
        """
        words, _ = read_words(line, "%pg_check", ())
        return self.home.run(self.client.check(*words))

    @no_var_expand
    @line_magic
    @described(SERVE)
    def pg_serve(self, line: str) -> None:
        """Serve the health and the metrics of all pools over HTTP, to this machine only.

            %pg_serve [--port N] [--stop]

        GET /health, /metrics and /metrics/NAME answer in JSON, or in text for Prometheus.
        """
        _, given = read_words(line, "%pg_serve", SERVE)
        if given.get("stop"):
            stopped = self.home.run(self._server.stop())
            show_text("stopped serving" if stopped else "nothing was served")
        else:
            url = self.home.run(self._server.start(given.get("port", 0)))
            show_text(f"{url}/health and {url}/metrics, until %pg_serve --stop")
