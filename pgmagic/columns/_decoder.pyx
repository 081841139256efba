# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The decoder of `copybinary`, compiled: no Python object per value, and without the GIL.

Rows are read from the stream straight into buffers that Arrow then owns. It must agree with
`PythonDecoder` on every input, right or wrong.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.stdio cimport snprintf
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memmove, memset

from cpython.object cimport PyObject

import mmap

import pyarrow as pa

from pgmagic.columns.copybinary import (
    BATCH_BYTES,
    BATCH_ROWS,
    MAX_EXTENSION,
    SIGNATURE,
    DecodeError,
    arrow_type,
    batch_of,
)
from pgmagic.columns.pgtypes import WIDTHS, Layout

cdef extern from "Python.h":
    double PyOS_string_to_double(const char* text, char** end, PyObject* overflow) except? -1.0

# What `_rows` found when it stopped.
cdef enum:
    NEED_MORE
    BATCH_FULL
    END
    WRONG_FIELD_COUNT
    WRONG_LENGTH
    WRONG_WIDTH
    WRONG_VERSION
    NO_MEMORY

cdef enum:
    BOOL = 0
    BYTES = 8
    JSONB = 10
    FIRST_ROWS = 256
    FIRST_BYTES = 4096
    HEADER_BYTES = 19


cdef Py_ssize_t OWN_PAGES = 1 << 17  # bytes from which on a column of a batch has its own pages
# Where the platform has no such pages, malloc() has to do.
cdef object PRIVATE = (
    mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS if hasattr(mmap, "MAP_ANONYMOUS") else None
)


cdef struct Column:
    int layout
    int width            # bytes of a value, 0 if they differ
    int has_null
    uint8_t* valid       # a bit per row
    uint8_t* data
    int64_t* offsets     # only where widths differ
    int64_t capacity     # bytes of data, only where widths differ


cdef inline uint16_t big16(const uint8_t* p) noexcept nogil:
    return (<uint16_t>p[0] << 8) | p[1]


cdef inline uint32_t big32(const uint8_t* p) noexcept nogil:
    return (<uint32_t>p[0] << 24) | (<uint32_t>p[1] << 16) | (<uint32_t>p[2] << 8) | p[3]


cdef inline uint64_t big64(const uint8_t* p) noexcept nogil:
    return (<uint64_t>big32(p) << 32) | big32(p + 4)


cdef class Memory:
    """Bytes from malloc() that are freed with the last Arrow buffer over them."""

    cdef uint8_t* start
    cdef Py_ssize_t size

    def __dealloc__(self):
        free(self.start)

    def __getbuffer__(self, Py_buffer* view, int flags):
        view.buf = self.start
        view.obj = self
        view.len = self.size
        view.itemsize = 1
        view.readonly = 1
        view.ndim = 1
        view.format = NULL
        view.shape = &self.size
        view.strides = &view.itemsize
        view.suboffsets = NULL
        view.internal = NULL


cdef object arrow_copy(const void* start, Py_ssize_t size):
    """Give Arrow a copy of a block.

    Large ones get pages of their own, which the system has back as soon as a column is done with;
    malloc() would keep what is freed in the middle of its heap, and the frame that is made of
    the columns would come on top.
    """
    cdef uint8_t[::1] pages
    if size >= OWN_PAGES and PRIVATE is not None:
        try:
            mapped = mmap.mmap(-1, size, flags=PRIVATE)
        except OSError:
            pass  # a process has a limited number of them
        else:
            pages = mapped
            memcpy(&pages[0], start, size)
            return pa.py_buffer(mapped)
    return pa.py_buffer((<const char*>start)[:size])


