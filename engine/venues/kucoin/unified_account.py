"""The private side of a unified account: its requests, and who decodes their answers.

The account stream (``unified_stream``) is a socket of its own, of which each connection takes a token; the
order entry is that of classic accounts with other operations (``uta.order``, ``uta.cancel``) and the same
greeting.

Source: KuCoin API docs (unified account), seen 2026-08; kucoin-universal-sdk 1.3.2.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.model.account import Balance, Position
from engine.model.instrument import Instrument, Product
from engine.model.orders import ExecutionReport, NewOrder, OrderAck, VenueError
from engine.venues.base import (
    Credentials,
    Dial,
    Endpoints,
    HttpRequest,
    PrivateEvent,
)
from engine.venues.kucoin import handshake, order_entry, unified_orders, unified_stream
from engine.venues.kucoin.endpoints import (
    FILLS_PAGE,
    ORDERS_PAGE,
    PUSH_PING,
    PUSH_RULES,
    TRADE_TYPES,
)
from engine.venues.kucoin.sessions import KucoinSessions

BASE = "/api/ua/v1"
"""The venue's SDK says v2, its other clients v1: UNCONFIRMED which is the lasting one; their bodies agree."""
TOKEN_TARGET = "/api/v2/bullet-private"  # noqa: S105 - a path


