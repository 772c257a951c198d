"""The two faces of OKX that the rest of the engine sees: market data and trading, per product."""

from __future__ import annotations

from collections.abc import Sequence

from engine.model.account import Balance, Position
from engine.model.errors import ConfigError, NotSent, UsageError
from engine.model.instrument import Instrument, Product
from engine.model.market import BookSnapshot
from engine.model.orders import AmendOrder, ExecutionReport, NewOrder, OrderAck, VenueError
from engine.venues.base import (
    BudgetRule,
    ConnectionPlan,
    Credentials,
    Endpoints,
    HttpRequest,
    MarketEvent,
    PrivateEvent,
    RecordedDialect,
    Topic,
)
from engine.venues.okx import (
    account,
    errors,
    frames,
    funding,
    instruments,
    market_data,
    order_entry,
    user_data,
)
from engine.venues.okx.endpoints import (
    DEPTH_CHANNEL,
    DEPTH_LIMIT,
    DEPTH_SPEEDS,
    FILLS_PAGE,
    GIVE_UP_MS,
    INST_TYPES,
    ORDERS_PAGE,
    PATH,
    PRIVATE_RULES,
    REST_BUDGETS,
    TRADE_RULES,
    VALIDITY_MS,
    VENUE,
    weight_of,
)
from engine.venues.okx.recent_trades import OkxTrades
from engine.venues.okx.recorded import ChecksumChain
from engine.venues.okx.signing import OkxSigner

_DEMO_HEADER = b"x-simulated-trading: 1\r\n"


