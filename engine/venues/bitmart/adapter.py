"""The two faces of BitMart that the rest of the engine sees: market data and trading, per product."""

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
    Topic,
)
from engine.venues.bitmart import (
    account,
    errors,
    frames,
    funding,
    instruments,
    market_data,
    order_entry,
    user_data,
)
from engine.venues.bitmart.endpoints import (
    DEPTH_LIMIT,
    DEPTH_SPEEDS,
    FILLS_PAGE,
    FUTURES_ORDERS_PAGE,
    GIVE_UP_MS,
    PRIVATE_RULES,
    SPOT_ORDERS_PAGE,
    VALIDITY_MS,
    VENUE,
    rest_budgets,
)
from engine.venues.bitmart.order_entry import Margin, checked_client_id, checked_venue_id, plain_text
from engine.venues.bitmart.recent_trades import BitmartTrades
from engine.venues.bitmart.signing import BitmartSigner

_JSON = "application/json"
_OPEN_ORDERS = "/contract/private/get-open-orders"
_ORDER_HISTORY = "/contract/private/order-history"
_PLACES_KEPT = 4_096
_SEARCH_MARGIN_S = 120
"""How far around its place an order is looked for among the finished ones."""
_SEARCH_BACK_S = 24 * 3600
"""The same for an order that this process did not place."""


