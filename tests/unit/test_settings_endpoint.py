"""What is tried, in which order, and after which failure."""

import ssl

import asyncpg
import pytest

from pgmagic.database.endpoint import Address, Endpoint, goes_on


async def no_password() -> None:
    return None


def endpoint(**given) -> Endpoint:
    addresses = tuple(Address(*each) for each in given.pop("addresses", [("a", 1)]))
    values = {
        "names": tuple(address.host for address in addresses),
        "user": "clerk",
        "database": "sales",
        "sslmode": "prefer",
        "ssl": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        "connect_timeout": 1.0,
        "passwords": (no_password,) * len(addresses),
        "password_source": "none",
    }
    return Endpoint(addresses=addresses, **{**values, **given})


def tried(one: Endpoint) -> list[tuple[str, bool]]:
    return [(attempt.address.host, attempt.tls) for attempt in one.attempts()]


@pytest.mark.parametrize(
    ("mode", "order"),
    [
        ("allow", [False, True]),
        ("prefer", [True, False]),
        ("require", [True]),
        ("verify-ca", [True]),
        ("verify-full", [True]),
    ],
)
def test_the_mode_decides_whether_tls_is_tried_first_only_or_last(mode, order):
    assert [tls for _, tls in tried(endpoint(sslmode=mode))] == order


def test_a_socket_has_no_tls():
    assert tried(endpoint(sslmode="verify-full", addresses=[("/run", 1)])) == [("/run", False)]
    assert tried(endpoint(sslmode="disable", ssl=None)) == [("a", False)]


def test_addresses_are_tried_in_the_order_written():
    one = endpoint(sslmode="require", addresses=[("b", 1), ("a", 2), ("/run", 3)])
    assert tried(one) == [("b", True), ("a", True), ("/run", False)]


def test_a_preference_for_standbys_is_a_second_round():
    one = endpoint(
        sslmode="require", addresses=[("a", 1), ("b", 1)], target_session_attrs="prefer-standby"
    )
    wanted = [attempt.arguments["target_session_attrs"] for attempt in one.attempts()]
    assert wanted == ["standby", "standby", "any", "any"]


def test_load_balancing_tries_every_address_once():
    addresses = [(f"h{number}", 1) for number in range(20)]
    one = endpoint(sslmode="require", addresses=addresses, load_balance=True)
    orders = {tuple(tried(one)) for _ in range(5)}
    assert len(orders) > 1
    assert all(sorted(order) == sorted((host, True) for host, _ in addresses) for order in orders)


REFUSED_TLS = ConnectionError("rejected SSL upgrade")
REFUSED = ConnectionRefusedError()
NO_ENTRY = asyncpg.InvalidAuthorizationSpecificationError()
WRONG_PASSWORD = asyncpg.InvalidPasswordError()
STARTING = asyncpg.CannotConnectNowError()
WRONG_ROLE = asyncpg.TargetServerAttributeNotMatched()
NO_DATABASE = asyncpg.InvalidCatalogNameError()


@pytest.mark.parametrize(
    ("mode", "error", "in_the_other_way", "elsewhere"),
    [
        ("prefer", REFUSED_TLS, True, False),
        ("prefer", ssl.SSLError(), True, False),
        ("prefer", NO_ENTRY, True, False),
        ("allow", NO_ENTRY, True, False),
        ("prefer", WRONG_PASSWORD, False, False),
        ("allow", WRONG_PASSWORD, False, False),
        ("prefer", REFUSED, False, True),
        ("prefer", TimeoutError(), False, True),
        ("prefer", STARTING, False, True),
        ("prefer", WRONG_ROLE, False, True),
        ("prefer", NO_DATABASE, False, False),
        ("prefer", ValueError(), False, False),
    ],
)
def test_a_failure_leads_on_as_in_libpq(mode, error, in_the_other_way, elsewhere):
    first, other_way, other_address, _ = endpoint(
        sslmode=mode, addresses=[("a", 1), ("b", 1)]
    ).attempts()
    assert goes_on(first, error, other_way) == in_the_other_way
    assert goes_on(first, error, other_address) == elsewhere


def test_neither_password_nor_arguments_are_shown():
    one = endpoint(passwords=(no_password,))
    shown = f"{one!r} {next(one.attempts())!r}"
    assert "no_password" not in shown
