"""From the wire to a frame: what the columns are, their values, Arrow and pandas."""

from pgmagic.columns.abilities import carries_rows, tells_limit
from pgmagic.columns.agreement import Agreement, ColumnsDiffer, agree
from pgmagic.columns.budget import Budget
from pgmagic.columns.catalog import describe
from pgmagic.columns.changes import Change, Difference, Verdict
from pgmagic.columns.copybinary import DecodeError
from pgmagic.columns.copyin import copy_in
from pgmagic.columns.copying import behind
from pgmagic.columns.copyout import copy_out
from pgmagic.columns.decoder import accelerated
from pgmagic.columns.difference import compare
from pgmagic.columns.digest import content
from pgmagic.columns.fixed import FixedFrame
from pgmagic.columns.frame import combine, to_frame
from pgmagic.columns.inlining import inline
from pgmagic.columns.joining import joined
from pgmagic.columns.keeping import pack, unpack
from pgmagic.columns.listing import listing
from pgmagic.columns.options import FrameOptions, Progress
from pgmagic.columns.outgoing import LONGEST_NAME, Outgoing, outgoing
from pgmagic.columns.preparing import prepare
from pgmagic.columns.reading import Reading, Sink, read

__all__ = [
    "LONGEST_NAME",
    "Agreement",
    "Budget",
    "Change",
    "ColumnsDiffer",
    "DecodeError",
    "Difference",
    "FixedFrame",
    "FrameOptions",
    "Outgoing",
    "Progress",
    "Reading",
    "Sink",
    "Verdict",
    "accelerated",
    "agree",
    "behind",
    "carries_rows",
    "combine",
    "compare",
    "content",
    "copy_in",
    "copy_out",
    "describe",
    "inline",
    "joined",
    "listing",
    "outgoing",
    "pack",
    "prepare",
    "read",
    "tells_limit",
    "to_frame",
    "unpack",
]
