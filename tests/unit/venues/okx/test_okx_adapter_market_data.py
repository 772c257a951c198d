"""Public data: plans within the limits, decoded frames, and the depth schema on the real kernel."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from engine.book.l2 import levels_text, new_book, new_feed
from engine.book.pure import PureBook, PureDepthFeed
from engine.model.errors import ConfigError, ProtocolViolation
from engine.model.instrument import Instrument, InstrumentStatus, InstrumentsTold, Product
from engine.model.market import Feed, FundingUpdate, Side, TopOfBook, Trade
from engine.venues.base import ControlReply, PlannedShutdown, Topic
from engine.venues.okx.adapter import OkxMarketData
from engine.venues.okx.endpoints import LIVE
from tests.unit.venues.adapter_rig import Sample

ALL = frozenset(Topic)


@pytest.fixture
def perp(known: dict[str, Instrument]) -> OkxMarketData:
    adapter = OkxMarketData(Product.PERP, LIVE[Product.PERP])
    adapter.market_plans([known["BTC-USDT-SWAP"], known["ETH-USDC-SWAP"]], ALL)
    return adapter


# --------------------------------------------------------------------------------------------- plans


def test_plan_of_one_swap(known: dict[str, Instrument]) -> None:
    adapter = OkxMarketData(Product.PERP, LIVE[Product.PERP], with_index=True)
    (plan,) = adapter.market_plans([known["BTC-USDT-SWAP"]], ALL)
    assert plan.url == "wss://ws.okx.com:8443/ws/v5/public"
    assert plan.depth_routes == (("books\nBTC-USDT-SWAP", "BTC/USDT:USDT"),)
    message, listing = plan.subscribe
    assert msgspec.json.decode(listing)["args"] == [{"channel": "instruments", "instType": "SWAP"}]
    request = msgspec.json.decode(message)
    assert request["op"] == "subscribe"
    assert request["id"].isalnum()
    assert [(row["channel"], row["instId"]) for row in request["args"]] == [
        ("books", "BTC-USDT-SWAP"),
        ("bbo-tbt", "BTC-USDT-SWAP"),
        ("trades", "BTC-USDT-SWAP"),
        ("funding-rate", "BTC-USDT-SWAP"),
        ("mark-price", "BTC-USDT-SWAP"),
        ("open-interest", "BTC-USDT-SWAP"),
        ("index-tickers", "BTC-USDT"),
    ]


@pytest.mark.parametrize("is_reversed", [False, True])
def test_a_changed_instrument_is_told(
    known: dict[str, Instrument], sample: Sample, is_reversed: bool
) -> None:
    adapter = OkxMarketData(Product.PERP, LIVE[Product.PERP])
    row = next(
        row
        for row in msgspec.json.decode(sample("http_instruments_perp"))["data"]
        if row["instId"] == "BTC-USDT-SWAP"
    )
    frame = {
        "arg": {"channel": "instruments", "instType": "SWAP"},
        "data": [row | {"state": "suspend", "tickSz": "0.5"}],
    }
    if is_reversed:
        frame = dict(reversed(frame.items()))
    (told,) = adapter.decode_market(msgspec.json.encode(frame), 1, 2)
    assert isinstance(told, InstrumentsTold)
    (each,) = told.instruments
    assert (each.symbol, each.status) == ("BTC-USDT-SWAP", InstrumentStatus.HALTED)
    assert each.price(each.tick_size) == Decimal("0.5")
    odd = msgspec.json.encode(frame | {"data": [{"instId": 1}]})
    assert list(adapter.decode_market(odd, 1, 2)) == [], "one odd entry is no reason to doubt the stream"


def test_plans_keep_the_limits(known: dict[str, Instrument]) -> None:
    many = [
        msgspec.structs.replace(known["BTC-USDT"], symbol=f"C{n}-USDT", universal=f"C{n}/USDT")
        for n in range(250)
    ]
    adapter = OkxMarketData(Product.SPOT, LIVE[Product.SPOT])
    plans = adapter.market_plans(many, ALL)
    assert sum(len(plan.universals) for plan in plans) == 250
    ids = []
    for plan in plans:
        args = 0
        for message in plan.subscribe:
            assert len(message) < 64 * 1024
            request = msgspec.json.decode(message)
            ids.append(request["id"])
            args += len(request["args"])
        assert args <= plan.rules.streams_max
        assert len(plan.depth_routes) <= 30
        assert plan.rules.heartbeat.ping_text == b"ping"
        assert plan.rules.heartbeat.ping_interval_ms < 30_000
    assert len(set(ids)) == len(ids)
    assert adapter.market_plans(many, frozenset({Topic.FUNDING})) == []  # spot has none
    assert adapter.market_plans([], ALL) == []


def test_speed() -> None:
    with pytest.raises(ConfigError, match="100ms"):
        OkxMarketData(Product.SPOT, LIVE[Product.SPOT], speed="10ms")


# ------------------------------------------------------------------------------------------- frames


def test_trade(perp: OkxMarketData, sample: Sample, swap: Instrument) -> None:
    (trade,) = perp.decode_market(sample("ws_trades_perp"), 5, 6)
    assert isinstance(trade, Trade)
    assert (trade.universal, trade.trade_id, trade.aggressor) == ("BTC/USDT:USDT", 2005639579, Side.SELL)
    assert swap.price(trade.price) == Decimal("91467.1")
    assert swap.qty(trade.qty) == Decimal("0.0003")  # 0.03 contracts of 0.01 BTC
    assert trade.venue_utc_ns == 1765201257145_000_000
    assert (trade.recv_mono_ns, trade.recv_utc_ns) == (5, 6)


def test_keys_in_another_order(perp: OkxMarketData) -> None:
    frame = (
        b'{"data":[{"side":"buy","sz":"1","px":"2","ts":"3","tradeId":"4"}],'
        b'"arg":{"instId":"BTC-USDT-SWAP","channel":"trades"}}'
    )
    (trade,) = perp.decode_market(frame, 0, 0)
    assert isinstance(trade, Trade)
    assert trade.trade_id == 4


def test_top_of_book(known: dict[str, Instrument], sample: Sample) -> None:
    adapter = OkxMarketData(Product.SPOT, LIVE[Product.SPOT])
    btc = known["BTC-USDT"]
    adapter.market_plans([btc], ALL)
    (top,) = adapter.decode_market(sample("ws_bbo_spot"), 5, 6)
    assert isinstance(top, TopOfBook)
    assert (btc.price(top.bid_price), btc.qty(top.bid_qty)) == (Decimal("83.7"), Decimal("11.93317"))
    assert (btc.price(top.ask_price), btc.qty(top.ask_qty)) == (Decimal("83.8"), Decimal("11.93175"))
    assert top.sequence == 378617009
    one_sided = sample("ws_bbo_spot").replace(b'[["83.8","11.93175","0","1"]]', b"[]")
    assert list(adapter.decode_market(one_sided, 0, 0)) == []


def test_funding_is_put_together(perp: OkxMarketData, sample: Sample) -> None:
    assert list(perp.decode_market(sample("ws_funding_rate"), 0, 7)) == []  # no mark price yet
    (first,) = perp.decode_market(sample("ws_mark_price"), 0, 8)
    assert isinstance(first, FundingUpdate)
    assert first.mark_price == Decimal("91470.2")
    assert first.funding_rate == Decimal("0.0001")
    assert first.next_funding_utc_ns == 1765209600000_000_000  # fundingTime, not nextFundingTime
    assert (first.index_price, first.open_interest) == (None, None)
    assert first.interval_ns == 8 * 3600 * 10**9  # from the next settlement to the one after it
    assert (first.last_settled_rate, first.predicted_rate) == (Decimal("0.0000697725497563"), None)
    assert first.rate_utc_ns == 1765201461438_000_000
    (second,) = perp.decode_market(sample("ws_open_interest"), 0, 9)
    assert isinstance(second, FundingUpdate)
    assert second.open_interest == Decimal("22161.1301")  # base units, not contracts
    assert second.mark_price == first.mark_price


def test_index_serves_every_swap_on_it(known: dict[str, Instrument], sample: Sample) -> None:
    adapter = OkxMarketData(Product.PERP, LIVE[Product.PERP], with_index=True)
    adapter.market_plans([known["BTC-USDT-SWAP"]], ALL)
    index = (
        b'{"arg":{"channel":"index-tickers","instId":"BTC-USDT"},'
        b'"data":[{"instId":"BTC-USDT","idxPx":"91000.5","ts":"9"}]}'
    )
    assert list(adapter.decode_market(index, 0, 0)) == []
    (update,) = adapter.decode_market(sample("ws_mark_price"), 0, 0)
    assert isinstance(update, FundingUpdate)
    assert update.index_price == Decimal("91000.5")


@pytest.mark.parametrize(
    "frame",
    [
        b"pong",
        b"{}",
        b'{"arg":{"channel":"trades","instId":"XYZ-USDT"},"data":[{"tradeId":"x"}]}',
        b'{"arg":{"channel":"novel","instId":"BTC-USDT-SWAP"},"data":[]}',
        b'{"event":"channel-conn-count","channel":"account","connCount":"1","connId":"4adc328c"}',
        b'{"event":"notice","code":"1","msg":"hello"}',
    ],
)
def test_what_is_not_ours(perp: OkxMarketData, frame: bytes) -> None:
    assert list(perp.decode_market(frame, 0, 0)) == []


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"ping?",
        b'{"arg":{"channel":"trades","instId":"BTC-USDT-SWAP"},"data":[{"tradeId":"4","px":"0","sz":"1","side":"buy","ts":"3"}]}',
        b'{"arg":{"channel":"trades","instId":"BTC-USDT-SWAP"},"data":[{"tradeId":"4","px":"1","sz":"1","side":"long","ts":"3"}]}',
        b'{"arg":{"channel":"trades","instId":"BTC-USDT-SWAP"},"data":[{"tradeId":"4","px":"1","sz":"1e9","side":"buy","ts":"3"}]}',
        b'{"arg":{"channel":"bbo-tbt","instId":"BTC-USDT-SWAP"},"data":[{"asks":[["1"]],"bids":[["1","1"]],"ts":"3"}]}',
    ],
)
def test_malformed(perp: OkxMarketData, frame: bytes) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        perp.decode_market(frame, 0, 0)
    assert caught.value.raw == frame


def test_errors_and_notices(perp: OkxMarketData, sample: Sample) -> None:
    (reply,) = perp.decode_market(sample("ws_error"), 0, 0)
    assert isinstance(reply, ControlReply)
    assert reply.request_id is None
    assert "60018" in (reply.error or "")
    assert list(perp.decode_market(sample("ws_notice"), 0, 0)) == [PlannedShutdown(None)]


def acknowledgement(request_id: str, arg: dict[str, str], connection: str) -> bytes:
    return msgspec.json.encode({"id": request_id, "event": "subscribe", "arg": arg, "connId": connection})


def test_a_request_is_accepted_with_its_last_channel(known: dict[str, Instrument]) -> None:
    adapter = OkxMarketData(Product.SPOT, LIVE[Product.SPOT])
    (plan,) = adapter.market_plans([known["BTC-USDT"], known["ETH-BTC"]], ALL)
    request = msgspec.json.decode(plan.subscribe[0])
    args = request["args"]

    def answers(connection: str, rows: list[dict[str, str]]) -> list[object]:
        return [
            event
            for row in rows
            for event in adapter.decode_market(acknowledgement(request["id"], row, connection), 0, 0)
        ]

    assert answers("c1", args[:-1]) == []
    # The connection was lost half way: what it acknowledged does not count for the next one.
    assert answers("c2", args[-1:]) == []
    assert answers("c2", args[:-1]) == [ControlReply(request["id"], None)]
    assert answers("c3", args) == [ControlReply(request["id"], None)]


def test_depth_request(perp: OkxMarketData, swap: Instrument) -> None:
    arg = {"channel": "books", "instId": "BTC-USDT-SWAP"}
    for is_wanted, operation in ((False, "unsubscribe"), (True, "subscribe")):
        message = msgspec.json.decode(perp.depth_request(swap, is_wanted, "r7"))
        assert message == {"id": "r7", "op": operation, "args": [arg]}
        reply = msgspec.json.encode({"id": "r7", "event": operation, "arg": arg, "connId": "a"})
        assert list(perp.decode_market(reply, 0, 0)) == [ControlReply("r7", None)]


# ---------------------------------------------------------------------------------------- REST, time


@pytest.mark.fault("H07")
def test_rest_book(perp: OkxMarketData, sample: Sample, swap: Instrument) -> None:
    book = perp.decode_snapshot(swap, sample("http_books_perp"))
    assert book.sequence == 3235851742
    assert [(swap.price(int(p)), swap.qty(int(q))) for p, q in book.asks] == [
        (Decimal("41006.8"), Decimal("0.6")),
        (Decimal(41007), Decimal("0.015")),
    ]
    assert perp.snapshot_request(swap).target == "/api/v5/market/books?instId=BTC-USDT-SWAP&sz=400"
    for broken in (
        b'{"code":"51001","msg":"no","data":[]}',
        sample("http_books_perp").replace(b'"41007"', b'"41006"'),
        sample("http_books_perp").replace(b'"1.5"', b'"0"'),
    ):
        with pytest.raises(ProtocolViolation, match="BTC-USDT-SWAP"):
            perp.decode_snapshot(swap, broken)


def test_time(perp: OkxMarketData, sample: Sample) -> None:
    assert perp.decode_time_ns(sample("http_time")) == 1597026383085_000_000
    with pytest.raises(ProtocolViolation):
        perp.decode_time_ns(b'{"code":"50001","msg":"","data":[]}')


def test_demo_says_so() -> None:
    adapter = OkxMarketData(Product.SPOT, LIVE[Product.SPOT], is_demo=True)
    assert adapter.instruments_request().headers == b"x-simulated-trading: 1\r\n"
    assert OkxMarketData(Product.SPOT, LIVE[Product.SPOT]).instruments_request().headers == b""


# -------------------------------------------------------------------------------- the book's procedure

BOOK = (
    '{{"arg":{{"channel":"books","instId":"BTC-USDT-SWAP"}},"action":"{action}","data":[{{"asks":{asks},'
    '"bids":{bids},"ts":"1765201257005","checksum":0,"seqId":{seq},"prevSeqId":{prev}}}]}}'
)


def frame(action: str, prev: int, seq: int, asks: str = "[]", bids: str = "[]") -> bytes:
    return BOOK.format(action=action, prev=prev, seq=seq, asks=asks, bids=bids).encode()


@pytest.fixture(params=["kernel", "twin"])
def feed(request: pytest.FixtureRequest, perp: OkxMarketData, swap: Instrument) -> tuple[object, object]:
    arguments = (swap.universal, swap.price_scale, swap.qty_scale, 1, swap.contract_size)
    if request.param == "kernel":
        book, depth = new_book(*arguments), new_feed(perp.schema)
    else:
        book, depth = PureBook(*arguments), PureDepthFeed(perp.schema)
    depth.add("books\nBTC-USDT-SWAP", book)
    return book, depth


def test_documented_sequence(feed: tuple[object, object]) -> None:
    """The documentation's own example: snapshot, update, heartbeat, reset, update; then a gap."""
    book, depth = feed[0], feed[1]
    book.begin_sync()  # type: ignore[attr-defined]
    codes = []
    for payload in (
        frame("update", 5, 10, bids='[["100","9","0","1"]]'),  # before its snapshot
        frame("snapshot", -1, 10, '[["101","2","0","1"]]', '[["100","1","0","1"],["99","5","0","2"]]'),
        frame("update", 10, 15, bids='[["100","3","0","1"],["97","0","0","0"]]'),  # and an unknown delete
        frame("update", 15, 15),
        frame("update", 15, 3, asks='[["101","0","0","0"],["102","4.5","0","1"]]'),
        frame("update", 3, 5, bids='[["99","0","0","0"]]'),
        frame("update", 4, 6),
    ):
        codes.append(Feed(depth.feed_code(payload, 1)))  # type: ignore[attr-defined]
        if len(codes) == 6:
            # 3 and 4.5 contracts of 0.01 BTC
            assert levels_text(book, 0) == [["100", "0.03"]]  # type: ignore[arg-type]
            assert levels_text(book, 1) == [["102", "0.045"]]  # type: ignore[arg-type]
            assert book.is_live  # type: ignore[attr-defined]
            assert book.venue_utc_ns == 1765201257005_000_000  # type: ignore[attr-defined]
    assert codes == [Feed.BUFFER, Feed.APPLIED, Feed.APPLIED, Feed.OLD, Feed.APPLIED, Feed.APPLIED, Feed.GAP]
    assert not book.is_live  # type: ignore[attr-defined]
    fresh = frame("snapshot", -1, 90, '[["7","1","0","1"]]', '[["6","1","0","1"]]')
    assert depth.feed_code(fresh, 1) == Feed.APPLIED  # type: ignore[attr-defined]
    assert book.is_live  # type: ignore[attr-defined]


