"""Where the password of a database comes from, asked anew for each connection.

The first of these that there is: the callable of the settings, the variable named by
`password_env`, the keyring, the DSN of `dsn_env`, the service, `PGPASSWORD`, the password file.
Where none has one, the user may be asked.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

from pgmagic import events
from pgmagic.database.endpoint import Address, PasswordSource
from pgmagic.database.parameters import Parameters
from pgmagic.database.passfile import find_password, passfile_problem
from pgmagic.database.places import Places
from pgmagic.database.settings import DatabaseSettings, PasswordProvider
from pgmagic.errors import ConnectFailed, SettingsError
from pgmagic.secret import Secret

__all__ = [
    "KEYRING_SERVICE",
    "PLACES",
    "Ask",
    "PasswordWanted",
    "Prompt",
    "Prompts",
    "no_password",
    "password_sources",
]

KEYRING_SERVICE = "pgmagic"
PLACES = "a password can come from ~/.pgpass, PGPASSWORD, a service, password_env or the keyring"
Ask: TypeAlias = Callable[[str], Awaitable[str | None]]
"""Asks the user for the password of the named account, without showing it. None: nobody can."""


class PasswordWanted(Exception):
    """The server wants a password that only the user knows: `prompt` asks for it."""

    def __init__(self, prompt: "Prompt") -> None:
        super().__init__("the server wants a password")
        self.prompt = prompt


class Prompt:
    """Asks the user once, however many connections want to know, and remembers the answer."""

    def __init__(self, prompts: "Prompts", account: str) -> None:
        self.remembered: Secret | None = None
        self._prompts = prompts
        self._account = account
        self._asking = asyncio.Lock()

    async def __call__(self) -> str | None:
        return self.remembered.reveal() if self.remembered else None

    async def ask(self) -> None:
        """Ask, unless it has just been told. Raises ConnectFailed where nobody is there."""
        async with self._asking:
            if self.remembered is None:
                self.remembered = await self._prompts.answer(self._account)

    def forget(self, refused: Secret) -> None:
        """Forget what the server refused, so that the next connection asks again."""
        if self.remembered is refused:
            self.remembered = None


class Prompts:
    """All questions to one user, one at a time and one for each account.

    `answered` counts them. The event loop may have stood still while somebody typed.
    """

    def __init__(self, ask: Ask) -> None:
        self.answered = 0
        self._ask = ask
        self._prompts: dict[str, Prompt] = {}
        self._asking = asyncio.Lock()

    def prompt(self, account: str) -> Prompt:
        return self._prompts.setdefault(account, Prompt(self, account))

    async def answer(self, account: str) -> Secret:
        """Ask, after all who came before. Raises ConnectFailed where nobody is there."""
        async with self._asking:
            try:
                typed = await self._ask(account)
            finally:
                self.answered += 1
        if typed is None:
            raise no_password(account)
        return Secret(typed)


def no_password(account: str, database: str = "") -> ConnectFailed:
    """Say that there is no password, and where one could have been."""
    return ConnectFailed(
        f"the server wants a password, and there is none for {account}",
        database=database,
        sqlstate="28P01",
        hint=PLACES,
    )


def password_sources(
    settings: DatabaseSettings,
    parameters: Parameters,
    places: Places,
    *,
    addresses: Sequence[Address],
    names: Sequence[str],
    user: str,
    database: str,
    environ: Mapping[str, str],
) -> tuple[list[PasswordSource], str]:
    """Give one source for each address, and the name of the source in words.

    `names` are the hosts as the password file has them. Raises SettingsError where a source that
    the settings name is not there.
    """
    if settings.password is not None:
        return [_provided(settings.name, settings.password)] * len(addresses), "callable"
    if settings.password_env is not None:
        source = _from_variable(settings, settings.password_env, environ)
        return [source] * len(addresses), settings.password_env
    if settings.keyring:
        if find_spec("keyring") is None:
            raise SettingsError(
                f"{settings.name}: keyring is not installed", hint="pip install keyring"
            )
        return [
            _from_keyring(f"{user}@{name}:{address.port}/{database}")
            for name, address in zip(names, addresses, strict=True)
        ], "keyring"
    secret = parameters.secret("password")
    if secret is not None:
        origin = parameters.origin("password")
        return [_known(secret, origin)] * len(addresses), origin
    written = parameters["passfile"]
    path = places.path(written) if written else places.passfile
    sources = [
        _from_passfile(path, name, address.port, database, user)
        for name, address in zip(names, addresses, strict=True)
    ]
    return sources, _passfile_source(
        settings.name, path, places, list(zip(names, addresses, strict=True)), database, user
    )


def _passfile_source(
    name: str,
    path: Path,
    places: Places,
    hosts: Sequence[tuple[str, Address]],
    database: str,
    user: str,
) -> str:
    shown = places.shown(path)
    problem = passfile_problem(path)
    if problem:
        events.passfile_ignored(name, path=shown, problem=problem)
        return f"none ({shown} {problem})"
    for host, address in hosts:
        if find_password(path, host=host, port=address.port, database=database, user=user):
            return shown
    return "none"


def _provided(name: str, provider: PasswordProvider) -> PasswordSource:
    async def ask_provider() -> str | None:
        try:
            answer: Any = provider()
            password: Any = await answer if inspect.isawaitable(answer) else answer
        except Exception as error:
            failed = _failed(name, "password", error)
        else:
            if isinstance(password, str):
                return password
            failed = SettingsError(
                f"{name}: password gave {type(password).__name__} instead of text"
            )
        raise failed

    return ask_provider


def _failed(name: str, what: str, error: Exception) -> SettingsError:
    """Say that a source failed, without its words and its frames: they may hold the password.

    Raise it outside the block that caught the error, which would stay behind it otherwise.
    """
    return SettingsError(
        f"{name}: {what} failed with {type(error).__name__}",
        hint="called on its own, it says more",
    )


def _from_variable(
    settings: DatabaseSettings, variable: str, environ: Mapping[str, str]
) -> PasswordSource:
    if variable not in environ:
        raise SettingsError(f"{settings.name}: password_env names {variable}, which is not set")

    async def read_variable() -> str | None:
        return _sendable(environ.get(variable), variable)

    return read_variable


def _from_keyring(account: str) -> PasswordSource:
    async def ask_keyring() -> str | None:
        keyring = import_module("keyring")
        failed = None
        try:  # it may wait for the user to unlock it
            password = await asyncio.to_thread(keyring.get_password, KEYRING_SERVICE, account)
        except Exception as error:
            failed = _failed(account, "the keyring", error)
        if failed is not None:
            raise failed
        if password is None:
            raise SettingsError(
                f"the keyring has no password for {account}",
                hint=f"store it in a terminal: keyring set {KEYRING_SERVICE} {account}",
            )
        return str(password)

    return ask_keyring


def _known(secret: Secret, origin: str) -> PasswordSource:
    async def reveal() -> str | None:
        return _sendable(secret.reveal(), origin)

    return reveal


def _from_passfile(path: Path, host: str, port: int, database: str, user: str) -> PasswordSource:
    async def read_passfile() -> str | None:
        password = find_password(path, host=host, port=port, database=database, user=user)
        return _sendable(password, str(path))

    return read_passfile


def _sendable(password: str | None, origin: str) -> str | None:
    """Refuse a password that is not UTF-8 here: the driver's error would hold all of it."""
    # Bytes that could not be read as UTF-8 stand in files and variables as lone surrogates.
    if password is None or not any("\ud800" <= character <= "\udfff" for character in password):
        return password
    del password
    raise SettingsError(f"{origin}: the password is not written in UTF-8")
