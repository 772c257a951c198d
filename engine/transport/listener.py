"""The receive callback in Python: the compiled listener's twin, for machines without a compiler."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from typing import Any, Protocol

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport


class Sink(Protocol):
    """Takes whole messages before Python decoding; see ``book.l2.DepthFeedLike``."""

    def feed(self, data: bytes, mono_ns: int, utc_ns: int) -> bool:
        """Return whether the message was consumed."""
        ...


NO_DEFLATE = "not one whole deflate stream"
PONGS_PER_S = 50
"""More pings than this in a second are left unanswered, which RFC 6455 5.5.3 allows."""


class PureFrameListener(WSListener):
    """See ``_listener.FrameListener``; the same arguments, attributes and rules."""

    def __init__(
        self,
        sink: Sink | None,
        on_message: Callable[[bytes, int, int], None],
        on_quarantine: Callable[[bytes, Exception], None],
        on_up: Callable[[Any], None],
        on_down: Callable[[Any], None],
        on_pong: Callable[[int], None],
        message_bytes_max: int,
        inflated_bytes_max: int = 0,
    ) -> None:
        self._sink = sink
        self._on_message = on_message
        self._on_quarantine = on_quarantine
        self._on_up = on_up
        self._on_down = on_down
        self._on_pong = on_pong
        self._message_bytes_max = message_bytes_max
        self._inflated_bytes_max = inflated_bytes_max
        self._parts: bytearray | None = None
        self._parts_type = WSMsgType.TEXT
        self._pongs_since_ns = 0
        self._pongs = 0
        self.is_closing = False
        self.transport: WSTransport | None = None
        self.last_mono_ns = 0
        self.messages = 0
        self.bytes_received = 0
        self.close_reason = ""

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Tell the session that the connection is open."""
        self.transport = transport
        self.last_mono_ns = time.monotonic_ns()
        self._on_up(self)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Tell the session that the connection is gone."""
        self.close_reason = self.close_reason or "connection lost"
        self._on_down(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Stamp and route one frame."""
        mono_ns = time.monotonic_ns()
        self.last_mono_ns = mono_ns
        kind = frame.msg_type
        if self.is_closing or (transport.is_close_frame_sent and kind != WSMsgType.CLOSE):
            return  # what comes after a close frame, or a broken rule, says nothing any more
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self.refuse(1002, "reserved bits are set")
            return
        if kind in (WSMsgType.TEXT, WSMsgType.BINARY) and frame.fin and self._parts is None:
            self._deliver(frame.get_payload_as_bytes(), kind, mono_ns)
        elif kind == WSMsgType.PING:
            self._answer_ping(frame, mono_ns)
        elif kind == WSMsgType.PONG:
            self._on_pong(mono_ns)
        elif kind == WSMsgType.CLOSE:
            self._closed_by_peer(frame.get_payload_as_bytes())
        else:
            self._gather(frame, kind, mono_ns)

    def _deliver(self, payload: bytes, kind: WSMsgType, mono_ns: int) -> None:
        utc_ns = time.time_ns()
        self.messages += 1
        self.bytes_received += len(payload)
        if kind == WSMsgType.BINARY and self._inflated_bytes_max:
            inflated = self._inflate(payload)
            if inflated is None:
                return
            payload = inflated
        try:
            if self._sink is not None and self._sink.feed(payload, mono_ns, utc_ns):
                return
        except Exception as error:  # a message that cannot be handled must not cost the connection
            self._on_quarantine(payload, error)
            return
        if kind == WSMsgType.TEXT:
            try:
                payload.decode("utf-8")
            except UnicodeDecodeError:
                self.refuse(1007, "invalid UTF-8")
                return
        try:
            self._on_message(payload, mono_ns, utc_ns)
        except Exception as error:
            self._on_quarantine(payload, error)

    def _inflate(self, payload: bytes) -> bytes | None:
        """Return what a whole raw-deflate stream holds; None, and the connection is over, if it is none."""
        stream = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            inflated = stream.decompress(payload, self._inflated_bytes_max + 1)
        except zlib.error:
            self.refuse(1007, NO_DEFLATE)
            return None
        if len(inflated) > self._inflated_bytes_max:
            self.refuse(1009, "message too big when inflated")
            return None
        if not stream.eof or stream.unused_data:
            self.refuse(1007, NO_DEFLATE)
            return None
        return inflated

    def _answer_ping(self, frame: WSFrame, mono_ns: int) -> None:
        assert self.transport is not None
        if mono_ns - self._pongs_since_ns >= 1_000_000_000:
            self._pongs_since_ns, self._pongs = mono_ns, 0
        self._pongs += 1
        if self._pongs <= PONGS_PER_S:
            self.transport.send_pong(frame.get_payload_as_bytes())

    def _gather(self, frame: WSFrame, kind: WSMsgType, mono_ns: int) -> None:
        if kind == WSMsgType.CONTINUATION:
            if self._parts is None:
                self.refuse(1002, "a continuation without a beginning")
                return
        elif self._parts is not None:
            self.refuse(1002, "a new message inside a fragmented one")
            return
        else:
            self._parts, self._parts_type = bytearray(), kind
        assert self._parts is not None
        if len(self._parts) + frame.payload_size > self._message_bytes_max:
            self.refuse(1009, "message too big")
            return
        self._parts += frame.get_payload_as_bytes()
        if frame.fin:
            payload, self._parts = bytes(self._parts), None
            self._deliver(payload, self._parts_type, mono_ns)

    def _closed_by_peer(self, payload: bytes) -> None:
        assert self.transport is not None
        if len(payload) == 1:
            self.refuse(1002, "close frame of one byte")
            return
        code, text = 1000, ""  # an empty close frame is answered with 1000
        if payload:
            code = int.from_bytes(payload[:2], "big")
            if not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
                self.refuse(1002, f"close code {code}")
                return
            try:
                text = f": {code} {payload[2:].decode('utf-8')[:80]}".rstrip()
            except UnicodeDecodeError:
                self.refuse(1007, "invalid UTF-8")
                return
        self.close_reason = self.close_reason or f"closed by the peer{text}"
        self.is_closing = True
        self.transport.send_close(WSCloseCode(code))
        self.transport.disconnect()

    def violated(self, code: int, reason: str) -> None:
        """Note why picows is about to fail the connection, or answer the close frame that came just before.

        picows parses one frame ahead: at this point a close frame may be waiting for its delivery, and
        whatever follows it must not change the answer.
        """
        assert self.transport is not None
        handshake = self.transport.close_handshake
        if handshake is not None and handshake.recv is not None:
            received = handshake.recv.code
            self.transport.send_close(WSCloseCode.OK if received == WSCloseCode.NO_INFO else received)
        elif not self.close_reason:
            self.close_reason = f"protocol violation: {code} {reason}"

    def refuse(self, code: int, reason: str) -> None:
        """Close with ``code`` because the peer broke the protocol."""
        if self.is_closing or self.transport is None:
            return
        self.is_closing = True
        self.close_reason = f"protocol violation: {code} {reason}"
        self.transport.send_close(WSCloseCode(code), reason.encode()[:100])
        self.transport.disconnect()

    def close(self, code: int, reason: str) -> None:
        """Begin a clean close."""
        if not self.is_closing and self.transport is not None:
            self.close_reason = reason
            self.transport.send_close(WSCloseCode(code), reason.encode()[:100])

    def abort(self, reason: str) -> None:
        """Cut the connection now; nothing more is delivered, not even what is in the buffer already."""
        self.close_reason = self.close_reason or reason
        self.is_closing = True
        if self.transport is not None:
            self.transport.disconnect(False)

    def pause_writing(self) -> None:
        """Ignore: the session looks at the buffer's size before it sends."""

    def resume_writing(self) -> None:
        """Ignore."""


try:
    from engine.transport._listener import FrameListener as FrameListener
except ImportError:
    FrameListener = PureFrameListener  # type: ignore[misc, assignment]
