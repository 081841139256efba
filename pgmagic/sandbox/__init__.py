"""Real PostgreSQL servers for trying things out, from a wheel and without administration."""
