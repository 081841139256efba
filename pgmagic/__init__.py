"""Ask many PostgreSQL databases at once from a notebook cell."""

__version__ = "0.1.0"
