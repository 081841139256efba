# cython: language_level=3, boundscheck=False, wraparound=False
"""The loop of `framing`, compiled: large results have many messages in each piece."""

from libc.stdint cimport int32_t, uint8_t, uint32_t


def scan(const uint8_t[::1] data, Py_ssize_t position, list least, list greatest):
    """Do what `scan_in_python` does."""
    cdef:
        int32_t[256] low
        int32_t[256] high
        Py_ssize_t size = data.shape[0]
        int32_t length
        int kind
    for kind in range(256):
        low[kind] = least[kind]
        high[kind] = greatest[kind]
    while position + 5 <= size:
        kind = data[position]
        length = <int32_t>(
            (<uint32_t>data[position + 1] << 24) | (<uint32_t>data[position + 2] << 16)
            | (<uint32_t>data[position + 3] << 8) | <uint32_t>data[position + 4]
        )
        if length < low[kind] or length > high[kind]:
            return position, True
        position += 1 + <Py_ssize_t>length
    return position, False
