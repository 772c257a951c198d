"""Subscriptions within the limits; frames and snapshots to values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal as D
from pathlib import Path

import msgspec
import pytest

from engine.model.errors import ConfigError, ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.market import FundingUpdate, SequenceRule, Side, TopOfBook, Trade
from engine.venues.base import ControlReply, MarketEvent, PlannedShutdown, Topic
from engine.venues.binance.adapter import BinanceMarketData
from engine.venues.binance.endpoints import LIVE, STREAM_RULES
from engine.venues.binance.instruments import decode_listing
from engine.venues.binance.market_data import (
    MarketDecoder,
    decode_snapshot,
    decode_time_ns,
    depth_schema,
    market_plans,
)

Golden = Callable[[str], bytes]
ALL = frozenset(Topic)
MONO, UTC = 11, 22


@pytest.fixture
def spot_btc(spot_known: dict[str, Instrument]) -> Instrument:
    return spot_known["BTCUSDT"]


@pytest.fixture
def perp_btc(perp_known: dict[str, Instrument]) -> Instrument:
    return perp_known["BTCUSDT"]


def decoded(instrument: Instrument, payload: bytes) -> Sequence[MarketEvent]:
    decoder = MarketDecoder()
    decoder.know([instrument])
    return decoder.decode(payload, MONO, UTC)


# -------------------------------------------------------------------------------------------- frames


def test_spot_trade(golden: Golden, spot_btc: Instrument) -> None:
    assert decoded(spot_btc, golden("ws_trade_spot")) == (
        Trade("BTC/USDT", 388510, 7_674_519_000_000, 65_000, Side.BUY, 1789295134225_000_000, UTC, MONO),
    )


def test_perp_trade_of_a_maker_buyer_was_sold_into(golden: Golden, perp_btc: Instrument) -> None:
    assert decoded(perp_btc, golden("ws_trade_perp")) == (
        Trade(
            "BTC/USDT:USDT",
            8121136411,
            8_368_000_000_000,
            100_000,
            Side.SELL,
            1790370834848_000_000,
            UTC,
            MONO,
        ),
    )


def test_perp_trade_without_price_is_no_print(golden: Golden, perp_btc: Instrument) -> None:
    assert decoded(perp_btc, golden("ws_trade_perp_na")) == ()


def test_aggregate_trade(golden: Golden, perp_btc: Instrument) -> None:
    assert decoded(perp_btc, golden("ws_agg_trade_perp")) == (
        Trade(
            "BTC/USDT:USDT",
            3466782974,
            8_455_110_000_000,
            3_000_000,
            Side.BUY,
            1790526538883_000_000,
            UTC,
            MONO,
        ),
    )


def test_spot_top_of_book_has_no_time(golden: Golden, spot_btc: Instrument) -> None:
    assert decoded(spot_btc, golden("ws_book_ticker_spot")) == (
        TopOfBook(
            "BTC/USDT",
            7_674_518_000_000,
            874_206_000,
            7_674_519_000_000,
            1_206_313_000,
            1801512,
            None,
            UTC,
            MONO,
        ),
    )


def test_perp_top_of_book(golden: Golden, perp_btc: Instrument) -> None:
    assert decoded(perp_btc, golden("ws_book_ticker_perp")) == (
        TopOfBook(
            "BTC/USDT:USDT", 8_455_100_000_000, 264_600_000, 8_455_110_000_000, 530_200_000, 11671659685961,
            1790526538939_000_000, UTC, MONO,
        ),
    )  # fmt: skip


def test_mark_price_and_funding(golden: Golden, perp_btc: Instrument) -> None:
    assert decoded(perp_btc, golden("ws_mark_price")) == (
        FundingUpdate(
            "BTC/USDT:USDT", D("64346.70000000"), D("64399.61608696"), D("0.00005301"),
            1785052800000_000_000, 1785048483000_000_000, UTC,
        ),
    )  # fmt: skip


@pytest.mark.fault("P29")
def test_absent_funding_is_none_and_not_zero(golden: Golden, perp_btc: Instrument) -> None:
    (update,) = decoded(perp_btc, golden("ws_mark_price_delivery"))
    assert isinstance(update, FundingUpdate)
    assert (update.funding_rate, update.next_funding_utc_ns) == (None, None)


@pytest.mark.parametrize("name", ["ws_depth_spot", "ws_partial_depth_perp"])
def test_depth_frames_are_the_kernels_business(golden: Golden, spot_btc: Instrument, name: str) -> None:
    assert decoded(spot_btc, golden(name)) == ()


@pytest.mark.parametrize("name", ["ws_shutdown_raw", "ws_shutdown_combined"])
def test_shutdown_notices(golden: Golden, spot_btc: Instrument, name: str) -> None:
    assert decoded(spot_btc, golden(name)) == (PlannedShutdown(1770123456789_000_000),)


@pytest.mark.parametrize(
    ("name", "reply"),
    [
        ("ws_control_ack", ControlReply("1", None)),
        (
            "ws_control_error_bare",
            ControlReply(None, "2: Invalid request: request ID must be an unsigned integer"),
        ),
        (
            "ws_control_error_wrapped",
            ControlReply("7", "3: Invalid JSON: expected value at line 1 column 2"),
        ),
    ],
)
def test_control_answers_in_both_error_shapes(
    golden: Golden, spot_btc: Instrument, name: str, reply: ControlReply
) -> None:
    assert decoded(spot_btc, golden(name)) == (reply,)


def test_any_layout_of_the_same_json_decodes_alike(golden: Golden, perp_btc: Instrument) -> None:
    payload = golden("ws_trade_perp")
    message = msgspec.json.decode(payload)
    swapped = msgspec.json.encode({"data": message["data"], "stream": message["stream"]})
    spaced = msgspec.json.format(payload, indent=2)
    escaped = payload.replace(b'"btcusdt@trade"', b'"btcusdt\\u0040trade"')
    backwards = msgspec.json.encode(
        {"stream": message["stream"], "data": dict(reversed(message["data"].items()))}
    )
    for other in (swapped, spaced, escaped, backwards):
        assert decoded(perp_btc, other) == decoded(perp_btc, payload)


@pytest.mark.fault("W16", "P32")
def test_frames_of_other_instruments_and_events_are_ignored(golden: Golden, perp_btc: Instrument) -> None:
    trade = golden("ws_trade_perp")
    for payload in (
        trade.replace(b"btcusdt@", b"ethusdt@"),
        b'{"stream":"btcusdt@kline_1m","data":{"e":"kline"}}',
        b'{"stream":"!contractInfo","data":{"e":"contractInfo"}}',
        b'{"e":"trade","s":"BTCUSDT"}',
        b"{}",
    ):
        assert decoded(perp_btc, payload) == ()


def test_non_ascii_stream_names(spot_known: dict[str, Instrument], golden: Golden) -> None:
    chinese = spot_known["测试USDT"]
    payload = golden("ws_trade_spot").decode().replace("btcusdt@", "测试usdt@").replace("BTCUSDT", "测试USDT")
    (trade,) = decoded(chinese, payload.encode())
    assert trade.universal == "测试/USDT"  # type: ignore[union-attr]
    (plan,) = market_plans(Product.SPOT, LIVE[Product.SPOT], [chinese], frozenset({Topic.DEPTH}), "100ms")
    assert plan.depth_routes == (("测试usdt@depth@100ms", "测试/USDT"),)
    assert "测试usdt@depth@100ms".encode() in plan.subscribe[0]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"p":"83680.00"', '"p":"-1"'),
        ('"p":"83680.00"', '"p":"0"'),
        ('"p":"83680.00"', '"p":83680.00'),
        ('"p":"83680.00"', '"p":"1e4"'),
        ('"p":"83680.00"', '"p":"92233720368547758.08"'),
        ('"q":"0.001"', '"q":"0.0000000001"'),
        ('"q":"0.001"', '"q":"NaN"'),
        ('"T":1790370834848', '"T":-1'),
        ('"T":1790370834848', '"T":9223372036854775807'),
        ('"t":8121136411', '"t":9223372036854775808'),
        ('"t":8121136411', '"t":"8121136411"'),
        ('"m":true', '"m":"yes"'),
        ('"m":true,', ""),
    ],
)
def test_what_does_not_fit_is_a_violation_that_keeps_its_bytes(
    golden: Golden, perp_btc: Instrument, old: str, new: str
) -> None:
    payload = golden("ws_trade_perp").decode().replace(old, new).encode()
    assert payload != golden("ws_trade_perp")
    with pytest.raises(ProtocolViolation) as caught:
        decoded(perp_btc, payload)
    assert caught.value.raw == payload


def test_every_recorded_frame_of_2026_decodes(
    shared_fixtures: Path, spot_btc: Instrument, perp_btc: Instrument
) -> None:
    lines = (shared_fixtures / "binance" / "ws_frames_2026.jsonl").read_bytes().splitlines()
    kinds = [
        [type(event).__name__ for event in decoded(perp_btc if number < 11 else spot_btc, line)]
        for number, line in enumerate(lines)
    ]
    assert kinds == [
        ["TopOfBook"], ["Trade"], ["Trade"], [], ["FundingUpdate"],
        [], [], [], [], [], [],
        ["Trade"], ["TopOfBook"], [],
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------ snapshots


def test_spot_snapshot(golden: Golden, spot_btc: Instrument) -> None:
    snapshot = decode_snapshot(spot_btc, golden("http_depth_spot"))
    assert (snapshot.sequence, snapshot.venue_utc_ns) == (160, None)
    assert snapshot.bids.tolist() == [[6_173_763_000_000, 50_000_000], [6_173_762_000_000, 100_000_000]]
    assert snapshot.asks.tolist() == [[6_173_764_000_000, 154_698_000]]
    assert (snapshot.bids.dtype.name, snapshot.bids.flags.c_contiguous) == ("int64", True)


def test_perp_snapshot_has_a_time(golden: Golden, perp_btc: Instrument) -> None:
    snapshot = decode_snapshot(perp_btc, golden("http_depth_perp"))
    assert (snapshot.sequence, snapshot.venue_utc_ns) == (11563384769463, 1789478303560_000_000)


def test_empty_sides_keep_their_shape(spot_btc: Instrument) -> None:
    snapshot = decode_snapshot(spot_btc, b'{"lastUpdateId":1,"bids":[],"asks":[]}')
    assert snapshot.bids.shape == snapshot.asks.shape == (0, 2)


@pytest.mark.fault("H07")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>busy</html>",
        b'{"code":-1003,"msg":"Too much"}',
        b'{"lastUpdateId":0,"bids":[],"asks":[]}',
        b'{"lastUpdateId":-5,"bids":[],"asks":[]}',
        b'{"lastUpdateId":1,"bids":[["1","1"],["2","1"]],"asks":[]}',
        b'{"lastUpdateId":1,"bids":[["1","1"],["1","1"]],"asks":[]}',
        b'{"lastUpdateId":1,"bids":[],"asks":[["2","1"],["1","1"]]}',
        b'{"lastUpdateId":1,"bids":[["1","0"]],"asks":[]}',
        b'{"lastUpdateId":1,"bids":[["0","1"]],"asks":[]}',
        b'{"lastUpdateId":1,"bids":[["1"]],"asks":[]}',
        b'{"lastUpdateId":1,"bids":[["1","1","x"]],"asks":[]}',
        b'{"lastUpdateId":1,"bids":[["1",1]],"asks":[]}',
        b'{"lastUpdateId":1,"bids":[["1e2","1"]],"asks":[]}',
        b'{"lastUpdateId":1,"bids":[["0.000000001","1"]],"asks":[]}',
    ],
)
def test_a_snapshot_that_cannot_be_true_is_refused(spot_btc: Instrument, body: bytes) -> None:
    with pytest.raises(ProtocolViolation, match="BTCUSDT"):
        decode_snapshot(spot_btc, body)


def test_recorded_snapshots_decode_whole(shared_fixtures: Path, spot_btc: Instrument) -> None:
    text = (shared_fixtures / "binance" / "spot_btcusdt_20240808.head.rec").read_bytes()
    body = next(line.split(b" ", 1)[1] for line in text.splitlines() if b"lastUpdateId" in line)
    snapshot = decode_snapshot(spot_btc, body)
    assert (snapshot.sequence, len(snapshot.bids), len(snapshot.asks)) == (50093239218, 1000, 1000)
    raw = msgspec.json.decode(body)
    assert [D(price) for price, _ in raw["bids"]] == [spot_btc.price(int(row[0])) for row in snapshot.bids]
    assert [D(qty) for _, qty in raw["asks"]] == [spot_btc.qty(int(row[1])) for row in snapshot.asks]


# ------------------------------------------------------------------------------------------- planning


def names_of(messages: Sequence[bytes]) -> list[str]:
    names: list[str] = []
    for number, message in enumerate(messages, 1):
        body = msgspec.json.decode(message)
        assert (body["method"], body["id"]) == ("SUBSCRIBE", number)
        names += body["params"]
    return names


def test_spot_streams_share_one_connection(spot_known: dict[str, Instrument]) -> None:
    instruments = [spot_known["BTCUSDT"], spot_known["LTCBTC"]]
    (plan,) = market_plans(Product.SPOT, LIVE[Product.SPOT], instruments, ALL, "100ms")
    assert (plan.name, plan.url) == ("binance.spot.public.0", "wss://stream.binance.com:9443/stream")
    assert names_of(plan.subscribe) == [
        "btcusdt@depth@100ms", "btcusdt@bookTicker", "btcusdt@trade",
        "ltcbtc@depth@100ms", "ltcbtc@bookTicker", "ltcbtc@trade",
    ]  # fmt: skip
    assert plan.depth_routes == (("btcusdt@depth@100ms", "BTC/USDT"), ("ltcbtc@depth@100ms", "LTC/BTC"))
    assert plan.universals == ("BTC/USDT", "LTC/BTC")
    assert plan.rules == STREAM_RULES[Product.SPOT]


def test_perp_streams_go_where_they_are_served(perp_known: dict[str, Instrument]) -> None:
    public, market = market_plans(Product.PERP, LIVE[Product.PERP], [perp_known["BTCUSDT"]], ALL, "100ms")
    assert (public.url, market.url) == (
        "wss://fstream.binance.com/public/stream",
        "wss://fstream.binance.com/market/stream",
    )
    assert names_of(public.subscribe) == ["btcusdt@depth@100ms", "btcusdt@bookTicker", "btcusdt@trade"]
    assert names_of(market.subscribe) == ["btcusdt@markPrice@1s"]
    assert market.depth_routes == ()


def test_documented_prints_can_be_chosen_on_perp(perp_known: dict[str, Instrument]) -> None:
    public, market = market_plans(
        Product.PERP, LIVE[Product.PERP], [perp_known["BTCUSDT"]], ALL, "100ms", "aggTrade"
    )
    assert names_of(public.subscribe) == ["btcusdt@depth@100ms", "btcusdt@bookTicker"]
    assert names_of(market.subscribe) == ["btcusdt@aggTrade", "btcusdt@markPrice@1s"]


@pytest.mark.parametrize(
    ("topics", "product", "names"),
    [
        ({Topic.TRADES}, Product.SPOT, [["btcusdt@trade"]]),
        ({Topic.FUNDING}, Product.SPOT, []),
        ({Topic.FUNDING}, Product.PERP, [["btcusdt@markPrice@1s"]]),
        ({Topic.TOP_OF_BOOK}, Product.PERP, [["btcusdt@bookTicker"]]),
    ],
)
def test_only_what_was_asked_for_is_subscribed(
    spot_known: dict[str, Instrument],
    perp_known: dict[str, Instrument],
    topics: set[Topic],
    product: Product,
    names: list[list[str]],
) -> None:
    known = spot_known if product is Product.SPOT else perp_known
    plans = market_plans(product, LIVE[product], [known["BTCUSDT"]], frozenset(topics), "100ms")
    assert [names_of(plan.subscribe) for plan in plans] == names
    assert all(plan.depth_routes == () for plan in plans)


@pytest.mark.parametrize(
    ("product", "speed", "stream"),
    [
        (Product.SPOT, "", "btcusdt@depth@100ms"),
        (Product.SPOT, "1000ms", "btcusdt@depth"),
        (Product.PERP, "250ms", "btcusdt@depth"),
        (Product.PERP, "500ms", "btcusdt@depth@500ms"),
        (Product.PERP, "0ms", "btcusdt@depth@0ms"),
    ],
)
def test_cadence_words(
    spot_known: dict[str, Instrument],
    perp_known: dict[str, Instrument],
    product: Product,
    speed: str,
    stream: str,
) -> None:
    known = spot_known if product is Product.SPOT else perp_known
    adapter = BinanceMarketData(product, LIVE[product], speed)
    (plan,) = adapter.market_plans([known["BTCUSDT"]], frozenset({Topic.DEPTH}))
    assert plan.depth_routes[0][0] == stream


def test_an_unknown_cadence_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="100ms, 1000ms"):
        BinanceMarketData(Product.SPOT, LIVE[Product.SPOT], "250ms")


def test_many_instruments_are_split_by_the_stream_limit(shared_fixtures: Path) -> None:
    import gzip

    with gzip.open(shared_fixtures / "binance" / "cryptofeed_spot_2021.exchangeinfo.txt.gz", "rb") as file:
        listing = decode_listing(Product.SPOT, file.readline().split(b": ", 1)[1])
    plans = market_plans(Product.SPOT, LIVE[Product.SPOT], listing.instruments, ALL, "100ms")
    names = [names_of(plan.subscribe) for plan in plans]
    assert [len(group) for group in names] == [1023, 1023, 1023, 1023, 993]
    assert [len(plan.subscribe) for plan in plans] == [11, 11, 11, 11, 10]
    assert len({plan.name for plan in plans}) == len(plans)
    assert len({name for group in names for name in group}) == 3 * 1695
    for plan, group in zip(plans, names, strict=True):
        assert len(group) <= plan.rules.streams_max
        assert len(group) == 3 * len(plan.universals)
    served = [universal for plan in plans for universal in plan.universals]
    assert served == [each.universal for each in listing.instruments]
    assert max(len(message) for plan in plans for message in plan.subscribe) < 4_096


def test_an_instrument_is_never_torn_apart(perp_known: dict[str, Instrument]) -> None:
    instruments = list(perp_known.values())
    plans = market_plans(Product.PERP, LIVE[Product.PERP], instruments, ALL, "100ms", streams_max=7)
    publics = [plan for plan in plans if ".public." in plan.name]
    assert [len(names_of(plan.subscribe)) for plan in publics] == [6, 6, 6]
    for plan in publics:
        assert len({name.partition("@")[0] for name in names_of(plan.subscribe)}) == len(plan.universals)


def test_schemas_differ_by_their_continuity_rule() -> None:
    spot, perp = depth_schema(Product.SPOT), depth_schema(Product.PERP)
    assert (spot.rule, spot.previous_key, spot.transaction_time_key) == (SequenceRule.RANGE, None, None)
    assert (perp.rule, perp.previous_key, perp.transaction_time_key) == (SequenceRule.PREVIOUS, "pu", "T")


# ------------------------------------------------------------------------------------------- requests


def test_public_requests(spot_known: dict[str, Instrument], perp_known: dict[str, Instrument]) -> None:
    spot = BinanceMarketData(Product.SPOT, LIVE[Product.SPOT])
    perp = BinanceMarketData(Product.PERP, LIVE[Product.PERP])
    asked = [
        spot.instruments_request(), perp.instruments_request(), spot.time_request(), perp.time_request(),
        spot.snapshot_request(spot_known["BTCUSDT"]), perp.snapshot_request(perp_known["BTCUSDT"]),
        spot.snapshot_request(spot_known["测试USDT"]),
    ]  # fmt: skip
    assert [(each.method, each.target, each.weight, each.headers) for each in asked] == [
        ("GET", "/api/v3/exchangeInfo", 20, b""),
        ("GET", "/fapi/v1/exchangeInfo", 1, b""),
        ("GET", "/api/v3/time", 1, b""),
        ("GET", "/fapi/v1/time", 1, b""),
        ("GET", "/api/v3/depth?symbol=BTCUSDT&limit=1000", 50, b""),
        ("GET", "/fapi/v1/depth?symbol=BTCUSDT&limit=1000", 20, b""),
        ("GET", "/api/v3/depth?symbol=%E6%B5%8B%E8%AF%95USDT&limit=1000", 50, b""),
    ]


def test_the_venues_clock() -> None:
    assert decode_time_ns(b'{"serverTime":1789478299014}') == 1789478299014_000_000
    for body in (
        b"",
        b"{}",
        b'{"serverTime":"1"}',
        b'{"serverTime":-1}',
        b'{"serverTime":99999999999999999}',
    ):
        with pytest.raises(ProtocolViolation):
            decode_time_ns(body)
