from collections.abc import Callable
from typing import Any

from engine.book._kernel import NativeBook
from engine.telemetry._histogram import Histogram

class NativeTop:
    price_scale: int
    qty_scale: int
    version: int
    bid: int
    bid_qty: int
    bid_slot: int
    ask: int
    ask_qty: int
    ask_slot: int
    errors: int
    last_error: str
    on_change: Callable[[Any], None] | None
    wire_to_top_ns: Histogram
    def __init__(self) -> None: ...
    def add(self, book: NativeBook) -> int: ...
    def remove_all(self) -> None: ...
    def touch(self) -> tuple[int, int, int, int, int, int]: ...
    def slot_touch(self, number: int) -> tuple[int, int, int, int]: ...
    def is_misfit(self, number: int) -> bool: ...
