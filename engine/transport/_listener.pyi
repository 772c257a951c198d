from collections.abc import Callable
from typing import Any

from picows import WSListener, WSTransport

class FrameListener(WSListener):
    transport: WSTransport
    last_mono_ns: int
    messages: int
    bytes_received: int
    close_reason: str
    is_closing: bool
    def __init__(
        self,
        sink: Any,
        on_message: Callable[[bytes, int, int], None],
        on_quarantine: Callable[[bytes, Exception], None],
        on_up: Callable[[Any], None],
        on_down: Callable[[Any], None],
        on_pong: Callable[[int], None],
        message_bytes_max: int,
        inflated_bytes_max: int = 0,
    ) -> None: ...
    def violated(self, code: int, reason: str) -> None: ...
    def refuse(self, code: int, reason: str) -> None: ...
    def close(self, code: int, reason: str) -> None: ...
    def abort(self, reason: str) -> None: ...
