"""The names that PostgreSQL has for its SQLSTATEs.

https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

import re

import asyncpg

__all__ = ["condition"]

# Where asyncpg's class is not called as the condition is.
NAMES = {
    "08000": "connection_exception",
    "08001": "sqlclient_unable_to_establish_sqlconnection",
    "08004": "sqlserver_rejected_establishment_of_sqlconnection",
    "09000": "triggered_action_exception",
    "0A000": "feature_not_supported",
    "0F000": "locator_exception",
    "0Z000": "diagnostics_exception",
    "22000": "data_exception",
    "2202E": "array_subscript_error",
    "22011": "substring_error",
    "22027": "trim_error",
    "22P01": "floating_point_exception",
    "2F000": "sql_routine_exception",
    "38000": "external_routine_exception",
    "38002": "modifying_sql_data_not_permitted",
    "38003": "prohibited_sql_statement_attempted",
    "38004": "reading_sql_data_not_permitted",
    "39000": "external_routine_invocation_exception",
    "39004": "null_value_not_allowed",
    "3B000": "savepoint_exception",
    "40001": "serialization_failure",
    "42000": "syntax_error_or_access_rule_violation",
    "42601": "syntax_error",
    "42803": "grouping_error",
    "42P20": "windowing_error",
    "58000": "system_error",
    "58030": "io_error",
    "F0000": "config_file_error",
    "HV000": "fdw_error",
    "HV010": "fdw_function_sequence_error",
    "P0000": "plpgsql_error",
    "P0001": "raise_exception",
    "P0004": "assert_failure",
    "XX000": "internal_error",
}
WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def condition(error: asyncpg.PostgresError) -> str | None:
    """Name the condition of an error, None for a SQLSTATE of somebody's own."""
    if error.sqlstate in NAMES:
        return NAMES[error.sqlstate]
    if type(error) is asyncpg.UnknownPostgresError:
        return None
    # asyncpg calls its classes after the conditions: UndefinedTableError, undefined_table.
    return WORDS.sub("_", type(error).__name__.removesuffix("Error")).lower()
