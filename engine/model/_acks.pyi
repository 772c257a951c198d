from typing import Any

from engine.model.orders import OrderAck

class AckReader:
    def __init__(self, make: type[OrderAck], decimal: object, **keys: Any) -> None: ...
    def read(self, body: bytes, symbol: str, price_scale: int, qty_scale: int) -> OrderAck | None: ...
