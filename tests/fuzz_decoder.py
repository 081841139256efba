"""Feed damaged COPY streams to the compiled decoder: an error is fine, a crash is not.

    python -m tests.fuzz_decoder 100000 --seed 1          # random damage, no tool needed
    python -m tests.fuzz_decoder 100000 --atheris         # guided by what Python code is reached

CONTRIBUTING says how to run it under the address sanitizer.
"""

import argparse
import random
import struct
import sys
import time

from pgmagic.columns._decoder import CompiledDecoder

from pgmagic.columns import DecodeError
from pgmagic.columns.copybinary import HEADER, TRAILER
from pgmagic.columns.pgtypes import WIDTHS, Layout

LAYOUTS = tuple(Layout)
LENGTHS = (-2, -1, 0, 1, 2, 4, 8, 12, 16, 24, 1 << 16, (1 << 31) - 1, -(1 << 31))


def main() -> None:
    """Run as many inputs as asked for, and say how many were refused."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("inputs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--atheris", action="store_true")
    options = parser.parse_args()
    if options.atheris:
        with_atheris(options.inputs)
        return
    chance = random.Random(options.seed)
    started, refused = time.monotonic(), 0
    for _ in range(options.inputs):
        refused += not survives(chance.randbytes(1 + chance.randrange(400)))
    print(f"{options.inputs:,} inputs, {refused:,} refused, {time.monotonic() - started:.0f} s")


def with_atheris(inputs: int) -> None:
    """Let atheris choose the bytes (https://pypi.org/project/atheris/)."""
    import atheris

    atheris.Setup([sys.argv[0], f"-atheris_runs={inputs}", "-max_len=600"], survives)
    atheris.Fuzz()


def survives(data: bytes) -> bool:
    """Decode a stream that these bytes describe; False where it was refused."""
    chance = random.Random(data)
    layouts = [LAYOUTS[byte % len(LAYOUTS)] for byte in data[:4]][: 1 + data[0] % 4 if data else 1]
    stream = damaged(chance, HEADER + rows(chance, layouts, data[4:]) + TRAILER)
    decoder = CompiledDecoder(layouts, keep=chance.choice([None, None, 0, 1, 5]))
    try:
        while stream:
            cut = chance.randrange(1, len(stream) + 1)
            decoder.feed(chance.choice([bytes, bytearray])(stream[:cut]))
            stream = stream[cut:]
        decoder.close()
    except DecodeError:
        return False
    for batch in decoder.batches():
        batch.validate(full=True)
        batch.to_pylist()
    return True


def rows(chance: random.Random, layouts: list[Layout], data: bytes) -> bytes:
    """Cut the bytes into fields of about the right widths."""
    written = []
    for _ in range(chance.randrange(6)):
        written.append(struct.pack(">h", len(layouts)))
        for layout in layouts:
            width = WIDTHS.get(layout, chance.randrange(20))
            value, data = data[:width].ljust(width, b"\x01"), data[width:]
            written.append(struct.pack(">i", len(value)) + value)
    return b"".join(written)


def damaged(chance: random.Random, stream: bytes) -> bytes:
    """Change lengths and bytes, or cut the end off; sometimes nothing."""
    broken = bytearray(stream)
    for _ in range(chance.randrange(4)):
        where = chance.randrange(len(broken))
        if chance.random() < 0.5:
            broken[where : where + 4] = struct.pack(">i", chance.choice(LENGTHS))
        else:
            broken[where] = chance.randrange(256)
    if chance.random() < 0.2:
        del broken[chance.randrange(len(broken)) :]
    return bytes(broken)


if __name__ == "__main__":
    main()
