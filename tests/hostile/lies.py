"""What a hostile server may say, by the point at which it says it."""

import struct
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, count, repeat

from tests.hostile import wire
from tests.hostile.scripted import HONEST, INT4, ONE, Answer, Script, copied

__all__ = [
    "AFTER_COPY",
    "AFTER_COPY_ENDLESS",
    "CANCEL",
    "ENDLESS",
    "LIES",
    "PROBE",
    "RESET",
    "RESET_ENDLESS",
    "TLS",
    "WORDS",
    "in_turn",
]

HUGE = "x" * (4 << 20)
FAR = 0x7FFFFFFF  # the longest length that can be claimed
GARBAGE = bytes(range(256)) * 4
HELD = b"\0" * 4096
WORDS = "call this number and say your password"


def in_turn(*answers: Answer) -> Answer:
    """Say one after the other, and the last of them from then on."""
    turns = chain(answers, repeat(answers[-1]))

    def next_answer() -> Iterator[bytes]:
        answer = next(turns)
        return iter([answer]) if isinstance(answer, bytes) else answer()

    return next_answer


def _then_closes(said: bytes = b"") -> Callable[[], Iterator[bytes]]:
    def say() -> Iterator[bytes]:
        yield said
        raise EOFError

    return say


def _copy(*rows: bytes, header: bytes = wire.COPY_HEADER) -> bytes:
    """Write a COPY of these payloads, which ends as an honest one does."""
    data = b"".join(wire.copy_data(row) for row in (header, *rows))
    return (
        wire.COPY_OUT + data + wire.COPY_DONE + wire.command_complete("COPY 1") + wire.ready(b"T")
    )


def _described(*columns: tuple[str, int], count: int | None = None) -> bytes:
    return (
        wire.PARSE_COMPLETE
        + wire.parameter_description()
        + wire.row_description(*columns, count=count)
    )


def _settings() -> Iterator[bytes]:
    """Tell settings that are all different, a few at a time."""
    for start in count(0, 50):
        yield b"".join(wire.parameter_status(f"s{start + i}", "v" * 1000) for i in range(50))


def _sasl(*mechanisms: bytes) -> bytes:
    return wire.authentication(10, b"".join(m + b"\0" for m in mechanisms) + b"\0")


STARTUP: dict[str, bytes] = {
    "says nothing": b"",
    "speaks HTTP": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "speaks garbage": GARBAGE,
    "speaks nothing but zeros": bytes(10_000),
    "asks for a way in that nobody knows": wire.authentication(99),
    "asks for Kerberos": wire.authentication(7),
    "asks without saying for what": wire.message(b"R"),
    "asks for MD5 without its salt": wire.authentication(5),
    "offers no mechanism": _sasl(),
    "offers an unknown mechanism": _sasl(b"SCRAM-SHA-1", b"PLAIN"),
    "wants SCRAM for an hour": _sasl(b"SCRAM-SHA-256")
    + wire.authentication(11, b"r=x,s=c2FsdA==,i=2147483647"),
    "lets us in before it has proven itself": _sasl(b"SCRAM-SHA-256") + wire.greeting(),
    "goes on with SCRAM that was not begun": wire.authentication(11, b"r=x,s=y,i=1"),
    "ends SCRAM that was not begun": wire.authentication(12, b"v=x"),
    "continues SCRAM with nonsense": _sasl(b"SCRAM-SHA-256") + wire.authentication(11, GARBAGE),
    "is ready without having let us in": wire.ready(),
    "sends rows at once": wire.data_row(ONE) * 100,
    "refuses in words without an end": wire.message(b"E", b"SFATAL\0MNo"),
    "refuses without words": wire.message(b"E", b"\0"),
    "refuses with an unknown field": wire.message(b"E", b"\xffx\0\0"),
    "refuses in bytes that are no text": wire.message(b"E", b"SFATAL\0C28000\0M\xff\xfe\0\0"),
    "refuses at great length": wire.error(HUGE, "28000", "FATAL"),
    "tells a setting without an end": wire.message(b"S", b"TimeZone"),
    "tells a setting that is no text": wire.message(b"S", b"\xff\0\xfe\0"),
    "has a version that is none": wire.greeting(server_version="banana"),
    "has an endless version": wire.greeting(server_version="1." * 100_000),
    "has an encoding that nobody knows": wire.greeting(client_encoding="EVIL"),
    "has an encoding that is no text": wire.greeting(client_encoding="zlib_codec"),
    "has an encoding of seven bits": wire.greeting(client_encoding="SQL_ASCII"),
    "claims a length of nothing": wire.message(b"S", b"", length=0) * 50,
    "claims a length that cannot be": wire.message(b"S", HELD, length=3),
    "claims a negative length": wire.message(b"S", HELD, length=-1),
    "claims a length without an end": wire.message(b"E", HELD, length=FAR),
    "has half a key": wire.authentication(0) + wire.message(b"K", b"\0\0") + wire.ready(),
    "has a state that nobody knows": wire.authentication(0) + wire.ready(b"?"),
    "is ready without saying how": wire.authentication(0) + wire.message(b"Z"),
    "lets us in, and falls silent": wire.authentication(0),
    "lets us in, and speaks garbage": wire.greeting() + GARBAGE,
    "lets us in, and copies": wire.greeting() + wire.COPY_OUT + wire.copy_data(HELD),
}

