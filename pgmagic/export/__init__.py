"""Results to files, with bounded memory."""

from pgmagic.export.export import Export, Sink
from pgmagic.export.schema import Digits

__all__ = ["Digits", "Export", "Sink"]
