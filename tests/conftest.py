"""Fixtures for every test: real servers, a proxy that breaks connections, a pooler."""

from hypothesis import settings

pytest_plugins = ["tests.servers", "tests.proxy", "tests.pgbouncer"]

# A slow machine is no failure: pytest-timeout alone says what is too long.
settings.register_profile("pgmagic", deadline=None)
settings.load_profile("pgmagic")
