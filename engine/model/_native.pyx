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


def _ticks_keep_time():
    """Tell whether the processor's tick counter is what the system itself keeps time with."""
    if not HAS_TICKS:
        return False
    try:
        with open("/sys/devices/system/clocksource/clocksource0/current_clocksource") as file:
            return file.read().strip() == "tsc"
    except OSError:
        return False


cdef enum:
    KEEP_NS = 1_000_000
    RATE_NS = 1_000_000_000


cdef class TickClock:
    """CLOCK_MONOTONIC for half its price, on the path where several stamps of each frame are taken.

    ``now`` reads the processor's tick counter where the system keeps time with it (it is constant then, and
    the same on every core), else CLOCK_MONOTONIC, of which a tick is a nanosecond. ``mono`` turns a stamp
    into mono_ns, ``ns`` a difference into nanoseconds. Nothing is assumed of the rate: once a millisecond
    the counter is compared with CLOCK_MONOTONIC itself, and the rate is what the last one to two seconds
    had (at first: the time since the import). A counter that jumped (a machine that was moved) shows as a
    rate that cannot be, and the comparison begins anew.
    """

    def __cinit__(self):
        self.is_counter = _ticks_keep_time()
        self.rate = 1.0
        self.multiplier = 1 << 24
        if self.is_counter:
            self.old_ns = self.new_ns = self.met_ns = mono_now_ns()
            self.old_ticks = self.new_ticks = self.met_ticks = read_ticks()

    cdef void meet(self) noexcept nogil:
        cdef int64_t before, after, mono_ns
        cdef double rate
        cdef int attempt
        for attempt in range(3):  # the core may be taken away between the two
            before = read_ticks()
            mono_ns = mono_now_ns()
            after = read_ticks()
            if after - before < 1000:
                break
        self.met_ticks = before + (after - before) // 2
        self.met_ns = mono_ns
        if self.met_ticks > self.old_ticks and mono_ns > self.old_ns:
            rate = <double>(mono_ns - self.old_ns) / <double>(self.met_ticks - self.old_ticks)
            if self.keep_ticks == 0 or 0.99 * self.rate < rate < 1.01 * self.rate:
                self.rate = rate
                self.multiplier = <int64_t>(rate * (1 << 24) + 0.5)
                # While the rate rests on little time, the comparison is repeated all the sooner.
                self.keep_ticks = <int64_t>(min(KEEP_NS, (mono_ns - self.old_ns) // 100) / rate)
                if mono_ns - self.new_ns > RATE_NS:
                    self.old_ticks, self.old_ns = self.new_ticks, self.new_ns
                    self.new_ticks, self.new_ns = self.met_ticks, mono_ns
                return
        self.old_ticks = self.new_ticks = self.met_ticks
        self.old_ns = self.new_ns = mono_ns
        self.keep_ticks = 0

    def mono_ns(self):
        """Return what CLOCK_MONOTONIC would tell now."""
        return self.mono(self.now())


TICKS = TickClock()


cdef class SystemClock:
    """See ``engine.telemetry.clock.PureSystemClock``."""

    cpdef int64_t mono_ns(self) except? -1:
        """Return CLOCK_MONOTONIC in nanoseconds, for durations and deadlines."""
        return mono_now_ns()

    cpdef int64_t utc_ns(self) except? -1:
        """Return CLOCK_REALTIME in nanoseconds, for people, files and signatures."""
        return utc_now_ns()


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
