"""Visit a database and gather the facts, in one transaction that changes nothing."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

from pgmagic.database.checks.facts import Facts, IdleTransaction, Unreached
from pgmagic.database.connection import Connection
from pgmagic.database.pool import DatabasePool, Visit
from pgmagic.database.tls import is_local
from pgmagic.database.translation import translated
from pgmagic.errors import PgMagicError, QueryTimeout, SettingsError

__all__ = ["gather"]

SAMPLES = 3  # of the round trip and of the clock: the fastest is the one that says most
VISIT_TIMEOUT = 20.0  # seconds for all the questions
LIMITS = ["statement_timeout", "idle_in_transaction_session_timeout", "lock_timeout"]

# Roles that reach beyond the database: https://www.postgresql.org/docs/current/predefined-roles.html
POWERS = [
    "pg_execute_server_program",
    "pg_write_server_files",
    "pg_read_server_files",
    "pg_write_all_data",
]

SERVER = """
select
    current_setting('server_version') as version,
    current_setting('server_version_num')::int / 10000 as major,
    pg_postmaster_start_time()::text || ' ' || current_setting('port') as server,
    pg_is_in_recovery() as standby,
    current_setting('client_connection_check_interval', true) as check_interval,
    current_setting('max_connections')::int
        - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true)::int, 0) as max_connections,
    (select sum(numbackends)::int from pg_stat_database) as in_use,
    nullif(datconnlimit, -1) as database_limit,
    case
        when exists (select from pg_extension where extname = 'pg_stat_statements') then 'created'
        when exists (select from pg_available_extensions where name = 'pg_stat_statements')
            then 'available'
        else 'absent'
    end as statements
from pg_database where datname = current_database()
"""

# A superuser has every privilege: only those of others are looked for.
ROLE = """
select
    rolsuper as superuser,
    nullif(rolconnlimit, -1) as role_limit,
    array_remove(array[
        case when rolcreaterole then 'CREATEROLE' end,
        case when rolbypassrls then 'BYPASSRLS' end,
        case when rolreplication then 'REPLICATION' end
    ], null) || array(
        select rolname::text from pg_roles
        where rolname = any($1::text[]) and pg_has_role(current_user, oid, 'member')
        order by 1
    ) as powers,
    has_database_privilege(current_database(), 'create') or exists (
        select from pg_class join pg_namespace on pg_namespace.oid = relnamespace
        where relkind in ('r', 'p') and nspname !~ '^pg_' and nspname <> 'information_schema'
        and has_table_privilege(pg_class.oid, 'insert, update, delete, truncate')
    ) as writes
from pg_roles where rolname = current_user
"""

IDLE = """
select pid, extract(epoch from clock_timestamp() - state_change)::float8 as seconds
from pg_stat_activity
where state like 'idle in transaction%' and usename = current_user
and application_name = current_setting('application_name')
order by state_change
"""

IN_FORCE = "select name, setting::float8 / 1000 as seconds from pg_settings where name = any($1)"
ASK_FOR = "select set_config(name, value, true) from unnest($1::text[], $2::text[]) t (name, value)"


async def gather(pool: DatabasePool) -> Facts | Unreached:
    """Visit a database, even where its circuit is open. A failure is a value here."""
    try:
        async with pool.visit() as visit, asyncio.timeout(VISIT_TIMEOUT):
            with translated(pool.name):
                return await _look_around(pool, visit)
    except TimeoutError:
        error: PgMagicError = QueryTimeout(
            f"it did not answer within {VISIT_TIMEOUT:g} s", database=pool.name
        )
    except PgMagicError as failure:
        error = failure
    return Unreached(error=error, password_source=_password_source(pool))


async def _look_around(pool: DatabasePool, visit: Visit) -> Facts:
    connection, endpoint, connect = visit
    round_trip = await _round_trip(connection)
    clock_ahead = await _clock_ahead(connection)
    await connection.execute("; ".join(["begin read only", *pool.local_settings]))
    [server] = await connection.fetch(SERVER)
    [role] = await connection.fetch(ROLE, POWERS)
    idle = await connection.fetch(IDLE)
    in_force = await _limits(connection)
    wanted = {name: text for name, text in endpoint.server_settings.items() if name in LIMITS}
    # The server itself says what the settings mean: 30000 and 30s are the same.
    await connection.fetch(ASK_FOR, list(wanted), list(wanted.values()))
    as_wanted = await _limits(connection)
    await connection.execute("rollback")
    return Facts(
        where=endpoint.where,
        local=all(is_local(address.host) for address in endpoint.addresses),
        connect=connect,
        round_trip=round_trip,
        tls=connection.tls_version(),
        proven=endpoint.is_proven,
        sslmode=endpoint.sslmode,
        password_source=endpoint.password_source,
        asked=endpoint.prompt is not None and endpoint.prompt.remembered is not None,
        pooled=pool.pooled,
        server=server["server"],
        version=server["version"].split()[0],
        major=server["major"],
        standby=server["standby"],
        clock_ahead=clock_ahead,
        checks_client=server["check_interval"] not in (None, "0"),
        statements=server["statements"],
        superuser=role["superuser"],
        powers=tuple(role["powers"]),
        writes=role["writes"],
        wanted={name: as_wanted[name] for name in wanted},
        in_force=in_force,
        max_connections=server["max_connections"],
        in_use=server["in_use"],
        role_limit=role["role_limit"],
        database_limit=server["database_limit"],
        idle_transactions=tuple(
            IdleTransaction(pid=row["pid"], seconds=row["seconds"]) for row in idle
        ),
    )


def _password_source(pool: DatabasePool) -> str | None:
    try:
        return pool.endpoint.password_source
    except SettingsError:
        return None


async def _limits(connection: Connection) -> dict[str, float]:
    rows: Any = await connection.fetch(IN_FORCE, LIMITS)
    return {row["name"]: row["seconds"] for row in rows}


async def _round_trip(connection: Connection) -> float:
    """Seconds to the server and back."""
    times = []
    for _ in range(SAMPLES):
        started = time.perf_counter()
        await connection.execute("select")
        times.append(time.perf_counter() - started)
    return min(times)


async def _clock_ahead(connection: Connection) -> float:
    """Seconds by which the server's clock is ahead of this one, half a round trip more or less."""
    samples = []
    for _ in range(SAMPLES):
        before = datetime.now(UTC)
        theirs: datetime = await connection.fetchval("select clock_timestamp()")
        after = datetime.now(UTC)
        ahead = theirs - (before + (after - before) / 2)
        samples.append((after - before, ahead.total_seconds()))
    return min(samples)[1]
