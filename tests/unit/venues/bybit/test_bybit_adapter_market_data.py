"""Public data: plans within the limits, decoded frames, and the depth schema on the real kernel."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.book.l2 import levels_text, new_book, new_feed
from engine.book.pure import PureBook, PureDepthFeed
from engine.model.errors import ConfigError, ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.market import Feed, FundingUpdate, Side, TopOfBook, Trade
from engine.replay.replay import replay_files
from engine.venues.base import ControlReply, Topic
from engine.venues.bybit.adapter import BybitMarketData
from engine.venues.bybit.endpoints import ARGS_CHARACTERS_MAX, ARGS_PER_REQUEST, LIVE, TEST_REGIONS
from engine.venues.bybit.frames import trade_number
from tests.property.depth_dialects import BYBIT
from tests.unit.venues.adapter_rig import Sample
from tests.unit.venues.bybit.conftest import Known

ALL = frozenset(Topic)


@pytest.fixture
def perp(known: Known) -> BybitMarketData:
    adapter = BybitMarketData(Product.PERP, LIVE[Product.PERP])
    adapter.market_plans([known[Product.PERP]["BTCUSDT"], known[Product.PERP]["BTCPERP"]], ALL)
    return adapter


@pytest.fixture
def spot(known: Known) -> BybitMarketData:
    adapter = BybitMarketData(Product.SPOT, LIVE[Product.SPOT])
    adapter.market_plans([known[Product.SPOT]["BTCUSDT"]], ALL)
    return adapter


# --------------------------------------------------------------------------------------------- plans


def test_plan_of_one_perpetual(known: Known) -> None:
    adapter = BybitMarketData(Product.PERP, LIVE[Product.PERP])
    (plan,) = adapter.market_plans([known[Product.PERP]["1000PEPEUSDT"]], ALL)
    assert plan.url == "wss://stream.bybit.com/v5/public/linear"
    assert plan.depth_routes == (("orderbook.50.1000PEPEUSDT", "1000PEPE/USDT:USDT"),)
    assert [msgspec.json.decode(each) for each in plan.subscribe] == [
        {
            "req_id": "s1000PEPEUSDT",
            "op": "subscribe",
            "args": [
                "orderbook.50.1000PEPEUSDT",
                "orderbook.1.1000PEPEUSDT",
                "publicTrade.1000PEPEUSDT",
                "tickers.1000PEPEUSDT",
            ],
        }
    ]
    assert plan.rules.heartbeat.ping_text == b'{"op":"ping"}'
    assert plan.rules.heartbeat.ping_interval_ms <= 20_000


def test_one_request_per_instrument_within_every_limit(known: Known) -> None:
    many = [
        msgspec.structs.replace(
            known[Product.PERP]["BTCUSDT"], symbol=f"{n:0>20}USDT", universal=f"C{n}/USDT:USDT"
        )
        for n in range(500)
    ]
    adapter = BybitMarketData(Product.PERP, LIVE[Product.PERP])
    plans = adapter.market_plans(many, ALL)
    assert [name for plan in plans for name in plan.universals] == [each.universal for each in many]
    assert len({plan.name for plan in plans}) == len(plans)
    for plan in plans:
        requests = [msgspec.json.decode(each) for each in plan.subscribe]
        assert len({each["req_id"] for each in requests}) == len(requests) == len(plan.universals)
        assert all(len(each["args"]) <= ARGS_PER_REQUEST for each in requests)
        args = [topic for each in requests for topic in each["args"]]
        assert len(args) <= plan.rules.streams_max
        assert len(json.dumps(args, separators=(",", ":"))) <= ARGS_CHARACTERS_MAX
        assert len(plan.depth_routes) == len(plan.universals)
    long_names = [msgspec.structs.replace(each, symbol=each.symbol * 6) for each in many[:100]]
    for plan in adapter.market_plans(long_names, ALL):
        args = [topic for each in plan.subscribe for topic in msgspec.json.decode(each)["args"]]
        assert len(json.dumps(args, separators=(",", ":"))) <= ARGS_CHARACTERS_MAX


def test_topics_that_a_product_has(known: Known) -> None:
    adapter = BybitMarketData(Product.SPOT, LIVE[Product.SPOT])
    btc = known[Product.SPOT]["BTCUSDT"]
    (plan,) = adapter.market_plans([btc], ALL)
    assert plan.url == "wss://stream.bybit.com/v5/public/spot"
    assert not any(b"tickers" in each for each in plan.subscribe)
    (trades,) = adapter.market_plans([btc], frozenset({Topic.TRADES}))
    assert trades.depth_routes == ()
    assert adapter.market_plans([btc], frozenset({Topic.FUNDING})) == []  # spot has none
    assert adapter.market_plans([], ALL) == []


@pytest.mark.parametrize(("speed", "levels"), [("", 50), ("20ms", 50), ("100ms", 200), ("200ms", 1000)])
def test_slower_is_deeper(btc: Instrument, speed: str, levels: int) -> None:
    adapter = BybitMarketData(Product.SPOT, LIVE[Product.SPOT], speed)
    (plan,) = adapter.market_plans([btc], frozenset({Topic.DEPTH}))
    assert plan.depth_routes == ((f"orderbook.{levels}.BTCUSDT", "BTC/USDT"),)
    assert f'"orderbook.{levels}.BTCUSDT"'.encode() in adapter.depth_request(btc, True, "r1")


def test_speeds_that_are_none() -> None:
    with pytest.raises(ConfigError, match="100ms"):
        BybitMarketData(Product.SPOT, LIVE[Product.SPOT], speed="10ms")


def test_a_book_is_repaired_by_its_own_topic(perp: BybitMarketData, perp_btc: Instrument) -> None:
    messages = [msgspec.json.decode(perp.depth_request(perp_btc, wanted, "r7")) for wanted in (False, True)]
    assert messages == [
        {"req_id": "r7", "op": "unsubscribe", "args": ["orderbook.50.BTCUSDT"]},
        {"req_id": "r7", "op": "subscribe", "args": ["orderbook.50.BTCUSDT"]},
    ]


@pytest.mark.parametrize(
    ("stream", "symbol"),
    [
        ("orderbook.50.BTCUSDT", "BTCUSDT"),
        ("orderbook.500.XRPUSDT", "XRPUSDT"),
        ("orderbook.1000.BTCPERP", "BTCPERP"),
        ("orderbook.1.BTCUSDT", None),
        ("orderbook.50.", None),
        ("orderbook.rpi.BTCUSDT", None),
        ("publicTrade.BTCUSDT", None),
    ],
)
def test_depth_symbols(perp: BybitMarketData, stream: str, symbol: str | None) -> None:
    assert perp.depth_symbol(stream) == symbol


def test_demo_trading_has_the_real_markets_data_and_no_order_socket() -> None:
    demo = TEST_REGIONS["demo"][Product.PERP]
    assert demo.ws_public == LIVE[Product.PERP].ws_public
    assert demo.ws_trade is None


# ------------------------------------------------------------------------------------------- frames


def test_trades(perp: BybitMarketData, sample: Sample, perp_btc: Instrument) -> None:
    events = perp.decode_market(sample("ws_trades_perp"), 5, 6)
    trades = [each for each in events if isinstance(each, Trade)]
    assert [trade.aggressor for trade in trades] == [Side.BUY, Side.SELL]  # the block trade met no book
    first, last = trades
    assert (first.universal, perp_btc.price(first.price)) == ("BTC/USDT:USDT", Decimal("91000.1"))
    assert perp_btc.qty(last.qty) == Decimal("1.25")
    assert first.venue_utc_ns == 1795442400865_000_000
    assert (first.recv_mono_ns, first.recv_utc_ns) == (5, 6)
    assert first.trade_id == (0x20F43950D8DD5B31 ^ 0x9112A178EB6023AF) & (2**63 - 1)
    assert 0 < last.trade_id < 2**63  # fits an int64


def test_ids_that_differ_anywhere_are_different_numbers() -> None:
    alike = [
        "20f43950-d8dd-5b31-9112-a178eb6023af",
        "20f43950-d8dd-5b31-9112-a178eb6023ae",
        "20f43951-d8dd-5b31-9112-a178eb6023af",
        "20f43950-d8dd-5b31-1112-a178eb6023af",  # the top bit of a variant is always set
    ]
    assert len({trade_number(each) for each in alike}) == 3


def test_spot_trades(spot: BybitMarketData, sample: Sample, btc: Instrument) -> None:
    (trade,) = spot.decode_market(sample("ws_trades_spot"), 5, 6)
    assert isinstance(trade, Trade)
    assert (trade.trade_id, trade.aggressor) == (2290000000061666327, Side.SELL)
    assert btc.qty(trade.qty) == Decimal("0.000213")


@pytest.mark.parametrize("text", ["", "-1", "9" * 19, "20f43950-d8dd-5b31-9112-a178eb6023a", "x" * 36])
def test_trade_ids_that_are_none(text: str) -> None:
    with pytest.raises(ProtocolViolation, match="trade id"):
        trade_number(text)


def test_keys_in_another_order(perp: BybitMarketData) -> None:
    frame = b'{"data":[{"S":"Buy","v":"1","p":"2","T":3,"i":"4"}],"ts":3,"topic":"publicTrade.BTCUSDT"}'
    (trade,) = perp.decode_market(frame, 0, 0)
    assert isinstance(trade, Trade)
    assert trade.trade_id == 4


def test_top_of_book(spot: BybitMarketData, sample: Sample, btc: Instrument) -> None:
    (top,) = spot.decode_market(sample("ws_top_spot"), 5, 6)
    assert isinstance(top, TopOfBook)
    assert (btc.price(top.bid_price), btc.qty(top.bid_qty)) == (Decimal("91000.1"), Decimal("0.52"))
    assert (btc.price(top.ask_price), btc.qty(top.ask_qty)) == (Decimal("91000.2"), Decimal("0.31"))
    assert top.sequence == 101234567890
    assert top.venue_utc_ns == 1795442401509_000_000  # the matching engine's time
    one_sided = sample("ws_top_spot").replace(b'[["91000.2","0.31"]]', b"[]")
    assert list(spot.decode_market(one_sided, 0, 0)) == []
    old = sample("ws_top_spot").replace(b'"snapshot"', b'"delta"')  # until 2024: no whole book
    assert list(spot.decode_market(old, 0, 0)) == []


def test_tickers_are_merged(perp: BybitMarketData, sample: Sample) -> None:
    assert list(perp.decode_market(sample("ws_ticker_delta"), 0, 7)) == []  # no snapshot yet
    (first,) = perp.decode_market(sample("ws_ticker_snapshot"), 0, 8)
    assert isinstance(first, FundingUpdate)
    assert (first.mark_price, first.index_price) == (Decimal("91017.33"), Decimal("91027.36"))
    assert (first.funding_rate, first.open_interest) == (Decimal("-0.000212"), Decimal("68744.761"))
    assert first.next_funding_utc_ns == 1795449600000_000_000
    assert (first.venue_utc_ns, first.recv_utc_ns) == (1795442401686_000_000, 8)
    (second,) = perp.decode_market(sample("ws_ticker_delta"), 0, 9)
    assert isinstance(second, FundingUpdate)
    assert (second.mark_price, second.open_interest) == (Decimal("91017.40"), Decimal("68745.001"))
    assert (second.index_price, second.funding_rate) == (first.index_price, first.funding_rate)
    assert list(perp.decode_market(sample("ws_ticker_delta_of_sizes"), 0, 0)) == []


def test_a_new_snapshot_forgets_the_old_one(perp: BybitMarketData, sample: Sample) -> None:
    perp.decode_market(sample("ws_ticker_snapshot"), 0, 0)
    bare = b'{"topic":"tickers.BTCUSDT","type":"snapshot","data":{"markPrice":"5","fundingRate":""},"ts":9}'
    (update,) = perp.decode_market(bare, 0, 0)
    assert isinstance(update, FundingUpdate)
    assert update.mark_price == 5
    assert (update.index_price, update.funding_rate, update.next_funding_utc_ns) == (None, None, None)
    assert update.open_interest is None


def test_instruments_do_not_mix(perp: BybitMarketData, sample: Sample) -> None:
    other = sample("ws_ticker_delta").replace(b"BTCUSDT", b"BTCPERP")
    perp.decode_market(sample("ws_ticker_snapshot"), 0, 0)
    assert list(perp.decode_market(other, 0, 0)) == []


@pytest.mark.parametrize(
    "frame",
    [
        b"{}",
        b'{"topic":"publicTrade.XYZUSDT","data":[{"i":"x"}]}',
        b'{"topic":"novel.BTCUSDT","data":[]}',
        b'{"topic":"tickers.NEWUSDT","type":"snapshot","data":{},"ts":1}',
        b'{"success":true,"ret_msg":"pong","conn_id":"0970e817","op":"ping"}',
        b'{"req_id":"1","op":"pong","args":["1675418560633"],"conn_id":"c"}',
    ],
)
def test_what_is_not_ours(perp: BybitMarketData, frame: bytes) -> None:
    assert list(perp.decode_market(frame, 0, 0)) == []


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"pong",
        b'{"topic":"publicTrade.BTCUSDT","data":[{"T":1,"S":"Buy","v":"1","p":"0","i":"1"}]}',
        b'{"topic":"publicTrade.BTCUSDT","data":[{"T":1,"S":"buy","v":"1","p":"1","i":"1"}]}',
        b'{"topic":"publicTrade.BTCUSDT","data":[{"T":1,"S":"Buy","v":"1e9","p":"1","i":"1"}]}',
        b'{"topic":"publicTrade.BTCUSDT","data":[{"T":"1","S":"Buy","v":"1","p":"1","i":"1"}]}',
        b'{"topic":"orderbook.1.BTCUSDT","type":"snapshot","data":{"b":[["1"]],"a":[["1","1"]]},"ts":3}',
        b'{"topic":"tickers.BTCUSDT","type":"snapshot","data":{"markPrice":"x"},"ts":3}',
        b'{"topic":"tickers.BTCUSDT","type":"snapshot","data":{"nextFundingTime":"x"},"ts":3}',
    ],
)
def test_malformed(perp: BybitMarketData, frame: bytes) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        perp.decode_market(frame, 0, 0)
    assert caught.value.raw == frame


def control(adapter: BybitMarketData, payload: bytes) -> Sequence[Any]:
    return list(adapter.decode_market(payload, 0, 0))


def test_acknowledgements(perp: BybitMarketData, sample: Sample) -> None:
    assert control(perp, sample("ws_subscribed")) == [ControlReply("sBTCUSDT", None)]
    ended = b'{"success":true,"ret_msg":"","conn_id":"c","req_id":"r1","op":"unsubscribe"}'
    assert control(perp, ended) == [ControlReply("r1", None)]
    (refused,) = control(perp, sample("ws_subscribe_refused"))
    assert refused == ControlReply("sBTCUSDT", "error:handler not found,topic:orderbook.500.BTCUSDT")
    nameless = b'{"success":false,"ret_msg":"args size \\u003e10","conn_id":"c","req_id":"","op":"subscribe"}'
    assert control(perp, nameless) == [ControlReply(None, "args size >10")]
    assert control(perp, sample("ws_pong")) == []  # is no acknowledgement of a subscription


# ------------------------------------------------------------------------------------- REST and time


def test_rest_book(perp: BybitMarketData, sample: Sample, perp_btc: Instrument) -> None:
    request = perp.snapshot_request(perp_btc)
    assert request.target == "/v5/market/orderbook?category=linear&symbol=BTCUSDT&limit=1000"
    book = perp.decode_snapshot(perp_btc, sample("http_book_perp"))
    assert (book.sequence, book.venue_utc_ns) == (230704, 1795442399031_000_000)
    assert [perp_btc.price(int(price)) for price in book.bids[:, 0]] == [Decimal("91000.1"), Decimal(91000)]
    assert perp_btc.qty(int(book.asks[0, 1])) == Decimal("16.606")


@pytest.mark.fault("H07")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"retCode":0', b'"retCode":10006'),
        (b'"s":"BTCUSDT"', b'"s":"ETHUSDT"'),
        (b'"91000.30"', b'"91000.10"'),
        (b'"47.081"', b'"0"'),
        (b'["91000.10","47.081"]', b'["91000.10"]'),
        (b'"u":230704', b'"u":-1'),
        (b'"91000.10"', b'"91000.1e1"'),
    ],
)
def test_rest_books_that_are_none(
    perp: BybitMarketData, sample: Sample, perp_btc: Instrument, old: bytes, new: bytes
) -> None:
    body = sample("http_book_perp")
    assert old in body
    with pytest.raises(ProtocolViolation, match="book of BTCUSDT"):
        perp.decode_snapshot(perp_btc, body.replace(old, new))


def test_time(perp: BybitMarketData, sample: Sample) -> None:
    assert perp.time_request().target == "/v5/market/time"
    assert perp.decode_time_ns(sample("http_time")) == 1795442400123456789
    for bad in (b"", b"{}", b'{"retCode":10016,"retMsg":"x","result":{}}', b'{"retCode":0,"result":{}}'):
        with pytest.raises(ProtocolViolation, match="server time"):
            perp.decode_time_ns(bad)
    far = sample("http_time").replace(b"1795442400123456789", b"9" * 19)
    with pytest.raises(ProtocolViolation, match="server time"):
        perp.decode_time_ns(far)


# -------------------------------------------------------------------------------------------- depth


def frame(kind: str, u: int, bids: str = "[]", asks: str = "[]", *, is_spot: bool = False) -> bytes:
    data = f'"data":{{"s":"BTCUSDT","b":{bids},"a":{asks},"u":{u},"seq":{u * 7}}}'
    head = [f'"type":"{kind}"', f'"ts":{1000 + u}']
    if is_spot:  # the order of keys differs by product
        head.reverse()
    return f'{{"topic":"orderbook.50.BTCUSDT",{",".join(head)},{data},"cts":{900 + u}}}'.encode()


@pytest.mark.parametrize("is_spot", [False, True], ids=["linear", "spot"])
@pytest.mark.parametrize("is_pure", [False, True], ids=["kernel", "twin"])
def test_documented_sequence(
    perp: BybitMarketData, perp_btc: Instrument, is_spot: bool, is_pure: bool
) -> None:
    arguments = ("BTC/USDT:USDT", perp_btc.price_scale, perp_btc.qty_scale, 1)
    book: Any = PureBook(*arguments) if is_pure else new_book(*arguments)
    depth: Any = PureDepthFeed(perp.schema) if is_pure else new_feed(perp.schema)
    depth.add("orderbook.50.BTCUSDT", book)
    book.begin_sync()
    steps: list[tuple[tuple[Any, ...], Feed]] = [
        (("delta", 9, '[["100","9"]]'), Feed.BUFFER),  # before its snapshot
        (("snapshot", 10, '[["100.0","1"],["99","5"]]', '[["101","2"]]'), Feed.APPLIED),
        (("delta", 11, '[["100","3.5"]]'), Feed.APPLIED),
        (("delta", 11, '[["100","8"]]'), Feed.OLD),  # repeated
        (("delta", 12, '[["99","0"]]', '[["101","0"],["102","4.5"]]'), Feed.APPLIED),
        (("delta", 14, '[["100","8"]]'), Feed.GAP),
        (("delta", 15, '[["100","8"]]'), Feed.BUFFER),
        (("snapshot", 4, '[["98","1"]]', '[["99","1"]]'), Feed.APPLIED),  # unasked, and back in number
        (("delta", 1, '[["97","1"]]', '[["98","2"]]'), Feed.APPLIED),  # u = 1: the service restarted
        (("delta", 2, '[["97","2"]]'), Feed.APPLIED),
    ]
    for number, (step, expected) in enumerate(steps):
        assert depth.feed_code(frame(*step, is_spot=is_spot), 1, 2) == expected, step
        if number == 4:
            assert levels_text(book, 0) == [["100", "3.5"]]
            assert levels_text(book, 1) == [["102", "4.5"]]
            assert book.venue_utc_ns == 1012 * 1_000_000
    assert (levels_text(book, 0), levels_text(book, 1)) == ([["97", "2"]], [["98", "2"]])
    assert book.is_live


def test_the_schema_is_the_one_that_the_dialect_tests_prove(perp: BybitMarketData) -> None:
    assert perp.schema == perp.raw_schema() == BYBIT.schema
    assert perp.schema.is_in_band


def test_acknowledgements_and_others_pass_the_kernel(perp: BybitMarketData, sample: Sample) -> None:
    depth, book = new_feed(perp.schema), new_book("BTC/USDT:USDT", 8, 8, 1)
    depth.add("orderbook.50.BTCUSDT", book)
    for name in ("ws_subscribed", "ws_pong", "ws_trades_perp", "ws_top_spot", "ws_ticker_snapshot"):
        assert depth.feed_code(sample(name), 1, 2) == Feed.PASS
    book.begin_sync()
    for name in ("ws_depth_snapshot", "ws_depth_delta"):
        assert depth.feed_code(sample(name), 1, 2) == Feed.APPLIED
    assert levels_text(book, 0) == [["91000", "2.409"]]


def test_the_recording_replays_to_the_book_of_plain_dictionaries(shared_fixtures: Path) -> None:
    (path,) = (shared_fixtures / "bybit" / "recordings").glob("*.jsonl")
    sides: dict[str, dict[Decimal, Decimal]] = {"b": {}, "a": {}}
    sequence = 0
    for line in path.read_text().splitlines():
        message = json.loads(line)
        if message["type"] == "snapshot":
            sides = {"b": {}, "a": {}}
        else:
            assert message["data"]["u"] == sequence + 1
        sequence = message["data"]["u"]
        for key, side in sides.items():
            side.update({Decimal(price): Decimal(qty) for price, qty in message["data"][key]})
            sides[key] = {price: qty for price, qty in side.items() if qty}
    adapter = BybitMarketData(Product.PERP, LIVE[Product.PERP])
    (row,) = replay_files(adapter, [path], None, True)
    assert (row["instrument"], row["state"], row["sequence"]) == ("XRPUSDT", "LIVE", sequence)
    assert (row["applied"], row["gaps"]) == (26, 0)
    for word, key, reverse in (("bids", "b", True), ("asks", "a", False)):
        expected = sorted(sides[key].items(), reverse=reverse)
        assert [(Decimal(price), Decimal(qty)) for price, qty in row[word]] == expected
    assert len(row["bids"]) == len(row["asks"]) == 500


def test_recorded_frames(shared_fixtures: Path, known: Known) -> None:
    """Single frames of other people's recorders, 2023 to 2026: decoded, or told apart."""
    folder = shared_fixtures / "bybit"
    spot = BybitMarketData(Product.SPOT, LIVE[Product.SPOT])
    spot.market_plans([known[Product.SPOT]["BTCUSDT"]], ALL)
    depth, book = new_feed(spot.schema), new_book("BTC/USDT", 8, 8, 1)
    depth.add("orderbook.50.BTCUSDT", book)
    book.begin_sync()
    roq = folder / "frames_roq"
    snapshot = (roq / "order_book.simple_50_snapshot.json").read_bytes()
    assert depth.feed_code(snapshot, 1, 2) == Feed.APPLIED
    assert (book.levels(0), book.levels(1), book.is_live) == (50, 50, True)
    reply: Any
    (reply,) = control(spot, (roq / "subscribe.failure_with_unicode.json").read_bytes())
    assert (reply.request_id, reply.error) == ("2000001", "args size >10")
    assert control(spot, (roq / "subscribe.spot.json").read_bytes()) == [ControlReply("4000001", None)]
    assert control(spot, (roq / "ping.simple.json").read_bytes()) == []
    perp = BybitMarketData(Product.PERP, LIVE[Product.PERP])
    perp.market_plans([known[Product.PERP]["BTCUSDT"]], ALL)
    (update,) = control(perp, (folder / "frames_nautilus" / "ws_ticker_linear.json").read_bytes())
    assert (update.mark_price, update.index_price) == (Decimal("17217.33"), Decimal("17227.36"))