DESCRIBE: dict[str, bytes] = {
    "describes nothing": b"",
    "describes more columns than there are": _described(("one", INT4), count=3),
    "describes fewer columns than there are": _described(("a", INT4), ("b", INT4), count=1),
    "describes a negative number of columns": _described(("one", INT4), count=-1),
    "describes 30,000 columns": _described(*[("c", INT4)] * 30_000),
    "describes a column without a name": wire.PARSE_COMPLETE
    + wire.parameter_description()
    + wire.message(b"T", struct.pack("!h", 1) + b"one"),
    "describes a column that is no text": wire.PARSE_COMPLETE
    + wire.parameter_description()
    + wire.message(b"T", b"\0\1\xff\xfe\0" + struct.pack("!ihihih", 0, 0, INT4, 4, -1, 0)),
    "describes a type that there is not": _described(("one", 999_999)),
    "describes no type at all": _described(("one", 0)),
    "describes a parameter that was not written": wire.PARSE_COMPLETE
    + wire.parameter_description(INT4, INT4)
    + wire.row_description(("one", INT4)),
    "describes half a parameter": wire.PARSE_COMPLETE
    + wire.message(b"t", b"\0\5\0")
    + wire.row_description(("one", INT4)),
    "describes, and claims it is longer": wire.PARSE_COMPLETE + wire.message(b"T", b"", length=FAR),
    "answers a question with rows": wire.data_row(ONE) * 100 + wire.ready(),
    "answers a question with a copy": wire.COPY_OUT + wire.copy_data(HELD),
    "wants a copy of ours": wire.message(b"G", struct.pack("!bhh", 1, 1, 1)),
    "wants to copy both ways": wire.message(b"W", struct.pack("!bhh", 1, 1, 1)),
    "is ready before it has described": wire.ready(),
    "speaks garbage in a description": GARBAGE,
}

EXECUTE: dict[str, bytes] = {
    "gives no rows, and no end": b"",
    "gives more columns than it described": wire.BIND_COMPLETE
    + wire.data_row(b"a", b"b", b"c")
    + wire.command_complete("SELECT 1")
    + wire.ready(),
    "gives a row of nothing": wire.BIND_COMPLETE
    + wire.message(b"D")
    + wire.command_complete("SELECT 1")
    + wire.ready(),
    "gives a value that is longer than its row": wire.BIND_COMPLETE
    + wire.message(b"D", struct.pack("!hi", 1, FAR))
    + wire.command_complete("SELECT 1")
    + wire.ready(),
    "gives a value of a negative length": wire.BIND_COMPLETE
    + wire.message(b"D", struct.pack("!hi", 1, -7))
    + wire.command_complete("SELECT 1")
    + wire.ready(),
    "gives a value that is no text": wire.BIND_COMPLETE
    + wire.data_row(b"\xff\xfe")
    + wire.command_complete("SELECT 1")
    + wire.ready(),
    "ends what was not begun": wire.COPY_DONE * 10 + wire.ready(),
    "speaks garbage instead of rows": GARBAGE,
}

