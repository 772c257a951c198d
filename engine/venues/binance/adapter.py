"""The two faces of Binance that the rest of the engine sees: market data and trading, per product."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from engine.model.account import Balance, Position
from engine.model.errors import ConfigError
from engine.model.instrument import Instrument, Product
from engine.model.market import BookSnapshot
from engine.model.orders import ExecutionReport, NewOrder, OrderAck, VenueError
from engine.venues.base import (
    ConnectionPlan,
    Credentials,
    Endpoints,
    HttpRequest,
    MarketEvent,
    PrivateEvent,
    Topic,
)
from engine.venues.binance import account, instruments, market_data, order_entry
from engine.venues.binance.endpoints import (
    DEPTH_LIMIT,
    DEPTH_SPEEDS,
    GIVE_UP_MS,
    PATHS,
    RECV_WINDOW_MS,
    REST_BUDGETS,
    SNAPSHOT_WEIGHT,
    STREAM_RULES,
    VENUE,
)
from engine.venues.binance.signing import signer_for, websocket_payload


class BinanceMarketData:
    """Public data of one product; implements ``base.MarketDataAdapter``.

    Args:
        speed: depth cadence word, "" for ``100ms``.

    Raises:
        ConfigError: the cadence is not one of the product's.
    """

    venue = VENUE

    def __init__(self, product: Product, endpoints: Endpoints, speed: str = "") -> None:
        if speed and speed not in DEPTH_SPEEDS[product]:
            known = ", ".join(DEPTH_SPEEDS[product])
            raise ConfigError(f'venues.binance.depth_speed = "{speed}": {product.value} has {known}')
        self.product = product
        self.schema = market_data.depth_schema(product)
        self.rest_budgets = REST_BUDGETS[product]
        self._endpoints = endpoints
        self._speed = speed or "100ms"
        self._path = PATHS[product]
        self._decoder = market_data.MarketDecoder(product)

    def instruments_request(self) -> HttpRequest:
        """Return the exchangeInfo request."""
        weight = 20 if self.product is Product.SPOT else 1
        return HttpRequest(
            method="GET", target=f"{self._path}/exchangeInfo", label=f"{VENUE}.instruments", weight=weight
        )

    def decode_instruments(self, body: bytes) -> list[Instrument]:
        """Return every listed instrument of the product."""
        return instruments.decode_instruments(self.product, body)

    def market_plans(
        self, instruments: Sequence[Instrument], topics: frozenset[Topic]
    ) -> list[ConnectionPlan]:
        """Return the connections that serve these instruments."""
        self._decoder.know(instruments)
        return market_data.market_plans(self.product, self._endpoints, instruments, topics, self._speed)

    def snapshot_request(self, instrument: Instrument) -> HttpRequest:
        """Return the depth request: 1000 levels."""
        symbol = order_entry.encoded_symbol(instrument)
        return HttpRequest(
            method="GET",
            target=f"{self._path}/depth?symbol={symbol}&limit={DEPTH_LIMIT}",
            label=f"{VENUE}.depth",
            weight=SNAPSHOT_WEIGHT[self.product],
        )

    def decode_snapshot(self, instrument: Instrument, body: bytes) -> BookSnapshot:
        """Return the snapshot in the instrument's scales."""
        return market_data.decode_snapshot(instrument, body)

    def decode_market(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[MarketEvent]:
        """Decode a message that the kernel passed on."""
        return self._decoder.decode(payload, mono_ns, utc_ns)

    def time_request(self) -> HttpRequest:
        """Return the clock request."""
        return HttpRequest(method="GET", target=f"{self._path}/time", label=f"{VENUE}.time")

    def decode_time_ns(self, body: bytes) -> int:
        """Return the venue's UTC nanoseconds."""
        return market_data.decode_time_ns(body)


class BinanceTrading:
    """Private side of one product; implements ``base.TradingAdapter``.

    Args:
        known: instruments by the venue's symbol; shared with whoever refreshes the listing.
    """

    venue = VENUE
    validity_ms = RECV_WINDOW_MS
    give_up_ms = GIVE_UP_MS
    private_rules = STREAM_RULES

    def __init__(
        self, product: Product, endpoints: Endpoints, credentials: Credentials, known: dict[str, Instrument]
    ) -> None:
        self.product = product
        self._endpoints = endpoints
        self._key = credentials.key
        self._signer = signer_for(credentials)
        self._known = known
        self._path = PATHS[product]
        self._headers = f"X-MBX-APIKEY: {credentials.key.reveal()}\r\n".encode()
        self._symbols: dict[str, str] = {}
        self._decoder = account.PrivateDecoder(product, known)
        self._is_spot = product is Product.SPOT
        self._is_logged_on = False

    # ----------------------------------------------------------------------------------------- REST

    def _symbol(self, instrument: Instrument) -> str:
        symbol = self._symbols.get(instrument.symbol)
        if symbol is None:
            symbol = self._symbols[instrument.symbol] = order_entry.encoded_symbol(instrument)
        return symbol

    def _signed(self, query: str, stamp_ms: int) -> str:
        payload = f"{query}&recvWindow={RECV_WINDOW_MS}&timestamp={stamp_ms}"
        if not query:
            payload = payload[1:]
        return f"{payload}&signature={self._signer.sign_url(payload.encode())}"

    def _read(self, path: str, query: str, stamp_ms: int, label: str, weight: int) -> HttpRequest:
        return HttpRequest(
            method="GET",
            target=f"{path}?{self._signed(query, stamp_ms)}",
            label=f"{VENUE}.{label}",
            headers=self._headers,
            weight=weight,
            is_reserved=True,
        )

    def place_http(self, order: NewOrder, instrument: Instrument, stamp_ms: int) -> HttpRequest:
        """Encode and sign a place: everything in the form body. Weight 0 when it succeeds (both)."""
        query = order_entry.place_query(self.product, order, instrument, self._symbol(instrument))
        return HttpRequest(
            method="POST",
            target=f"{self._path}/order",
            label=f"{VENUE}.place",
            headers=self._headers,
            body=self._signed(query, stamp_ms).encode(),
            weight=1,
            order_count=1,
            idempotent=False,
        )

    def cancel_http(
        self, instrument: Instrument, client_order_id: str, venue_order_id: str | None, stamp_ms: int
    ) -> HttpRequest:
        """Encode and sign a cancel. Repeating one is harmless: a second finds nothing to cancel."""
        query = order_entry.target_query(self._symbol(instrument), client_order_id, venue_order_id)
        return HttpRequest(
            method="DELETE",
            target=f"{self._path}/order?{self._signed(query, stamp_ms)}",
            label=f"{VENUE}.cancel",
            headers=self._headers,
            is_reserved=True,
        )

    def query_http(
        self, instrument: Instrument, client_order_id: str, venue_order_id: str | None, stamp_ms: int
    ) -> HttpRequest:
        """Encode and sign a status query."""
        query = order_entry.target_query(self._symbol(instrument), client_order_id, venue_order_id)
        return self._read(f"{self._path}/order", query, stamp_ms, "query", 4 if self._is_spot else 1)

    def open_orders_http(self, instrument: Instrument | None, stamp_ms: int) -> HttpRequest:
        """Encode and sign a list of open orders; all symbols at once cost 80 (spot) or 40 (USD-M)."""
        if instrument is None:
            weight, query = (80 if self._is_spot else 40), ""
        else:
            weight, query = (6 if self._is_spot else 1), f"symbol={self._symbol(instrument)}"
        return self._read(f"{self._path}/openOrders", query, stamp_ms, "open_orders", weight)

    def cancel_all_http(self, instrument: Instrument, stamp_ms: int) -> HttpRequest:
        """Encode and sign a cancel of all open orders of one symbol."""
        path = "openOrders" if self._is_spot else "allOpenOrders"
        return HttpRequest(
            method="DELETE",
            target=f"{self._path}/{path}?{self._signed(f'symbol={self._symbol(instrument)}', stamp_ms)}",
            label=f"{VENUE}.cancel_all",
            headers=self._headers,
            is_reserved=True,
        )

    def fills_http(self, instrument: Instrument, from_trade_id: str | None, stamp_ms: int) -> HttpRequest:
        """Encode and sign a page of own fills, ascending from a trade id (inclusive)."""
        query = f"symbol={self._symbol(instrument)}&limit=1000"
        if from_trade_id:
            query += f"&fromId={from_trade_id}"
        path = "myTrades" if self._is_spot else "userTrades"
        return self._read(f"{self._path}/{path}", query, stamp_ms, "fills", 20 if self._is_spot else 5)

    def balances_http(self, stamp_ms: int) -> HttpRequest:
        """Encode and sign a balance query."""
        if self._is_spot:
            return self._read("/api/v3/account", "omitZeroBalances=true", stamp_ms, "balances", 20)
        return self._read("/fapi/v3/balance", "", stamp_ms, "balances", 5)

    def positions_http(self, stamp_ms: int) -> HttpRequest | None:
        """Encode and sign a position query; ``None`` for spot."""
        if self._is_spot:
            return None
        return self._read("/fapi/v3/positionRisk", "", stamp_ms, "positions", 5)

    # -------------------------------------------------------------------------------- WebSocket API

    def _ws(self, method: str, params: dict[str, str | int], request_id: str, stamp_ms: int) -> bytes:
        params["timestamp"] = stamp_ms
        if not self._is_logged_on:
            params["apiKey"] = self._key.reveal()
            params["signature"] = self._signer.sign(websocket_payload(params))
        return msgspec.json.encode({"id": request_id, "method": method, "params": params})

    def _target(
        self, instrument: Instrument, client_order_id: str, venue_order_id: str | None
    ) -> dict[str, str | int]:
        params: dict[str, str | int] = {"symbol": instrument.symbol, "recvWindow": RECV_WINDOW_MS}
        if venue_order_id:
            params["orderId"] = int(venue_order_id)
        else:
            params["origClientOrderId"] = client_order_id
        return params

    def place_ws(self, order: NewOrder, instrument: Instrument, request_id: str, stamp_ms: int) -> bytes:
        """Encode and sign ``order.place``."""
        params: dict[str, str | int] = dict(order_entry.place_params(self.product, order, instrument))
        params["recvWindow"] = RECV_WINDOW_MS
        return self._ws("order.place", params, request_id, stamp_ms)

    def cancel_ws(
        self,
        instrument: Instrument,
        client_order_id: str,
        venue_order_id: str | None,
        request_id: str,
        stamp_ms: int,
    ) -> bytes:
        """Encode and sign ``order.cancel``."""
        params = self._target(instrument, client_order_id, venue_order_id)
        return self._ws("order.cancel", params, request_id, stamp_ms)

    def query_ws(
        self,
        instrument: Instrument,
        client_order_id: str,
        venue_order_id: str | None,
        request_id: str,
        stamp_ms: int,
    ) -> bytes:
        """Encode and sign ``order.status``."""
        params = self._target(instrument, client_order_id, venue_order_id)
        return self._ws("order.status", params, request_id, stamp_ms)

    def trade_login(self, request_id: str, stamp_ms: int) -> bytes | None:
        """Return ``session.logon`` for Ed25519 keys; HMAC keys sign each request instead.

        Source: WebSocket API docs, "Session Authentication": Ed25519 keys only.
        """
        if not self._signer.is_ed25519:
            return None
        params: dict[str, str | int] = {"apiKey": self._key.reveal(), "timestamp": stamp_ms}
        params["signature"] = self._signer.sign(websocket_payload(params))
        return msgspec.json.encode({"id": request_id, "method": "session.logon", "params": params})

    def set_logged_on(self, logged_on: bool) -> None:
        """Say whether the order-entry connection is logged on: then requests go out unsigned."""
        self._is_logged_on = logged_on

    # -------------------------------------------------------------------------------------- private

    def private_url(self, listen_key: str | None) -> str:
        """Return the WebSocket API (spot) or ``/private/ws?listenKey=`` (USD-M)."""
        base = (self._endpoints.ws_private or "").rstrip("/")
        return base if self._is_spot else f"{base}/private/ws?listenKey={listen_key or ''}"

    def private_subscribe(self, request_id: str, stamp_ms: int) -> tuple[bytes, ...]:
        """Return the signed user-data subscription (spot, any key type); USD-M needs none."""
        if not self._is_spot:
            return ()
        params: dict[str, str | int] = {"apiKey": self._key.reveal(), "timestamp": stamp_ms}
        params["signature"] = self._signer.sign(websocket_payload(params))
        message = {"id": request_id, "method": "userDataStream.subscribe.signature", "params": params}
        return (msgspec.json.encode(message),)

    def listen_key_request(self) -> HttpRequest | None:
        """Return the request that opens or renews the listen key (USD-M): POST does both."""
        if self._is_spot:
            return None
        return HttpRequest(
            method="POST",
            target="/fapi/v1/listenKey",
            label=f"{VENUE}.listen_key",
            headers=self._headers,
            is_reserved=True,
        )

    # ------------------------------------------------------------------------------------- decoding

    def decode_order(self, instrument: Instrument, status: int, body: bytes) -> OrderAck | VenueError:
        """Decode the answer to a place, cancel or query."""
        return order_entry.decode_order(self.product, instrument, status, body)

    def decode_orders(self, status: int, body: bytes) -> list[OrderAck] | VenueError:
        """Decode a list of orders."""
        return order_entry.decode_orders(self.product, self._known, status, body)

    def decode_fills(
        self, instrument: Instrument, status: int, body: bytes
    ) -> list[ExecutionReport] | VenueError:
        """Decode a page of own fills."""
        return account.decode_fills(self.product, instrument, status, body)

    def decode_balances(self, status: int, body: bytes) -> list[Balance] | VenueError:
        """Decode balances."""
        return account.decode_balances(self.product, status, body)

    def decode_positions(self, status: int, body: bytes) -> list[Position] | VenueError:
        """Decode positions."""
        return account.decode_positions(self._known, status, body)

    def decode_listen_key(self, status: int, body: bytes) -> str | VenueError:
        """Decode the listen key."""
        return account.decode_listen_key(status, body)

    def decode_private(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[PrivateEvent]:
        """Decode one message of the private or order-entry connection."""
        return self._decoder.decode(payload, mono_ns, utc_ns)
