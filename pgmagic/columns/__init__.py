"""From the wire to a frame: what the columns are, their values, Arrow and pandas."""

from pgmagic.columns.agreement import Agreement, ColumnsDiffer, agree
from pgmagic.columns.catalog import describe
from pgmagic.columns.copybinary import DecodeError
from pgmagic.columns.copyout import copy_out
from pgmagic.columns.decoder import accelerated
from pgmagic.columns.frame import combine, to_frame
from pgmagic.columns.listing import listing
from pgmagic.columns.options import FrameOptions, Progress
from pgmagic.columns.reading import Reading, read

__all__ = [
    "Agreement",
    "ColumnsDiffer",
    "DecodeError",
    "FrameOptions",
    "Progress",
    "Reading",
    "accelerated",
    "agree",
    "combine",
    "copy_out",
    "describe",
    "listing",
    "read",
    "to_frame",
]