COMMAND: dict[str, bytes] = {
    "does not say that it began": b"",
    "begins by copying": wire.COPY_OUT + wire.copy_data(HELD),
    "begins with a tag that is no text": wire.message(b"C", b"\xff\xfe\0") + wire.ready(b"T"),
    "begins with a tag without an end": wire.message(b"C", b"BEGIN") + wire.ready(b"T"),
    "tells a position that is none": wire.notice("pgmagic reads what it likes", "INFO")
    + wire.command_complete("BEGIN")
    + wire.ready(b"T"),
    "tells a position in no time": wire.notice("pgmagic reads 1:1: 0/1 inf", "INFO")
    + wire.command_complete("BEGIN")
    + wire.ready(b"T"),
    "warns in words without an end": wire.message(b"N", b"SNOTICE\0M") + wire.ready(b"T"),
    "speaks garbage instead of beginning": GARBAGE,
}

COPY: dict[str, bytes] = {
    "copies nothing": b"",
    "copies without beginning to": wire.copy_data(HELD) + wire.ready(b"T"),
    "copies without a header": _copy(header=b""),
    "copies under another header": _copy(header=b"PGCOPY2" + bytes(20)),
    "copies with flags that nobody knows": _copy(header=wire.COPY_HEADER[:11] + b"\xff" * 8),
    "copies with an endless extension": _copy(
        header=wire.COPY_HEADER[:15] + struct.pack("!i", FAR)
    ),
    "copies without an end": _copy(wire.copy_row(ONE)),
    "copies on after its end": _copy(wire.COPY_TRAILER, wire.copy_row(ONE)),
    "copies more columns than it described": _copy(wire.copy_row(ONE, ONE), wire.COPY_TRAILER),
    "copies a negative number of columns": _copy(wire.copy_row(ONE, count=-9), wire.COPY_TRAILER),
    "copies half a number": _copy(wire.copy_row(b"\0\1"), wire.COPY_TRAILER),
    "copies a value longer than all": _copy(struct.pack("!hi", 1, FAR) + b"x"),
    "copies a value of a negative length": _copy(struct.pack("!hi", 1, -5) + b"x"),
    "copies, and stops in a row": _copy(wire.copy_row(ONE)[:5]),
    "copies less than it tells": wire.COPY_OUT + wire.command_complete("COPY 1") + wire.ready(b"T"),
    "copies, and sends rows": wire.COPY_OUT + wire.data_row(ONE) * 5 + wire.ready(b"T"),
    "copies, and claims it is longer": wire.COPY_OUT + wire.message(b"d", HELD, length=FAR),
    "copies in text": _copy(b"1\n", header=b"1\n"),
    "wants a copy instead of giving one": wire.message(b"G", struct.pack("!bhh", 1, 1, 1)),
    "copies both ways": wire.message(b"W", struct.pack("!bhh", 1, 1, 1)) + wire.copy_data(HELD),
    "fails at great length": wire.error(HUGE) + wire.ready(b"E"),
    "fails at a place that there is not": wire.error("no", "42601", P="999999") + wire.ready(b"E"),
    "fails at a place that is no number": wire.error("no", "42601", P="here") + wire.ready(b"E"),
    "fails inside at no number": wire.error("no", "42601", q="f()", p="x") + wire.ready(b"E"),
    "fails with a code that is none": wire.error("no", "") + wire.ready(b"E"),
    "fails with a code that is long": wire.error("no", "4" * 10_000) + wire.ready(b"E"),
    "fails in the middle": wire.COPY_OUT
    + wire.copy_data(wire.COPY_HEADER)
    + wire.error("no")
    + wire.ready(b"E"),
    "is ready before it has copied": wire.ready(b"T"),
    "changes the encoding on the way": wire.parameter_status("client_encoding", "EVIL")
    + wire.error("no")
    + wire.ready(b"E"),
    "speaks garbage instead of copying": GARBAGE,
    "speaks garbage in the middle": wire.COPY_OUT + GARBAGE,
    "says good-bye": wire.error("terminating connection", "57P01", "FATAL"),
}

LIES: dict[str, Script] = {
    name: {point: lie}
    for point, lies in {
        "startup": STARTUP,
        "describe": DESCRIBE,
        "execute": EXECUTE,
        "command": COMMAND,
        "copy": COPY,
    }.items()
    for name, lie in lies.items()
}

_BEGUN = wire.COPY_OUT + wire.copy_data(wire.COPY_HEADER)
_ROWS = wire.copy_data(wire.copy_row(ONE) * 5_000)

