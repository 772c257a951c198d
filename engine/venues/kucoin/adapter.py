"""The two faces of KuCoin that the rest of the engine sees: market data and trading, per product."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from engine.model.account import Balance, Position
from engine.model.errors import ConfigError, UsageError
from engine.model.instrument import Instrument, Product
from engine.model.market import BookSnapshot
from engine.model.orders import AmendOrder, ExecutionReport, NewOrder, OrderAck, VenueError
from engine.venues.base import (
    BudgetRule,
    ConnectionPlan,
    Credentials,
    Dial,
    Endpoints,
    Handshake,
    HttpRequest,
    MarketEvent,
    PrivateEvent,
    RecordedDialect,
    Topic,
)
from engine.venues.kucoin import (
    account,
    errors,
    frames,
    funding,
    handshake,
    instruments,
    market_data,
    order_entry,
    user_data,
)
from engine.venues.kucoin.endpoints import (
    CLASSIC_DEPTH,
    DEPTH_SPEEDS,
    FILLS_PAGE,
    ORDER_WINDOW_MS,
    ORDERS_PAGE,
    PING,
    PRIVATE_RULES,
    REST_BUDGETS,
    UNIFIED_BUDGETS,
    VENUE,
)
from engine.venues.kucoin.recent_trades import KucoinTrades
from engine.venues.kucoin.sessions import KucoinSessions
from engine.venues.kucoin.signing import KucoinSigner

STREAMS = ("unified", "classic")
MARGIN_MODES = ("ISOLATED", "CROSS")


class KucoinMarketData:
    """Public data of one product; implements ``base.MarketDataAdapter``, ``SignedReading``, ``WithFunding``.

    Args:
        product: spot or linear perpetual contracts.
        endpoints: where to connect; ``endpoints.py`` says what each base means.
        speed: depth cadence word of the unified streams, "" for the only one.
        streams: "unified" (no token, snapshots on the stream) or "classic" (a token before each connect,
            snapshots over REST: whole spot books are for signed requests, others get 100 levels a side).
        key_version: of the key that ``sign_reads`` is given.
        is_unified_account: the orders sent besides are a unified account's, which has limits of its own.

    Raises:
        ConfigError: the cadence or the kind of streams is none of the venue's.
    """

    venue = VENUE

    def __init__(
        self,
        product: Product,
        endpoints: Endpoints,
        speed: str = "",
        streams: str = "unified",
        key_version: int = 3,
        is_unified_account: bool = False,
    ) -> None:
        if streams not in STREAMS:
            raise ConfigError(f'venues.kucoin.streams = "{streams}": KuCoin has {", ".join(STREAMS)}')
        self._is_classic = streams == "classic"
        if speed and (self._is_classic or speed not in DEPTH_SPEEDS):
            known = "none on the classic streams" if self._is_classic else ", ".join(DEPTH_SPEEDS)
            raise ConfigError(f'venues.kucoin.depth_speed = "{speed}": {product.value} has {known}')
        self.product = product
        self.schema = market_data.depth_schema(product, self._is_classic)
        self.rest_budgets = UNIFIED_BUDGETS if is_unified_account else REST_BUDGETS[product]
        self._endpoints = endpoints
        self._key_version = key_version
        self._sign: Callable[[str, str], bytes] | None = None
        self._label = f"{VENUE}.{product.value}"
        self._decoder = frames.MarketDecoder(product)
        self.trade_list = KucoinTrades(product)
        self._is_spot = product is Product.SPOT
        self.funding = None if self._is_spot else funding.KucoinFunding()

    def sign_reads(self, credentials: Credentials, stamp_ms: Callable[[], int]) -> None:
        """Sign what the venue gives to signed requests only: whole spot books."""
        signer = KucoinSigner(credentials, self._key_version)
        self._sign = lambda method, target: signer.headers(method, target, b"", stamp_ms())

    def _read(self, target: str, label: str, weight: int) -> HttpRequest:
        return HttpRequest(method="GET", target=target, label=f"{self._label}.{label}", weight=weight)

    def instruments_request(self) -> HttpRequest:
        """Return the instruments request of the product."""
        if self._is_spot:
            return self._read("/api/v2/symbols", "instruments", 4)
        return self._read("/api/v1/contracts/active", "instruments", 3)

    def decode_instruments(self, body: bytes) -> list[Instrument]:
        """Return every listed instrument of the product; ``instruments.decode_listing`` tells the rest."""
        return instruments.decode_listing(self.product, body).instruments

    def decode_budgets(self, body: bytes) -> tuple[BudgetRule, ...]:
        """Return the documented limits: the instruments answer states none."""
        return self.rest_budgets

    def market_plans(
        self, instruments: Sequence[Instrument], topics: frozenset[Topic]
    ) -> list[ConnectionPlan]:
        """Return the connections that serve these instruments."""
        self._decoder.know(instruments)
        asked = self._handshake() if self._is_classic else None
        return market_data.market_plans(self.product, self._endpoints, instruments, topics, asked)

    def _handshake(self) -> Handshake:
        request = HttpRequest(
            method="POST",
            target=handshake.PUBLIC_TARGET,
            label=f"{self._label}.token",
            weight=handshake.WEIGHT,
        )
        decode: Callable[[int, bytes], Dial | VenueError] = functools.partial(
            handshake.decode_token, self.product, self._endpoints.rest, "public"
        )
        return Handshake(request, decode)

    def depth_request(self, instrument: Instrument, is_wanted: bool, request_id: str) -> bytes:
        """Return subscribe or unsubscribe of one book."""
        if self._is_classic:
            operation = "subscribe" if is_wanted else "unsubscribe"
            topic = f"{CLASSIC_DEPTH[self.product]}:{instrument.symbol}"
            return market_data.classic_request(topic, request_id, operation)
        action = "SUBSCRIBE" if is_wanted else "UNSUBSCRIBE"
        return market_data.unified_request(self.product, "obu", instrument.symbol, request_id, action)

    def depth_symbol(self, stream: str) -> str | None:
        """Return the symbol of a depth stream's name."""
        return market_data.depth_symbol(self.product, stream, self._is_classic)

    def recorded_dialects(self) -> list[RecordedDialect]:
        """Return the frames of both interfaces, this adapter's own first: recordings hold either."""
        own = self._is_classic
        return [
            RecordedDialect(
                market_data.depth_schema(self.product, is_classic),
                functools.partial(market_data.depth_symbol, self.product, is_classic=is_classic),
            )
            for is_classic in (own, not own)
        ]

    def snapshot_request(self, instrument: Instrument) -> HttpRequest:
        """Return the REST book request: joined with the classic streams, for audits of the unified ones."""
        symbol = order_entry.plain_text(instrument.symbol)
        if not self._is_spot:
            return self._read(f"/api/v1/level2/snapshot?symbol={symbol}", "book", 3)
        if self._sign is None:
            return self._read(f"/api/v1/market/orderbook/level2_100?symbol={symbol}", "book", 4)
        target = f"/api/v3/market/orderbook/level2?symbol={symbol}"
        return HttpRequest(
            method="GET",
            target=target,
            label=f"{self._label}.book",
            headers=self._sign("GET", target),
            weight=3,
        )

    def decode_snapshot(self, instrument: Instrument, body: bytes) -> BookSnapshot:
        """Return the REST book in the instrument's scales."""
        return market_data.decode_snapshot(instrument, body)

    def decode_market(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[MarketEvent]:
        """Decode a message that the kernel passed on."""
        return self._decoder.decode(payload, mono_ns, utc_ns)

    def time_request(self) -> HttpRequest:
        """Return the clock request."""
        return self._read("/api/v1/timestamp", "time", 3)

    def decode_time_ns(self, body: bytes) -> int:
        """Return the venue's UTC nanoseconds."""
        return market_data.decode_time_ns(body)

    def decode_error(self, status: int, body: bytes, retry_after: str | None = None) -> VenueError:
        """Decode an answer whose status is not 200."""
        return errors.decode_error(self.product, status, body, retry_after)


class KucoinTrading(KucoinSessions):
    """Private side of one product of a classic account; implements ``base.TradingAdapter`` and more.

    It dials signed addresses (``SignedDialling``), amends (``Amending``, ``Renaming``) and lists open futures
    orders in pages (``Continued``). The account's private stream is the classic socket of the product's
    host, whatever sockets the market data comes from.

    Args:
        product: spot or linear perpetual contracts.
        endpoints: where to connect; ``endpoints.py`` says what each base means.
        credentials: key, secret and passphrase.
        known: instruments by the venue's symbol; shared with whoever refreshes the listing.
        key_version: the version that the venue lists for the key, 2 or 3.
        margin_mode: "ISOLATED" or "CROSS", as the account has it set for the contracts (futures alone).
        leverage: what orders that open a position are sent with (futures alone).
        settle: the currency whose futures wallet is asked for.

    Raises:
        ConfigError: the key cannot be used, or an argument is none of the venue's.
    """

    private_rules = PRIVATE_RULES
    renames_amended = True

    def __init__(
        self,
        product: Product,
        endpoints: Endpoints,
        credentials: Credentials,
        known: dict[str, Instrument],
        key_version: int = 3,
        margin_mode: str = "ISOLATED",
        leverage: int = 1,
        settle: str = "USDT",
    ) -> None:
        if margin_mode not in MARGIN_MODES:
            raise ConfigError(f'margin_mode = "{margin_mode}": KuCoin has {", ".join(MARGIN_MODES)}')
        if not 1 <= leverage <= 125:
            raise ConfigError(f"leverage must be 1 to 125, not {leverage}")
        if not (settle.isalnum() and settle.isascii()):
            raise ConfigError(f'settle = "{settle}" is no currency')
        super().__init__(product, endpoints, credentials, key_version)
        self._known = known
        self._is_spot = product is Product.SPOT
        self._orders_path = "/api/v1/hf/orders" if self._is_spot else "/api/v1/orders"
        self._margin = f',"marginMode":"{margin_mode}","leverage":{leverage}'
        self._settle = settle
        self._place_label = f"{self._label}.place"
        self._cancel_label = f"{self._label}.cancel"
        self._decoder = user_data.PrivateDecoder(product, known)

    @property
    def unknown_symbols(self) -> int:
        """Return how many pushes were left out because their instrument is not known."""
        return self._decoder.unknown_symbols

    # ----------------------------------------------------------------------------------------- REST

    def _request(
        self, method: str, target: str, stamp_ms: int, label: str, weight: int, is_reserved: bool = False
    ) -> HttpRequest:
        return HttpRequest(
            method=method,
            target=target,
            label=label,
            headers=self._signer.headers(method, target, b"", stamp_ms),
            weight=weight,
            is_reserved=is_reserved,
        )

    def _read(
        self, target: str, stamp_ms: int, label: str, weight: int, is_reserved: bool = False
    ) -> HttpRequest:
        return self._request("GET", target, stamp_ms, f"{self._label}.{label}", weight, is_reserved)

    def _tail(self, stamp_ms: int) -> str:
        """Return what the account adds to every order: a deadline on spot, the margin on futures."""
        if self._is_spot:
            return f',"clientTimestamp":{stamp_ms},"allowMaxTimeWindow":{ORDER_WINDOW_MS}'
        return self._margin

    def place_http(self, order: NewOrder, instrument: Instrument, stamp_ms: int) -> HttpRequest:
        """Encode and sign a place; raises UsageError where the order cannot be expressed at this venue.

        It weighs nothing on the requests' budget: orders have a budget of their own.
        """
        body = order_entry.place_body(self.product, order, instrument, self._tail(stamp_ms)).encode()
        return HttpRequest(
            method="POST",
            target=self._orders_path,
            label=self._place_label,
            headers=self._signer.headers("POST", self._orders_path, body, stamp_ms),
            body=body,
            content_type="application/json",
            weight=0,
            order_count=1,
            idempotent=False,
        )

    def cancel_http(
        self, instrument: Instrument, client_order_id: str, venue_order_id: str | None, stamp_ms: int
    ) -> HttpRequest:
        """Encode and sign a cancel. Repeating one is harmless: a second finds nothing to cancel."""
        end = order_entry.target_path(client_order_id, venue_order_id)
        target = f"{self._orders_path}/{end}"
        if self._is_spot or not venue_order_id:
            target += f"?symbol={order_entry.plain_text(instrument.symbol)}"
        return self._request("DELETE", target, stamp_ms, self._cancel_label, 1, is_reserved=True)

    def amend_http(self, amend: AmendOrder, instrument: Instrument, stamp_ms: int) -> HttpRequest:
        """Encode and sign an amend of a spot order, which has another id then (``order_entry.amend_args``).

        Raises:
            UsageError: futures have no amend.
        """
        body = order_entry.amend_args(amend, instrument).encode()
        target = f"{self._orders_path}/alter"
        return HttpRequest(
            method="POST",
            target=target,
            label=f"{self._label}.amend",
            headers=self._signer.headers("POST", target, body, stamp_ms),
            body=body,
            content_type="application/json",
            weight=0,
            order_count=1,
            idempotent=False,
        )

    def query_http(
        self, instrument: Instrument, client_order_id: str, venue_order_id: str | None, stamp_ms: int
    ) -> HttpRequest:
        """Encode and sign a status query. An order placed within the last second may not be found yet."""
        if self._is_spot:
            end = order_entry.target_path(client_order_id, venue_order_id)
            target = f"{self._orders_path}/{end}?symbol={order_entry.plain_text(instrument.symbol)}"
            return self._read(target, stamp_ms, "query", 2, is_reserved=True)
        if venue_order_id:
            target = f"{self._orders_path}/{order_entry.checked_venue_id(venue_order_id)}"
        else:
            ours = order_entry.checked_client_id(client_order_id)
            target = f"{self._orders_path}/byClientOid?clientOid={ours}"
        return self._read(target, stamp_ms, "query", 5, is_reserved=True)

    def open_orders_http(self, instrument: Instrument | None, stamp_ms: int) -> HttpRequest:
        """Encode and sign a list of open orders, of futures its first page (see :meth:`continuation`).

        Raises:
            UsageError: of all instruments on spot: the venue lists them by instrument.
        """
        symbol = "" if instrument is None else order_entry.plain_text(instrument.symbol)
        if self._is_spot:
            if not symbol:
                raise UsageError("kucoin lists open spot orders by instrument: ask for each")
            target = f"{self._orders_path}/active?symbol={symbol}"
        else:
            target = f"{self._orders_path}?status=active"
            target += f"&symbol={symbol}" if symbol else ""
            target += f"&pageSize={ORDERS_PAGE}"
        return self._read(target, stamp_ms, "open_orders", 2, is_reserved=True)

    def continuation(
        self, request: HttpRequest, status: int, body: bytes, stamp_ms: int
    ) -> HttpRequest | None:
        """Return the request for the next page of open orders, ``None`` after the last."""
        if request.label != f"{self._label}.open_orders":
            return None
        target = order_entry.next_page(request.target, status, body, "currentPage")
        return None if target is None else self._read(target, stamp_ms, "open_orders", 2, is_reserved=True)

    def cancel_all_http(self, instrument: Instrument, stamp_ms: int) -> HttpRequest:
        """Encode and sign a cancel of every open order of one instrument; the cancels arrive as reports."""
        path = self._orders_path if self._is_spot else "/api/v3/orders"
        target = f"{path}?symbol={order_entry.plain_text(instrument.symbol)}"
        weight = 2 if self._is_spot else 10
        return self._request(
            "DELETE", target, stamp_ms, f"{self._label}.cancel_all", weight, is_reserved=True
        )

    def fills_http(self, instrument: Instrument, from_trade_id: str | None, stamp_ms: int) -> HttpRequest:
        """Encode and sign a page of the newest own fills.

        ``from_trade_id`` is not used: the venue pages by numbers that no other message tells.
        """
        symbol = order_entry.plain_text(instrument.symbol)
        if self._is_spot:
            target = f"/api/v1/hf/fills?symbol={symbol}&limit={FILLS_PAGE}"
            return self._read(target, stamp_ms, "fills", 2, is_reserved=True)
        target = f"/api/v1/fills?symbol={symbol}&pageSize={FILLS_PAGE}"
        return self._read(target, stamp_ms, "fills", 5, is_reserved=True)

    def balances_http(self, stamp_ms: int) -> HttpRequest:
        """Encode and sign a balance query: the spot trade account, or the futures wallet of one currency."""
        if self._is_spot:
            return self._read("/api/v1/accounts?type=trade", stamp_ms, "balances", 5)
        target = f"/api/v1/account-overview?currency={self._settle}"
        return self._read(target, stamp_ms, "balances", 5)

    def positions_http(self, stamp_ms: int) -> HttpRequest | None:
        """Encode and sign a position query; ``None`` for spot."""
        return None if self._is_spot else self._read("/api/v1/positions", stamp_ms, "positions", 2)

    def account_check_http(self, stamp_ms: int) -> HttpRequest | None:
        """Encode and sign a question for the account's mode (spot) or its position mode (futures)."""
        if self._is_spot:
            return self._read("/api/ua/v1/account/mode", stamp_ms, "account_check", 60)
        return self._read("/api/v2/position/getPositionMode", stamp_ms, "account_check", 4)

    # ----------------------------------------------------------------------------- WebSocket orders

    def place_ws(self, order: NewOrder, instrument: Instrument, request_id: str, stamp_ms: int) -> bytes:
        """Encode an ``order`` request; raises UsageError as ``place_http``."""
        args = order_entry.place_body(self.product, order, instrument, self._tail(stamp_ms))
        return order_entry.websocket_request(self.product, request_id, "order", args)

    def cancel_ws(
        self,
        instrument: Instrument,
        client_order_id: str,
        venue_order_id: str | None,
        request_id: str,
        stamp_ms: int,
    ) -> bytes:
        """Encode a ``cancel`` request."""
        args = order_entry.cancel_args(self.product, instrument, client_order_id, venue_order_id)
        return order_entry.websocket_request(self.product, request_id, "cancel", args)

    def amend_ws(self, amend: AmendOrder, instrument: Instrument, request_id: str, stamp_ms: int) -> bytes:
        """Encode a ``modify`` request; raises UsageError as :meth:`amend_http`."""
        args = order_entry.amend_args(amend, instrument)
        return order_entry.websocket_request(self.product, request_id, "modify", args)

    # -------------------------------------------------------------------------------------- private

    def private_subscribe(self, request_id: str, stamp_ms: int) -> tuple[bytes, ...]:
        """Return a ping: the subscriptions follow as ``ToSend`` once the venue has welcomed us."""
        self._decoder.begin(request_id)
        return (PING,)

    def listen_key_request(self) -> HttpRequest | None:
        """Return the token request without a good stamp; see :meth:`signed_listen_key_request`."""
        return self.signed_listen_key_request(0)

    def signed_listen_key_request(self, stamp_ms: int) -> HttpRequest:
        """Return the signed request for a private token; each call makes another."""
        target = handshake.PRIVATE_TARGET
        return self._request("POST", target, stamp_ms, f"{self._label}.token", handshake.WEIGHT)

    # ------------------------------------------------------------------------------------- decoding

    def decode_order(
        self, instrument: Instrument, status: int, body: bytes, retry_after: str | None = None
    ) -> OrderAck | VenueError:
        """Decode the answer to a place, cancel or query."""
        return order_entry.decode_order(instrument, status, body, retry_after)

    def decode_orders(
        self, status: int, body: bytes, retry_after: str | None = None
    ) -> list[OrderAck] | VenueError:
        """Decode a list of open orders; empty for a cancel-all."""
        return order_entry.decode_orders(self.product, self._known, status, body, retry_after)

    def decode_fills(
        self, instrument: Instrument, status: int, body: bytes, retry_after: str | None = None
    ) -> list[ExecutionReport] | VenueError:
        """Decode a page of own fills."""
        return account.decode_fills(instrument, status, body, retry_after)

    def decode_balances(
        self, status: int, body: bytes, retry_after: str | None = None
    ) -> list[Balance] | VenueError:
        """Decode balances."""
        return account.decode_balances(self.product, status, body, retry_after)

    def decode_positions(
        self, status: int, body: bytes, retry_after: str | None = None
    ) -> list[Position] | VenueError:
        """Decode positions."""
        return account.decode_positions(self._known, status, body, retry_after)

    def decode_account_check(
        self, status: int, body: bytes, retry_after: str | None = None
    ) -> str | VenueError:
        """Return why the account must not be traded, or ""."""
        return account.decode_settings(self.product, status, body, retry_after)

    def decode_listen_key(self, status: int, body: bytes, retry_after: str | None = None) -> str | VenueError:
        """Return the address of the next private connection, token included."""
        made = handshake.decode_token(
            self.product, self._endpoints.rest, "private", status, body, retry_after
        )
        return made.url if isinstance(made, Dial) else made

    def decode_private(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[PrivateEvent]:
        """Decode one message of the account connection."""
        return self._decoder.decode(payload, mono_ns, utc_ns)
