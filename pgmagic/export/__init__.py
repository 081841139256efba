"""Results to files, with bounded memory."""

from pgmagic.export.export import Export, Sink

__all__ = ["Export", "Sink"]