# Made anew for each conversation.
ENDLESS: dict[str, Script] = {
    "notices at once": {"startup": lambda: repeat(wire.notice("x" * 100) * 500)},
    "settings at once": {"startup": _settings},
    "settings after the door": {"command": _settings},
    "notices to a command": {"command": lambda: repeat(wire.notice("x" * 100) * 500)},
    "notices to a copy": {"copy": lambda: repeat(wire.notice("x" * 100) * 500)},
    "rows to a description": {"describe": lambda: repeat(wire.data_row(ONE) * 5_000)},
    "rows to a question": {"execute": lambda: repeat(wire.data_row(b"a") * 5_000)},
    "rows of a copy": {"copy": lambda: chain([_BEGUN], repeat(_ROWS))},
    "one value": {
        "copy": lambda: chain(
            [_BEGUN, wire.copy_data(struct.pack("!hi", 1, FAR))],
            repeat(wire.copy_data(b"x" * 65_536)),
        )
    },
    "one message": {
        "copy": lambda: chain(
            [wire.COPY_OUT, wire.message(b"d", b"", length=FAR)], repeat(b"x" * 65_536)
        )
    },
    "one refusal": {
        "startup": lambda: chain([wire.message(b"E", b"M", length=FAR)], repeat(b"x" * 65_536))
    },
    "errors": {"copy": lambda: repeat(wire.error("x" * 1000) * 100)},
    "ready": {"copy": lambda: repeat(wire.ready(b"T") * 1000)},
}

_STREAM = b"x" * 65_536

# What may be said of COPY itself, when it is asked for the first time.
PROBE: dict[str, Script] = {name: {"probe": lie} for name, lie in COPY.items()} | {
    name: {"probe": script["copy"]} for name, script in ENDLESS.items() if "copy" in script
}

# What may follow where TLS is wished for, or where it begins: nothing that is TLS.
TLS: dict[str, Script] = {
    "says nothing": {"tls": b""},
    "closes": {"tls": _then_closes()},
    "refuses, and goes on in clear": {"tls": b"N" + wire.greeting()},
    "answers with another letter": {"tls": b"Y"},
    "answers with a small letter": {"tls": b"s"},
    "refuses in words": {"tls": wire.error(WORDS, "28000", "FATAL")},
    "refuses in words of old": {"tls": b"E" + WORDS.encode() + b"\0"},
    "warns": {"tls": wire.notice(WORDS)},
    "lets us in": {"tls": wire.greeting()},
    "asks for the password": {"tls": wire.authentication(3)},
    "agrees twice": {"tls": b"SS"},
    "agrees, and lets us in": {"tls": b"S" + wire.greeting()},
    "agrees, and asks for the password": {"tls": b"S" + wire.authentication(3)},
    "agrees, and refuses in words": {"tls": b"S" + wire.error(WORDS, "28000", "FATAL")},
    "speaks HTTP": {"tls": b"HTTP/1.1 400 Bad Request\r\n\r\n"},
    "speaks without an end": {"tls": lambda: repeat(_STREAM)},
    "refuses without an end": {"tls": lambda: chain([b"E"], repeat(_STREAM))},
    "agrees without an end": {"tls": lambda: repeat(b"S" * 65_536)},
    "agrees, and closes": {"tls": _then_closes(b"S")},
} | {
    f"agrees, and then {name}": {"tls": b"S", "hello": said}
    for name, said in {
        "says nothing": b"",
        "closes": _then_closes(),
        "speaks garbage": GARBAGE,
        "lets us in": wire.greeting(),
        "asks for the password": wire.authentication(3),
        "refuses in words": wire.error(WORDS, "28000", "FATAL"),
        "speaks without an end": lambda: repeat(_STREAM),
        "alerts": b"\x15\3\3\0\2\2\x28",
        "warns without an end": lambda: repeat(b"\x15\3\3\0\2\1\x5a" * 1000),
        "begins half a record": b"\x16\3\3\x40\0" + HELD,
        "begins a hello of 16 MB": lambda: chain(
            [b"\x16\3\3\x40\0\2\xff\xff\xff" + bytes(16_380)],
            repeat(b"\x16\3\3\x40\0" + bytes(16_384)),
        ),
        "changes nothing without an end": lambda: repeat(b"\x14\3\3\0\1\1" * 1000),
    }.items()
}

