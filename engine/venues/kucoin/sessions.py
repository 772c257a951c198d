"""What classic and unified accounts share: one order-entry socket with a signed address, addresses by token.

Source: KuCoin API docs, "Add Order" (WebSocket API) and "Get Private Token", seen 2026-08.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.model.errors import NotSent
from engine.model.instrument import Instrument, Product
from engine.model.orders import VenueError
from engine.venues.base import Credentials, Endpoints, PrivateEvent
from engine.venues.kucoin import errors, user_data
from engine.venues.kucoin.endpoints import GIVE_UP_MS, TRADE_RULES, VALIDITY_MS, VENUE
from engine.venues.kucoin.signing import KucoinSigner


class KucoinSessions:
    """The part of ``base.TradingAdapter`` and ``base.SignedDialling`` that is the same for every account."""

    venue = VENUE
    validity_ms = VALIDITY_MS
    give_up_ms = GIVE_UP_MS
    trade_rules = TRADE_RULES

    def __init__(
        self, product: Product, endpoints: Endpoints, credentials: Credentials, key_version: int
    ) -> None:
        self.product = product
        self._endpoints = endpoints
        self._signer = KucoinSigner(credentials, key_version)
        self._label = f"{VENUE}.{product.value}"
        self._trade_decoder = user_data.TradeDecoder(product, self._signer.sign)

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
        raise NotSent("kucoin has no order query over WebSocket: ask over REST")

    def trade_url(self, stamp_ms: int) -> str:
        """Return the signed address of the order-entry connection, good for one connect within 5 s."""
        return f"{self._endpoints.ws_trade}?{self._signer.trade_query(stamp_ms)}"

    def trade_login(self, request_id: str, stamp_ms: int) -> bytes | None:
        """Return nothing to send: the venue speaks first, and ``decode_trade`` answers and ends the login."""
        self._trade_decoder.login_awaited(request_id)
        return b""

    def set_logged_on(self, logged_on: bool) -> None:
        """Do nothing: requests are never signed by themselves; a login is the connection's."""

    def private_url(self, listen_key: str | None) -> str:
        """Return the address of the private connection: the whole of it is what the token's answer says."""
        return listen_key or ""

    def decode_error(self, status: int, body: bytes, retry_after: str | None = None) -> VenueError:
        """Decode an answer whose status is not 200."""
        return errors.decode_error(self.product, status, body, retry_after)

    def decode_trade(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[PrivateEvent]:
        """Decode one message of the order-entry connection."""
        return self._trade_decoder.decode(payload, mono_ns, utc_ns)
