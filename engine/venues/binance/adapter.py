"""The two faces of Binance that the rest of the engine sees: market data and trading, per product."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from engine.model.account import Balance, Position
from engine.model.errors import ConfigError
from engine.model.forms import Form
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
from engine.venues.binance import account, errors, funding, instruments, market_data, order_entry
from engine.venues.binance.endpoints import (
    DEPTH_LIMIT,
    DEPTH_SPEEDS,
    GIVE_UP_MS,
    PATHS,
    PRIVATE_RULES,
    RECV_WINDOW_MS,
    REST_BUDGETS,
    SNAPSHOT_WEIGHT,
    TRADE_RULES,
    TRADE_STREAMS,
    VENUE,
)
from engine.venues.binance.recent_trades import BinanceTrades
from engine.venues.binance.signing import signer_for, websocket_payload
from engine.venues.binance.user_data import PrivateDecoder


class BinanceMarketData:
    """Public data of one product; implements ``base.MarketDataAdapter`` and ``base.WithFunding``.

    Args:
        product: spot or USD-M perpetuals.
        endpoints: where to connect; ``endpoints.py`` says what each base means.
        speed: depth cadence word, "" for ``100ms``.
        trades: which stream USD-M prints come from, "" for ``trade``; see NOTES.md, "Not confirmed".

    Raises:
        ConfigError: the cadence or the stream is not one of the product's.
    """

    venue = VENUE

    def __init__(
        self,
        product: Product,
        endpoints: Endpoints,
        speed: str = "",
        trades: str = "",
    ) -> None:
        if speed and speed not in DEPTH_SPEEDS[product]:
            known = ", ".join(DEPTH_SPEEDS[product])
            raise ConfigError(f'venues.binance.depth_speed = "{speed}": {product.value} has {known}')
        self.product = product
        self.schema = market_data.depth_schema(product)
        self.rest_budgets = REST_BUDGETS[product]
        self._endpoints = endpoints
        self._speed = speed or "100ms"
        if trades not in ("", *TRADE_STREAMS):
            raise ConfigError(
                f'venues.binance.trade_stream = "{trades}": there are {", ".join(TRADE_STREAMS)}'
            )
        self._trades = trades or TRADE_STREAMS[0]
        self.trade_list = BinanceTrades(product, self._trades == "aggTrade")
        self._path = PATHS[product]
        self._label = f"{VENUE}.{product.value}"
        self._decoder = market_data.MarketDecoder()
        self.funding = funding.BinanceFunding() if product is Product.PERP else None

    def instruments_request(self) -> HttpRequest:
        """Return the exchangeInfo request."""
        weight = 20 if self.product is Product.SPOT else 1
        return HttpRequest(
            method="GET",
            target=f"{self._path}/exchangeInfo",
            label=f"{self._label}.instruments",
            weight=weight,
        )

    def decode_instruments(self, body: bytes) -> list[Instrument]:
        """Return every listed instrument of the product; ``instruments.decode_listing`` tells the rest."""
        return instruments.decode_listing(self.product, body).instruments

    def decode_budgets(self, body: bytes) -> tuple[BudgetRule, ...]:
        """Return the limits that exchangeInfo states: a test network's differ from the documented ones."""
        return instruments.decode_budgets(self.product, body)

    def market_plans(
        self, instruments: Sequence[Instrument], topics: frozenset[Topic]
    ) -> list[ConnectionPlan]:
        """Return the connections that serve these instruments."""
        self._decoder.know(instruments)
        return market_data.market_plans(
            self.product, self._endpoints, instruments, topics, self._speed, self._trades
        )

    def depth_request(self, instrument: Instrument, is_wanted: bool, request_id: str) -> bytes:
        """Return SUBSCRIBE or UNSUBSCRIBE of one diff stream."""
        stream = market_data.depth_stream(self.product, instrument.symbol, self._speed)
        method = "SUBSCRIBE" if is_wanted else "UNSUBSCRIBE"
        return msgspec.json.encode({"method": method, "params": [stream], "id": request_id})

    def depth_symbol(self, stream: str) -> str | None:
        """Return the symbol of a diff stream's name."""
        return market_data.depth_symbol(stream)

    def recorded_dialects(self) -> list[RecordedDialect]:
        """Return combined frames, and those without the wrapper, which are routed ``depthUpdate``, symbol."""
        raw = market_data.depth_schema(self.product, is_raw=True)
        return [
            RecordedDialect(self.schema, market_data.depth_symbol),
            RecordedDialect(raw, market_data.raw_depth_symbol),
        ]

    def snapshot_request(self, instrument: Instrument) -> HttpRequest:
        """Return the depth request: 1000 levels."""
        symbol = order_entry.url_text(instrument.symbol)
        return HttpRequest(
            method="GET",
            target=f"{self._path}/depth?symbol={symbol}&limit={DEPTH_LIMIT}",
            label=f"{self._label}.depth",
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
        return HttpRequest(method="GET", target=f"{self._path}/time", label=f"{self._label}.time")

    def decode_time_ns(self, body: bytes) -> int:
        """Return the venue's UTC nanoseconds."""
        return market_data.decode_time_ns(body)

    def decode_error(self, status: int, body: bytes, retry_after: str | None = None) -> VenueError:
        """Decode an answer whose status is not 200."""
        return errors.decode_error(self.product, status, body, retry_after)


class _Forms(msgspec.Struct, frozen=True, gc=False):
    """What orders of one kind look like; they hold the API key, and no secret."""

    http: Form
    ws: order_entry.WsForms


class BinanceTrading:
    """Private side of one product; implements ``base.TradingAdapter`` and ``base.Amending``.

    Args:
        product: spot or USD-M perpetuals.
        endpoints: where to connect; ``endpoints.py`` says what each base means.
        credentials: API key, and an HMAC secret or an Ed25519 private key: which one, its text tells.
        known: instruments by the venue's symbol; shared with whoever refreshes the listing.
        recv_window_ms: how long the venue may take to accept a signed request.

    Raises:
        ConfigError: the key cannot be used.
    """

    venue = VENUE
    give_up_ms = GIVE_UP_MS

    def __init__(
        self,
        product: Product,
        endpoints: Endpoints,
        credentials: Credentials,
        known: dict[str, Instrument],
        recv_window_ms: int = RECV_WINDOW_MS,
    ) -> None:
        key = credentials.key.reveal()
        if not key.isascii() or not key.isprintable() or " " in key or not key:
            raise ConfigError("the Binance API key must be printable ASCII without spaces")
        if not 1 <= recv_window_ms <= 60_000:
            raise ConfigError(f"recv_window_ms must be 1 to 60000, not {recv_window_ms}")
        self.product = product
        self.validity_ms = recv_window_ms
        self.private_rules = PRIVATE_RULES[product]
        self.trade_rules = TRADE_RULES[product]
        self._endpoints = endpoints
        self._key = credentials.key
        self._signer = signer_for(credentials)
        self._known = known
        self._is_spot = product is Product.SPOT
        self._order_path = f"{PATHS[product]}/order"
        self._path = PATHS[product]
        self._label = f"{VENUE}.{product.value}"
        self._place_label = f"{self._label}.place"
        self._cancel_label = f"{self._label}.cancel"
        self._headers = f"X-MBX-APIKEY: {key}\r\n".encode()
        self._ws_key = b',"apiKey":' + msgspec.json.encode(key)[:-1]
        self._symbols: dict[str, str] = {}
        self._known_forms: dict[str, tuple[Instrument, dict[int, _Forms]]] = {}
        self._decoder = PrivateDecoder(product, known)
        self._is_logged_on = False

    @property
    def unknown_symbols(self) -> int:
        """Return how many reports were left out because their instrument is not known."""
        return self._decoder.unknown_symbols

    # ----------------------------------------------------------------------------------------- REST

    def _symbol(self, instrument: Instrument) -> str:
        symbol = self._symbols.get(instrument.symbol)
        if symbol is None:
            symbol = self._symbols[instrument.symbol] = order_entry.url_text(instrument.symbol)
        return symbol

    def _signed(self, query: str, stamp_ms: int) -> bytes:
        """Return the query with time, validity and, last, the signature over all of it."""
        middle = f"&{query}" if query else ""
        return self._signer.signed(f"timestamp={stamp_ms}{middle}&recvWindow={self.validity_ms}".encode())

    def _forms(self, order: NewOrder, instrument: Instrument) -> _Forms:
        """Return the forms of orders like this one; a listing that was read again has new instruments."""
        known = self._known_forms.get(instrument.symbol)
        if known is None or known[0] is not instrument:
            known = self._known_forms[instrument.symbol] = (instrument, {})
        key = order_entry.form_key(order)
        forms = known[1].get(key)
        if forms is None:
            window_ms, api_key = self.validity_ms, self._key.reveal()
            symbol = self._symbol(instrument)
            forms = known[1][key] = _Forms(
                order_entry.place_form(self.product, order, instrument, symbol, window_ms),
                order_entry.place_ws_forms(self.product, order, instrument, api_key, window_ms),
            )
        return forms

    def _read(
        self, path: str, query: str, stamp_ms: int, label: str, weight: int, is_reserved: bool = False
    ) -> HttpRequest:
        return HttpRequest(
            method="GET",
            target=f"{path}?{self._signed(query, stamp_ms).decode()}",
            label=f"{self._label}.{label}",
            headers=self._headers,
            weight=weight,
            is_reserved=is_reserved,
        )

    def place_http(self, order: NewOrder, instrument: Instrument, stamp_ms: int) -> HttpRequest:
        """Encode and sign a place: everything in the form body.

        Source: a success costs no weight on either product (spot since 2026-04-02), a failure costs 1 on
        spot; the answer's header corrects the count.

        Raises:
            UsageError: the order cannot be expressed at this venue.
        """
        order_entry.check_order(self.product, order, instrument)
        form = self._forms(order, instrument).http
        payload = form.fill(order.client_order_id, order.qty, order.price, stamp_ms)
        return HttpRequest(
            method="POST",
            target=self._order_path,
            label=self._place_label,
            headers=self._headers,
            body=self._signer.signed(payload),
            weight=1 if self._is_spot else 0,
            order_count=1,
            idempotent=False,
        )

    def amend_http(self, amend: AmendOrder, instrument: Instrument, stamp_ms: int) -> HttpRequest:
        """Encode and sign an amend: everything in the form body, like a place.

        Source: spot ``PUT order/amend/keepPriority`` weighs 4 and counts as no order; USD-M ``PUT order``
        weighs 0 (1 by an older text) and counts as one.

        Raises:
            UsageError: spot only makes an order smaller, at its price.
        """
        symbol = self._symbol(instrument)
        query = order_entry.amend_query(self.product, amend, instrument, symbol)
        return HttpRequest(
            method="PUT",
            target=f"{self._order_path}/amend/keepPriority" if self._is_spot else self._order_path,
            label=f"{self._label}.amend",
            headers=self._headers,
            body=self._signed(query, stamp_ms),
            weight=4 if self._is_spot else 1,
            order_count=0 if self._is_spot else 1,
            idempotent=False,
        )

    def cancel_http(
        self, instrument: Instrument, client_order_id: str, venue_order_id: str | None, stamp_ms: int
    ) -> HttpRequest:
        """Encode and sign a cancel. Repeating one is harmless: a second finds nothing to cancel."""
        query = order_entry.target_query(self._symbol(instrument), client_order_id, venue_order_id)
        return HttpRequest(
            method="DELETE",
            target=f"{self._order_path}?{self._signed(query, stamp_ms).decode()}",
            label=self._cancel_label,
            headers=self._headers,
            is_reserved=True,
        )

    def query_http(
        self, instrument: Instrument, client_order_id: str, venue_order_id: str | None, stamp_ms: int
    ) -> HttpRequest:
        """Encode and sign a status query."""
        query = order_entry.target_query(self._symbol(instrument), client_order_id, venue_order_id)
        weight = 4 if self._is_spot else 1
        return self._read(self._order_path, query, stamp_ms, "query", weight, is_reserved=True)

    def open_orders_http(self, instrument: Instrument | None, stamp_ms: int) -> HttpRequest:
        """Encode and sign a list of open orders; all symbols at once cost 80 (spot) or 40 (USD-M)."""
        if instrument is None:
            weight, query = (80 if self._is_spot else 40), ""
        else:
            weight, query = (6 if self._is_spot else 1), f"symbol={self._symbol(instrument)}"
        path = f"{self._path}/openOrders"
        return self._read(path, query, stamp_ms, "open_orders", weight, is_reserved=True)

    def cancel_all_http(self, instrument: Instrument, stamp_ms: int) -> HttpRequest:
        """Encode and sign a cancel of all open orders of one symbol."""
        path = "openOrders" if self._is_spot else "allOpenOrders"
        query = self._signed(f"symbol={self._symbol(instrument)}", stamp_ms).decode()
        return HttpRequest(
            method="DELETE",
            target=f"{self._path}/{path}?{query}",
            label=f"{self._label}.cancel_all",
            headers=self._headers,
            is_reserved=True,
        )

    def fills_http(self, instrument: Instrument, from_trade_id: str | None, stamp_ms: int) -> HttpRequest:
        """Encode and sign a page of 1000 own fills, from a trade id (inclusive) or the newest ones."""
        query = f"symbol={self._symbol(instrument)}&limit=1000"
        if from_trade_id:
            query += f"&fromId={order_entry.checked_venue_id(from_trade_id)}"
        path, weight = ("myTrades", 20) if self._is_spot else ("userTrades", 5)
        return self._read(f"{self._path}/{path}", query, stamp_ms, "fills", weight, is_reserved=True)

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

    def account_check_http(self, stamp_ms: int) -> HttpRequest | None:
        """Encode and sign a question for the account's settings: may it trade, one-way mode or not."""
        if self._is_spot:
            return self._read("/api/v3/account", "omitZeroBalances=true", stamp_ms, "account_check", 20)
        return self._read("/fapi/v1/accountConfig", "", stamp_ms, "account_check", 5)

    # -------------------------------------------------------------------------------- WebSocket API

    def _ws(self, method: str, params: dict[str, str | int], request_id: str, stamp_ms: int) -> bytes:
        params["recvWindow"] = self.validity_ms
        params["timestamp"] = stamp_ms
        if not self._is_logged_on:
            params["apiKey"] = self._key.reveal()
            params["signature"] = self._signer.sign(websocket_payload(params))
        return msgspec.json.encode({"id": request_id, "method": method, "params": params})

    def _identified(self, method: str, request_id: str, stamp_ms: int) -> bytes:
        """Return a request that always carries key and signature, and nothing else."""
        params: dict[str, str | int] = {"apiKey": self._key.reveal(), "timestamp": stamp_ms}
        params["signature"] = self._signer.sign(websocket_payload(params))
        return msgspec.json.encode({"id": request_id, "method": method, "params": params})

    def place_ws(self, order: NewOrder, instrument: Instrument, request_id: str, stamp_ms: int) -> bytes:
        """Encode and, unless logged on, sign ``order.place``; raises UsageError as ``place_http``."""
        order_entry.check_order(self.product, order, instrument)
        forms = self._forms(order, instrument).ws
        values = order.client_order_id, order.qty, order.price, stamp_ms
        body = forms.body.fill(*values)
        if self._is_logged_on:
            return b"".join((b'{"id":"', request_id.encode(), body, b"}}"))
        signed = f'","signature":"{self._signer.sign(forms.payload.fill(*values))}"}}}}'.encode()
        return b"".join((b'{"id":"', request_id.encode(), body, self._ws_key, signed))

    def amend_ws(self, amend: AmendOrder, instrument: Instrument, request_id: str, stamp_ms: int) -> bytes:
        """Encode and, unless logged on, sign an amend; raises UsageError as ``amend_http``."""
        params = order_entry.amend_params(self.product, amend, instrument)
        method = "order.amend.keepPriority" if self._is_spot else "order.modify"
        return self._ws(method, params, request_id, stamp_ms)

    def cancel_ws(
        self,
        instrument: Instrument,
        client_order_id: str,
        venue_order_id: str | None,
        request_id: str,
        stamp_ms: int,
    ) -> bytes:
        """Encode and, unless logged on, sign ``order.cancel``."""
        params = order_entry.target_params(instrument, client_order_id, venue_order_id)
        return self._ws("order.cancel", params, request_id, stamp_ms)

    def query_ws(
        self,
        instrument: Instrument,
        client_order_id: str,
        venue_order_id: str | None,
        request_id: str,
        stamp_ms: int,
    ) -> bytes:
        """Encode and, unless logged on, sign ``order.status``."""
        params = order_entry.target_params(instrument, client_order_id, venue_order_id)
        return self._ws("order.status", params, request_id, stamp_ms)

    def trade_login(self, request_id: str, stamp_ms: int) -> bytes | None:
        """Return ``session.logon`` for Ed25519 keys; HMAC keys sign each request instead.

        Source: WebSocket API docs, "Session Authentication": Ed25519 keys only.
        """
        if not self._signer.is_ed25519:
            return None
        return self._identified("session.logon", request_id, stamp_ms)

    def set_logged_on(self, logged_on: bool) -> None:
        """Say whether the order-entry connection is logged on: then requests go out unsigned."""
        self._is_logged_on = logged_on

    # -------------------------------------------------------------------------------------- private

    def private_url(self, listen_key: str | None) -> str:
        """Return the WebSocket API (spot) or ``/private/ws?listenKey=`` (USD-M)."""
        base = (self._endpoints.ws_private or "").rstrip("/")
        return (
            base if self._is_spot else f"{base}/private/ws?listenKey={order_entry.url_text(listen_key or '')}"
        )

    def private_subscribe(self, request_id: str, stamp_ms: int) -> tuple[bytes, ...]:
        """Return the signed user-data subscription (spot, any key type); USD-M needs none."""
        if not self._is_spot:
            return ()
        return (self._identified("userDataStream.subscribe.signature", request_id, stamp_ms),)

    def listen_key_request(self) -> HttpRequest | None:
        """Return the request that opens or renews the listen key (USD-M): POST does both.

        Send it every ``endpoints.LISTEN_KEY_RENEW_MS``.
        """
        if self._is_spot:
            return None
        return HttpRequest(
            method="POST",
            target="/fapi/v1/listenKey",
            label=f"{self._label}.listen_key",
            headers=self._headers,
            is_reserved=True,
        )

    # ------------------------------------------------------------------------------------- decoding

    def decode_order(
        self, instrument: Instrument, status: int, body: bytes, retry_after: str | None = None
    ) -> OrderAck | VenueError:
        """Decode the answer to a place, amend, cancel or query."""
        return order_entry.decode_order(self.product, instrument, status, body, retry_after)

    def decode_orders(
        self, status: int, body: bytes, retry_after: str | None = None
    ) -> list[OrderAck] | VenueError:
        """Decode a list of orders."""
        return order_entry.decode_orders(self.product, self._known, status, body, retry_after)

    def decode_fills(
        self, instrument: Instrument, status: int, body: bytes, retry_after: str | None = None
    ) -> list[ExecutionReport] | VenueError:
        """Decode a page of own fills."""
        return account.decode_fills(self.product, instrument, status, body, retry_after)

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
        return account.decode_account_check(self.product, status, body, retry_after)

    def decode_listen_key(self, status: int, body: bytes, retry_after: str | None = None) -> str | VenueError:
        """Decode the listen key."""
        return account.decode_listen_key(status, body, retry_after)

    def decode_error(self, status: int, body: bytes, retry_after: str | None = None) -> VenueError:
        """Decode an answer whose status is not 200."""
        return errors.decode_error(self.product, status, body, retry_after)

    def decode_private(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[PrivateEvent]:
        """Decode one message of the private connection."""
        return self._decoder.decode(payload, mono_ns, utc_ns)

    decode_trade = decode_private
    """The WebSocket API carries both on spot, and its answers name their requests on either product."""
