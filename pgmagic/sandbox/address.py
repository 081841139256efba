"""Where a database of the sandbox is, and as whom to sign in."""

from dataclasses import dataclass
from urllib.parse import quote, urlencode

from pgmagic.secret import Secret

__all__ = ["Address"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One database at a Unix socket; `host` is the folder of the socket."""

    host: str
    port: int
    user: str
    secret: Secret
    database: str

    @property
    def password(self) -> str:
        return self.secret.reveal()

    @property
    def dsn(self) -> str:
        """A DSN with the password."""
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        place = urlencode({"host": self.host, "port": self.port})
        return f"postgresql://{login}@/{quote(self.database, safe='')}?{place}"
