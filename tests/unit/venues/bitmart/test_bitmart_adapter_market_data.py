"""Subscriptions, acknowledgements, prints, tops, funding and REST books."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from engine.model.errors import ConfigError, ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.market import FundingUpdate, Side, TopOfBook, Trade
from engine.venues.base import AskingForSnapshots, ControlReply, MarketDataAdapter, Topic
from engine.venues.bitmart.adapter import BitmartMarketData
from engine.venues.bitmart.endpoints import LIMITS, LIVE, MESSAGE_BYTES_MAX, TOPICS_PER_MESSAGE
from engine.venues.bitmart.market_data import NO_SEQUENCE, chunks, depth_schema, depth_symbol
from tests.property.depth_dialects import BITMART_FUTURES, BITMART_SPOT
from tests.unit.venues.adapter_rig import Sample

ALL = frozenset(Topic)


@pytest.fixture
def spot(btc: Instrument) -> BitmartMarketData:
    made = BitmartMarketData(Product.SPOT, LIVE[Product.SPOT])
    made.market_plans([btc], ALL)
    return made


@pytest.fixture
def perp(swap: Instrument) -> BitmartMarketData:
    made = BitmartMarketData(Product.PERP, LIVE[Product.PERP])
    made.market_plans([swap], ALL)
    return made


def numbered(instrument: Instrument, count: int) -> list[Instrument]:
    return [
        msgspec.structs.replace(
            instrument, symbol=f"C{number}{instrument.symbol}", universal=f"C{number}/{instrument.universal}"
        )
        for number in range(count)
    ]


# ---------------------------------------------------------------------------------------- planning


def test_topics_of_each_product(btc: Instrument, swap: Instrument) -> None:
    (plan,) = BitmartMarketData(Product.SPOT, LIVE[Product.SPOT]).market_plans([btc], ALL)
    assert [json.loads(text) for text in plan.subscribe] == [
        {
            "op": "subscribe",
            "args": [
                "spot/depth/increase100:BTC_USDT",
                "spot/ticker:BTC_USDT",
                "spot/trade:BTC_USDT",
            ],
        }
    ]
    assert plan.depth_routes == (("spot/depth/increase100\nBTC_USDT", "BTC/USDT"),)
    assert plan.rules.inflated_bytes_max
    assert plan.rules.heartbeat.ping_text == b"ping"
    (plan,) = BitmartMarketData(Product.PERP, LIVE[Product.PERP], "200ms").market_plans([swap], ALL)
    assert [json.loads(text) for text in plan.subscribe] == [
        {
            "action": "subscribe",
            "args": [
                "futures/depthIncrease50:BTCUSDT@200ms",
                "futures/bookticker:BTCUSDT",
                "futures/trade:BTCUSDT",
                "futures/ticker:BTCUSDT",
                "futures/fundingRate:BTCUSDT",
            ],
        }
    ]
    assert plan.depth_routes == (("futures/depthIncrease50:BTCUSDT@200ms", "BTC/USDT:USDT"),)
    assert not plan.rules.inflated_bytes_max
    assert json.loads(plan.rules.heartbeat.ping_text) == {"action": "ping"}


@pytest.mark.parametrize("count", [1, 20, 33, 34, 100])
def test_connections_and_messages_stay_within_the_limits(
    product: Product, count: int, btc: Instrument, swap: Instrument
) -> None:
    every = numbered(btc if product is Product.SPOT else swap, count)
    plans = BitmartMarketData(product, LIVE[product]).market_plans(every, ALL)
    topics: list[str] = []
    for plan in plans:
        mine = [topic for text in plan.subscribe for topic in json.loads(text)["args"]]
        assert len(mine) <= plan.rules.streams_max <= 100
        for text in plan.subscribe:
            assert len(text) < 2_000
            assert len(json.loads(text)["args"]) <= 20
        topics += mine
    assert len(topics) == len(set(topics)) == count * (3 if product is Product.SPOT else 5)
    assert [universal for plan in plans for universal in plan.universals] == [
        each.universal for each in every
    ]


def test_long_names_make_shorter_messages() -> None:
    topics = [f"{'x' * 300}{number}" for number in range(50)]
    groups = list(chunks(topics))
    assert [topic for group in groups for topic in group] == topics
    for group in groups:
        assert len(msgspec.json.encode({"action": "unsubscribe", "args": group})) <= MESSAGE_BYTES_MAX
    assert max(len(group) for group in chunks([str(number) for number in range(99)])) == TOPICS_PER_MESSAGE


def test_nothing_wanted_opens_nothing(product: Product, swap: Instrument) -> None:
    made = BitmartMarketData(product, LIVE[product])
    assert made.market_plans([], ALL) == []
    assert made.market_plans([swap], frozenset()) == []


def test_unknown_cadence() -> None:
    with pytest.raises(ConfigError, match='depth_speed = "50ms": perp has 100ms, 200ms'):
        BitmartMarketData(Product.PERP, LIVE[Product.PERP], "50ms")
    with pytest.raises(ConfigError, match="spot has 100ms"):
        BitmartMarketData(Product.SPOT, LIVE[Product.SPOT], "200ms")


def test_protocols(market: BitmartMarketData) -> None:
    face: MarketDataAdapter = market
    assert isinstance(face, AskingForSnapshots)
    assert {rule.name.rpartition(".")[2] for rule in market.rest_budgets} == set(LIMITS[market.product])
    assert market.decode_budgets(b"") == market.rest_budgets
    for request in (market.instruments_request(), market.time_request()):
        assert request.label in {rule.name for rule in market.rest_budgets}


def test_the_schemas_are_those_that_the_kernel_is_proven_with() -> None:
    assert depth_schema(Product.SPOT) == msgspec.structs.replace(BITMART_SPOT.schema, window=100)
    assert depth_schema(Product.PERP) == BITMART_FUTURES.schema


def test_depth_streams_by_name() -> None:
    assert depth_symbol(Product.SPOT, "spot/depth/increase100\nBTC_USDT") == "BTC_USDT"
    assert depth_symbol(Product.SPOT, "spot/depth/increase100:BTC_USDT") == "BTC_USDT"
    assert depth_symbol(Product.SPOT, "spot/trade\nBTC_USDT") is None
    for stream in ("futures/depthIncrease50:BTCUSDT@100ms", "futures/depthIncrease20:BTCUSDT@200ms",
                   "futures/depthIncrease5:BTCUSDT"):  # fmt: skip
        assert depth_symbol(Product.PERP, stream) == "BTCUSDT"
    for stream in ("futures/depth50:BTCUSDT", "futures/depthIncrease30:BTCUSDT", "futures/ticker:BTCUSDT"):
        assert depth_symbol(Product.PERP, stream) is None


# -------------------------------------------------------------------------------- acknowledgements


def acknowledgement(product: Product, operation: str, topic: str) -> bytes:
    if product is Product.SPOT:
        return msgspec.json.encode({"event": operation, "topic": topic})
    asked = {"action": operation, "args": [topic]}
    return msgspec.json.encode({"action": operation, "group": topic, "success": True, "request": asked})


def test_a_request_is_accepted_with_its_last_topic(
    product: Product, btc: Instrument, swap: Instrument
) -> None:
    made = BitmartMarketData(product, LIVE[product])
    every = numbered(btc if product is Product.SPOT else swap, 12)
    (plan,) = made.market_plans(every, ALL)
    assert len(plan.subscribe) > 1
    for _ in range(3):  # and once more on each fresh connection
        for text in plan.subscribe:
            replies: list[Any] = []
            topics = json.loads(text)["args"]
            for topic in topics:
                replies += made.decode_market(acknowledgement(product, "subscribe", topic), 1, 2)
            assert len(replies) == 1
            assert replies[0].error is None
        first = json.loads(plan.subscribe[0])["args"][0]  # a connection that broke in the middle of it
        assert made.decode_market(acknowledgement(product, "subscribe", first), 1, 2) == ()


def test_a_refused_topic_is_told_with_its_request(perp: BitmartMarketData, sample: Sample) -> None:
    topic = "futures/trade:BTCUSDT"
    refused = json.loads(sample("ws_refused_perp")) | {"group": topic}
    (reply,) = perp.decode_market(json.dumps(refused).encode(), 1, 2)
    assert isinstance(reply, ControlReply)
    assert (reply.request_id, (reply.error or "")[:38]) == ("s0x0", f"{topic}: Invalid channel")
    (reply,) = perp.decode_market(sample("ws_refused_perp"), 1, 2)
    assert isinstance(reply, ControlReply)
    assert reply.request_id is None
    assert "NOPEUSDT" in (reply.error or "")


def test_spot_refusals_name_no_topic(spot: BitmartMarketData, btc: Instrument, sample: Sample) -> None:
    assert spot.decode_market(sample("ws_error_spot"), 1, 2) == (
        ControlReply(None, "90004: Invalid channel param"),
    )
    spot.depth_request(btc, False, "r1")  # the only request under way: it is the one that was refused
    assert spot.decode_market(sample("ws_error_spot"), 1, 2) == (
        ControlReply("r1", "90004: Invalid channel param"),
    )
    numbers = b'{"event":"subscribe","errorCode":90008,"message":"duplicate subscription"}'
    assert spot.decode_market(numbers, 1, 2) == (ControlReply(None, "90008: duplicate subscription"),)


def test_a_single_book_is_subscribed_anew(product: Product, btc: Instrument, swap: Instrument) -> None:
    made = BitmartMarketData(product, LIVE[product])
    one = btc if product is Product.SPOT else swap
    made.market_plans([one], ALL)
    for operation, is_wanted in (("unsubscribe", False), ("subscribe", True)):
        message = json.loads(made.depth_request(one, is_wanted, "r7"))
        (topic,) = message["args"]
        assert operation in message.values()
        answer = acknowledgement(product, operation, topic)
        assert made.decode_market(answer, 1, 2) == (ControlReply("r7", None),)
        assert made.decode_market(acknowledgement(product, "unsubscribe", topic), 1, 2) == ()
    asked = json.loads(made.snapshot_message(one))
    assert "request" in asked.values()
    assert asked["args"] == [topic]


def test_pongs_and_strangers_are_nobodys(
    spot: BitmartMarketData, perp: BitmartMarketData, sample: Sample
) -> None:
    for made in (spot, perp):
        for payload in (
            b"pong",
            sample("ws_pong_perp"),
            b"{}",
            b'{"table":"spot/kline1m","data":[{}]}',
            b'{"success":false,"error":"Invalid message: message must be JSON: ping"}',
        ):
            events = made.decode_market(payload, 1, 2)
            assert all(isinstance(event, ControlReply) and event.error for event in events)
        unknown = sample("ws_trade_spot").replace(b"BTC_USDT", b"XYZ_USDT")
        assert list(made.decode_market(unknown, 1, 2)) == []
        for name in ("ws_trade_perp", "ws_top_perp", "ws_ticker_perp", "ws_funding_perp"):
            assert list(made.decode_market(sample(name).replace(b"BTCUSDT", b"XYZUSDT"), 1, 2)) == []


# ------------------------------------------------------------------------------------------ pushes


def test_spot_prints(spot: BitmartMarketData, btc: Instrument, sample: Sample) -> None:
    events = spot.decode_market(sample("ws_trade_spot"), 11, 22)
    assert events == [
        Trade("BTC/USDT", 0, btc.scale_price(Decimal("67000.12")), btc.scale_qty(Decimal("0.11085")),
              Side.BUY, 1795442321120000000, 22, 11),
        Trade("BTC/USDT", 0, btc.scale_price(Decimal("67000.1")), btc.scale_qty(Decimal("0.002")),
              Side.SELL, 1795442321130000000, 22, 11),
    ]  # fmt: skip


def test_prints_that_repeat_after_a_subscription_are_dropped(spot: BitmartMarketData, sample: Sample) -> None:
    raw = sample("ws_trade_spot")
    assert len(spot.decode_market(raw, 1, 2)) == 2
    assert len(spot.decode_market(raw, 1, 2)) == 2  # two equal prints within one subscription are two
    spot.decode_market(sample("ws_ack_spot"), 1, 2)
    assert list(spot.decode_market(raw, 1, 2)) == []
    later = raw.replace(b"1795442321130", b"1795442321131")
    assert len(spot.decode_market(later, 1, 2)) == 1


def test_futures_prints_come_newest_first_and_count_contracts(
    perp: BitmartMarketData, swap: Instrument, sample: Sample
) -> None:
    events = perp.decode_market(sample("ws_trade_perp"), 11, 22)
    assert events == [
        Trade("BTC/USDT:USDT", 3000000389425121, swap.scale_price(Decimal("78727.3")),
              swap.scale_qty(Decimal("0.310")), Side.SELL, 1795442321656686827, 22, 11),
        Trade("BTC/USDT:USDT", 3000000389425122, swap.scale_price(Decimal("78727.4")),
              swap.scale_qty(Decimal("0.003")), Side.BUY, 1795442321900000000, 22, 11),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'"m":true', b'"x":1'), (b'"310"', b'"0"'), (b'"78727.3"', b'"1e3"'), (b"41.656686827Z", b"61Z")],
)
def test_prints_that_are_none(perp: BitmartMarketData, sample: Sample, old: bytes, new: bytes) -> None:
    raw = sample("ws_trade_perp").replace(old, new)
    with pytest.raises(ProtocolViolation, match="market data") as caught:
        perp.decode_market(raw, 1, 2)
    assert caught.value.raw == raw


def test_tops(
    spot: BitmartMarketData, perp: BitmartMarketData, btc: Instrument, swap: Instrument, sample: Sample
) -> None:
    assert spot.decode_market(sample("ws_ticker_spot"), 11, 22) == [
        TopOfBook("BTC/USDT", btc.scale_price(Decimal("66999.5")), btc.scale_qty(Decimal("0.11")),
                  btc.scale_price(Decimal("67000.5")), btc.scale_qty(Decimal("1.021")), 0,
                  1795442321967000000, 22, 11)
    ]  # fmt: skip
    assert perp.decode_market(sample("ws_top_perp"), 11, 22) == [
        TopOfBook("BTC/USDT:USDT", swap.scale_price(Decimal("86657.9")), swap.scale_qty(Decimal("17.485")),
                  swap.scale_price(Decimal(86658)), swap.scale_qty(Decimal("10.847")), 0,
                  1795442321018000000, 22, 11)
    ]  # fmt: skip
    one_sided = sample("ws_top_perp").replace(b'"86658"', b'""').replace(b'"10847"', b'"0"')
    assert list(perp.decode_market(one_sided, 1, 2)) == []


def test_mark_index_and_the_next_funding(perp: BitmartMarketData, sample: Sample) -> None:
    assert list(perp.decode_market(sample("ws_funding_perp"), 1, 2)) == []  # no mark price yet
    mark, index, rate = Decimal("86658.94"), Decimal("86640.10731595"), Decimal("-0.0000386")
    told: dict[str, Any] = {
        "rate_utc_ns": 1795442290542000000,
        "predicted_rate": rate,  # the venue's "next" rate is the running one
        "last_settled_rate": Decimal("0.000011900082"),
    }
    assert list(perp.decode_market(sample("ws_ticker_perp"), 11, 22)) == [
        FundingUpdate("BTC/USDT:USDT", mark, index, rate, 1795449600000000000, 22, 22, **told)
    ]
    assert list(perp.decode_market(sample("ws_funding_perp"), 11, 23)) == [
        FundingUpdate(
            "BTC/USDT:USDT", mark, index, rate, 1795449600000000000, 1795442290542000000, 23, **told
        )
    ]


# ------------------------------------------------------------------------------------------- REST


def test_rest_books(spot: BitmartMarketData, perp: BitmartMarketData, btc: Instrument, swap: Instrument,
                    sample: Sample) -> None:  # fmt: skip
    book = spot.decode_snapshot(btc, sample("http_book_spot"))
    assert (book.sequence, book.venue_utc_ns) == (NO_SEQUENCE, 1795442321000000000)
    assert book.bids.tolist() == [[btc.scale_price(Decimal("66999.5")), btc.scale_qty(Decimal("0.5"))]]
    assert book.asks.tolist()[1] == [btc.scale_price(Decimal(67001)), btc.scale_qty(Decimal(1))]
    book = perp.decode_snapshot(swap, sample("http_book_perp"))
    assert book.asks.tolist()[0] == [swap.scale_price(Decimal("23935.4")), swap.scale_qty(Decimal("0.065"))]
    empty = perp.decode_snapshot(swap, sample("http_book_perp_empty"))
    assert (empty.bids.shape, empty.asks.shape) == ((0, 2), (0, 2))
    assert spot.snapshot_request(btc).target == "/spot/quotation/v3/books?symbol=BTC_USDT&limit=50"
    assert perp.snapshot_request(swap).target == "/contract/public/depth?symbol=BTCUSDT"


@pytest.mark.fault("H07")
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"BTC_USDT", b"ETH_USDT", "the book of"),
        (b'"67001.00"', b'"66000"', "not sorted"),
        (b'["67001.00","1"]', b'["67001.00"]', "no size"),
        (b'"0.5000"', b'"0"', "not positive"),
        (b'"code":1000', b'"code":70001', "code 70001"),
    ],
)
def test_books_that_are_none(
    spot: BitmartMarketData, btc: Instrument, sample: Sample, old: bytes, new: bytes, words: str
) -> None:
    with pytest.raises(ProtocolViolation, match=words):
        spot.decode_snapshot(btc, sample("http_book_spot").replace(old, new))


def test_the_clock(market: BitmartMarketData, sample: Sample) -> None:
    assert market.decode_time_ns(sample("http_time")) == 1795442321924000000
    for body in (b"<html>", b'{"code":30000,"msg":"Not found"}', b'{"code":1000,"data":null}'):
        with pytest.raises(ProtocolViolation, match="server time"):
            market.decode_time_ns(body)
    error = market.decode_error(404, b'{"trace":"x","msg":"Not found","code":30000}')
    assert (error.code, error.message) == ("30000", "Not found")