class BitmartMarketData:
    """Public data of one product: ``base.MarketDataAdapter``, ``AskingForSnapshots`` and ``WithFunding``.

    Args:
        product: spot or USDT-margined perpetuals.
        endpoints: where to connect; ``endpoints.py`` says what each base means.
        speed: depth cadence word, "" for the fastest.

    Raises:
        ConfigError: the cadence is none of the venue's.
    """

    venue = VENUE

    def __init__(self, product: Product, endpoints: Endpoints, speed: str = "") -> None:
        speeds = DEPTH_SPEEDS[product]
        if speed and speed not in speeds:
            raise ConfigError(
                f'venues.bitmart.depth_speed = "{speed}": {product.value} has {", ".join(speeds)}'
            )
        self.product = product
        self.schema = market_data.depth_schema(product)
        self.rest_budgets = rest_budgets(product)
        self._endpoints = endpoints
        self._speed = speed or speeds[0]
        self._label = f"{VENUE}.{product.value}"
        self._is_spot = product is Product.SPOT
        self._decoder = frames.MarketDecoder(product)
        self.trade_list = BitmartTrades(product)
        self.funding = None if self._is_spot else funding.BitmartFunding()

    def _read(self, target: str, label: str) -> HttpRequest:
        return HttpRequest(method="GET", target=target, label=f"{self._label}.{label}")

    def instruments_request(self) -> HttpRequest:
        """Return the listing request of the product."""
        target = "/spot/v1/symbols/details" if self._is_spot else "/contract/public/details"
        return self._read(target, "instruments")

    def decode_instruments(self, body: bytes) -> list[Instrument]:
        """Return every listed instrument of the product; ``instruments.decode_listing`` tells the rest."""
        return instruments.decode_listing(self.product, body).instruments

    def decode_budgets(self, body: bytes) -> tuple[BudgetRule, ...]:
        """Return the documented limits: the listing states none."""
        return self.rest_budgets

    def market_plans(
        self, instruments: Sequence[Instrument], topics: frozenset[Topic]
    ) -> list[ConnectionPlan]:
        """Return the connections that serve these instruments."""
        self._decoder.know(instruments)
        plans = []
        for plan, requests in market_data.market_plans(
            self.product, self._endpoints, instruments, topics, self._speed
        ):
            self._decoder.expect(requests)
            plans.append(plan)
        return plans

    def depth_request(self, instrument: Instrument, is_wanted: bool, request_id: str) -> bytes:
        """Return subscribe or unsubscribe of one book, whose acknowledgement will be known by its topic."""
        operation = "subscribe" if is_wanted else "unsubscribe"
        topic = market_data.depth_topic(self.product, instrument.symbol, self._speed)
        self._decoder.expect_single(operation, topic, request_id)
        return market_data.request(self.product, operation, [topic])

    def snapshot_message(self, instrument: Instrument) -> bytes:
        """Return ``request`` for one book: a fresh snapshot comes on its stream, and no acknowledgement."""
        topic = market_data.depth_topic(self.product, instrument.symbol, self._speed)
        return market_data.request(self.product, "request", [topic])

    def depth_symbol(self, stream: str) -> str | None:
        """Return the symbol of a depth stream's name."""
        return market_data.depth_symbol(self.product, stream)

    def snapshot_request(self, instrument: Instrument) -> HttpRequest:
        """Return the REST book request: for audits, because it has no version."""
        symbol = plain_text(instrument.symbol)
        if self._is_spot:
            return self._read(f"/spot/quotation/v3/books?symbol={symbol}&limit={DEPTH_LIMIT}", "book")
        return self._read(f"/contract/public/depth?symbol={symbol}", "book")

    def decode_snapshot(self, instrument: Instrument, body: bytes) -> BookSnapshot:
        """Return the REST book in the instrument's scales."""
        return market_data.decode_snapshot(instrument, body)

    def decode_market(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[MarketEvent]:
        """Decode a message that the kernel passed on."""
        return self._decoder.decode(payload, mono_ns, utc_ns)

    def time_request(self) -> HttpRequest:
        """Return the clock request. Only spot's is documented: futures are asked for the same."""
        return self._read("/system/time", "time")

    def decode_time_ns(self, body: bytes) -> int:
        """Return the venue's UTC nanoseconds."""
        return market_data.decode_time_ns(body)

    def decode_error(self, status: int, body: bytes, retry_after: str | None = None) -> VenueError:
        """Decode an answer whose status is not 200."""
        return errors.decode_error(status, body, retry_after)


class BitmartTrading:
    """Private side of one product; implements ``base.TradingAdapter``, ``Amending`` and ``Continued``.

    Args:
        product: spot or USDT-margined perpetuals.
        endpoints: where to connect; ``endpoints.py`` says what each base means.
        credentials: key, secret and, as passphrase, the memo.
        known: instruments by the venue's symbol; shared with whoever refreshes the listing.
        margin: what an opening order says of a contract whose position has not told its own yet.

    Raises:
        ConfigError: the key cannot be used.
    """

    venue = VENUE
    validity_ms = VALIDITY_MS
    give_up_ms = GIVE_UP_MS

    def __init__(
        self,
        product: Product,
        endpoints: Endpoints,
        credentials: Credentials,
        known: dict[str, Instrument],
        margin: Margin | None = None,
    ) -> None:
        self.product = product
        self.private_rules = self.trade_rules = PRIVATE_RULES[product]
        self._endpoints = endpoints
        self._signer = BitmartSigner(credentials)
        self._known = known
        self._is_spot = product is Product.SPOT
        self._margin = margin or Margin()
        self._margins: dict[str, Margin] = {}
        self._placed_ms: dict[str, int] = {}
        self._label = f"{VENUE}.{product.value}"
        self._place_label = f"{self._label}.place"
        self._cancel_label = f"{self._label}.cancel"
        self._decoder = user_data.PrivateDecoder(product, known, self._margins)

    @property
    def unknown_symbols(self) -> int:
        """Return how many reports were left out because their instrument is not known."""
        return self._decoder.unknown_symbols

    # ----------------------------------------------------------------------------------------- REST

    def _read(self, target: str, label: str) -> HttpRequest:
        """Return a read that shows the key alone."""
        return HttpRequest(
            method="GET",
            target=target,
            label=f"{self._label}.{label}",
            headers=self._signer.keyed,
            is_reserved=True,
        )

    def _post(
        self, target: str, body: str, stamp_ms: int, label: str, *, idempotent: bool = True
    ) -> HttpRequest:
        """Return a signed POST."""
        payload = body.encode()
        return HttpRequest(
            method="POST",
            target=target,
            label=label,
            headers=self._signer.headers(payload, stamp_ms),
            body=payload,
            content_type=_JSON,
            idempotent=idempotent,
            is_reserved=True,
        )

    def place_http(self, order: NewOrder, instrument: Instrument, stamp_ms: int) -> HttpRequest:
        """Encode and sign a place; raises UsageError where the order cannot be expressed at this venue."""
        if self._is_spot:
            target, body = "/spot/v2/submit_order", order_entry.spot_place(order, instrument)
        else:
            margin = self._margins.get(instrument.symbol, self._margin)
            target = "/contract/private/submit-order"
            body = order_entry.futures_place(order, instrument, margin)
            self._remember(order.client_order_id, stamp_ms)
        return self._post(target, body, stamp_ms, self._place_label, idempotent=False)

    def _remember(self, client_order_id: str, stamp_ms: int) -> None:
        """Note when an order was placed: its answer may be lost, and then it is looked for by time."""
        if len(self._placed_ms) >= _PLACES_KEPT:
            del self._placed_ms[next(iter(self._placed_ms))]
        self._placed_ms[client_order_id] = stamp_ms

    def amend_http(self, amend: AmendOrder, instrument: Instrument, stamp_ms: int) -> HttpRequest:
        """Encode and sign a change of a futures order; its id stays, its place in the queue does not.

        Raises:
            UsageError: spot has no amend; or see ``order_entry.futures_amend``.
        """
        if self._is_spot:
            raise UsageError("bitmart spot does not amend orders: cancel and place a new one")
        body = order_entry.futures_amend(amend, instrument)
        target = "/contract/private/modify-limit-order"
        return self._post(target, body, stamp_ms, f"{self._label}.amend", idempotent=False)

    def cancel_http(
        self, instrument: Instrument, client_order_id: str, venue_order_id: str | None, stamp_ms: int
    ) -> HttpRequest:
        """Encode and sign a cancel. Repeating one is harmless: a second finds nothing to cancel."""
        target = "/spot/v3/cancel_order" if self._is_spot else "/contract/private/cancel-order"
        body = order_entry.cancel_body(instrument, client_order_id, venue_order_id)
        return self._post(target, body, stamp_ms, self._cancel_label)

    def query_http(
        self, instrument: Instrument, client_order_id: str, venue_order_id: str | None, stamp_ms: int
    ) -> HttpRequest:
        """Encode and sign the first question of a status query; :meth:`continuation` has the others.

        Futures have no question for a client order id: it is looked for among the open orders.
        """
        if self._is_spot:
            end, body = order_entry.spot_query(client_order_id, venue_order_id, "open")
            return self._post(f"/spot/v4/query/{end}", body, stamp_ms, f"{self._label}.query")
        symbol = plain_text(instrument.symbol)
        if venue_order_id:
            return self._order_detail(symbol, checked_venue_id(venue_order_id))
        client_id = checked_client_id(client_order_id)
        target = f"{_OPEN_ORDERS}?limit={FUTURES_ORDERS_PAGE}&symbol={symbol}&client_order_id={client_id}"
        return self._read(target, "open_orders")

    def continuation(
        self, request: HttpRequest, status: int, body: bytes, stamp_ms: int
    ) -> HttpRequest | None:
        """Return what else a status query must ask, ``None`` when it has its answer; see ``base.Continued``.

        Open orders come first and finished ones second, so that an order that ends in between is seen. A
        futures order that was found in a list is asked for by its id: that answer is of one order alone.
        """
        if self._is_spot:
            asked = order_entry.history_query(request.body.decode(), status, body)
            return None if asked is None else self._post(request.target, asked, stamp_ms, request.label)
        path, _, query = request.target.partition("?")
        is_search = path in (_OPEN_ORDERS, _ORDER_HISTORY) and "client_order_id=" in query
        if status != 200 or not is_search:
            return None
        client_id = query.rpartition("client_order_id=")[2]
        symbol = query.partition("symbol=")[2].partition("&")[0]
        order_id = order_entry.find_in_list(symbol, client_id, body)
        if order_id:
            return self._order_detail(symbol, order_id)
        if order_id is None or path == _ORDER_HISTORY:
            return None
        placed_ms = self._placed_ms.get(client_id)
        first, last = stamp_ms // 1_000 - _SEARCH_BACK_S, stamp_ms // 1_000 + _SEARCH_MARGIN_S
        if placed_ms is not None:
            first = placed_ms // 1_000 - _SEARCH_MARGIN_S
        window = f"start_time={first}&end_time={last}"
        return self._read(f"{_ORDER_HISTORY}?symbol={symbol}&{window}&client_order_id={client_id}", "history")

    def _order_detail(self, symbol: str, order_id: str) -> HttpRequest:
        return self._read(f"/contract/private/order?symbol={symbol}&order_id={order_id}", "query")

    def open_orders_http(self, instrument: Instrument | None, stamp_ms: int) -> HttpRequest:
        """Encode and sign a list of open orders; ``decode_orders`` refuses a full page."""
        symbol = None if instrument is None else plain_text(instrument.symbol)
        if self._is_spot:
            body = f'{{"symbol":"{symbol}",' if symbol else "{"
            body += f'"orderMode":"spot","limit":{SPOT_ORDERS_PAGE}}}'
            return self._post("/spot/v4/query/open-orders", body, stamp_ms, f"{self._label}.open_orders")
        target = f"{_OPEN_ORDERS}?limit={FUTURES_ORDERS_PAGE}"
        return self._read(f"{target}&symbol={symbol}" if symbol else target, "open_orders")

    def cancel_all_http(self, instrument: Instrument, stamp_ms: int) -> HttpRequest:
        """Encode and sign a cancel of every open order of one instrument; the venue only confirms it."""
        target = "/spot/v4/cancel_all" if self._is_spot else "/contract/private/cancel-orders"
        body = f'{{"symbol":"{plain_text(instrument.symbol)}"}}'
        return self._post(target, body, stamp_ms, f"{self._label}.cancel_all")

    def fills_http(self, instrument: Instrument, from_trade_id: str | None, stamp_ms: int) -> HttpRequest:
        """Encode and sign a page of the newest 200 own fills of the last day.

        ``from_trade_id`` is not used: the venue pages by time.
        """
        symbol = plain_text(instrument.symbol)
        since_ms = stamp_ms - _SEARCH_BACK_S * 1_000
        if self._is_spot:
            body = (
                f'{{"symbol":"{symbol}","orderMode":"spot","startTime":{since_ms}'
                f',"endTime":{stamp_ms + 60_000},"limit":{FILLS_PAGE}}}'
            )
            return self._post("/spot/v4/query/trades", body, stamp_ms, f"{self._label}.fills")
        window = f"start_time={since_ms // 1_000}&end_time={stamp_ms // 1_000 + 60}"
        return self._read(f"/contract/private/trades?symbol={symbol}&{window}", "fills")

    def balances_http(self, stamp_ms: int) -> HttpRequest:
        """Encode a balance query."""
        return self._read(
            "/spot/v1/wallet" if self._is_spot else "/contract/private/assets-detail", "balances"
        )

    def positions_http(self, stamp_ms: int) -> HttpRequest | None:
        """Encode a position query; ``None`` for spot."""
        return None if self._is_spot else self._read("/contract/private/position-v2", "positions")

    def account_check_http(self, stamp_ms: int) -> HttpRequest | None:
        """Encode a question for the position mode; ``None`` for spot."""
        if self._is_spot:
            return None
        return self._read("/contract/private/get-position-mode", "account_check")

    # ----------------------------------------------------------------------------- WebSocket orders

    def place_ws(self, order: NewOrder, instrument: Instrument, request_id: str, stamp_ms: int) -> bytes:
        """Refuse; raises NotSent: the venue takes orders over REST alone."""
        raise NotSent(_NO_WEBSOCKET)

    def amend_ws(self, amend: AmendOrder, instrument: Instrument, request_id: str, stamp_ms: int) -> bytes:
        """Refuse; raises UsageError: the venue takes orders over REST alone."""
        raise UsageError(_NO_WEBSOCKET)

    def cancel_ws(
        self,
        instrument: Instrument,
        client_order_id: str,
        venue_order_id: str | None,
        request_id: str,
        stamp_ms: int,
    ) -> bytes:
        """Refuse; raises NotSent: the venue takes orders over REST alone."""
        raise NotSent(_NO_WEBSOCKET)

    def query_ws(
        self,
        instrument: Instrument,
        client_order_id: str,
        venue_order_id: str | None,
        request_id: str,
        stamp_ms: int,
    ) -> bytes:
        """Refuse; raises NotSent: the venue answers queries over REST alone."""
        raise NotSent(_NO_WEBSOCKET)

    def trade_login(self, request_id: str, stamp_ms: int) -> bytes | None:
        """Return ``None``: there is no order-entry connection."""
        return None

    def set_logged_on(self, logged_on: bool) -> None:
        """Do nothing: there is no order-entry connection."""

    # -------------------------------------------------------------------------------------- private

    def private_url(self, listen_key: str | None) -> str:
        """Return the private address."""
        return self._endpoints.ws_private or ""

    def private_subscribe(self, request_id: str, stamp_ms: int) -> tuple[bytes, ...]:
        """Return the login; the subscriptions follow as ``ToSend`` once it was answered."""
        self._decoder.login_sent(request_id)
        return (self._signer.login(self.product, stamp_ms),)

    def listen_key_request(self) -> HttpRequest | None:
        """Return ``None``: there is no listen key, and a login lasts as long as its connection."""
        return None

    # ------------------------------------------------------------------------------------- decoding

    def decode_order(
        self, instrument: Instrument, status: int, body: bytes, retry_after: str | None = None
    ) -> OrderAck | VenueError:
        """Decode the answer to a place, amend, cancel or query of one order."""
        return order_entry.decode_order(instrument, status, body, retry_after)

    def decode_orders(
        self, status: int, body: bytes, retry_after: str | None = None
    ) -> list[OrderAck] | VenueError:
        """Decode a list of open orders, or the confirmation of a cancel-all."""
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
        """Decode positions; orders use the margin mode and leverage that they tell from then on."""
        return account.decode_positions(self._known, self._margins, status, body, retry_after)

    def decode_account_check(
        self, status: int, body: bytes, retry_after: str | None = None
    ) -> str | VenueError:
        """Return why the account must not be traded, or "": futures need one-way position mode."""
        return account.decode_mode(status, body, retry_after)

    def decode_listen_key(self, status: int, body: bytes, retry_after: str | None = None) -> str | VenueError:
        """Return what is wrong with the call: there is no listen key."""
        return errors.undecodable(status, "bitmart has no listen key")

    def decode_error(self, status: int, body: bytes, retry_after: str | None = None) -> VenueError:
        """Decode an answer whose status is not 200."""
        return errors.decode_error(status, body, retry_after)

    def decode_private(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[PrivateEvent]:
        """Decode one message of the account connection."""
        return self._decoder.decode(payload, mono_ns, utc_ns)

    def decode_trade(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[PrivateEvent]:
        """Return nothing: there is no order-entry connection."""
        return ()


_NO_WEBSOCKET = "bitmart takes orders over REST alone"