cdef class CompiledDecoder:
    """Takes a COPY stream in pieces of any size, gives record batches: see `PythonDecoder`."""

    cdef Column* _columns
    cdef int _width
    cdef int64_t _held          # rows of the batch at hand
    cdef int64_t _room          # rows there is room for
    cdef int64_t _held_bytes
    cdef int64_t _keep          # -1: all
    cdef uint8_t* _rest         # bytes of a row that is not all there
    cdef int64_t _rest_size
    cdef int64_t _rest_room
    cdef int64_t _wanted        # bytes without which there is no use in trying
    cdef bint _begun
    cdef bint _ended
    cdef int64_t _detail        # what was found wrong
    cdef int _column            # and where
    cdef int64_t _batch_rows
    cdef int64_t _batch_bytes
    cdef list _layouts
    cdef list _batches
    cdef readonly int64_t rows

    def __cinit__(self, layouts, *, keep=None):
        cdef int i
        self._layouts = list(layouts)
        self._width = len(self._layouts)
        self._keep = -1 if keep is None else keep
        self._wanted = HEADER_BYTES
        self._batch_rows, self._batch_bytes = BATCH_ROWS, BATCH_BYTES
        self._batches = []
        self._columns = <Column*>calloc(max(1, self._width), sizeof(Column))
        if self._columns == NULL:
            raise MemoryError
        for i, layout in enumerate(self._layouts):
            self._columns[i].layout = layout
            self._columns[i].width = WIDTHS.get(layout, 0)

    def __dealloc__(self):
        cdef int i
        if self._columns != NULL:
            for i in range(self._width):
                free(self._columns[i].valid)
                free(self._columns[i].data)
                free(self._columns[i].offsets)
        free(self._columns)
        free(self._rest)

    def feed(self, const uint8_t[::1] data):
        """Take the next piece of the stream."""
        cdef const uint8_t* start = &data[0] if data.shape[0] else NULL
        cdef int64_t size = data.shape[0]
        cdef int64_t done = 0
        cdef bint joined = self._rest_size > 0
        if joined:
            self._remember(start, size)
            start, size = self._rest, self._rest_size
        if size >= self._wanted:
            done = self._take(start, size)
            self._wanted = max(0, self._wanted - done)
        if joined:
            memmove(self._rest, self._rest + done, size - done)
            self._rest_size = size - done
        else:
            self._remember(start + done, size - done)

    def close(self):
        """Say that there are no more pieces."""
        if not self._ended:
            raise DecodeError("the stream breaks off")
        self._flush()

    def batches(self):
        """Give the batches that are complete, and forget them."""
        batches, self._batches = self._batches, []
        return batches

    cdef int _remember(self, const uint8_t* start, int64_t size) except -1:
        """Keep bytes until the rest of their row comes."""
        cdef void* larger
        cdef int64_t needed = self._rest_size + size
        if size <= 0:
            return 0
        if needed > self._rest_room:
            larger = realloc(self._rest, 2 * needed)
            if larger == NULL:
                raise MemoryError
            self._rest, self._rest_room = <uint8_t*>larger, 2 * needed
        memcpy(self._rest + self._rest_size, start, size)
        self._rest_size = needed
        return 0

    cdef int64_t _take(self, const uint8_t* start, int64_t size) except -1:
        """Read what is complete; give how many bytes that was."""
        cdef int64_t done = 0
        cdef int found
        if not self._begun:
            done = self._header(start, size)
            if not self._begun:
                return 0
        while not self._ended:
            with nogil:
                found = self._rows(start, size, &done)
            if found == NEED_MORE:
                break
            if found == BATCH_FULL:
                self._flush()
            elif found == END:
                self._ended = True
            else:
                self._refuse(found)
        if self._ended and done != size:
            raise DecodeError("the stream goes on behind its end")
        return done

    cdef int64_t _header(self, const uint8_t* start, int64_t size) except -1:
        cdef bytes head = start[:HEADER_BYTES]
        cdef uint32_t flags = big32(start + 11)
        cdef uint32_t extension = big32(start + 15)
        if not head.startswith(SIGNATURE):
            raise DecodeError("the stream has no COPY signature")
        if flags & 0xFFFF0000:
            raise DecodeError(f"unknown COPY flags {flags:#x}")
        if extension > MAX_EXTENSION:
            raise DecodeError(f"a COPY header of {extension} bytes more")
        if size < HEADER_BYTES + <int64_t>extension:
            self._wanted = HEADER_BYTES + extension
            return 0
        self._begun = True
        return HEADER_BYTES + extension

    cdef int _refuse(self, int found) except -1:
        if found == NO_MEMORY:
            raise MemoryError
        if found == WRONG_FIELD_COUNT:
            raise DecodeError(
                f"a row of {self._detail} fields where {self._width} were described"
            )
        if found == WRONG_LENGTH:
            raise DecodeError(f"a field of {self._detail} bytes")
        if found == WRONG_WIDTH:
            layout = Layout(self._layouts[self._column])
            raise DecodeError(
                f"{self._detail} bytes where a {layout.name} has {WIDTHS[layout]}"
            )
        raise DecodeError("jsonb of an unknown version")

    cdef int _rows(self, const uint8_t* start, int64_t size, int64_t* done) noexcept nogil:
        """Read rows while they are complete. A row that is not is read again from its start."""
        cdef const uint8_t* p
        cdef int64_t position = done[0]
        cdef int64_t length
        cdef int fields, i, found
        cdef bint keeping
        while True:
            if self._held >= self._batch_rows or self._held_bytes >= self._batch_bytes:
                return BATCH_FULL
            position = done[0]
            if position + 2 > size:
                self._wanted = position + 2
                return NEED_MORE
            fields = <int><short>big16(start + position)
            position += 2
            if fields == -1:
                done[0] = position
                return END
            if fields != self._width:
                self._detail = fields
                return WRONG_FIELD_COUNT
            keeping = self._keep < 0 or self.rows < self._keep
            if keeping and self._held == self._room and self._widen() != 0:
                return NO_MEMORY
            for i in range(fields):
                if position + 4 > size:
                    self._wanted = position + 4
                    return NEED_MORE
                length = <int32_t>big32(start + position)
                position += 4
                if length < -1:
                    self._detail = length
                    return WRONG_LENGTH
                if length > 0 and position + length > size:
                    self._wanted = position + length
                    return NEED_MORE
                if keeping:
                    p = start + position
                    if length < 0:
                        p = NULL
                    found = self._store(&self._columns[i], p, length)
                    if found != 0:
                        self._detail = length
                        self._column = i
                        return found
                if length > 0:
                    position += length
            self.rows += 1
            if keeping:
                self._held += 1
                self._held_bytes += position - done[0]
            done[0] = position

    cdef int _store(self, Column* column, const uint8_t* p, int64_t length) noexcept nogil:
        """Write one value into the row at hand, NULL if `p` is."""
        cdef int64_t row = self._held
        cdef uint8_t bit = <uint8_t>(1 << (row & 7))
        cdef int64_t end
        cdef void* larger
        if p == NULL:
            column.has_null = 1
            column.valid[row >> 3] &= ~bit
            if column.width == 0:
                column.offsets[row + 1] = column.offsets[row]
            elif column.layout == BOOL:
                column.data[row >> 3] &= ~bit
            else:
                memset(column.data + row * column.width, 0, column.width)
            return 0
        column.valid[row >> 3] |= bit
        if column.width == 0:
            if column.layout == JSONB:
                if length < 1 or p[0] != 1:
                    return WRONG_VERSION
                p += 1
                length -= 1
            end = column.offsets[row] + length
            if end > column.capacity:
                larger = realloc(column.data, 2 * end)
                if larger == NULL:
                    return NO_MEMORY
                column.data, column.capacity = <uint8_t*>larger, 2 * end
            memcpy(column.data + column.offsets[row], p, length)
            column.offsets[row + 1] = end
            return 0
        if length != column.width:
            return WRONG_WIDTH
        if column.layout == BOOL:
            if p[0]:
                column.data[row >> 3] |= bit
            else:
                column.data[row >> 3] &= ~bit
        elif column.width == 4:
            (<uint32_t*>column.data)[row] = big32(p)
        elif column.width == 8:
            (<uint64_t*>column.data)[row] = big64(p)
        elif column.width == 2:
            (<uint16_t*>column.data)[row] = big16(p)
        else:
            memcpy(column.data + row * column.width, p, column.width)
        return 0

    cdef int _widen(self) noexcept nogil:
        """Make room for twice as many rows."""
        cdef int64_t room = 2 * self._room if self._room else FIRST_ROWS
        cdef Column* column
        cdef void* larger
        cdef int i
        for i in range(self._width):
            column = &self._columns[i]
            larger = realloc(column.valid, room // 8)
            if larger == NULL:
                return -1
            column.valid = <uint8_t*>larger
            memset(column.valid + self._room // 8, 0, (room - self._room) // 8)
            if column.width == 0:
                larger = realloc(column.offsets, (room + 1) * sizeof(int64_t))
                if larger == NULL:
                    return -1
                column.offsets = <int64_t*>larger
                if self._room == 0:
                    column.offsets[0] = 0
                if column.data == NULL:
                    column.data = <uint8_t*>malloc(FIRST_BYTES)
                    if column.data == NULL:
                        return -1
                    column.capacity = FIRST_BYTES
            else:
                larger = realloc(column.data, room * column.width)
                if larger == NULL:
                    return -1
                column.data = <uint8_t*>larger
                if column.layout == BOOL:
                    memset(column.data + self._room // 8, 0, (room - self._room) // 8)
        self._room = room
        return 0

    cdef int _flush(self) except -1:
        """Give the batch at hand to Arrow."""
        cdef int i
        if not self._held:
            return 0
        arrays = [self._array(i) for i in range(self._width)]
        self._batches.append(batch_of(arrays, self._held))
        self._held = self._held_bytes = 0  # the room stays for the next
        return 0

    cdef object _array(self, int i):
        cdef Column* column = &self._columns[i]
        cdef int64_t rows = self._held
        cdef int64_t bits = (rows + 7) // 8
        cdef list buffers = [None]
        cdef int64_t size
        type_ = arrow_type(self._layouts[i])
        if column.has_null:
            buffers[0] = arrow_copy(column.valid, bits)
        column.has_null = 0
        if column.width == 0:
            size = column.offsets[rows]
            buffers.append(arrow_copy(column.offsets, (rows + 1) * sizeof(int64_t)))
            buffers.append(arrow_copy(column.data, size))
            self._shrink(column)
            array = pa.Array.from_buffers(type_, rows, buffers)
            if column.layout != BYTES:
                try:
                    array.validate(full=True)
                except pa.ArrowInvalid as error:
                    raise DecodeError(f"text that is not UTF-8: {error}") from None
            return array
        size = bits if column.layout == BOOL else rows * column.width
        buffers.append(arrow_copy(column.data, size))
        return pa.Array.from_buffers(type_, rows, buffers)

    cdef void _shrink(self, Column* column) noexcept:
        """Keep the room of a usual batch for the next one, not that of a huge value."""
        cdef void* smaller
        if column.capacity <= 4 * self._batch_bytes:
            return
        smaller = realloc(column.data, FIRST_BYTES)
        if smaller != NULL:
            column.data, column.capacity = <uint8_t*>smaller, FIRST_BYTES


cdef double[23] POWERS = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
]

cdef enum:
    FAST_GROUPS = 5      # digits to the base 10,000 that fit into 64 bits, the first below 1000
    TEXT_GROUPS = 64     # digits to the base 10,000 that are read as text
    NUMERIC_HEADER = 8

cdef uint64_t EXACT = 1ULL << 53

# What `_fast` says of a numeric.
cdef enum:
    GOT
    INEXACT
    SLOW


cdef int _fast(const uint8_t* p, int64_t size, double* result) noexcept nogil:
    """Read a numeric whose digits fit into 64 bits: then one division rounds it correctly."""
    cdef int groups, weight, exponent, i
    cdef uint16_t sign, digit
    cdef uint64_t digits = 0
    if size < NUMERIC_HEADER:
        return SLOW
    groups, weight, sign = big16(p), <short>big16(p + 2), big16(p + 4)
    if groups > FAST_GROUPS or size != NUMERIC_HEADER + 2 * groups or sign & 0xBFFF:
        return SLOW
    for i in range(groups):
        digit = big16(p + NUMERIC_HEADER + 2 * i)
        if digit > 9999 or (i == 0 and groups == FAST_GROUPS and digit > 999):
            return SLOW
        digits = digits * 10_000 + digit
    exponent = 4 * (weight + 1 - groups) if digits else 0
    while digits > EXACT and digits % 10 == 0:
        digits = digits // 10
        exponent += 1
    if exponent >= 0 and (digits > EXACT or exponent > 15 or digits * POWERS[exponent] > EXACT):
        return INEXACT
    if digits > EXACT or exponent < -22:
        return SLOW
    result[0] = digits / POWERS[-exponent] if exponent < 0 else digits * POWERS[exponent]
    if sign:
        result[0] = -result[0]
    return GOT


cdef int _parsed(const uint8_t* p, int64_t size, double* result) except -1:
    """Read a numeric of more digits, such as an average, through its text."""
    cdef char text[4 * TEXT_GROUPS + 16]
    cdef int groups, weight, exponent, i, length = 0
    cdef uint16_t sign, digit
    if size < NUMERIC_HEADER:
        return SLOW
    groups, weight, sign = big16(p), <short>big16(p + 2), big16(p + 4)
    if not 0 < groups <= TEXT_GROUPS or size != NUMERIC_HEADER + 2 * groups or sign & 0xBFFF:
        return SLOW
    exponent = 4 * (weight + 1 - groups)
    digit = big16(p + size - 2)
    if exponent >= 0 or digit == 0:
        return SLOW  # a whole number, or one that PostgreSQL would not write so
    if sign:
        text[length] = c"-"
        length += 1
    for i in range(groups):
        digit = big16(p + NUMERIC_HEADER + 2 * i)
        if digit > 9999:
            return SLOW
        text[length] = c"0" + digit // 1000
        text[length + 1] = c"0" + digit // 100 % 10
        text[length + 2] = c"0" + digit // 10 % 10
        text[length + 3] = c"0" + digit % 10
        length += 4
    snprintf(text + length, 12, "e%d", exponent)
    result[0] = PyOS_string_to_double(text, NULL, NULL)
    return GOT if result[0] != 0 else SLOW


def doubles(values, slow):
    """Read an array of numerics as doubles; None where one of them would lose what matters.

    `slow` reads what this leaves: it takes the bytes of one, and gives its double or None.
    """
    cdef int64_t rows = len(values)
    cdef int64_t row = 0
    cdef int64_t shift = 0
    cdef int found = GOT
    if rows == 0:
        return pa.array([], pa.float64())
    _, starts, contents = values.buffers()
    valid = None
    if values.null_count:
        is_valid = values.is_valid()
        valid, shift = is_valid.buffers()[1], is_valid.offset
    cdef const int64_t* offsets = <const int64_t*><uintptr_t>starts.address
    cdef const uint8_t* data = <const uint8_t*><uintptr_t>(contents.address if contents else 0)
    cdef const uint8_t* bits = <const uint8_t*><uintptr_t>(valid.address if valid else 0)
    cdef Memory memory = Memory()
    cdef double* out = <double*>calloc(rows, sizeof(double))
    if out == NULL:
        raise MemoryError
    memory.start, memory.size = <uint8_t*>out, rows * sizeof(double)
    offsets += <int64_t>values.offset
    while True:
        with nogil:
            while row < rows:
                if bits == NULL or bits[(row + shift) >> 3] >> ((row + shift) & 7) & 1:
                    found = _fast(data + offsets[row], offsets[row + 1] - offsets[row], out + row)
                    if found != GOT:
                        break
                row += 1
        if row == rows:
            break
        if found == SLOW:
            found = _parsed(data + offsets[row], offsets[row + 1] - offsets[row], out + row)
        if found != GOT:
            double = None if found == INEXACT else slow(data[offsets[row] : offsets[row + 1]])
            if double is None:
                return None
            out[row] = double
        row += 1
    return pa.Array.from_buffers(pa.float64(), rows, [valid, pa.py_buffer(memory)])
