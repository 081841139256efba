"""A password that is looked for everywhere, in whatever writing."""

import base64
import json
import re
from html import escape
from pathlib import Path
from urllib.parse import quote, quote_plus

__all__ = ["CANARY", "WRONG", "leaks", "leaks_in_files"]

# Its ends are plain words: a part that breaks off at a sign in the middle is found as well.
CANARY = "c4n4ryHead/@#?%:['\" \\ä&<c4n4ryTail"
WRONG = "wr0ngHead/@#?%:['\" \\ä&<wr0ngTail"


def _writings(secret: str) -> set[bytes]:
    """Give the ways in which a secret may stand in a file."""
    texts = {
        secret,
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        repr(secret)[1:-1],
        ascii(secret)[1:-1],
        json.dumps(secret)[1:-1],
        escape(secret),
        *re.findall(r"\w*(?:Head|Tail)", secret),
    }
    raw = secret.encode()
    found = {text.encode() for text in texts} | {raw.hex().encode(), raw[::-1]}
    for encoding in ("utf-16-le", "utf-16-be"):
        found.add(secret.encode(encoding))
    for shift in range(3):  # base64 reads three bytes at a time, wherever it begins
        inside = base64.b64encode(b"\0" * shift + raw)[4 if shift else 0 : -4]
        found |= {inside, inside.translate(bytes.maketrans(b"+/", b"-_"))}
    return found


_ALL = [writing for secret in (CANARY, WRONG) for writing in _writings(secret)]


def leaks(data: str | bytes) -> list[bytes]:
    """Give the writings of a canary that stand in a text or in bytes."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    return [writing for writing in _ALL if writing in raw]


def leaks_in_files(folder: Path) -> list[str]:
    """Search every file below a folder."""
    return [
        f"{path.relative_to(folder)}: {found!r}"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and (found := leaks(path.read_bytes()))
    ]
