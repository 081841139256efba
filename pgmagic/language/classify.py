"""What the first keywords of a statement say about it."""

import itertools
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from pgmagic.language.scanner import INSIGNIFICANT, Token, TokenKind
from pgmagic.language.statement import Kind

__all__ = ["classify"]

QUERIES = frozenset({"select", "values", "table"})
CHANGES = frozenset({"insert", "update", "delete", "merge"})
TRANSACTION = frozenset(
    {"begin", "start", "commit", "end", "abort", "rollback", "savepoint", "release"}
)
SESSION = frozenset({"reset", "listen", "unlisten", "load", "discard", "deallocate"})
TEMPORARY = frozenset({"temp", "temporary"})
SESSION_FUNCTIONS = frozenset(
    {
        "set_config",
        "pg_advisory_lock",
        "pg_advisory_lock_shared",
        "pg_try_advisory_lock",
        "pg_try_advisory_lock_shared",
    }
)
# PostgreSQL lets these run in a READ ONLY transaction, although they write.
ALLOWED_WHEN_READ_ONLY = frozenset(
    {"vacuum", "analyze", "analyse", "cluster", "reindex", "repack", "notify", "load"}
)
# What SET may change to leave READ ONLY; "?" is a quoted name, which may be any of these.
MODES = frozenset(
    {"transaction_read_only", "default_transaction_read_only", "transaction", "characteristics"}
    | {"all", "?"}
)
CONCURRENT = frozenset({"create", "drop", "alter", "reindex", "repack"})
STREAMS = frozenset({"stdin", "stdout"})


class Word(NamedTuple):
    """A keyword or name in lower case, a bracket, or "?" for anything else; its nesting."""

    text: str
    depth: int


def classify(text: str, tokens: Sequence[Token]) -> Kind:
    """Say what a statement is, from its tokens in `text`.

    The verb's own level is what counts: the ORDER BY or the WHERE of a subquery says nothing
    about the statement around it.
    """
    words = list(_words(text, tokens))
    while words and words[-1].text == ";":
        words.pop()
    level, enclosed = _parentheses(words)
    main = _verb_index(words, level)
    verb = words[main].text if main < len(words) else ""
    if verb == "(":
        verb = "select"
    top = [word.text for word in words if word.depth <= level and word.text != "("]
    everything = {word.text for word in words}
    query = verb in QUERIES and not _into(words, level)
    returning = verb in CHANGES and "returning" in top
    runs = verb != "explain" or bool({"analyze", "analyse"} & everything)
    return Kind(
        verb=verb if verb not in {"?", ")"} else "",
        rows=query or returning or verb in {"show", "explain", "fetch"},
        ask=verb in {"execute", "call"},
        copyable=query or returning,
        copy_in=verb == "copy" and _streams(words, "from"),
        copy_out=verb == "copy" and _streams(words, "to"),
        transaction=_is_transaction(top),
        no_block=_is_outside_blocks(top, everything),
        unconditional=verb == "truncate" or (runs and _lacks_where(words, main)),
        ordered=verb in QUERIES and _has(words, "order", {"by"}, depth=enclosed),
        read=_is_read(verb, words, everything),
        evades_read_only=_evades_read_only(verb, top, words),
        session_state=_leaves_state(verb, top, words, everything),
        string_syntax=verb != "show" and _names_string_syntax(text, tokens),
    )


def _words(text: str, tokens: Sequence[Token]) -> Iterator[Word]:
    depth = 0
    for kind, start, stop in tokens:
        if kind in INSIGNIFICANT:
            continue
        if kind is TokenKind.WORD:
            yield Word(text[start:stop].lower(), depth)
        elif kind is TokenKind.PUNCTUATION:
            character = text[start]
            depth = max(0, depth - (character == ")"))
            yield Word(character, depth)
            depth += character == "("
        else:
            yield Word("?", depth)


def _parentheses(words: Sequence[Word]) -> tuple[int, int]:
    """Count the parentheses that a statement begins with, and those around all of it."""
    level = 0
    while level < len(words) and words[level].text == "(":
        level += 1
    enclosed = min((word.depth for word in words[level:-level]), default=0) if level else 0
    return level, min(level, enclosed)


def _verb_index(words: Sequence[Word], level: int) -> int:
    """Find the verb: the first word, or what follows the queries of a WITH."""
    if level >= len(words) or words[level].text != "with":
        return level
    previous, clause = "", False
    for index in range(level + 1, len(words)):
        text, depth = words[index]
        if depth != level:
            continue
        if previous == ")" and text in {"search", "cycle"}:
            clause = True
        elif ((previous == ")" or clause) and text in QUERIES | CHANGES) or (
            previous == ")" and text == "("
        ):
            return index
        previous = text
    return level


