"""Which databases a cell means: names, shell patterns, groups, the default."""

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from pgmagic.errors import UnknownDatabase
from pgmagic.language.suggest import did_you_mean

__all__ = ["resolve_targets"]

_CONNECTION = re.compile(r"[:/=]|.@")


def resolve_targets(
    targets: Sequence[str],
    names: Sequence[str],
    groups: Mapping[str, Sequence[str]],
    default: str | None,
) -> tuple[str, ...]:
    """Give the names that the targets stand for, each once, in the order written.

    A target is a name, a shell pattern such as `shard_*`, or `@group`, whose members are targets
    themselves. Without a target: the default, or the only database there is. Raises
    `UnknownDatabase`, which lists what there is.
    """
    if not targets:
        return (_default(names, default),)
    found: dict[str, None] = {}
    for target in targets:
        found.update(dict.fromkeys(_expand(target, names, groups, ())))
    return tuple(found)


def _expand(
    target: str,
    names: Sequence[str],
    groups: Mapping[str, Sequence[str]],
    within: tuple[str, ...],
) -> Iterator[str]:
    if target in names:
        yield target
    elif _CONNECTION.search(target):  # not repeated: it may hold a password
        raise UnknownDatabase(
            "a target is a name, a pattern or a group, and no connection string",
            hint=_listed(names),
        )
    elif target.startswith("@"):
        group = target[1:]
        if group not in groups:
            near = did_you_mean(group, groups)
            raise UnknownDatabase(f"there is no group {target}{near}", hint=_listed(groups, "@"))
        if group in within:
            raise UnknownDatabase(f"group {target} contains itself, through @{within[-1]}")
        for member in groups[group]:
            yield from _expand(member, names, groups, (*within, group))
    elif any(c in target for c in "*?["):
        matching = [name for name in names if fnmatchcase(name, target)]
        if not matching:
            raise UnknownDatabase(f"no database is called like {target}", hint=_listed(names))
        yield from matching
    else:
        near = did_you_mean(target, names)
        raise UnknownDatabase(f"there is no database {target}{near}", hint=_listed(names))


def _default(names: Sequence[str], default: str | None) -> str:
    if default is not None:
        return default
    if len(names) == 1:
        return names[0]
    if not names:
        raise UnknownDatabase(
            "no database is configured",
            hint="%pg_sandbox starts three to play with; %pg_connect NAME adds one of yours",
        )
    raise UnknownDatabase("name a database: there is no default", hint=_listed(names))


def _listed(names: Sequence[str] | Mapping[str, object], sign: str = "") -> str:
    if not names:
        return "there is none yet; %pg_connect NAME adds one"
    return "there are " + ", ".join(sign + name for name in names)
