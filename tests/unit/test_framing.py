"""What the driver would stumble over is refused before it, whatever the pieces it comes in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgmagic.database import framing
from pgmagic.database.framing import Framing, ProtocolBroken, scan_in_python
from tests.hostile import wire

ROWS = b"".join(wire.copy_data(b"x" * size) for size in range(300))
CONVERSATION = wire.greeting() + wire.COPY_OUT + ROWS + wire.COPY_DONE + wire.ready()

compiled = pytest.mark.skipif(framing.scan is scan_in_python, reason="nothing was compiled")


def fed(stream: bytes, *cuts: int) -> str:
    """Feed a stream in pieces; give what was refused, "" for nothing."""
    reader, start = Framing(), 0
    try:
        for cut in [*sorted(cuts), len(stream)]:
            reader.feed(stream[start:cut])
            start = cut
    except ProtocolBroken as error:
        return str(error)
    return ""


@given(st.lists(st.integers(0, len(CONVERSATION)), max_size=20))
def test_an_honest_conversation_passes_in_whatever_pieces(cuts):
    assert fed(CONVERSATION, *cuts) == ""


def test_it_passes_byte_by_byte():
    assert fed(CONVERSATION, *range(len(CONVERSATION))) == ""


@given(st.integers(0, len(CONVERSATION)), st.lists(st.integers(0, 30), max_size=5))
def test_what_follows_is_refused_in_whatever_pieces(cut, more):
    broken = CONVERSATION + wire.message(b"d", length=3) + b"\0" * 20
    cuts = [cut, *(len(CONVERSATION) + each for each in more)]
    assert "0x64 claims 3 bytes" in fed(broken, *cuts)


@pytest.mark.parametrize(
    "lie",
    [
        wire.message(b"\0"),
        wire.message(b"d", length=-1),
        wire.message(b"D", length=(1 << 30) + 1),
        wire.message(b"E", length=(64 << 20) + 1),
        wire.message(b"Z"),
        wire.message(b"S", b"a"),
        wire.message(b"1", b"x"),
        wire.authentication(0),
    ],
)
def test_what_no_server_sends_is_refused(lie):
    assert "claims" in fed(wire.greeting() + lie)


def test_settings_are_taken_until_they_are_too_many():
    setting = wire.parameter_status("TimeZone", "UTC")
    assert fed(wire.greeting() + setting * 10_000, len(wire.greeting())) == ""
    assert "0x53" in fed(wire.greeting() + setting * 1_000_000, len(wire.greeting()))


def test_little_is_taken_while_nobody_asks():
    reader = Framing()
    reader.feed(wire.greeting())
    reader.feed(wire.notice("x" * 1000) * 2_000)  # an answer, perhaps
    reader.unasked = 0
    reader.feed(wire.parameter_status("TimeZone", "UTC") * 1_000)
    with pytest.raises(ProtocolBroken, match="while nobody asks"):
        reader.feed(wire.notice("x" * 1000) * 1_000)


@pytest.mark.parametrize(
    ("steps", "refused"),
    [
        ([(0, b"")], False),
        ([(5, b"salt"), (0, b"")], False),
        ([(10, b"SCRAM-SHA-256\0\0"), (11, b"r=a,s=b,i=4096"), (12, b"v=x"), (0, b"")], False),
        ([(10, b"SCRAM-SHA-256\0\0"), (11, b"r=a,s=b,i=4096"), (0, b"")], True),
        ([(10, b"SCRAM-SHA-256\0\0"), (0, b"")], True),
        ([(10, b"SCRAM-SHA-256\0\0"), (11, b"r=a,s=b,i=1000001")], True),
        ([(10, b"SCRAM-SHA-256\0\0"), (11, b"r=a,s=b,i=0")], True),
        ([(10, b"SCRAM-SHA-256\0\0"), (11, b"r=a,s=b")], True),
        ([(11, b"r=a,s=b,i=1")], True),
        ([(12, b"v=x")], True),
        ([(0, b""), (3, b"")], True),
    ],
)
def test_the_steps_of_authentication_have_an_order(steps, refused):
    stream = b"".join(wire.authentication(*step) for step in steps)
    assert bool(fed(stream)) is refused


def test_ready_is_nobody_who_has_let_nobody_in():
    assert "before it has let anybody in" in fed(wire.ready())


@given(st.binary(max_size=200))
def test_garbage_ends_in_one_error_or_none(garbage):
    assert isinstance(fed(garbage), str)
    assert isinstance(fed(wire.greeting() + garbage), str)


@compiled
@given(st.lists(st.binary(max_size=40).map(lambda b: wire.message(b[:1] or b"d", b))), st.binary())
def test_both_scans_agree(messages, rest):
    data = b"".join(messages) + rest
    for tables in (framing._LENGTHS, framing._AT_FIRST):
        assert framing.scan(data, 0, *tables) == scan_in_python(data, 0, *tables)
