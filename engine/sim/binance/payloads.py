"""Market stream payloads, encoded by hand: the depth and ticker frames are the simulator's hot path.

Source: Binance spot API docs, web-socket-streams; USDⓈ-M docs, "Websocket Market Streams"; captured 2026
frames.
"""

from __future__ import annotations


def json_string(text: str) -> str:
    """Return ``text`` as a JSON string; symbols may hold any letters but no quotes or control characters."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class SpotPayloads:
    """Payloads of one spot market's streams; texts arrive ready in the market's widths."""

    __slots__ = ("_s",)

    def __init__(self, symbol: str) -> None:
        self._s = json_string(symbol)

    def depth(self, now_ms: int, first: int, last: int, bids: str, asks: str) -> bytes:
        """Return a diff event; ``bids`` and ``asks`` are the insides of the level arrays."""
        return (
            f'{{"e":"depthUpdate","E":{now_ms},"s":{self._s},"U":{first},"u":{last},"b":[{bids}],"a":[{asks}]}}'
        ).encode()

    def partial(self, last: int, bids: str, asks: str) -> bytes:
        """Return a partial book (no ``e``, no symbol)."""
        return f'{{"lastUpdateId":{last},"bids":[{bids}],"asks":[{asks}]}}'.encode()

    def book_ticker(self, update_id: int, bid: str, bid_qty: str, ask: str, ask_qty: str) -> bytes:
        """Return the top of the book as of ``update_id``."""
        return (
            f'{{"u":{update_id},"s":{self._s},"b":"{bid}","B":"{bid_qty}","a":"{ask}","A":"{ask_qty}"}}'
        ).encode()

    def trade(
        self, now_ms: int, trade_id: int, price: str, qty: str, traded_ms: int, buyer_is_maker: bool
    ) -> bytes:
        """Return one trade."""
        maker = "true" if buyer_is_maker else "false"
        return (
            f'{{"e":"trade","E":{now_ms},"s":{self._s},"t":{trade_id},"p":"{price}","q":"{qty}",'
            f'"T":{traded_ms},"m":{maker},"M":true}}'
        ).encode()

    def agg_trade(
        self,
        now_ms: int,
        agg_id: int,
        price: str,
        qty: str,
        first: int,
        last: int,
        traded_ms: int,
        buyer_is_maker: bool,
    ) -> bytes:
        """Return the fills of one taker order at one price."""
        maker = "true" if buyer_is_maker else "false"
        return (
            f'{{"e":"aggTrade","E":{now_ms},"s":{self._s},"a":{agg_id},"p":"{price}","q":"{qty}",'
            f'"f":{first},"l":{last},"T":{traded_ms},"m":{maker},"M":true}}'
        ).encode()


class PerpPayloads:
    """Payloads of one contract's streams."""

    __slots__ = ("_s", "_sp")

    def __init__(self, symbol: str, pair: str) -> None:
        self._s = json_string(symbol)
        self._sp = f'{self._s},"ps":{json_string(pair)}'

    def depth(
        self, now_ms: int, engine_ms: int, first: int, last: int, previous: int, bids: str, asks: str
    ) -> bytes:
        """Return a diff event; partial books look exactly the same."""
        return (
            f'{{"e":"depthUpdate","E":{now_ms},"T":{engine_ms},"s":{self._sp},"U":{first},"u":{last},'
            f'"pu":{previous},"b":[{bids}],"a":[{asks}],"st":1}}'
        ).encode()

    def book_ticker(
        self, now_ms: int, engine_ms: int, update_id: int, bid: str, bid_qty: str, ask: str, ask_qty: str
    ) -> bytes:
        """Return the top of the book as of ``update_id``."""
        return (
            f'{{"e":"bookTicker","u":{update_id},"s":{self._sp},"b":"{bid}","B":"{bid_qty}","a":"{ask}",'
            f'"A":"{ask_qty}","T":{engine_ms},"E":{now_ms},"st":1}}'
        ).encode()

    def trade(
        self,
        now_ms: int,
        trade_id: int,
        price: str,
        qty: str,
        traded_ms: int,
        buyer_is_maker: bool,
        kind: str = "MARKET",
    ) -> bytes:
        """Return one trade; ``kind`` is MARKET, RPI, INSURANCE_FUND, ADL or NA."""
        maker = "true" if buyer_is_maker else "false"
        return (
            f'{{"e":"trade","E":{now_ms},"T":{traded_ms},"s":{self._s},"t":{trade_id},"p":"{price}",'
            f'"q":"{qty}","X":"{kind}","m":{maker},"st":1}}'
        ).encode()

    def agg_trade(
        self,
        now_ms: int,
        agg_id: int,
        price: str,
        qty: str,
        first: int,
        last: int,
        traded_ms: int,
        buyer_is_maker: bool,
    ) -> bytes:
        """Return the fills of one taker order at one price."""
        maker = "true" if buyer_is_maker else "false"
        return (
            f'{{"e":"aggTrade","E":{now_ms},"a":{agg_id},"s":{self._s},"p":"{price}","q":"{qty}","nq":"{qty}",'
            f'"f":{first},"l":{last},"T":{traded_ms},"m":{maker},"st":1}}'
        ).encode()

    def mark_price(
        self, now_ms: int, mark: str, average: str, settle: str, index: str, rate: str, next_funding_ms: int
    ) -> bytes:
        """Return mark and index price and the funding rate as it stands."""
        return (
            f'{{"e":"markPriceUpdate","E":{now_ms},"s":{self._s},"p":"{mark}","ap":"{average}","P":"{settle}",'
            f'"i":"{index}","r":"{rate}","T":{next_funding_ms},"st":1}}'
        ).encode()
