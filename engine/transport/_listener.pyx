# cython: language_level=3
"""The compiled receive callback: stamps a frame, hands its bytes to the sink, and keeps RFC 6455.

Compiled against picows' ``.pxd``, so picows is pinned exactly. ``listener.py`` is the twin in Python.
picows checks opcodes, masks, lengths and control frames, and says what it found through ``violated``;
reserved bits, fragment order, UTF-8 and close codes are left to its user and are done here.
"""

import zlib

from cpython.buffer cimport PyBUF_READ
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t
from picows.picows cimport WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from engine.model._native cimport FrameSink, mono_now_ns, utc_now_ns

cdef int64_t NS_PER_S = 1000000000
# More pings than this in a second are left unanswered, which RFC 6455 5.5.3 allows.
cdef int PONGS_PER_S = 50
_INVALID_UTF8 = "invalid UTF-8"
_NO_DEFLATE = "not one whole deflate stream"


cdef class FrameListener(WSListener):
    """Receives the frames of one connection.

    Args:
        sink: takes each whole message's bytes first, or None.
        on_message: called as (payload bytes, mono_ns, utc_ns) for messages the sink did not consume.
        on_quarantine: called as (payload, exception) when the sink or ``on_message`` raised.
        on_up, on_down: called with (listener) when the connection is open, and when it is gone.
        on_pong: called with (mono_ns) for each pong.
        message_bytes_max: cap of a message put together from fragments.
        inflated_bytes_max: binary messages are raw-deflate streams of at most so many bytes when inflated;
            0 = they are what they say. See ``ConnectionRules``.

    Attributes:
        last_mono_ns: when anything was last received.
        messages, bytes_received: counters of this connection.
        close_reason: why the connection ended, in a few words.
        is_closing: a close frame was received or the connection was cut; nothing is delivered any more.
    """

    cdef FrameSink sink
    cdef object on_message
    cdef object on_quarantine
    cdef object on_up
    cdef object on_down
    cdef object on_pong
    cdef Py_ssize_t message_bytes_max
    cdef Py_ssize_t inflated_bytes_max
    cdef bytearray parts
    cdef int parts_type
    cdef readonly bint is_closing
    cdef int64_t pongs_since_ns
    cdef int pongs
    cdef readonly WSTransport transport
    cdef readonly int64_t last_mono_ns
    cdef readonly int64_t messages
    cdef readonly int64_t bytes_received
    cdef public str close_reason

    def __init__(
        self, sink, on_message, on_quarantine, on_up, on_down, on_pong, message_bytes_max, inflated_bytes_max=0
    ):
        self.sink = sink
        self.on_message = on_message
        self.on_quarantine = on_quarantine
        self.on_up = on_up
        self.on_down = on_down
        self.on_pong = on_pong
        self.message_bytes_max = message_bytes_max
        self.inflated_bytes_max = inflated_bytes_max
        self.parts = None
        self.close_reason = ""

    cpdef on_ws_connected(self, WSTransport transport):
        self.transport = transport
        self.last_mono_ns = mono_now_ns()
        self.on_up(self)

    cpdef on_ws_disconnected(self, WSTransport transport):
        if not self.close_reason:
            self.close_reason = "connection lost"
        self.on_down(self)

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        cdef int64_t mono_ns = mono_now_ns()
        cdef int64_t utc_ns
        cdef int kind = frame.msg_type
        self.last_mono_ns = mono_ns
        if self.is_closing or (transport.is_close_frame_sent and kind != WSMsgType.CLOSE):
            return  # what comes after a close frame, or a broken rule, says nothing any more
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self.refuse(1002, "reserved bits are set")
            return
        if (kind == WSMsgType.TEXT or kind == WSMsgType.BINARY) and frame.fin and self.parts is None:
            utc_ns = utc_now_ns()
            self.messages += 1
            self.bytes_received += frame.payload_size
            self.deliver(frame.payload_ptr, frame.payload_size, kind, mono_ns, utc_ns)
        elif kind == WSMsgType.PING:
            self.answer_ping(frame, mono_ns)
        elif kind == WSMsgType.PONG:
            self.on_pong(mono_ns)
        elif kind == WSMsgType.CLOSE:
            self.closed_by_peer(frame)
        else:
            self.gather(frame, kind, mono_ns)

    cdef int deliver(self, const char* data, Py_ssize_t size, int kind, int64_t mono_ns, int64_t utc_ns) except -1:
        cdef bytes payload, inflated = None
        if kind == WSMsgType.BINARY and self.inflated_bytes_max:
            inflated = self.inflate(data, size)
            if inflated is None:
                return 0
            data, size = PyBytes_AS_STRING(inflated), len(inflated)
        try:
            if self.sink is not None and self.sink.on_frame(data, size, mono_ns, utc_ns) == 0:
                return 0
        except Exception as error:  # a message that cannot be handled must not cost the connection
            self.on_quarantine(PyBytes_FromStringAndSize(data, size), error)
            return 0
        if kind == WSMsgType.TEXT:
            try:
                PyUnicode_DecodeUTF8(data, size, NULL)
            except UnicodeDecodeError:
                self.refuse(1007, _INVALID_UTF8)
                return 0
        payload = inflated if inflated is not None else PyBytes_FromStringAndSize(data, size)
        try:
            self.on_message(payload, mono_ns, utc_ns)
        except Exception as error:
            self.on_quarantine(payload, error)
        return 0

    cdef bytes inflate(self, const char* data, Py_ssize_t size):
        """Return what a whole raw-deflate stream holds; None, and the connection is over, if it is none."""
        cdef bytes inflated
        # Not much more than the bound is ever unpacked; a context of its own, because no stream goes on.
        stream = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            inflated = stream.decompress(
                PyMemoryView_FromMemory(<char*>data, size, PyBUF_READ), self.inflated_bytes_max + 1
            )
        except zlib.error:
            self.refuse(1007, _NO_DEFLATE)
            return None
        if len(inflated) > self.inflated_bytes_max:
            self.refuse(1009, "message too big when inflated")
            return None
        if not stream.eof or stream.unused_data:
            self.refuse(1007, _NO_DEFLATE)
            return None
        return inflated

    cdef int gather(self, WSFrame frame, int kind, int64_t mono_ns) except -1:
        """Put a fragmented message together."""
        cdef bytearray parts
        if kind == WSMsgType.CONTINUATION:
            if self.parts is None:
                self.refuse(1002, "a continuation without a beginning")
                return 0
        elif self.parts is not None:
            self.refuse(1002, "a new message inside a fragmented one")
            return 0
        else:
            self.parts = bytearray()
            self.parts_type = kind
        if len(self.parts) + frame.payload_size > self.message_bytes_max:
            self.refuse(1009, "message too big")
            return 0
        self.parts += PyBytes_FromStringAndSize(frame.payload_ptr, frame.payload_size)
        if frame.fin:
            parts, self.parts = self.parts, None
            self.messages += 1
            self.bytes_received += len(parts)
            self.deliver(<const char*>parts, len(parts), self.parts_type, mono_ns, utc_now_ns())
        return 0

    cdef int answer_ping(self, WSFrame frame, int64_t mono_ns) except -1:
        if mono_ns - self.pongs_since_ns >= NS_PER_S:
            self.pongs_since_ns = mono_ns
            self.pongs = 0
        self.pongs += 1
        if self.pongs <= PONGS_PER_S:
            self.transport.send_pong(frame.get_payload_as_bytes())
        return 0

    cdef int closed_by_peer(self, WSFrame frame) except -1:
        cdef bytes payload = frame.get_payload_as_bytes()
        cdef int code = 1000  # what an empty close frame is answered with
        text = ""
        if len(payload) == 1:
            self.refuse(1002, "close frame of one byte")
            return 0
        if payload:
            code = (payload[0] << 8) | payload[1]
            if not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
                self.refuse(1002, f"close code {code}")
                return 0
            try:
                text = f": {code} {payload[2:].decode('utf-8')[:80]}".rstrip()
            except UnicodeDecodeError:
                self.refuse(1007, _INVALID_UTF8)
                return 0
        self.close_reason = self.close_reason or f"closed by the peer{text}"
        self.is_closing = True
        self.transport.send_close(<WSCloseCode>code)
        self.transport.disconnect()
        return 0

    def violated(self, int code, str reason):
        """Note why picows is about to fail the connection, or answer the close frame that came just before.

        picows parses one frame ahead: at this point a close frame may be waiting for its delivery, and
        whatever follows it must not change the answer.
        """
        handshake = self.transport.close_handshake
        if handshake is not None and handshake.recv is not None:
            self.transport.send_close(handshake.recv.code or WSCloseCode.OK)
        elif not self.close_reason:
            self.close_reason = f"protocol violation: {code} {reason}"

    cpdef refuse(self, int code, str reason):
        """Close with ``code`` because the peer broke the protocol."""
        if self.is_closing:
            return
        self.is_closing = True
        self.close_reason = f"protocol violation: {code} {reason}"
        self.transport.send_close(<WSCloseCode>code, reason.encode()[:100])
        self.transport.disconnect()

    def close(self, int code, str reason):
        """Begin a clean close; the peer's answer, or the caller's deadline, ends the connection."""
        if not self.is_closing and self.transport is not None:
            self.close_reason = reason
            self.transport.send_close(<WSCloseCode>code, reason.encode()[:100])

    def abort(self, str reason):
        """Cut the connection now; nothing more is delivered, not even what is in the buffer already."""
        self.close_reason = self.close_reason or reason
        self.is_closing = True
        if self.transport is not None:
            self.transport.disconnect(False)

    cpdef pause_writing(self):
        pass  # the session looks at the buffer's size before it sends

    cpdef resume_writing(self):
        pass
