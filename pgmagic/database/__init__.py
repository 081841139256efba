"""One database: its settings, pool, breaker, sessions and statistics."""
