"""The two faces of Bybit that the rest of the engine sees: market data and trading, per product."""

from __future__ import annotations

from collections.abc import Sequence

from engine.model.account import Balance, Position
from engine.model.errors import ConfigError, NotSent
from engine.model.instrument import Instrument, Product
from engine.model.market import BookSnapshot, DepthSchema
from engine.model.orders import AmendOrder, ExecutionReport, NewOrder, OrderAck, VenueError
from engine.venues.base import (
    BudgetRule,
    ConnectionPlan,
    Credentials,
    Endpoints,
    HttpRequest,
    MarketEvent,
    PrivateEvent,
    Topic,
)
from engine.venues.bybit import (
    account,
    errors,
    frames,
    funding,
    instruments,
    market_data,
    order_entry,
    user_data,
)
from engine.venues.bybit.endpoints import (
    CATEGORIES,
    DEPTH_FASTEST,
    DEPTH_LEVELS,
    FILLS_PAGE,
    GIVE_UP_MS,
    INSTRUMENTS_PAGE,
    ORDERS_PAGE,
    PATH,
    POSITIONS_PAGE,
    PRIVATE_RULES,
    REST_BOOK_LEVELS,
    SETTLE_COINS,
    TRADE_RULES,
    VALIDITY_MS,
    VENUE,
    rest_budgets,
)
from engine.venues.bybit.recent_trades import BybitTrades
from engine.venues.bybit.signing import BybitSigner

_REALTIME = f"{PATH}/order/realtime"
_HISTORY = f"{PATH}/order/history"
_CHECK_SYMBOL = "BTCUSDT"
"""The symbol whose position tells the position mode; any listed one would do."""


