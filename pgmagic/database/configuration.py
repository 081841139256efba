"""`pgmagic.toml`: the databases of a project and of a user.

    default = "sales"

    [defaults]                 # for every database of this file
    statement_timeout = 60

    [databases.sales]          # the settings of docs/configuration.md
    service = "sales"

    [groups]
    shards = ["shard_*", "@europe"]

`mode` ("record" or "replay") and `recordings`, a folder, stand at the top, as `default` does.

The file of the project, found from the working directory upwards, or named by the variable
PGMAGIC_CONFIG, comes first; what it does not define is taken from the user's own. Passwords have
no place in either.
"""

import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import reduce
from pathlib import Path
from typing import Any

from pgmagic.database.dsn import parse_dsn
from pgmagic.database.parameters import WITHOUT_EFFECT, Parameters, refuse_unsupported
from pgmagic.database.settings import DatabaseSettings
from pgmagic.environment import VARIABLES
from pgmagic.errors import SettingsError
from pgmagic.language.suggest import did_you_mean

__all__ = ["Configuration", "from_options", "load"]

FILE_NAME = "pgmagic.toml"
VARIABLE = "PGMAGIC_CONFIG"  # names the file of the project, wherever one works
SECTIONS = ("default", "defaults", "databases", "groups", "mode", "recordings")
MODES = (None, "live", "record", "replay")
SETTINGS = tuple(each.name for each in fields(DatabaseSettings) if each.name != "name")
PASSWORD_KEYS = {"password", "sslpassword", "passwd", "pwd", "pgpassword", "secret", "token"}
INSTEAD = "use ~/.pgpass, a service, password_env or keyring = true"


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The databases and groups that files define, and the files."""

    databases: Mapping[str, DatabaseSettings] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    default: str | None = None
    mode: str | None = None
    recordings: Path | None = None
    origins: tuple[Path, ...] = ()

    def or_else(self, other: "Configuration") -> "Configuration":
        """Add what only the other one defines."""
        return Configuration(
            databases={**other.databases, **self.databases},
            groups={**other.groups, **self.groups},
            default=self.default or other.default,
            mode=self.mode or other.mode,
            recordings=self.recordings or other.recordings,
            origins=(*self.origins, *other.origins),
        )


def load(
    start: Path | None = None,
    *,
    environ: Mapping[str, str] = VARIABLES,
    home: Path | None = None,
) -> Configuration:
    """Read the project's file, looked for from `start` upwards, and the user's.

    `start` is the working directory by default. Where PGMAGIC_CONFIG names a file, that is the
    project's. No file at all is an empty configuration. Raises SettingsError, naming file and key.
    """
    files = [_read(path) for path in _files((start or Path.cwd()).resolve(), environ, home)]
    configuration = reduce(Configuration.or_else, files, Configuration())
    default = configuration.default
    if default is not None and default not in configuration.databases:
        path = next(each.origins[0] for each in files if each.default == default)
        near = did_you_mean(default, configuration.databases)
        raise SettingsError(f"{path}: default names no database, {default!r}{near}")
    return configuration


def from_options(name: str, **options: Any) -> DatabaseSettings:
    """Make settings from what was typed: `dsn` and the settings by name, None for not given.

    What is given by itself wins over the same thing in the DSN. Raises SettingsError for unknown
    settings and where the DSN holds a password.
    """
    given = {key: value for key, value in options.items() if value is not None}
    return _settings(name, given, where=name)


def _files(start: Path, environ: Mapping[str, str], home: Path | None) -> Iterable[Path]:
    project = _named(environ) or next(
        (
            folder / FILE_NAME
            for folder in (start, *start.parents)
            if (folder / FILE_NAME).is_file()
        ),
        None,
    )
    own = _user_folder(environ, home or Path(environ.get("HOME") or Path.home())) / FILE_NAME
    found = [path for path in (project, own) if path is not None and path.is_file()]
    return dict.fromkeys(path.resolve() for path in found)


def _named(environ: Mapping[str, str]) -> Path | None:
    if not (name := environ.get(VARIABLE)):
        return None
    path = Path(name).expanduser()
    if not path.is_file():
        raise SettingsError(f"{VARIABLE} names {path}, and there is no such file")
    return path


def _user_folder(environ: Mapping[str, str], home: Path) -> Path:
    if environ.get("XDG_CONFIG_HOME"):
        return Path(environ["XDG_CONFIG_HOME"]) / "pgmagic"
    if sys.platform == "win32":
        return Path(environ.get("APPDATA") or home) / "pgmagic"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "pgmagic"
    return home / ".config" / "pgmagic"


def _read(path: Path) -> Configuration:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        problem = "cannot be read"
    except tomllib.TOMLDecodeError as error:
        problem = f"is not TOML: {_position(error)}"
    else:
        return _configuration(path, content)
    raise SettingsError(f"{path} {problem}")


def _position(error: tomllib.TOMLDecodeError) -> str:
    """Keep where, drop what: the message may quote a part of the line."""
    _, found, place = str(error).rpartition("(at ")
    return place.removesuffix(")") if found else "unreadable"


def _configuration(path: Path, content: Mapping[str, Any]) -> Configuration:
    for section in content:
        if section not in SECTIONS:
            raise SettingsError(
                f"{path}: unknown key {section!r}" + did_you_mean(section, SECTIONS),
                hint=f"known: {', '.join(SECTIONS)}",
            )
    defaults = _table(path, "defaults", content.get("defaults", {}))
    databases = _table(path, "databases", content.get("databases", {}))
    groups = _table(path, "groups", content.get("groups", {}))
    # Checked by themselves too, so that a mistake is found where it stands.
    _settings("defaults", defaults, where=f"{path}: [defaults]")
    default = content.get("default")
    if default is not None and not isinstance(default, str):
        raise SettingsError(f"{path}: default must be the name of a database")
    mode, recordings = content.get("mode"), content.get("recordings")
    if mode not in MODES:
        near = did_you_mean(str(mode), MODES[1:])
        raise SettingsError(f"{path}: mode must be {', '.join(MODES[1:-1])} or {MODES[-1]}{near}")
    if recordings is not None and not isinstance(recordings, str):
        raise SettingsError(f"{path}: recordings must be the name of a folder")
    return Configuration(
        databases={
            name: _settings(
                name,
                _table(path, f"databases.{name}", own),
                defaults=defaults,
                where=f"{path}: [databases.{name}]",
            )
            for name, own in databases.items()
        },
        groups={name: _targets(path, name, targets) for name, targets in groups.items()},
        default=default,
        mode=mode,
        recordings=path.parent / Path(recordings).expanduser() if recordings else None,
        origins=(path,),
    )


def _table(path: Path, name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise SettingsError(f"{path}: {name} must be a table, [{name}]")
    return value


def _targets(path: Path, name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        return tuple(value)
    raise SettingsError(f"{path}: [groups] {name} must be a list of databases, patterns or @groups")


def _settings(
    name: str,
    given: Mapping[str, Any],
    *,
    defaults: Mapping[str, Any] | None = None,
    where: str,
) -> DatabaseSettings:
    """Check the keys, open the DSN, build the settings. No value is repeated but by a check."""
    for key in given:
        _check_key(key, given[key], where)
    values = {**_opened(defaults or {}, where), **_opened(given, where)}
    try:
        return DatabaseSettings(name=name, **values)
    except SettingsError as error:
        message, hint = error.message.removeprefix(f"{name}: "), error.hint
    raise SettingsError(f"{where}: {message}", hint=hint)


def _check_key(key: str, value: Any, where: str) -> None:
    if key.lower() in PASSWORD_KEYS and not callable(value):
        raise SettingsError(
            f"{where}: {key} is not allowed, a password has no place here", hint=INSTEAD
        )
    if key == "dsn" and not isinstance(value, str):
        raise SettingsError(f"{where}: dsn must be text")
    if key not in SETTINGS and key != "dsn":
        raise SettingsError(
            f"{where}: unknown setting {key!r}" + did_you_mean(key, [*SETTINGS, "dsn"])
        )


def _opened(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Replace a DSN by the settings it stands for, which those beside it override."""
    values = {key: value for key, value in given.items() if key != "dsn"}
    if "dsn" not in given:
        return values
    layer = parse_dsn(given["dsn"], origin=f"{where}: dsn")
    refuse_unsupported(Parameters([layer]))
    opened: dict[str, Any] = {}
    for keyword, value in layer.values.items():
        setting = "database" if keyword == "dbname" else keyword
        if setting in SETTINGS:
            opened[setting] = _seconds(value, where) if setting == "connect_timeout" else value
        elif keyword not in WITHOUT_EFFECT:
            raise SettingsError(
                f"{where}: {keyword} in the DSN is not a setting of pgmagic",
                hint="put the DSN into a variable and name that with dsn_env",
            )
    return {**opened, **values}


def _seconds(value: str, where: str) -> float | None:
    try:
        seconds = float(value)
    except ValueError:
        raise SettingsError(f"{where}: connect_timeout in the DSN must be a number") from None
    return seconds if seconds > 0 else None