class KucoinUnifiedTrading(KucoinSessions):
    """Private side of one product of a unified account; implements ``base.TradingAdapter`` and dials signed.

    Args:
        product: spot or linear perpetual contracts; both are asked of one host.
        endpoints: ``ws_private`` is the push socket's address without its token.
        credentials: key, secret and passphrase.
        known: instruments by the venue's symbol; shared with whoever refreshes the listing.
        key_version: the version that the venue lists for the key, 2 or 3.

    Raises:
        ConfigError: the key cannot be used.
    """

    private_rules = PUSH_RULES

    def __init__(
        self,
        product: Product,
        endpoints: Endpoints,
        credentials: Credentials,
        known: dict[str, Instrument],
        key_version: int = 3,
    ) -> None:
        super().__init__(product, endpoints, credentials, key_version)
        self._known = known
        self._type = TRADE_TYPES[product]
        self._decoder = unified_stream.UnifiedDecoder(product, known)

    # ----------------------------------------------------------------------------------------- REST

    def _request(
        self, method: str, target: str, stamp_ms: int, label: str, weight: int = 1, body: str = "",
        is_reserved: bool = False, is_order: bool = False,
    ) -> HttpRequest:  # fmt: skip
        data = body.encode()
        return HttpRequest(
            method=method,
            target=target,
            label=f"{self._label}.{label}",
            headers=self._signer.headers(method, target, data, stamp_ms),
            body=data,
            content_type="application/json",
            weight=0 if is_order else weight,
            order_count=1 if is_order else 0,
            idempotent=not is_order,
            is_reserved=is_reserved,
        )

    def place_http(self, order: NewOrder, instrument: Instrument, stamp_ms: int) -> HttpRequest:
        """Encode and sign a place; raises UsageError where the order cannot be expressed at this venue."""
        body = unified_orders.place_body(self.product, order, instrument)
        target = f"{BASE}/unified/order/place"
        return self._request("POST", target, stamp_ms, "place", body=body, is_order=True)

    def cancel_http(
        self, instrument: Instrument, client_order_id: str, venue_order_id: str | None, stamp_ms: int
    ) -> HttpRequest:
        """Encode and sign a cancel. Repeating one is harmless: a second finds nothing to cancel."""
        body = unified_orders.cancel_body(self.product, instrument, client_order_id, venue_order_id)
        target = f"{BASE}/unified/order/cancel"
        return self._request("POST", target, stamp_ms, "cancel", body=body, is_reserved=True)

    def query_http(
        self, instrument: Instrument, client_order_id: str, venue_order_id: str | None, stamp_ms: int
    ) -> HttpRequest:
        """Encode and sign a status query."""
        field, text = unified_orders.naming(client_order_id, venue_order_id)
        symbol = order_entry.plain_text(instrument.symbol)
        target = f"{BASE}/unified/order/detail?{field}={text}&symbol={symbol}&tradeType={self._type}"
        return self._request("GET", target, stamp_ms, "query", 2, is_reserved=True)

    def open_orders_http(self, instrument: Instrument | None, stamp_ms: int) -> HttpRequest:
        """Encode and sign the first page of open orders; see :meth:`continuation`."""
        symbol = "" if instrument is None else f"symbol={order_entry.plain_text(instrument.symbol)}&"
        target = f"{BASE}/unified/order/open-list?{symbol}tradeType={self._type}&pageSize={ORDERS_PAGE}"
        return self._request("GET", target, stamp_ms, "open_orders", 2, is_reserved=True)

    def continuation(
        self, request: HttpRequest, status: int, body: bytes, stamp_ms: int
    ) -> HttpRequest | None:
        """Return the request for the next page of open orders, ``None`` after the last."""
        if request.label != f"{self._label}.open_orders":
            return None
        target = order_entry.next_page(request.target, status, body, "pageNumber")
        if target is None:
            return None
        return self._request("GET", target, stamp_ms, "open_orders", 2, is_reserved=True)

    def cancel_all_http(self, instrument: Instrument, stamp_ms: int) -> HttpRequest:
        """Encode and sign a cancel of every open order of one instrument; the cancels arrive as reports."""
        symbol = order_entry.plain_text(instrument.symbol)
        body = f'{{"symbol":"{symbol}","tradeType":"{self._type}","orderFilter":"NORMAL"}}'
        target = f"{BASE}/unified/order/cancel-all"
        return self._request("POST", target, stamp_ms, "cancel_all", 10, body, is_reserved=True)

    def fills_http(self, instrument: Instrument, from_trade_id: str | None, stamp_ms: int) -> HttpRequest:
        """Encode and sign a page of the newest own fills; ``from_trade_id`` is not used."""
        symbol = order_entry.plain_text(instrument.symbol)
        target = (
            f"{BASE}/unified/order/execution?symbol={symbol}&tradeType={self._type}&pageSize={FILLS_PAGE}"
        )
        return self._request("GET", target, stamp_ms, "fills", 2, is_reserved=True)

    def balances_http(self, stamp_ms: int) -> HttpRequest:
        """Encode and sign a balance query."""
        return self._request("GET", f"{BASE}/unified/account/balance", stamp_ms, "balances", 5)

    def positions_http(self, stamp_ms: int) -> HttpRequest | None:
        """Encode and sign a position query; ``None`` for spot."""
        if self.product is Product.SPOT:
            return None
        return self._request("GET", f"{BASE}/unified/position/open-list", stamp_ms, "positions", 2)

    def account_check_http(self, stamp_ms: int) -> HttpRequest | None:
        """Encode and sign a question for the account's mode."""
        return self._request("GET", f"{BASE}/account/mode", stamp_ms, "account_check", 60)

    # ----------------------------------------------------------------------------- WebSocket orders

    def place_ws(self, order: NewOrder, instrument: Instrument, request_id: str, stamp_ms: int) -> bytes:
        """Encode an ``uta.order`` request; raises UsageError as ``place_http``."""
        args = unified_orders.place_body(self.product, order, instrument)
        return f'{{"id":"{request_id}","op":"uta.order","args":{args}}}'.encode()

    def cancel_ws(
        self,
        instrument: Instrument,
        client_order_id: str,
        venue_order_id: str | None,
        request_id: str,
        stamp_ms: int,
    ) -> bytes:
        """Encode an ``uta.cancel`` request."""
        args = unified_orders.cancel_body(self.product, instrument, client_order_id, venue_order_id)
        return f'{{"id":"{request_id}","op":"uta.cancel","args":{args}}}'.encode()

    # -------------------------------------------------------------------------------------- private

    def private_subscribe(self, request_id: str, stamp_ms: int) -> tuple[bytes, ...]:
        """Return a ping: the subscriptions follow as ``ToSend`` once the venue has welcomed us."""
        self._decoder.begin(request_id)
        return (PUSH_PING,)

    def listen_key_request(self) -> HttpRequest | None:
        """Return the token request without a good stamp; see :meth:`signed_listen_key_request`."""
        return self.signed_listen_key_request(0)

    def signed_listen_key_request(self, stamp_ms: int) -> HttpRequest:
        """Return the signed request for a token of the account stream; each call makes another."""
        return self._request("POST", TOKEN_TARGET, stamp_ms, "token", handshake.WEIGHT)

    # ------------------------------------------------------------------------------------- decoding

    def decode_order(
        self, instrument: Instrument, status: int, body: bytes, retry_after: str | None = None
    ) -> OrderAck | VenueError:
        """Decode the answer to a place, cancel or query."""
        return unified_orders.decode_order(instrument, status, body, retry_after)

    def decode_orders(
        self, status: int, body: bytes, retry_after: str | None = None
    ) -> list[OrderAck] | VenueError:
        """Decode a list of open orders; empty for a cancel-all."""
        return unified_orders.decode_orders(self.product, self._known, status, body, retry_after)

    def decode_fills(
        self, instrument: Instrument, status: int, body: bytes, retry_after: str | None = None
    ) -> list[ExecutionReport] | VenueError:
        """Decode a page of own fills."""
        return unified_orders.decode_fills(instrument, status, body, retry_after)

    def decode_balances(
        self, status: int, body: bytes, retry_after: str | None = None
    ) -> list[Balance] | VenueError:
        """Decode balances."""
        return unified_orders.decode_balances(self.product, status, body, retry_after)

    def decode_positions(
        self, status: int, body: bytes, retry_after: str | None = None
    ) -> list[Position] | VenueError:
        """Decode positions."""
        return unified_orders.decode_positions(self._known, status, body, retry_after)

    def decode_account_check(
        self, status: int, body: bytes, retry_after: str | None = None
    ) -> str | VenueError:
        """Return why the account must not be traded, or ""."""
        return unified_orders.decode_settings(self.product, status, body, retry_after)

    def decode_listen_key(self, status: int, body: bytes, retry_after: str | None = None) -> str | VenueError:
        """Return the address of the next account stream, token included."""
        made = handshake.decode_token(
            self.product,
            self._endpoints.rest_trade or self._endpoints.rest,
            "private",
            status,
            body,
            retry_after,
            self._endpoints.ws_private or "",
        )
        return made.url if isinstance(made, Dial) else made

    def decode_private(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[PrivateEvent]:
        """Decode one message of the account stream."""
        return self._decoder.decode(payload, mono_ns, utc_ns)