class BybitMarketData:
    """Public data of one product; implements ``base.MarketDataAdapter``, ``Continued`` and ``WithFunding``.

    Args:
        product: spot or linear perpetuals.
        endpoints: where to connect; ``endpoints.py`` says what each base means.
        speed: depth cadence word, "" for the fastest; a slower one is deeper.

    Raises:
        ConfigError: the cadence is none of the venue's.
    """

    venue = VENUE

    def __init__(self, product: Product, endpoints: Endpoints, speed: str = "") -> None:
        levels = DEPTH_LEVELS.get(speed or DEPTH_FASTEST)
        if levels is None:
            known = ", ".join(DEPTH_LEVELS)
            raise ConfigError(f'venues.bybit.depth_speed = "{speed}": {product.value} has {known}')
        self.product = product
        self.schema = market_data.depth_schema()
        self.rest_budgets = rest_budgets(product)
        self._endpoints = endpoints
        self._levels = levels
        self._category = CATEGORIES[product]
        self._label = f"{VENUE}.{product.value}"
        self._decoder = frames.MarketDecoder()
        self.trade_list = BybitTrades(product)
        self.funding = funding.BybitFunding() if product is Product.PERP else None

    def _read(self, target: str, label: str) -> HttpRequest:
        return HttpRequest(method="GET", target=f"{PATH}{target}", label=f"{self._label}.{label}")

    def instruments_request(self) -> HttpRequest:
        """Return the request for the first page of instruments; spot has one page and takes no limit."""
        page = "" if self.product is Product.SPOT else f"&limit={INSTRUMENTS_PAGE}"
        return self._read(f"/market/instruments-info?category={self._category}{page}", "instruments")

    def continuation(
        self, request: HttpRequest, status: int, body: bytes, stamp_ms: int
    ) -> HttpRequest | None:
        """Return the request for the next page of instruments, ``None`` after the last."""
        target = account.next_target(request.target, status, body)
        return None if target is None else self._read(target.removeprefix(PATH), "instruments")

    def decode_instruments(self, body: bytes) -> list[Instrument]:
        """Return the instruments of one page; ``instruments.decode_listing`` tells the rest."""
        return instruments.decode_listing(self.product, body).instruments

    def decode_budgets(self, body: bytes) -> tuple[BudgetRule, ...]:
        """Return the documented limits: this answer states none."""
        return self.rest_budgets

    def market_plans(
        self, instruments: Sequence[Instrument], topics: frozenset[Topic]
    ) -> list[ConnectionPlan]:
        """Return the connections that serve these instruments."""
        self._decoder.know(instruments)
        return market_data.market_plans(self.product, self._endpoints, instruments, topics, self._levels)

    def depth_request(self, instrument: Instrument, is_wanted: bool, request_id: str) -> bytes:
        """Return subscribe or unsubscribe of one book."""
        operation = "subscribe" if is_wanted else "unsubscribe"
        topic = market_data.depth_topic(self._levels, instrument.symbol)
        return market_data.request(operation, [topic], request_id)

    def depth_symbol(self, stream: str) -> str | None:
        """Return the symbol of a depth stream's name."""
        return market_data.depth_symbol(stream)

    def raw_schema(self) -> DepthSchema:
        """Return the schema of recorded frames: there is no wrapper that they could lack."""
        return self.schema

    def snapshot_request(self, instrument: Instrument) -> HttpRequest:
        """Return the REST book request: for audits, because it counts on the 1000-level stream alone."""
        symbol = order_entry.url_text(instrument.symbol)
        query = f"category={self._category}&symbol={symbol}&limit={REST_BOOK_LEVELS}"
        return self._read(f"/market/orderbook?{query}", "book")

    def decode_snapshot(self, instrument: Instrument, body: bytes) -> BookSnapshot:
        """Return the REST book in the instrument's scales."""
        return market_data.decode_snapshot(instrument, body)

    def decode_market(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[MarketEvent]:
        """Decode a message that the kernel passed on."""
        return self._decoder.decode(payload, mono_ns, utc_ns)

    def time_request(self) -> HttpRequest:
        """Return the clock request."""
        return self._read("/market/time", "time")

    def decode_time_ns(self, body: bytes) -> int:
        """Return the venue's UTC nanoseconds."""
        return market_data.decode_time_ns(body)

    def decode_error(self, status: int, body: bytes, retry_after: str | None = None) -> VenueError:
        """Decode an answer whose status is not 200."""
        return errors.decode_error(status, body, retry_after)


class BybitTrading:
    """Private side of one product; implements ``base.TradingAdapter``, ``Amending`` and ``Continued``.

    Args:
        product: spot or linear perpetuals.
        endpoints: where to connect; ``endpoints.py`` says what each base means.
        credentials: key and secret.
        known: instruments by the venue's symbol; shared with whoever refreshes the listing.
        validity_ms: how late a request may arrive (``recvWindow``).

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
        validity_ms: int = VALIDITY_MS,
    ) -> None:
        if not 1 <= validity_ms <= 60_000:
            raise ConfigError(f"validity_ms must be 1 to 60000, not {validity_ms}")
        self.product = product
        self.validity_ms = validity_ms
        self._endpoints = endpoints
        self._signer = BybitSigner(credentials, validity_ms)
        self._known = known
        self._is_spot = product is Product.SPOT
        self._category = CATEGORIES[product]
        self._label = f"{VENUE}.{product.value}"
        self._place_label = f"{self._label}.place"
        self._decoder = user_data.PrivateDecoder(product, known)
        orders = next(rule.name for rule in rest_budgets(product) if rule.kind == "orders")
        self._trade_decoder = user_data.TradeDecoder(orders)

    @property
    def unknown_symbols(self) -> int:
        """Return how many reports were left out because their instrument is not known."""
        return self._decoder.unknown_symbols

    # ----------------------------------------------------------------------------------------- REST

    def _read(self, path: str, stamp_ms: int, label: str, is_reserved: bool = False) -> HttpRequest:
        _, _, query = path.partition("?")
        return HttpRequest(
            method="GET",
            target=f"{PATH}{path}",
            label=label if label.startswith(VENUE) else f"{self._label}.{label}",
            headers=self._signer.headers(query.encode(), stamp_ms),
            is_reserved=is_reserved,
        )

    def _write(self, path: str, text: str, stamp_ms: int, label: str, is_way_out: bool = True) -> HttpRequest:
        """Return a signed request; one that ends orders may be repeated, and may use the reserve."""
        body = text.encode()
        return HttpRequest(
            method="POST",
            target=f"{PATH}{path}",
            label=f"{self._label}.{label}",
            headers=self._signer.headers(body, stamp_ms),
            body=body,
            content_type="application/json",
            idempotent=is_way_out,
            is_reserved=is_way_out,
        )

    def place_http(self, order: NewOrder, instrument: Instrument, stamp_ms: int) -> HttpRequest:
        """Encode and sign a place; raises UsageError where the order cannot be expressed at this venue."""
        body = order_entry.place_body(self.product, order, instrument).encode()
        return HttpRequest(
            method="POST",
            target=f"{PATH}/order/create",
            label=self._place_label,
            headers=self._signer.headers(body, stamp_ms),
            body=body,
            content_type="application/json",
            order_count=1,
            idempotent=False,
        )

    def cancel_http(
        self, instrument: Instrument, client_order_id: str, venue_order_id: str | None, stamp_ms: int
    ) -> HttpRequest:
        """Encode and sign a cancel. Repeating one is harmless: a second finds nothing to cancel."""
        body = order_entry.cancel_body(self.product, instrument, client_order_id, venue_order_id)
        return self._write("/order/cancel", body, stamp_ms, "cancel")

    def amend_http(self, amend: AmendOrder, instrument: Instrument, stamp_ms: int) -> HttpRequest:
        """Encode and sign an amend; ids stay. It is not repeated: a later amend may lie between."""
        body = order_entry.amend_body(self.product, amend, instrument)
        return self._write("/order/amend", body, stamp_ms, "amend", is_way_out=False)

    def query_http(
        self, instrument: Instrument, client_order_id: str, venue_order_id: str | None, stamp_ms: int
    ) -> HttpRequest:
        """Encode and sign a status query among open and recent orders; see :meth:`continuation`."""
        query = order_entry.target_query(client_order_id, venue_order_id)
        path = f"/order/realtime?category={self._category}&symbol={order_entry.url_text(instrument.symbol)}"
        return self._read(f"{path}&{query}", stamp_ms, "query", is_reserved=True)

    def open_orders_http(self, instrument: Instrument | None, stamp_ms: int) -> HttpRequest:
        """Encode and sign the first page of open orders; without instrument perpetuals go coin by coin."""
        path = f"/order/realtime?category={self._category}"
        if instrument is not None:
            path += f"&symbol={order_entry.url_text(instrument.symbol)}"
        elif not self._is_spot:
            path += f"&settleCoin={SETTLE_COINS[0]}"
        return self._read(f"{path}&limit={ORDERS_PAGE}", stamp_ms, "open_orders", is_reserved=True)

    def cancel_all_http(self, instrument: Instrument, stamp_ms: int) -> HttpRequest:
        """Encode and sign a cancel of all open orders of one symbol (500 at most)."""
        body = f"{{{order_entry.market_fields(self.product, instrument)}}}"
        return self._write("/order/cancel-all", body, stamp_ms, "cancel_all")

    def fills_http(self, instrument: Instrument, from_trade_id: str | None, stamp_ms: int) -> HttpRequest:
        """Encode and sign the first page of the own fills of the last 7 days, newest first.

        ``from_trade_id`` is not used: the venue pages by cursor (see :meth:`continuation`).
        """
        symbol = order_entry.url_text(instrument.symbol)
        path = f"/execution/list?category={self._category}&symbol={symbol}&limit={FILLS_PAGE}"
        return self._read(path, stamp_ms, "fills", is_reserved=True)

    def balances_http(self, stamp_ms: int) -> HttpRequest:
        """Encode and sign a balance query."""
        return self._read("/account/wallet-balance?accountType=UNIFIED", stamp_ms, "balances")

    def positions_http(self, stamp_ms: int) -> HttpRequest | None:
        """Encode and sign the first page of positions, of the first settle coin; ``None`` for spot."""
        if self._is_spot:
            return None
        path = f"/position/list?category=linear&settleCoin={SETTLE_COINS[0]}&limit={POSITIONS_PAGE}"
        return self._read(path, stamp_ms, "positions")

    def account_check_http(self, stamp_ms: int) -> HttpRequest | None:
        """Encode and sign the first question of the account check, for the key's rights."""
        return self._read("/user/query-api", stamp_ms, "account_check")

    def continuation(
        self, request: HttpRequest, status: int, body: bytes, stamp_ms: int
    ) -> HttpRequest | None:
        """Return what must be asked next before an answer is whole, ``None`` when it is.

        A list goes on with its next page, then with the next settle coin. An order that is not among the open
        and recent ones is asked for in the history: after a restart of the venue closed ones are only there.
        The account check has three questions.
        """
        target = self._next_target(request.target, status, body)
        if target is None:
            return None
        return self._read(target.removeprefix(PATH), stamp_ms, request.label, request.is_reserved)

    def _next_target(self, target: str, status: int, body: bytes) -> str | None:
        path, _, query = target.partition("?")
        if path == f"{PATH}/user/query-api":
            return f"{PATH}/account/info"
        if path == f"{PATH}/account/info":
            if self._is_spot:
                return None
            symbol = _CHECK_SYMBOL if _CHECK_SYMBOL in self._known else next(iter(self._known), _CHECK_SYMBOL)
            return f"{PATH}/position/list?category=linear&symbol={order_entry.url_text(symbol)}"
        if "&orderId=" in query or "&orderLinkId=" in query:
            is_missing = path == _REALTIME and account.is_empty_list(status, body)
            return f"{_HISTORY}?{query}" if is_missing else None
        following = account.next_target(target, status, body)
        if following is None and account.is_success(status, body):
            following = account.next_settle_coin(target)
        return following

    # ----------------------------------------------------------------------------- WebSocket orders

    def _ws(self, operation: str, body: str, request_id: str, stamp_ms: int) -> bytes:
        name = user_data.request_name(request_id, self.product, stamp_ms)
        return order_entry.websocket_request(name, operation, body, stamp_ms, self.validity_ms)

    def place_ws(self, order: NewOrder, instrument: Instrument, request_id: str, stamp_ms: int) -> bytes:
        """Encode ``order.create``; raises UsageError as ``place_http``."""
        body = order_entry.place_body(self.product, order, instrument)
        return self._ws("order.create", body, request_id, stamp_ms)

    def cancel_ws(
        self,
        instrument: Instrument,
        client_order_id: str,
        venue_order_id: str | None,
        request_id: str,
        stamp_ms: int,
    ) -> bytes:
        """Encode ``order.cancel``."""
        body = order_entry.cancel_body(self.product, instrument, client_order_id, venue_order_id)
        return self._ws("order.cancel", body, request_id, stamp_ms)

    def amend_ws(self, amend: AmendOrder, instrument: Instrument, request_id: str, stamp_ms: int) -> bytes:
        """Encode ``order.amend``; raises UsageError as ``amend_http``."""
        body = order_entry.amend_body(self.product, amend, instrument)
        return self._ws("order.amend", body, request_id, stamp_ms)

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
        raise NotSent("bybit has no order query over WebSocket: ask over REST")

    def trade_login(self, request_id: str, stamp_ms: int) -> bytes | None:
        """Return the login; its answer may name no request, and is taken for the last login's."""
        self._trade_decoder.login_sent(request_id)
        return self._signer.login(request_id, stamp_ms)

    def set_logged_on(self, logged_on: bool) -> None:
        """Do nothing: requests are never signed by themselves; a login is the connection's."""

    # -------------------------------------------------------------------------------------- private

    def private_url(self, listen_key: str | None) -> str:
        """Return the private address."""
        return self._endpoints.ws_private or ""

    def private_subscribe(self, request_id: str, stamp_ms: int) -> tuple[bytes, ...]:
        """Return the login; the subscriptions follow as ``ToSend`` once it was answered."""
        self._decoder.login_sent(request_id)
        return (self._signer.login(request_id, stamp_ms),)

    def listen_key_request(self) -> HttpRequest | None:
        """Return ``None``: there is no listen key, and a login lasts as long as its connection."""
        return None

    # ------------------------------------------------------------------------------------- decoding

    def decode_order(
        self, instrument: Instrument, status: int, body: bytes, retry_after: str | None = None
    ) -> OrderAck | VenueError:
        """Decode the answer to a place, amend, cancel or query."""
        return order_entry.decode_order(self.product, instrument, status, body, retry_after)

    def decode_orders(
        self, status: int, body: bytes, retry_after: str | None = None
    ) -> list[OrderAck] | VenueError:
        """Decode a page of open orders, or what a cancel-all accepted."""
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
        """Decode a page of positions."""
        return account.decode_positions(self._known, status, body, retry_after)

    def decode_account_check(
        self, status: int, body: bytes, retry_after: str | None = None
    ) -> str | VenueError:
        """Return what one answer of the account check finds wrong, or ""."""
        return account.decode_settings(self.product, status, body, retry_after)

    def decode_listen_key(self, status: int, body: bytes, retry_after: str | None = None) -> str | VenueError:
        """Return what is wrong with the call: there is no listen key."""
        return errors.undecodable(status, "bybit has no listen key")

    def decode_error(self, status: int, body: bytes, retry_after: str | None = None) -> VenueError:
        """Decode an answer whose status is not 200."""
        return errors.decode_error(status, body, retry_after)

    def decode_private(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[PrivateEvent]:
        """Decode one message of the account connection."""
        return self._decoder.decode(payload, mono_ns, utc_ns)

    def decode_trade(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[PrivateEvent]:
        """Decode one message of the order-entry connection."""
        return self._trade_decoder.decode(payload, mono_ns, utc_ns)
