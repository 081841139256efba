"""Fixtures for every test: real servers, a proxy that breaks connections, a pooler."""

pytest_plugins = ["tests.servers", "tests.proxy", "tests.pgbouncer"]
