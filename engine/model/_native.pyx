# cython: language_level=3
"""What compiled modules of different packages share: the frame sink and the delta columns."""

import numpy as np

COLUMN_NAMES = (
    "recv_utc_ns",
    "venue_utc_ns",
    "first_sequence",
    "last_sequence",
    "book_id",
    "side",
    "price",
    "qty",
)


cdef class FrameSink:
    """Takes the bytes of a received message before Python sees them.

    Subclasses override ``on_frame`` in C. The bytes live until the call returns.
    """

    cdef int on_frame(self, const char* data, Py_ssize_t size, int64_t mono_ns, int64_t utc_ns) except -1:
        """Return 0 when the message is dealt with, 1 to pass it to the Python handler."""
        return 1

    def feed(self, const unsigned char[::1] data not None, int64_t mono_ns=0, int64_t utc_ns=0):
        """Hand one message over from Python; return whether it was consumed (False: somebody else's)."""
        if data.shape[0] == 0:
            return False
        return self.on_frame(<const char*>&data[0], data.shape[0], mono_ns, utc_ns) == 0


cdef class DeltaRows:
    """Preallocated int64 columns that the depth kernel appends one row a level to.

    Attributes:
        columns: dict of name to int64 array of shape (capacity,); see ``COLUMN_NAMES``. ``side`` is 0 for
            bids and 1 for asks; ``price`` and ``qty`` are scaled; ``book_id`` is what the feed was told.
        size: rows in use. Rows that found no room are counted in ``dropped`` (whole frames only).
    """

    def __init__(self, Py_ssize_t capacity=100_000, columns=None):
        if columns is None:
            columns = {name: np.empty(capacity, dtype=np.int64) for name in COLUMN_NAMES}
        self.bind(columns)

    cdef int bind(self, object columns) except -1:
        cdef int64_t[::1] view
        cdef Py_ssize_t capacity = -1
        pointers = []
        for name in COLUMN_NAMES:
            view = columns[name]
            if capacity == -1:
                capacity = view.shape[0]
            if view.shape[0] != capacity or capacity == 0:
                raise ValueError(f"column {name} must have the same length as the others, and not be empty")
            pointers.append(<size_t>&view[0])
        self.recv_utc_ns = <int64_t*><size_t>pointers[0]
        self.venue_utc_ns = <int64_t*><size_t>pointers[1]
        self.first_sequence = <int64_t*><size_t>pointers[2]
        self.last_sequence = <int64_t*><size_t>pointers[3]
        self.book_id = <int64_t*><size_t>pointers[4]
        self.side = <int64_t*><size_t>pointers[5]
        self.price = <int64_t*><size_t>pointers[6]
        self.qty = <int64_t*><size_t>pointers[7]
        self.columns = columns
        self.capacity = capacity
        self.size = 0
        return 0

    def swap(self, columns):
        """Write into other columns from now on; return (old columns, rows in them)."""
        old, rows = self.columns, self.size
        self.bind(columns)
        return old, rows

    def reset(self):
        """Forget the rows."""
        self.size = 0

    def note_dropped(self, Py_ssize_t rows):
        """Count rows that had to be shed elsewhere."""
        self.dropped += rows