class OkxMarketData:
    """Public data of one product; implements ``base.MarketDataAdapter`` and ``base.WithFunding``.

    Args:
        product: spot or linear perpetual swaps.
        endpoints: where to connect; ``endpoints.py`` says what each base means.
        speed: depth cadence word, "" for the only one.
        is_demo: ask for demo trading's data; instrument numbers differ there.
        with_index: subscribe the index price as well; see NOTES.md, "Not confirmed".

    Raises:
        ConfigError: the cadence is none of the venue's.
    """

    venue = VENUE

    def __init__(
        self,
        product: Product,
        endpoints: Endpoints,
        speed: str = "",
        is_demo: bool = False,
        with_index: bool = False,
    ) -> None:
        if speed and speed not in DEPTH_SPEEDS:
            known = ", ".join(DEPTH_SPEEDS)
            raise ConfigError(f'venues.okx.depth_speed = "{speed}": {product.value} has {known}')
        self.product = product
        self.schema = market_data.depth_schema()
        self.rest_budgets = REST_BUDGETS
        self._endpoints = endpoints
        self._with_index = with_index
        self._headers = _DEMO_HEADER if is_demo else b""
        self._label = f"{VENUE}.{product.value}"
        self._decoder = frames.MarketDecoder(product)
        self.trade_list = OkxTrades(self._headers)
        self.funding = funding.OkxFunding(self._headers) if product is Product.PERP else None

    def _read(self, target: str, label: str, limit: int) -> HttpRequest:
        return HttpRequest(
            method="GET",
            target=f"{PATH}{target}",
            label=f"{self._label}.{label}",
            headers=self._headers,
            weight=weight_of(limit),
        )

    def instruments_request(self) -> HttpRequest:
        """Return the instruments request of the product."""
        return self._read(f"/public/instruments?instType={INST_TYPES[self.product]}", "instruments", 20)

    def decode_instruments(self, body: bytes) -> list[Instrument]:
        """Return every listed instrument of the product; ``instruments.decode_listing`` tells the rest."""
        return instruments.decode_listing(self.product, body).instruments

    def decode_budgets(self, body: bytes) -> tuple[BudgetRule, ...]:
        """Return the documented limits: the venue states none in its answers."""
        return REST_BUDGETS

    def market_plans(
        self, instruments: Sequence[Instrument], topics: frozenset[Topic]
    ) -> list[ConnectionPlan]:
        """Return the connections that serve these instruments."""
        self._decoder.know(instruments)
        plans = []
        for plan, requests in market_data.market_plans(
            self.product, self._endpoints, instruments, topics, self._with_index
        ):
            self._decoder.expect(requests)
            plans.append(plan)
        return plans

    def depth_request(self, instrument: Instrument, is_wanted: bool, request_id: str) -> bytes:
        """Return subscribe or unsubscribe of one book.

        Subscribing twice is acknowledged, but whether a snapshot follows is not documented: end the first
        subscription before. Both count on the 480 requests an hour of a connection.
        """
        operation = "subscribe" if is_wanted else "unsubscribe"
        return market_data.request(operation, [(DEPTH_CHANNEL, instrument.symbol)], request_id)

    def depth_symbol(self, stream: str) -> str | None:
        """Return the symbol of a depth stream's name."""
        return market_data.depth_symbol(stream)

    def recorded_dialects(self) -> list[RecordedDialect]:
        """Return today's frames; those recorded before they had ids are given what proves as much."""
        return [RecordedDialect(self.schema, market_data.depth_symbol, ChecksumChain().translate)]

    def snapshot_request(self, instrument: Instrument) -> HttpRequest:
        """Return the REST book request: for audits, because it cannot be joined with the stream."""
        symbol = order_entry.url_text(instrument.symbol)
        return self._read(f"/market/books?instId={symbol}&sz={DEPTH_LIMIT}", "book", 40)

    def decode_snapshot(self, instrument: Instrument, body: bytes) -> BookSnapshot:
        """Return the REST book in the instrument's scales."""
        return market_data.decode_snapshot(instrument, body)

    def decode_market(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[MarketEvent]:
        """Decode a message that the kernel passed on."""
        return self._decoder.decode(payload, mono_ns, utc_ns)

    def time_request(self) -> HttpRequest:
        """Return the clock request."""
        return self._read("/public/time", "time", 10)

    def decode_time_ns(self, body: bytes) -> int:
        """Return the venue's UTC nanoseconds."""
        return market_data.decode_time_ns(body)

    def decode_error(self, status: int, body: bytes, retry_after: str | None = None) -> VenueError:
        """Decode an answer whose status is not 200."""
        return errors.decode_error(status, body, retry_after)


class OkxTrading:
    """Private side of one product; implements ``base.TradingAdapter``.

    Args:
        product: spot or linear perpetual swaps.
        endpoints: where to connect; ``endpoints.py`` says what each base means.
        credentials: key, secret and passphrase.
        known: instruments by the venue's symbol; shared with whoever refreshes the listing.
        is_demo: the key is one of demo trading.
        validity_ms: how late a place may arrive (``expTime``).

    Raises:
        ConfigError: the key cannot be used.
    """

    venue = VENUE
    give_up_ms = GIVE_UP_MS
    private_rules = PRIVATE_RULES
    trade_rules = TRADE_RULES

    def __init__(
        self,
        product: Product,
        endpoints: Endpoints,
        credentials: Credentials,
        known: dict[str, Instrument],
        is_demo: bool = False,
        validity_ms: int = VALIDITY_MS,
    ) -> None:
        if not 1 <= validity_ms <= 60_000:
            raise ConfigError(f"validity_ms must be 1 to 60000, not {validity_ms}")
        self.product = product
        self.validity_ms = validity_ms
        self._endpoints = endpoints
        self._signer = OkxSigner(credentials, is_demo)
        self._known = known
        self._is_spot = product is Product.SPOT
        self._trade_mode = "cash" if self._is_spot else "cross"
        self._label = f"{VENUE}.{product.value}"
        self._place_label = f"{self._label}.place"
        self._cancel_label = f"{self._label}.cancel"
        self._decoder = user_data.PrivateDecoder(product, known)
        self._trade_decoder = user_data.TradeDecoder()

    @property
    def unknown_symbols(self) -> int:
        """Return how many reports were left out because their instrument is not known."""
        return self._decoder.unknown_symbols

    # ----------------------------------------------------------------------------------------- REST

    def _read(
        self, path: str, stamp_ms: int, label: str, limit: int, is_reserved: bool = False
    ) -> HttpRequest:
        target = f"{PATH}{path}"
        return HttpRequest(
            method="GET",
            target=target,
            label=f"{self._label}.{label}",
            headers=self._signer.headers("GET", target, b"", stamp_ms),
            weight=weight_of(limit),
            is_reserved=is_reserved,
        )

    def place_http(self, order: NewOrder, instrument: Instrument, stamp_ms: int) -> HttpRequest:
        """Encode and sign a place; raises UsageError where the order cannot be expressed at this venue.

        It weighs nothing on the requests' budget: orders have a limit of their own.
        """
        fields = order_entry.place_fields(self.product, order, instrument, self._trade_mode)
        target = f"{PATH}/trade/order"
        body = f"{{{order_entry.instrument_id(instrument)},{fields}}}".encode()
        deadline = f"expTime: {stamp_ms + self.validity_ms}\r\n".encode()
        return HttpRequest(
            method="POST",
            target=target,
            label=self._place_label,
            headers=self._signer.headers("POST", target, body, stamp_ms) + deadline,
            body=body,
            content_type="application/json",
            weight=0,
            order_count=1,
            idempotent=False,
        )

    def amend_http(self, amend: AmendOrder, instrument: Instrument, stamp_ms: int) -> HttpRequest:
        """Encode and sign an amend; raises UsageError where it cannot be expressed at this venue.

        Amends have a limit of their own, 60 in 2 s: they are weighed as reads are.
        """
        fields = order_entry.amend_fields(amend, instrument)
        target = f"{PATH}/trade/amend-order"
        body = f"{{{order_entry.instrument_id(instrument)},{fields}}}".encode()
        deadline = f"expTime: {stamp_ms + self.validity_ms}\r\n".encode()
        return HttpRequest(
            method="POST",
            target=target,
            label=f"{self._label}.amend",
            headers=self._signer.headers("POST", target, body, stamp_ms) + deadline,
            body=body,
            content_type="application/json",
            weight=weight_of(60),
            idempotent=False,
        )

    def cancel_http(
        self, instrument: Instrument, client_order_id: str, venue_order_id: str | None, stamp_ms: int
    ) -> HttpRequest:
        """Encode and sign a cancel. Repeating one is harmless: a second finds nothing to cancel."""
        target = f"{PATH}/trade/cancel-order"
        fields = order_entry.target_fields(client_order_id, venue_order_id)
        body = f"{{{order_entry.instrument_id(instrument)},{fields}}}".encode()
        return HttpRequest(
            method="POST",
            target=target,
            label=self._cancel_label,
            headers=self._signer.headers("POST", target, body, stamp_ms),
            body=body,
            content_type="application/json",
            weight=weight_of(60),
            is_reserved=True,
        )

    def query_http(
        self, instrument: Instrument, client_order_id: str, venue_order_id: str | None, stamp_ms: int
    ) -> HttpRequest:
        """Encode and sign a status query. A cancelled order without fills can be asked for 2 hours."""
        query = order_entry.target_query(client_order_id, venue_order_id)
        path = f"/trade/order?instId={order_entry.url_text(instrument.symbol)}&{query}"
        return self._read(path, stamp_ms, "query", 60, is_reserved=True)

    def open_orders_http(self, instrument: Instrument | None, stamp_ms: int) -> HttpRequest:
        """Encode and sign a list of open orders, at most 100; ``decode_orders`` refuses a full page."""
        path = f"/trade/orders-pending?instType={INST_TYPES[self.product]}"
        if instrument is not None:
            path += f"&instId={order_entry.url_text(instrument.symbol)}"
        return self._read(f"{path}&limit={ORDERS_PAGE}", stamp_ms, "open_orders", 60, is_reserved=True)

    def cancel_all_http(self, instrument: Instrument, stamp_ms: int) -> HttpRequest:
        """Refuse: the venue has no cancel-all (``mass-cancel`` is for options).

        Raises:
            UsageError: always; list the open orders and cancel each.
        """
        raise UsageError("okx has no cancel-all: list the open orders and cancel each")

    def fills_http(self, instrument: Instrument, from_trade_id: str | None, stamp_ms: int) -> HttpRequest:
        """Encode and sign a page of the newest 100 own fills of the last 3 days.

        ``from_trade_id`` is not used: the venue pages by bill ids, which no other message tells.
        """
        kind, symbol = INST_TYPES[self.product], order_entry.url_text(instrument.symbol)
        path = f"/trade/fills?instType={kind}&instId={symbol}&limit={FILLS_PAGE}"
        return self._read(path, stamp_ms, "fills", 60, is_reserved=True)

    def balances_http(self, stamp_ms: int) -> HttpRequest:
        """Encode and sign a balance query."""
        return self._read("/account/balance", stamp_ms, "balances", 10)

    def positions_http(self, stamp_ms: int) -> HttpRequest | None:
        """Encode and sign a position query; ``None`` for spot."""
        if self._is_spot:
            return None
        return self._read("/account/positions?instType=SWAP", stamp_ms, "positions", 10)

    def account_check_http(self, stamp_ms: int) -> HttpRequest | None:
        """Encode and sign a question for the account's mode, position mode and the key's permissions."""
        return self._read("/account/config", stamp_ms, "account_check", 5)

    # ----------------------------------------------------------------------------- WebSocket orders

    def place_ws(self, order: NewOrder, instrument: Instrument, request_id: str, stamp_ms: int) -> bytes:
        """Encode an ``order`` request; raises UsageError as ``place_http``, or for want of a number."""
        fields = order_entry.place_fields(self.product, order, instrument, self._trade_mode)
        code = order_entry.instrument_code(instrument)
        return order_entry.websocket_request(
            request_id, "order", f"{code},{fields}", stamp_ms + self.validity_ms
        )

    def amend_ws(self, amend: AmendOrder, instrument: Instrument, request_id: str, stamp_ms: int) -> bytes:
        """Encode an ``amend-order`` request; raises UsageError as ``amend_http``, or for want of a number."""
        fields = order_entry.amend_fields(amend, instrument)
        code = order_entry.instrument_code(instrument)
        return order_entry.websocket_request(
            request_id, "amend-order", f"{code},{fields}", stamp_ms + self.validity_ms
        )

    def cancel_ws(
        self,
        instrument: Instrument,
        client_order_id: str,
        venue_order_id: str | None,
        request_id: str,
        stamp_ms: int,
    ) -> bytes:
        """Encode a ``cancel-order`` request."""
        code = order_entry.instrument_code(instrument)
        target = order_entry.target_fields(client_order_id, venue_order_id)
        return order_entry.websocket_request(request_id, "cancel-order", f"{code},{target}")

    def query_ws(
        self,
        instrument: Instrument,
        client_order_id: str,
        venue_order_id: str | None,
        request_id: str,
        stamp_ms: int,
    ) -> bytes:
        """Refuse: the venue answers queries over REST alone.

        Raises:
            NotSent: always.
        """
        raise NotSent("okx has no order query over WebSocket: ask over REST")

    def trade_login(self, request_id: str, stamp_ms: int) -> bytes | None:
        """Return the login; its answer names no request, and is taken for the last login's."""
        self._trade_decoder.login_sent(request_id)
        return self._signer.login(stamp_ms)

    def set_logged_on(self, logged_on: bool) -> None:
        """Do nothing: requests are never signed by themselves; a login is the connection's."""

    # -------------------------------------------------------------------------------------- private

    def private_url(self, listen_key: str | None) -> str:
        """Return the private address."""
        return self._endpoints.ws_private or ""

    def private_subscribe(self, request_id: str, stamp_ms: int) -> tuple[bytes, ...]:
        """Return the login; the subscriptions follow as ``ToSend`` once it was answered."""
        self._decoder.login_sent(request_id)
        return (self._signer.login(stamp_ms),)

    def listen_key_request(self) -> HttpRequest | None:
        """Return ``None``: there is no listen key, and a login lasts as long as its connection."""
        return None

    # ------------------------------------------------------------------------------------- decoding

    def decode_order(
        self, instrument: Instrument, status: int, body: bytes, retry_after: str | None = None
    ) -> OrderAck | VenueError:
        """Decode the answer to a place, amend, cancel or query."""
        return order_entry.decode_order(instrument, status, body, retry_after)

    def decode_orders(
        self, status: int, body: bytes, retry_after: str | None = None
    ) -> list[OrderAck] | VenueError:
        """Decode a list of open orders."""
        return order_entry.decode_orders(self._known, status, body, retry_after)

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
        """Return why the account must not be traded, or ""; orders use its trade mode from then on."""
        settings = account.decode_settings(self.product, status, body, retry_after)
        if isinstance(settings, VenueError):
            return settings
        self._trade_mode = settings.trade_mode
        return settings.problem

    def decode_listen_key(self, status: int, body: bytes, retry_after: str | None = None) -> str | VenueError:
        """Return what is wrong with the call: there is no listen key."""
        return errors.undecodable(status, "okx has no listen key")

    def decode_error(self, status: int, body: bytes, retry_after: str | None = None) -> VenueError:
        """Decode an answer whose status is not 200."""
        return errors.decode_error(status, body, retry_after)

    def decode_private(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[PrivateEvent]:
        """Decode one message of the account connection."""
        return self._decoder.decode(payload, mono_ns, utc_ns)

    def decode_trade(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[PrivateEvent]:
        """Decode one message of the order-entry connection."""
        return self._trade_decoder.decode(payload, mono_ns, utc_ns)