def test_acknowledgements_and_others_pass(feed: tuple[object, object], sample: Sample) -> None:
    depth = feed[1]
    for payload in (
        acknowledgement("s0x0", {"channel": "books", "instId": "BTC-USDT-SWAP"}, "c1"),
        sample("ws_trades_perp"),
        b"pong",
    ):
        assert depth.feed_code(payload, 1) == Feed.PASS  # type: ignore[attr-defined]


def test_recorded_frames(shared_fixtures: Path, known: dict[str, Instrument]) -> None:
    """Frames of 2025, as the venue sent them: an in-band snapshot and its update."""
    folder = shared_fixtures / "okx" / "frames_roq"
    adapter = OkxMarketData(Product.SPOT, LIVE[Product.SPOT])
    depth, book = new_feed(adapter.schema), new_book("NEAR/USDT", 8, 8, 1)
    depth.add("books\nNEAR-USDT", book)
    book.begin_sync()
    for name in ("books_snapshot", "books_update"):
        payload = (folder / f"books_l2_tbt.{name}.json").read_bytes()
        assert depth.feed_code(payload, 1) == Feed.APPLIED
    assert book.sequence == 9690930617
    assert levels_text(book, 0)[:3] == [
        ["1.782", "2173.46443964"],
        ["1.781", "14694.07509503"],
        ["1.78", "12102.991384"],
    ]