# What may follow a CancelRequest, which has no answer.
CANCEL: dict[str, Script] = {
    "says nothing": {"cancel": b""},
    "closes": {"cancel": _then_closes()},
    "speaks garbage": {"cancel": GARBAGE},
    "speaks garbage, and closes": {"cancel": _then_closes(GARBAGE)},
    "lets us in": {"cancel": wire.greeting()},
    "refuses in words": {"cancel": wire.error(WORDS, "28000", "FATAL")},
    "speaks without an end": {"cancel": lambda: repeat(_STREAM)},
    "is ready without an end": {"cancel": lambda: repeat(wire.ready() * 10_000)},
}

_STALE = copied(struct.pack("!i", 99))  # rows that nobody has asked for
_STALE_ROWS = wire.row_description(("one", INT4)) + wire.data_row(b"99")
_ANSWERS = b"".join(
    answer for point in ("describe", "command") if isinstance(answer := HONEST[point], bytes)
)
_GOOD_BYE = wire.error("terminating connection", "57P01", "FATAL")


def _instead(state: bytes) -> dict[str, Answer]:
    """Say what may stand where a command's end should, before `state`."""
    return {
        "nothing": b"",
        "its end": _then_closes(),
        "garbage": GARBAGE,
        "an error": wire.error("no"),
        "an error, and goes on": wire.error("no") + wire.ready(b"E"),
        "a good-bye": _GOOD_BYE,
        "a good-bye, and closes": _then_closes(_GOOD_BYE),
        "rows": wire.data_row(b"99") * 100,
        "rows, and an end": _STALE_ROWS + wire.command_complete("SELECT 1") + state,
        "a copy": _STALE,
        "a copy, and an end": _STALE + wire.command_complete("COPY 1") + state,
        "one more row of a copy": wire.copy_data(wire.copy_row(struct.pack("!i", 99))),
        "several ends of a copy": wire.COPY_DONE * 5 + wire.command_complete("COPY 1") + state,
        "no tag": state,
        "a tag that is no text": wire.message(b"C", b"\xff\xfe\0") + state,
        "a tag without an end": wire.message(b"C", b"COPY") + state,
        "a tag, and no more": wire.command_complete("COPY 1"),
        "a state that nobody knows": wire.command_complete("COPY 1") + wire.ready(b"?"),
        "a transaction that failed": wire.command_complete("COPY 1") + wire.ready(b"E"),
    }


def _behind(honest: Answer, state: bytes) -> dict[str, Answer]:
    """Say what may stand behind an honest end, where nothing is asked yet."""
    assert isinstance(honest, bytes)
    again = wire.command_complete("COPY 1") + state
    behind = {
        "garbage": GARBAGE,
        "the same": honest,
        "ready a thousand times": state * 1000,
        "an error": wire.error("no"),
        "an error, and goes on": wire.error("no") + wire.ready(b"E"),
        "a good-bye": _GOOD_BYE,
        "rows": _STALE_ROWS + again,
        "a copy": _STALE + again,
        "half a copy": wire.message(b"d", HELD, length=FAR),
        "another encoding": wire.parameter_status("client_encoding", "EVIL"),
        "the answers to come": _ANSWERS + _STALE + again,
    }
    closing = {"its end": b"", "a good-bye, and closes": _GOOD_BYE}
    return {
        **{f"an end, and {name}": honest + lie for name, lie in behind.items()},
        **{f"an end, and {name}": _then_closes(honest + lie) for name, lie in closing.items()},
    }


def _endless(honest: Answer, state: bytes) -> dict[str, Answer]:
    assert isinstance(honest, bytes)
    said = {
        "notices": wire.notice("x" * 100) * 500,
        "ready": state * 1000,
        "rows": wire.data_row(b"a") * 5_000,
        "copies": (_STALE + wire.command_complete("COPY 1") + state) * 100,
        "news": wire.message(b"A", struct.pack("!i", 1) + b"a\0b\0") * 1000,
    }
    return {
        **{name: partial(repeat, lie) for name, lie in said.items()},
        **{
            f"an end, and {name}": partial(chain, [honest], repeat(lie))
            for name, lie in said.items()
        },
        "an end, and settings": lambda: chain([honest], _settings()),
    }


# What may follow the CopyDone of a copy, and what the reset of its connection.
AFTER_COPY = _instead(wire.ready(b"T")) | _behind(HONEST["done"], wire.ready(b"T"))
RESET = _instead(wire.ready()) | _behind(HONEST["reset"], wire.ready())
AFTER_COPY_ENDLESS = _endless(HONEST["done"], wire.ready(b"T"))
RESET_ENDLESS = _endless(HONEST["reset"], wire.ready())
