"""Public data: plans within the limits, tokens, decoded frames, and the depth schemas on the real kernel."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from engine.book.l2 import levels_text, new_book, new_feed
from engine.book.pure import PureBook, PureDepthFeed
from engine.model.errors import ConfigError, ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.market import Feed, FundingUpdate, Side, TopOfBook, Trade
from engine.model.orders import Outcome, RejectReason, VenueError
from engine.venues.base import ControlReply, Credentials, Dial, SignedReading, Topic, VenueTime, Welcome
from engine.venues.kucoin.adapter import KucoinMarketData
from engine.venues.kucoin.endpoints import CLASSIC_RULES, LIVE, UNIFIED_RULES
from tests.unit.venues.adapter_rig import Sample

ALL = frozenset(Topic)


@pytest.fixture
def spot_unified(spot_market: KucoinMarketData, btc: Instrument) -> KucoinMarketData:
    spot_market.market_plans([btc], ALL)
    return spot_market


@pytest.fixture
def perp_unified(perp_market: KucoinMarketData, xbt: Instrument) -> KucoinMarketData:
    perp_market.market_plans([xbt], ALL)
    return perp_market


def classic(product: Product, *instruments: Instrument) -> KucoinMarketData:
    adapter = KucoinMarketData(product, LIVE[product], streams="classic")
    adapter.market_plans(instruments, ALL)
    return adapter


# --------------------------------------------------------------------------------------------- plans


def test_unified_plan_of_one_contract(perp_market: KucoinMarketData, xbt: Instrument) -> None:
    (plan,) = perp_market.market_plans([xbt], ALL)
    assert plan.url == "wss://x-push-futures.kucoin.com"
    assert plan.handshake is None
    assert plan.awaits_welcome
    assert plan.depth_routes == (("obu.FUTURES\nincrement@10ms\nXBTUSDTM", "BTC/USDT:USDT"),)
    requests = [msgspec.json.decode(message) for message in plan.subscribe]
    assert [(row["channel"], row.get("depth")) for row in requests] == [
        ("obu", "increment@10ms"),
        ("ticker", None),
        ("trade", None),
        ("mark-price", None),
        ("funding-fee", None),
    ]
    for row in requests:
        assert (row["action"], row["tradeType"], row["symbol"]) == ("SUBSCRIBE", "FUTURES", "XBTUSDTM")
        assert "symbols" not in row  # refused on some channels
        assert row["id"].isalnum()


def test_classic_plan_asks_for_a_token_first(xbt: Instrument, known: dict[str, Instrument]) -> None:
    adapter = KucoinMarketData(Product.PERP, LIVE[Product.PERP], streams="classic")
    (plan,) = adapter.market_plans([xbt, known["ETHUSDTM"]], ALL)
    assert plan.url == ""
    assert plan.handshake is not None
    assert (plan.handshake.request.method, plan.handshake.request.target) == ("POST", "/api/v1/bullet-public")
    assert plan.handshake.request.headers == b""
    assert plan.depth_routes[1] == ("/contractMarket/level2:ETHUSDTM", "ETH/USDT:USDT")
    requests = [msgspec.json.decode(message) for message in plan.subscribe]
    assert [row["topic"] for row in requests] == [
        "/contractMarket/level2:XBTUSDTM,ETHUSDTM",
        "/contractMarket/tickerV2:XBTUSDTM,ETHUSDTM",
        "/contractMarket/execution:XBTUSDTM,ETHUSDTM",
        "/contract/instrument:XBTUSDTM,ETHUSDTM",
    ]
    for row in requests:
        assert row["response"] is True
        assert row["privateChannel"] is False
        assert row["type"] == "subscribe"


@pytest.mark.parametrize("streams", ["unified", "classic"])
def test_plans_keep_the_limits(btc: Instrument, streams: str) -> None:
    many = [msgspec.structs.replace(btc, symbol=f"C{n}-USDT", universal=f"C{n}/USDT") for n in range(250)]
    adapter = KucoinMarketData(Product.SPOT, LIVE[Product.SPOT], streams=streams)
    plans = adapter.market_plans(many, ALL)
    assert sorted(name for plan in plans for name in plan.universals) == sorted(
        each.universal for each in many
    )
    ids = []
    for plan in plans:
        topics = 0
        for message in plan.subscribe:
            request = msgspec.json.decode(message)
            ids.append(request["id"])
            symbols = request["topic"].count(",") + 1 if streams == "classic" else 1
            assert symbols <= 100
            topics += symbols
        assert topics <= plan.rules.streams_max <= 300
        assert plan.rules is (CLASSIC_RULES if streams == "classic" else UNIFIED_RULES)
        # a session waits 10 s for its acknowledgements
        assert len(plan.subscribe) / plan.rules.messages_per_s < 8
        assert 1_000 < plan.rules.heartbeat.ping_interval_ms < 18_000
        assert msgspec.json.decode(plan.rules.heartbeat.ping_text)["type"] == "ping"
    assert len(set(ids)) == len(ids)
    assert adapter.market_plans(many, frozenset({Topic.FUNDING})) == []  # spot has none
    assert adapter.market_plans([], ALL) == []


def test_words_that_are_none() -> None:
    with pytest.raises(ConfigError, match="unified, classic"):
        KucoinMarketData(Product.SPOT, LIVE[Product.SPOT], streams="old")
    with pytest.raises(ConfigError, match="10ms"):
        KucoinMarketData(Product.SPOT, LIVE[Product.SPOT], speed="100ms")
    with pytest.raises(ConfigError, match="none on the classic streams"):
        KucoinMarketData(Product.SPOT, LIVE[Product.SPOT], speed="10ms", streams="classic")
    assert KucoinMarketData(Product.SPOT, LIVE[Product.SPOT], speed="10ms").schema.is_in_band


# ---------------------------------------------------------------------------------------------- tokens


def dialled(status: int, body: bytes, rest: str = "") -> Dial | VenueError:
    endpoints = LIVE[Product.SPOT]
    if rest:
        endpoints = msgspec.structs.replace(endpoints, rest=rest)
    adapter = KucoinMarketData(Product.SPOT, endpoints, streams="classic")
    handshake = adapter._handshake()
    return handshake.decode(status, body)


def test_a_token_is_encoded_and_hidden(sample: Sample) -> None:
    dial = dialled(200, sample("http_token"))
    assert isinstance(dial, Dial)
    assert dial.url == (
        "wss://ws-api-spot.kucoin.com/?token=2neAiuYvAU61ZDXANAGAsiL4-iAExhsBXZxftpOeh_55i3Ysy2q2LEsEWU64mdzU"
        "%3D%3D.WNQmhZQeUKIkh97KYgU0Lg%3D%3D&connectId=public"
    )
    assert "2neAiu" not in repr(dial)
    assert dial.heartbeat is not None
    assert dial.heartbeat.ping_interval_ms == 3_000  # stricter than the venue's 18 s


def test_a_stricter_rule_of_the_venue_holds(sample: Sample) -> None:
    body = (
        sample("http_token").replace(b"18000", b"2000").replace(b'"pingTimeout":10000', b'"pingTimeout":500')
    )
    dial = dialled(200, body)
    assert isinstance(dial, Dial)
    assert dial.heartbeat is not None
    assert (dial.heartbeat.ping_interval_ms, dial.heartbeat.pong_timeout_ms) == (2_000, 500)
    hasty = dialled(200, sample("http_token").replace(b"18000", b"10"))
    assert isinstance(hasty, Dial)
    assert hasty.heartbeat is not None
    assert hasty.heartbeat.ping_interval_ms == 1_000  # more often would cost the connection


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"wss:", b"ws:"),  # REST is encrypted
        (b"wss:", b"https:"),
        (b"kucoin.com/", b"kucoin.com/?x=1"),
        (b"wss://ws-api-spot.kucoin.com/", b"wss://"),
        (b'"token":"2neAiu', b'"tokn":"2neAiu'),
        (b'"instanceServers":[{', b'"instanceServers":[],"x":[{'),
    ],
)
def test_addresses_that_are_not_dialled(sample: Sample, old: bytes, new: bytes) -> None:
    body = sample("http_token").replace(old, new)
    assert body != sample("http_token")
    error = dialled(200, body)
    assert isinstance(error, VenueError)
    assert error.outcome is Outcome.UNKNOWN
    assert "2neAiu" not in error.message


def test_plain_sockets_beside_plain_rest_alone(sample: Sample) -> None:
    body = (
        sample("http_token")
        .replace(b"wss://ws-api-spot.kucoin.com/", b"ws://127.0.0.1:1/x")
        .replace(b"true", b"null")
    )
    assert isinstance(dialled(200, body, "http://127.0.0.1:1"), Dial)
    refused = dialled(429, b'{"code":"429000","msg":"Too many requests"}')
    assert isinstance(refused, VenueError)
    assert refused.reason is RejectReason.RATE_LIMIT


# ------------------------------------------------------------------------------------- unified frames


def test_unified_trade(spot_unified: KucoinMarketData, sample: Sample, btc: Instrument) -> None:
    (trade,) = spot_unified.decode_market(sample("ws_trade_unified"), 5, 6)
    assert isinstance(trade, Trade)
    assert (trade.universal, trade.trade_id, trade.aggressor) == ("BTC/USDT", 20631804219899904, Side.SELL)
    assert (btc.price(trade.price), btc.qty(trade.qty)) == (Decimal("92525.6"), Decimal("0.00008036"))
    assert trade.venue_utc_ns == 1768802538480000000
    assert (trade.recv_mono_ns, trade.recv_utc_ns) == (5, 6)


def test_another_layout_of_the_same_json(spot_unified: KucoinMarketData, sample: Sample) -> None:
    message = msgspec.json.decode(sample("ws_trade_unified"))
    shuffled = msgspec.json.encode({name: message[name] for name in ("d", "P", "T")})
    spaced = sample("ws_trade_unified").replace(b'{"T":"trade.SPOT"', b'{ "T": "trade.SPOT"')
    quoted = sample("ws_trade_unified").replace(b":1768802538480000000", b':"1768802538480000000"')
    want = list(spot_unified.decode_market(sample("ws_trade_unified"), 0, 0))
    for payload in (shuffled, spaced, quoted):
        assert payload != sample("ws_trade_unified")
        assert list(spot_unified.decode_market(payload, 0, 0)) == want


def test_unified_top_of_book(spot_unified: KucoinMarketData, sample: Sample, btc: Instrument) -> None:
    (top,) = spot_unified.decode_market(sample("ws_ticker_unified"), 5, 6)
    assert isinstance(top, TopOfBook)
    assert (btc.price(top.bid_price), btc.qty(top.bid_qty)) == (Decimal("90968.1"), Decimal("0.02052839"))
    assert (btc.price(top.ask_price), btc.qty(top.ask_qty)) == (Decimal("90968.2"), Decimal("0.97675941"))
    assert top.sequence == 25958853459
    one_sided = sample("ws_ticker_unified").replace(b'"a":"90968.2"', b'"a":""')
    assert list(spot_unified.decode_market(one_sided, 0, 0)) == []


def test_unified_funding_is_put_together(perp_unified: KucoinMarketData, sample: Sample) -> None:
    assert list(perp_unified.decode_market(sample("ws_funding"), 0, 7)) == []  # no mark price yet
    (first,) = perp_unified.decode_market(sample("ws_mark_price"), 0, 8)
    assert isinstance(first, FundingUpdate)
    assert (first.mark_price, first.index_price) == (Decimal("86201.79"), Decimal("86248.81"))
    assert first.open_interest == Decimal("11481.754")  # base units, not lots
    assert first.funding_rate == Decimal("-0.000076")  # the running estimate, not what was settled last
    assert first.next_funding_utc_ns == 1790121600000_000_000  # nt, not ft
    assert first.venue_utc_ns == 1790113097000_000_000
    assert (first.interval_ns, first.last_settled_rate) == (8 * 3600 * 10**9, Decimal("-0.000019"))
    assert (first.rate_utc_ns, first.predicted_rate) == (1790113101443102278, None)
    (second,) = perp_unified.decode_market(sample("ws_funding"), 0, 9)
    assert isinstance(second, FundingUpdate)
    assert second.venue_utc_ns == 1790113101443102278


def test_unified_control(perp_unified: KucoinMarketData, sample: Sample) -> None:
    decode = perp_unified.decode_market
    assert list(decode(sample("ws_welcome_unified"), 0, 0)) == [Welcome()]
    assert list(decode(sample("ws_ack_unified"), 0, 0)) == [ControlReply("p1", None)]
    assert list(decode(sample("ws_refused_unified"), 0, 0)) == [ControlReply("p18", "invalid request data")]
    (by_reason,) = decode(sample("ws_refused_reason_unified"), 0, 0)
    assert isinstance(by_reason, ControlReply)
    assert "not allowed" in (by_reason.error or "")
    assert list(decode(sample("ws_pong_unified"), 0, 0)) == [VenueTime(1_790_113_111_261_396_000, 1_000_000)]


def test_depth_requests(perp_unified: KucoinMarketData, xbt: Instrument) -> None:
    for is_wanted, action in ((False, "UNSUBSCRIBE"), (True, "SUBSCRIBE")):
        message = msgspec.json.decode(perp_unified.depth_request(xbt, is_wanted, "r7"))
        assert message == {
            "id": "r7", "action": action, "channel": "obu", "tradeType": "FUTURES", "symbol": "XBTUSDTM",
            "depth": "increment@10ms",
        }  # fmt: skip
    adapter = classic(Product.PERP, xbt)
    for is_wanted, kind in ((False, "unsubscribe"), (True, "subscribe")):
        message = msgspec.json.decode(adapter.depth_request(xbt, is_wanted, "r7"))
        assert (message["type"], message["topic"]) == (kind, "/contractMarket/level2:XBTUSDTM")


# ------------------------------------------------------------------------------------- classic frames


def test_classic_trades(sample: Sample, btc: Instrument, xbt: Instrument) -> None:
    (trade,) = classic(Product.SPOT, btc).decode_market(sample("ws_match_spot"), 5, 6)
    assert isinstance(trade, Trade)
    assert (trade.trade_id, trade.aggressor) == (1636276321894, Side.SELL)  # its id is hexadecimal
    assert trade.venue_utc_ns == 1660608000026914990
    (trade,) = classic(Product.PERP, xbt).decode_market(sample("ws_match_perp"), 5, 6)
    assert isinstance(trade, Trade)
    assert (trade.trade_id, trade.aggressor) == (1743169228057, Side.BUY)
    assert xbt.qty(trade.qty) == Decimal("0.005")  # five lots


def test_classic_tops(sample: Sample, btc: Instrument, xbt: Instrument) -> None:
    (top,) = classic(Product.SPOT, btc).decode_market(sample("ws_ticker_spot"), 5, 6)
    assert isinstance(top, TopOfBook)
    assert (btc.price(top.bid_price), btc.price(top.ask_price)) == (Decimal(67523), Decimal("67523.1"))
    assert (top.sequence, top.venue_utc_ns) == (14637553700, 1729843222921_000_000)
    (top,) = classic(Product.PERP, xbt).decode_market(sample("ws_ticker_perp"), 5, 6)
    assert isinstance(top, TopOfBook)
    assert (xbt.qty(top.bid_qty), xbt.qty(top.ask_qty)) == (Decimal("0.795"), Decimal("0.284"))
    assert top.venue_utc_ns == 1731899129000000000


def test_classic_funding_tells_the_estimate_from_the_settled_rate(sample: Sample, xbt: Instrument) -> None:
    adapter = classic(Product.PERP, xbt)
    assert list(adapter.decode_market(sample("ws_instrument_funding"), 0, 0)) == []
    (update,) = adapter.decode_market(sample("ws_instrument_mark"), 0, 0)
    assert isinstance(update, FundingUpdate)
    assert (update.mark_price, update.funding_rate) == (Decimal("86201.79"), Decimal("0.000038"))
    assert (update.next_funding_utc_ns, update.open_interest) == (None, None)
    assert update.last_settled_rate is None
    (settled,) = adapter.decode_market(sample("ws_instrument_settled"), 0, 0)
    assert isinstance(settled, FundingUpdate)
    assert settled.funding_rate == update.funding_rate  # still the estimate
    assert (settled.last_settled_rate, settled.interval_ns) == (Decimal("0.000039"), 8 * 3600 * 10**9)
    (update,) = adapter.decode_market(sample("ws_instrument_mark"), 0, 0)
    assert isinstance(update, FundingUpdate)
    assert update.funding_rate == Decimal("0.000038")


def test_classic_control(sample: Sample, xbt: Instrument) -> None:
    decode = classic(Product.PERP, xbt).decode_market
    assert list(decode(sample("ws_welcome_classic"), 0, 0)) == [Welcome()]
    assert list(decode(sample("ws_ack_classic"), 0, 0)) == [ControlReply("s0x0", None)]
    assert list(decode(sample("ws_error_classic"), 0, 0)) == [
        ControlReply("p28", "404: topic does not exist")
    ]
    assert list(decode(sample("ws_pong_classic"), 0, 0)) == [VenueTime(1_790_113_097_236_506_000, 1_000_000)]
    assert list(decode(b'{"id":"p16","type":"pong"}', 0, 0)) == []
    assert list(decode(b'{"id":1,"type":"ack"}', 0, 0)) == [ControlReply("1", None)]


@pytest.mark.parametrize(
    "frame",
    [
        b"{}",
        b'{"T":"trade.FUTURES","P":1,"d":{"s":"XYZUSDTM","S":"buy","p":"1","q":"1","ti":"1","M":1768802538480000000}}',
        b'{"T":"novel.FUTURES","d":{}}',
        b'{"topic":"/contractMarket/execution:XYZUSDTM","type":"message","subject":"match","data":{"x":1}}',
        b'{"topic":"/contractMarket/novel:XBTUSDTM","type":"message","subject":"novel","data":{}}',
        b'{"topic":"/contract/announcement","subject":"funding.begin","data":{"symbol":"XBTUSDTM"}}',
    ],
)
def test_what_is_not_ours(perp_unified: KucoinMarketData, frame: bytes) -> None:
    assert list(perp_unified.decode_market(frame, 0, 0)) == []


def unified(**fields: Any) -> bytes:
    data = {
        "s": "XBTUSDTM", "S": "buy", "p": "1", "q": "1", "ti": "1", "M": 1768802538480000000,
    } | fields  # fmt: skip
    return msgspec.json.encode({"T": "trade.FUTURES", "P": 1, "d": data})


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"pong",
        unified(p="0"),
        unified(q="0"),
        unified(q="0.000001"),  # finer than the scale
        unified(q="1e3"),
        unified(S="long"),
        unified(ti="x"),
        unified(M=12),
        unified(p=1.5),
        b'{"T":"mark-price","d":{"s":"XBTUSDTM","mp":"NaN","ts":1790113097000}}',
        b'{"topic":"/contract/instrument:XBTUSDTM","type":"message","subject":"mark.index.price","data":{"markPrice":1}}',
        b'{"topic":"/contractMarket/execution:XBTUSDTM","type":"message","subject":"match","data":{"side":"buy"}}',
    ],
)
def test_malformed(perp_unified: KucoinMarketData, frame: bytes) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        perp_unified.decode_market(frame, 0, 0)
    assert caught.value.raw == frame


# ---------------------------------------------------------------------------------------- REST, time


@pytest.mark.fault("H07")
def test_rest_books(
    perp_market: KucoinMarketData,
    spot_market: KucoinMarketData,
    sample: Sample,
    xbt: Instrument,
    btc: Instrument,
) -> None:
    book = perp_market.decode_snapshot(xbt, sample("http_books_perp"))
    assert (book.sequence, book.venue_utc_ns) == (1736604716188, 1790114460610000000)
    assert [(xbt.price(int(p)), xbt.qty(int(q))) for p, q in book.bids] == [
        (Decimal("2748.7"), Decimal("0.241")),
        (Decimal("2748.6"), Decimal("0.045")),
    ]
    book = spot_market.decode_snapshot(btc, sample("http_books_spot"))
    assert (book.sequence, book.venue_utc_ns) == (14610502970, 1729176273859_000_000)
    assert len(book.asks) == 2
    empty = spot_market.decode_snapshot(
        btc, b'{"code":"200000","data":{"time":1729176273859,"sequence":"1","bids":[],"asks":null}}'
    )
    assert (len(empty.bids), len(empty.asks)) == (0, 0)
    for broken in (
        b'{"msg":"Invalid symbol.","code":"200003"}',
        b'{"code":"200000","data":null}',
        sample("http_books_perp").replace(b'"XBTUSDTM"', b'"ETHUSDTM"'),
        sample("http_books_perp").replace(b"2748.6", b"2748.8"),
        sample("http_books_perp").replace(b",45]", b",0]"),
        sample("http_books_perp").replace(b",45]", b",45.000001]"),
        sample("http_books_perp").replace(b",45]", b"]"),
    ):
        with pytest.raises(ProtocolViolation, match="XBTUSDTM"):
            perp_market.decode_snapshot(xbt, broken)


def test_whole_spot_books_are_for_those_who_sign(
    spot_market: KucoinMarketData, perp_market: KucoinMarketData, btc: Instrument, xbt: Instrument,
    keys: Credentials,
) -> None:  # fmt: skip
    public = spot_market.snapshot_request(btc)
    assert (public.target, public.headers) == ("/api/v1/market/orderbook/level2_100?symbol=BTC-USDT", b"")
    assert isinstance(spot_market, SignedReading)
    spot_market.sign_reads(keys, lambda: 1_700_000_000_000)
    signed = spot_market.snapshot_request(btc)
    assert signed.target == "/api/v3/market/orderbook/level2?symbol=BTC-USDT"
    assert b"KC-API-TIMESTAMP: 1700000000000\r\n" in signed.headers
    assert b"secret-1" not in signed.headers
    perp_market.sign_reads(keys, lambda: 0)
    whole = perp_market.snapshot_request(xbt)
    assert (whole.target, whole.headers) == ("/api/v1/level2/snapshot?symbol=XBTUSDTM", b"")


def test_time(perp_market: KucoinMarketData, sample: Sample) -> None:
    assert perp_market.decode_time_ns(sample("http_time")) == 1790113494904_000_000
    for broken in (b"", b'{"code":"500000","data":1}', b'{"code":"200000","data":"x"}'):
        with pytest.raises(ProtocolViolation):
            perp_market.decode_time_ns(broken)


# -------------------------------------------------------------------------------- the book's procedure


@pytest.fixture(params=["kernel", "twin"])
def is_kernel(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "kernel")


def made(adapter: KucoinMarketData, instrument: Instrument, is_kernel: bool) -> tuple[Any, Any]:
    arguments = (
        instrument.universal,
        instrument.price_scale,
        instrument.qty_scale,
        1,
        instrument.contract_size,
    )
    book: Any = new_book(*arguments) if is_kernel else PureBook(*arguments)
    depth: Any = new_feed(adapter.schema) if is_kernel else PureDepthFeed(adapter.schema)
    (plan,) = adapter.market_plans([instrument], ALL)
    depth.add(plan.depth_routes[0][0], book)
    book.begin_sync()
    return book, depth


def test_unified_book(
    perp_market: KucoinMarketData, xbt: Instrument, sample: Sample, is_kernel: bool
) -> None:
    book, depth = made(perp_market, xbt, is_kernel)
    codes = [
        Feed(depth.feed_code(payload, 1))
        for payload in (
            sample("ws_obu_delta"),  # before its snapshot
            sample("ws_obu_snapshot"),
            sample("ws_obu_delta"),
            sample("ws_obu_delta"),  # twice
            sample("ws_trade_unified"),
            sample("ws_ack_unified"),
            sample("ws_obu_delta")
            .replace(b"1747821262585", b"1747821262590")
            .replace(b"1747821262584", b"1747821262587"),
        )
    ]
    assert codes == [
        Feed.BUFFER, Feed.APPLIED, Feed.APPLIED, Feed.OLD, Feed.PASS, Feed.PASS, Feed.GAP,
    ]  # fmt: skip
    assert levels_text(book, 0) == [["85973.3", "16.236"], ["85887.1", "0.098"]]  # lots of 0.001 BTC
    assert levels_text(book, 1) == [["85973.4", "0.096"], ["85973.7", "0.102"]]
    assert not book.is_live
    later = sample("ws_obu_snapshot").replace(b"1747821262583", b"1747821262600")
    assert depth.feed_code(later, 1) == Feed.APPLIED
    assert book.is_live
    assert (book.sequence, book.venue_utc_ns) == (1747821262600, 1790114460671676191)


def test_classic_spot_book(btc: Instrument, sample: Sample, is_kernel: bool) -> None:
    """Entries that the snapshot holds are skipped, the others applied; a price of 0 only counts."""
    adapter = classic(Product.SPOT, btc)
    book, depth = made(adapter, btc, is_kernel)
    frame = sample("ws_level2_spot")
    assert depth.feed_code(frame, 1) == Feed.BUFFER
    rest = (
        b'{"code":"200000","data":{"time":1663747970000,"sequence":"14103844",'
        b'"bids":[["18890","1"]],"asks":[["18906","9"],["18907.3","0.58751503"]]}}'
    )
    book.load_snapshot(adapter.decode_snapshot(btc, rest))
    assert depth.feed_code(frame, 1) == Feed.APPLIED
    assert book.is_live
    assert levels_text(book, 0) == [["18891.9", "0.15688"], ["18890", "1"]]
    assert levels_text(book, 1) == [["18906", "0.00331"], ["18907.3", "0.58751503"]]
    void = (
        b'{"topic":"/market/level2:BTC-USDT","type":"message","subject":"trade.l2update","data":{"changes":'
        b'{"asks":[["0","0","%d"]],"bids":[]},"sequenceStart":%d,"sequenceEnd":%d,"symbol":"BTC-USDT"}}'
    )
    assert depth.feed_code(void % (14103848, 14103848, 14103848), 1) == Feed.APPLIED
    assert book.sequence == 14103848
    assert depth.feed_code(void % (14103850, 14103850, 14103850), 1) == Feed.GAP


def test_classic_contract_book(xbt: Instrument, sample: Sample, is_kernel: bool) -> None:
    adapter = classic(Product.PERP, xbt)
    book, depth = made(adapter, xbt, is_kernel)
    rest = (
        b'{"code":"200000","data":{"sequence":1747821025243,"symbol":"XBTUSDTM","bids":[[83613.5,5]],'
        b'"asks":[[83615,7]],"ts":1790113097000000000}}'
    )
    book.load_snapshot(adapter.decode_snapshot(xbt, rest))
    assert depth.feed_code(sample("ws_level2_perp"), 1) == Feed.APPLIED
    assert levels_text(book, 0) == [["83614", "0.012"], ["83613.5", "0.005"]]
    # Both the depth and the partial books say subject level2: the topic decides.
    other = sample("ws_level2_perp").replace(b"/contractMarket/level2:", b"/contractMarket/level2Depth50:")
    assert depth.feed_code(other, 1) == Feed.PASS
    skipped = sample("ws_level2_perp").replace(b"1747821025244", b"1747821025246")
    assert depth.feed_code(skipped, 1) == Feed.GAP


def test_streams_have_names(spot_market: KucoinMarketData, btc: Instrument) -> None:
    assert spot_market.depth_symbol("obu.SPOT\nincrement@10ms\nBTC-USDT") == "BTC-USDT"
    for other in ("obu.FUTURES\nincrement@10ms\nXBTUSDTM", "obu.SPOT\n5\nBTC-USDT", "", "BTC-USDT"):
        assert spot_market.depth_symbol(other) is None
    adapter = classic(Product.SPOT, btc)
    assert adapter.depth_symbol("/market/level2:BTC-USDT") == "BTC-USDT"
    assert adapter.depth_symbol("/market/level2Depth5:BTC-USDT") is None