def _has(
    words: Sequence[Word], first: str, second: AbstractSet[str], *, depth: int | None = None
) -> bool:
    """Whether one of `second` follows `first`, at `depth` or anywhere."""
    return any(
        this.text == first and following.text in second and depth in {None, this.depth}
        for this, following in itertools.pairwise(words)
    )


def _into(words: Sequence[Word], level: int) -> bool:
    """Whether INTO stands at the verb's level, not as somebody's name."""
    return any(
        word.text == "into" and word.depth <= level and before.text not in {"as", "."}
        for before, word in itertools.pairwise(words)
    )


def _streams(words: Sequence[Word], direction: str) -> bool:
    # STDIN and STDOUT mean the same to the server; the preposition decides.
    return _has(words, direction, STREAMS, depth=0)


def _is_transaction(top: Sequence[str]) -> bool:
    verb, second = (*top, "", "")[:2]
    if verb == "prepare":
        return second == "transaction"
    return verb in TRANSACTION and second != "prepared"


def _is_outside_blocks(top: Sequence[str], everything: AbstractSet[str]) -> bool:
    """https://www.postgresql.org/docs/current/sql-commands.html: "cannot be executed inside"."""
    verb, second = (*top, "", "")[:2]
    target = next((text for text in top[1:] if text != ")"), "")
    if verb in {"create", "drop"} and second in {"database", "tablespace", "subscription"}:
        return True
    if verb in {"commit", "rollback"} and second == "prepared":
        return True
    if verb == "alter" and second == "database":
        return "tablespace" in top
    if verb == "reindex" and target in {"schema", "database", "system"}:
        return True
    if verb in {"cluster", "repack"} and target in {"", "verbose"}:
        return len(top) == 1 + top.count(")") + top.count("verbose")
    if verb in CONCURRENT and "concurrently" in everything:
        return True
    return verb == "vacuum" or (verb, second) in {("alter", "system"), ("discard", "all")}


def _lacks_where(words: Sequence[Word], main: int) -> bool:
    """Whether an UPDATE or DELETE, the statement itself or one in its WITH, has no WHERE."""
    begins = {main}
    if words and words[0].text == "explain":
        begins.update(i for i, word in enumerate(words[:8]) if word.depth == 0)
    pending: set[int] = set()  # depths of changes that have seen no WHERE yet
    for index, (text, depth) in enumerate(words):
        if text in {"update", "delete"} and (
            index in begins or _begins_query_of_with(words, index)
        ):
            pending.add(depth)
        elif text == "where":
            pending.discard(depth)
        elif text == ")" and depth + 1 in pending:
            return True
    return bool(pending)


def _begins_query_of_with(words: Sequence[Word], index: int) -> bool:
    return (
        index >= 2
        and words[index - 1].text == "("
        and words[index - 2].text in {"as", "materialized"}
    )


def _is_read(verb: str, words: Sequence[Word], everything: AbstractSet[str]) -> bool:
    if verb == "show":
        return True
    if verb == "explain":
        return not {"analyze", "analyse"} & everything
    return (
        verb in QUERIES
        and not ({"into"} | CHANGES) & everything
        and not _has(words, "for", {"update", "no", "share", "key"})
    )


def _evades_read_only(verb: str, top: Sequence[str], words: Sequence[Word]) -> bool:
    second = (*top, "", "")[1]
    if verb == "copy":
        return "to" in top and not _streams(words, "to")
    if verb in {"set", "reset"}:
        named = [text for text in top[1:] if text not in {"session", "local"}]
        return not MODES.isdisjoint(named[:1])
    return (
        verb in ALLOWED_WHEN_READ_ONLY
        or (verb in TRANSACTION | {"prepare"} and (verb != "prepare" or second == "transaction"))
        or (verb, second) in {("alter", "system"), ("discard", "all")}
    )


def _leaves_state(
    verb: str, top: Sequence[str], words: Sequence[Word], everything: AbstractSet[str]
) -> bool:
    second = (*top, "", "")[1]
    if verb == "set":
        return second not in {"local", "constraints", "transaction"}
    if verb == "prepare":
        return second != "transaction"
    if verb == "create":
        return bool(TEMPORARY & set(top[1:5]))
    if verb == "declare":
        return _has(words, "with", {"hold"})
    return verb in SESSION or _has(words, "into", TEMPORARY) or bool(SESSION_FUNCTIONS & everything)


def _names_string_syntax(text: str, tokens: Sequence[Token]) -> bool:
    """Whether standard_conforming_strings is named, as a word, quoted or in a string."""
    return bool(tokens) and (
        "standard_conforming_strings" in text[tokens[0].start : tokens[-1].stop].lower()
    )
